package kinesissim_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/kinesissim"
)

// everything is what clients can see of a server's streams.
func everything(t *testing.T, sim *kinesissim.Server) []any {
	t.Helper()
	c, ctx := client(t, sim), t.Context()
	all := []any{sim.Streams()}
	for _, s := range sim.Streams() {
		name, arn := aws.String(s.Name), aws.String(sim.StreamARN(s.Name))
		d := must[*kinesis.DescribeStreamOutput](t)(c.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: name}))
		tags := must[*kinesis.ListTagsForStreamOutput](t)(c.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: name}))
		consumers := must[*kinesis.ListStreamConsumersOutput](t)(c.ListStreamConsumers(ctx, &kinesis.ListStreamConsumersInput{StreamARN: arn}))
		records := sim.Records(s.Name)
		for i := range records {
			records[i].Arrival = records[i].Arrival.UTC()
			if sum := sha256.Sum256(records[i].Data); len(records[i].Data) > 1000 {
				records[i].Data = sum[:] // faster to compare
			}
		}
		all = append(all, d.StreamDescription, tags.Tags, consumers.Consumers, records)
	}
	return all
}

func differ(want, got []any) string {
	exported := func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && (f.Name() == "noSmithyDocumentSerde" || f.Name() == "onDemand")
	}
	return cmp.Diff(want, got, cmp.FilterPath(exported, cmp.Ignore()))
}

// change does something of everything that a server keeps.
func change(t *testing.T, sim *kinesissim.Server, clock *fakeClock) {
	t.Helper()
	c, ctx, name, arn := client(t, sim), t.Context(), aws.String("s"), aws.String(sim.StreamARN("s"))
	ok := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		clock.Advance(1234567 * time.Nanosecond)
	}
	ok(c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("other"), ShardCount: aws.Int32(1), Tags: map[string]string{"team": "a"}}))
	ok(nil, sim.CreateStream(kinesissim.Stream{Name: "long", RetentionHours: 48}))
	ok(nil, sim.CreateStream(kinesissim.Stream{Name: "gone"}))
	ok(nil, sim.DeleteStream("gone"))
	ok(put(ctx, c, "s", "k", []byte{0, 0xff}))
	ok(nil, split(ctx, c, "s", shardID(0), middle))
	// Only one of these is stored: one fails by an answer, one by the rate.
	sim.SetIntercept(kinesissim.AnswerInOrder(kinesissim.FailRecords(func(i int, _ kinesissim.PutEntry) string {
		return []string{"InternalFailure", "", ""}[i]
	})))
	mebibyte := types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: bytes.Repeat([]byte("x"), 1<<20-1)}
	out, err := putAll(ctx, c, "s", entry("k", "refused"), mebibyte, mebibyte)
	ok(out, err)
	if *out.FailedRecordCount != 2 {
		t.Fatalf("%d records failed", *out.FailedRecordCount)
	}
	ok(c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String("é"), Data: []byte("x"), ExplicitHashKey: aws.String("0")}))
	ok(c.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: name, Tags: map[string]string{"a": "1", "b": "2"}}))
	ok(c.RemoveTagsFromStream(ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: name, TagKeys: []string{"a"}}))
	ok(c.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("tail")}))
	ok(c.StartStreamEncryption(ctx, &kinesis.StartStreamEncryptionInput{StreamName: name, EncryptionType: types.EncryptionTypeKms, KeyId: aws.String("alias/key")}))
}

func inFolder(clock *fakeClock, dir string) kinesissim.Config {
	return kinesissim.Config{Now: clock.Now, Dir: dir, EnforceRate: true, Streams: []kinesissim.Stream{{Name: "s"}}}
}

