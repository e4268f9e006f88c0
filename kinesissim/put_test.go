package kinesissim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/kinetel/kinetel/kinesissim"
)

const mib = 1 << 20

// wire writes the body of a PutRecords that the SDK's own checks would refuse.
func wire(t testing.TB, stream string, records ...map[string]any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"StreamName": stream, "Records": records})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestPutRecordsLimits(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{Streams: []kinesissim.Stream{
		{Name: "s", Shards: 2}, {Name: "middle", MaxRecordSizeKiB: 1025},
	}})
	c, ctx := client(t, sim), t.Context()
	size := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int, e types.PutRecordsRequestEntry) []types.PutRecordsRequestEntry {
		all := make([]types.PutRecordsRequestEntry, n)
		for i := range all {
			all[i] = e
		}
		return all
	}
	const refused, argument = "ValidationException", "InvalidArgumentException"
	for _, tc := range []struct {
		name, stream string
		entries      []types.PutRecordsRequestEntry
		code         string // empty: stored
		message      string
	}{
		{"500 records", "s", many(500, entry("k", "x")), "", ""},
		{"501 records", "s", many(501, entry("k", "x")), refused, "at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"},
		{"a record of 1 MiB with its key", "s", many(1, entry("k", size(mib-1))), "", ""},
		{"one byte more", "s", many(1, entry("kk", size(mib-1))), argument, "Record size 1048577"},
		{"one byte more by a key of two bytes", "s", many(1, entry("é", size(mib-1))), argument, "Record size 1048577"},
		{"data alone of 1 MiB and one byte", "s", many(1, entry("k", size(mib+1))), refused, "Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 cap=1048577]' at 'records.1.member.data'"},
		{"a record of 1025 KiB where allowed", "middle", many(1, entry("k", size(1025<<10-1))), "", ""},
		{"one byte more there", "middle", many(1, entry("k", size(1025<<10))), argument, "Record size 1049601"},
		{"a key of 1 character", "s", many(1, entry("k", "x")), "", ""},
		{"a key of 256 characters", "s", many(1, entry(strings.Repeat("é", 256), "x")), "", ""},
		{"a key of 257 characters", "s", many(1, entry(strings.Repeat("k", 257), "x")), refused, "at 'records.1.member.partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"an empty key", "s", many(1, entry("", "x")), refused, "Member must have length greater than or equal to 1"},
		{"the last of the records is bad", "s", append(many(3, entry("k", "x")), entry("", "x")), refused, "records.4.member.partitionKey"},
		{"empty data", "s", many(1, entry("k", "")), "", ""},
		{"no stream", "t", many(1, entry("k", "x")), "ResourceNotFoundException", "Stream t under account 123456789012 not found."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(sim.Records(tc.stream))
			out, err := putAll(ctx, c, tc.stream, tc.entries...)
			stored := len(sim.Records(tc.stream)) - before
			if tc.code != "" {
				contains(t, wantCode(t, err, tc.code).ErrorMessage(), tc.message)
				if stored != 0 {
					t.Errorf("a refused request stored %d records", stored)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if *out.FailedRecordCount != 0 || stored != len(tc.entries) || len(out.Records) != len(tc.entries) {
				t.Errorf("%d failed, %d stored, %d results", *out.FailedRecordCount, stored, len(out.Records))
			}
		})
	}
}

// A request of 10 MiB is accepted, and one read returns all of it; one byte more is
// refused. The test writes and reads the bodies itself, because the SDK is slow.
func TestARequestOf10MiBIsStoredAndRead(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{Streams: []kinesissim.Stream{{Name: "s", MaxRecordSizeKiB: 10240}}})
	c, ctx := client(t, sim), t.Context()
	largest := strings.Repeat("AAAA", (10*mib-1)/3) // with a key of one byte
	const form = `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"%s"}%s]}`
	if status, got := raw(t, sim, "PutRecords", fmt.Sprintf(form, largest, `,{"PartitionKey":"k","Data":""}`)); status != 400 ||
		got["__type"] != "InvalidArgumentException" || got["message"] != "Records size exceeds 10 MB limit" {
		t.Errorf("one byte more: %d %v", status, got)
	}
	if status, got := raw(t, sim, "PutRecords", fmt.Sprintf(form, largest, "")); status != 200 || got["FailedRecordCount"] != 0.0 {
		t.Fatalf("%d %v", status, got)
	}
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte{}))
	if records := sim.Records("s"); len(records) != 2 || len(records[0].Data) != 10*mib-1 {
		t.Fatalf("%d records", len(records))
	}

	it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	first := post(t, sim, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, *it))
	defer first.Body.Close()
	body, err := io.ReadAll(first.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(body, []byte(`"SequenceNumber"`)); n != 1 {
		t.Errorf("a read of %d records", n)
	}
	_, rest, _ := bytes.Cut(body, []byte(`"NextShardIterator":"`))
	next, _, _ := bytes.Cut(rest, []byte(`"`))
	if got := drain(t, ctx, c, aws.String(string(next)), nil); len(got) != 1 {
		t.Errorf("then %d records", len(got))
	}
}

// The same limits, where the SDK checks before it sends.
func TestPutRecordsLimitsOnTheWire(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	for _, tc := range []struct{ name, body, kind, message string }{
		{"no records", `{"StreamName":"s","Records":[]}`, "ValidationException", "Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"no list", `{"StreamName":"s"}`, "ValidationException", "Value null at 'records' failed to satisfy constraint: Member must not be null"},
		{"no key", wire(t, "s", map[string]any{"Data": ""}), "ValidationException", "Value null at 'records.1.member.partitionKey'"},
		{"no data", wire(t, "s", map[string]any{"PartitionKey": "k"}), "ValidationException", "Value null at 'records.1.member.data'"},
		{"null data", wire(t, "s", map[string]any{"PartitionKey": "k", "Data": nil}), "ValidationException", "Value null at 'records.1.member.data'"},
		{"bad base64", wire(t, "s", map[string]any{"PartitionKey": "k", "Data": "!!!!"}), "SerializationException", "Base64"},
		{"several problems at once", `{"StreamName":"","Records":[]}`, "ValidationException", "3 validation errors detected: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, got := raw(t, sim, "PutRecords", tc.body)
			message, _ := got["message"].(string)
			if status != http.StatusBadRequest || got["__type"] != tc.kind {
				t.Fatalf("%d %v", status, got)
			}
			contains(t, message, tc.message)
		})
	}
	if n := len(sim.Records("s")); n != 0 {
		t.Errorf("%d records were stored", n)
	}
}

func TestMessagesRepeatOnlyAPartOfAValue(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	bad := map[string]any{"PartitionKey": strings.Repeat("é", 100_000), "Data": ""}
	records := make([]map[string]any, 500)
	for i := range records {
		records[i] = map[string]any{}
	}
	for _, body := range []string{wire(t, "s", bad), wire(t, "s", records...)} {
		_, got := raw(t, sim, "PutRecords", body)
		if message, _ := got["message"].(string); message == "" || len(message) > 4000 {
			t.Errorf("a message of %d bytes", len(message))
		}
	}
}

func TestExplicitHashKey(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 3)
	c, ctx := client(t, sim), t.Context()
	const argument, refused = "InvalidArgumentException", "ValidationException"
	for _, tc := range []struct{ key, shard, code string }{
		{"0", "shardId-000000000000", ""},
		{"113427455640312821154458202477256070484", "shardId-000000000000", ""},
		{"113427455640312821154458202477256070485", "shardId-000000000001", ""},
		{"226854911280625642308916404954512140969", "shardId-000000000001", ""},
		{"226854911280625642308916404954512140970", "shardId-000000000002", ""},
		{"340282366920938463463374607431768211455", "shardId-000000000002", ""},
		{"340282366920938463463374607431768211456", "", argument},
		{"999999999999999999999999999999999999999", "", argument},
		{"1000000000000000000000000000000000000000", "", refused},
		{"00", "", refused},
		{"01", "", refused},
		{"-1", "", refused},
		{"1.5", "", refused},
		{"x", "", refused},
		{"", "", refused},
	} {
		t.Run(tc.key, func(t *testing.T) {
			e := entry("k", "x")
			e.ExplicitHashKey = &tc.key
			many, manyErr := putAll(ctx, c, "s", e)
			one, oneErr := c.PutRecord(ctx, &kinesis.PutRecordInput{
				StreamName: aws.String("s"), PartitionKey: e.PartitionKey, Data: e.Data, ExplicitHashKey: &tc.key,
			})
			if tc.code != "" {
				wantCode(t, manyErr, tc.code)
				wantCode(t, oneErr, tc.code)
				return
			}
			if manyErr != nil || oneErr != nil {
				t.Fatal(manyErr, oneErr)
			}
			if *many.Records[0].ShardId != tc.shard || *one.ShardId != tc.shard {
				t.Errorf("in %s and %s, want %s", *many.Records[0].ShardId, *one.ShardId, tc.shard)
			}
			all := sim.Records("s")
			if last := all[len(all)-1]; last.ExplicitHashKey != tc.key || last.SequenceNumber != *one.SequenceNumber {
				t.Errorf("%+v", last)
			}
		})
	}
}