func TestAFolderKeepsEverything(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), filepath.Join(t.TempDir(), "new", "folder")
	first := start(t, inFolder(clock, dir))
	change(t, first, clock)
	want := everything(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	info := must[os.FileInfo](t)(os.Stat(filepath.Join(dir, "kinesis.journal")))
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the journal has the mode %v", info.Mode())
	}
	clock.Advance(time.Hour)
	second := start(t, inFolder(clock, dir))
	if diff := differ(want, everything(t, second)); diff != "" {
		t.Errorf("after a restart (-want +got)\n%s", diff)
	}
	if n := second.Stats().Records; n != 0 {
		t.Errorf("the figures count %d records of before", n)
	}
	// It goes on, and that is kept as well.
	must[*kinesis.PutRecordOutput](t)(put(t.Context(), client(t, second), "s", "k", []byte("more")))
	want = everything(t, second)
	second.Close()
	if diff := differ(want, everything(t, start(t, inFolder(clock, dir)))); diff != "" {
		t.Errorf("after another restart (-want +got)\n%s", diff)
	}
}

func TestOneServerAFolder(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	start(t, inFolder(clock, dir))
	_, err := kinesissim.Start(t.Context(), inFolder(clock, dir))
	if err == nil {
		t.Fatal("a second server uses the folder")
	}
	contains(t, err.Error(), "another Kinesis uses the folder")
}

// A server that was killed has written a part of its last line.
func TestATornJournal(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	sim := start(t, inFolder(clock, dir))
	c := client(t, sim)
	must[*kinesis.PutRecordOutput](t)(put(t.Context(), c, "s", "k", []byte("kept")))
	before := everything(t, sim)
	file := filepath.Join(dir, "kinesis.journal")
	whole := len(must[[]byte](t)(os.ReadFile(file)))
	must[*kinesis.PutRecordOutput](t)(put(t.Context(), c, "s", "k", []byte("torn")))
	sim.Close()
	text := must[[]byte](t)(os.ReadFile(file))
	for _, size := range []int{whole + 1, whole + 20, len(text) - 1} {
		if err := os.WriteFile(file, text[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		again := start(t, inFolder(clock, dir))
		if diff := differ(before, everything(t, again)); diff != "" {
			t.Errorf("%d of %d bytes (-want +got)\n%s", size, len(text), diff)
		}
		must[*kinesis.PutRecordOutput](t)(put(t.Context(), client(t, again), "s", "k", []byte("after")))
		want := everything(t, again)
		again.Close()
		last := start(t, inFolder(clock, dir))
		if diff := differ(want, everything(t, last)); diff != "" {
			t.Errorf("after the torn line (-want +got)\n%s", diff)
		}
		last.Close()
	}

	// Damage in the middle is not a torn line.
	text[20] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := kinesissim.Start(t.Context(), inFolder(clock, dir))
	if err == nil {
		t.Fatal("a corrupt journal is accepted")
	}
	contains(t, err.Error(), "line 1 is corrupt")
	if now := must[[]byte](t)(os.ReadFile(file)); !bytes.Equal(now, text) {
		t.Error("the corrupt journal was changed")
	}
}

func TestAFolderOfAnotherRegion(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	sim := start(t, inFolder(clock, dir))
	register(t, sim, client(t, sim), "tail")
	sim.Close()
	cfg := inFolder(clock, dir)
	cfg.Region = "us-east-1"
	_, err := kinesissim.Start(t.Context(), cfg)
	if err == nil {
		t.Fatal("the folder is accepted")
	}
	contains(t, err.Error(), "another region")
}

// What was stored without a rate is kept by a server that enforces one.
func TestAFolderIsReadWithoutARate(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	cfg := inFolder(clock, dir)
	cfg.EnforceRate = false
	sim := start(t, cfg)
	for range 3 {
		must[*kinesis.PutRecordOutput](t)(put(t.Context(), client(t, sim), "s", "k", make([]byte, 1<<20-1)))
	}
	sim.Close()
	again := start(t, inFolder(clock, dir))
	if n := len(again.Records("s")); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
	must[*kinesis.PutRecordOutput](t)(put(t.Context(), client(t, again), "s", "k", make([]byte, 1<<20-1)))
	_, err := put(t.Context(), client(t, again), "s", "k", []byte("x"))
	wantError[*types.ProvisionedThroughputExceededException](t, err)
}