func TestPutRecord(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s"}}})
	c, ctx := client(t, sim), t.Context()

	first := must[*kinesis.PutRecordOutput](t)(c.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamARN: aws.String(sim.StreamARN("s")), PartitionKey: aws.String("k"), Data: []byte{0, 255},
	}))
	second := must[*kinesis.PutRecordOutput](t)(c.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("2"), SequenceNumberForOrdering: first.SequenceNumber,
	}))
	if *second.SequenceNumber <= *first.SequenceNumber || first.EncryptionType != types.EncryptionTypeNone {
		t.Errorf("%s then %s, %s", *first.SequenceNumber, *second.SequenceNumber, first.EncryptionType)
	}
	records := sim.Records("s")
	if len(records) != 2 || !bytes.Equal(records[0].Data, []byte{0, 255}) || !records[0].Arrival.Equal(clock.Now()) {
		t.Errorf("%+v", records)
	}

	for name, tc := range map[string]struct {
		in   kinesis.PutRecordInput
		code string
	}{
		"no stream":                {kinesis.PutRecordInput{StreamName: aws.String("t")}, "ResourceNotFoundException"},
		"an empty key":             {kinesis.PutRecordInput{PartitionKey: aws.String("")}, "ValidationException"},
		"a long key":               {kinesis.PutRecordInput{PartitionKey: aws.String(strings.Repeat("k", 257))}, "ValidationException"},
		"too long":                 {kinesis.PutRecordInput{Data: make([]byte, mib)}, "InvalidArgumentException"},
		"data too long":            {kinesis.PutRecordInput{Data: make([]byte, mib+1)}, "ValidationException"},
		"an ordering of no stream": {kinesis.PutRecordInput{SequenceNumberForOrdering: aws.String("17")}, "InvalidArgumentException"},
		"an ordering of dust":      {kinesis.PutRecordInput{SequenceNumberForOrdering: aws.String("x")}, "ValidationException"},
	} {
		in := tc.in
		if in.StreamName == nil {
			in.StreamName = aws.String("s")
		}
		if in.PartitionKey == nil {
			in.PartitionKey = aws.String("k")
		}
		if in.Data == nil {
			in.Data = []byte("x")
		}
		_, err := c.PutRecord(ctx, &in)
		if err == nil {
			t.Errorf("%s: stored", name)
			continue
		}
		wantCode(t, err, tc.code)
	}
	if n := len(sim.Records("s")); n != 2 {
		t.Errorf("%d records", n)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	_, err := c.PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{entry("k", "x")}, DryRun: aws.Bool(true),
	})
	wantError[*types.DryRunOperationException](t, err)
	_, err = c.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("x"), DryRun: aws.Bool(true),
	})
	wantError[*types.DryRunOperationException](t, err)
	_, err = c.PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamName: aws.String("t"), Records: []types.PutRecordsRequestEntry{entry("k", "x")}, DryRun: aws.Bool(true),
	})
	wantError[*types.ResourceNotFoundException](t, err)
	if n := len(sim.Records("s")); n != 0 {
		t.Errorf("%d records were stored", n)
	}
}

func BenchmarkPutRecords(b *testing.B) {
	for _, size := range []int{300, 20_000} {
		b.Run(fmt.Sprintf("500x%d", size), func(b *testing.B) {
			sim := oneStream(b, 4)
			records := make([]map[string]any, 500)
			for i := range records {
				records[i] = map[string]any{"PartitionKey": fmt.Sprint(i), "Data": base64.StdEncoding.EncodeToString(make([]byte, size))}
			}
			body := wire(b, "s", records...)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if status, _ := raw(b, sim, "PutRecords", body); status != 200 {
					b.Fatal(status)
				}
			}
		})
	}
}
