package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/record"
	schematest "github.com/kinetel/kinetel/test/schema"
)

func line(environment string, seq int, kind, body, more string) string {
	return fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":"2026-11-22T20:15:00.123Z","type":"%s"%s,"body":%s,"resource":{"service.instance.id":"%s"}}`+"\n",
		seq, kind, more, body, environment)
}

func text(environment string, seq int) string {
	return line(environment, seq, "function", `"<hello>"`, "")
}

// batch is an event of the event source mapping, of gzipped lines each.
func batch(t *testing.T, all ...string) events.KinesisEvent {
	t.Helper()
	var e events.KinesisEvent
	for i, lines := range all {
		data := []byte(lines)
		if strings.HasPrefix(lines, `{"schema"`) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			if _, err := z.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			data = b.Bytes()
			schematest.Check(t, data)
		}
		e.Records = append(e.Records, events.KinesisEventRecord{
			EventID: fmt.Sprintf("shardId-000000000000:%d", i+1),
			Kinesis: events.KinesisRecord{Data: data, PartitionKey: "e", SequenceNumber: fmt.Sprint(i + 1)},
		})
	}
	// As Lambda passes it to the function.
	wire, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var got events.KinesisEvent
	if err := json.Unmarshal(wire, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// outcome is the result of a batch.
type outcome struct {
	Out    []string // environment, seq and body of each event
	Failed []string // sequence numbers
	Log    []string
}

func consume(t *testing.T, batch events.KinesisEvent) outcome {
	t.Helper()
	var out, log strings.Builder
	response, err := consumer{&out, &log}.handle(context.Background(), batch)
	if err != nil {
		t.Fatal(err)
	}
	var got outcome
	for text := range strings.Lines(out.String()) {
		all, err := record.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got.Out = append(got.Out, fmt.Sprint(all[0].InstanceID(), " ", all[0].Seq, " ", string(all[0].Body)))
	}
	for _, f := range response.BatchItemFailures {
		got.Failed = append(got.Failed, f.ItemIdentifier)
	}
	got.Log = strings.Split(strings.TrimSpace(log.String()), "\n")
	return got
}

func TestABatch(t *testing.T) {
	loss := line("e", 6, "kinetel.loss", `{"firstSeq":2,"lastSeq":5,"count":3,"bytes":300,"reason":"buffer-full"}`, "")
	for _, tt := range []struct {
		name string
		in   []string
		want outcome
	}{
		{
			"nothing", nil,
			outcome{Log: []string{"0 of 0 records read: 0 events, 0 duplicates, 0 holes"}},
		},
		{
			"two records of two environments",
			[]string{text("e", 1) + text("e", 2), text("f", 7)},
			outcome{
				Out: []string{`e 1 "<hello>"`, `e 2 "<hello>"`, `f 7 "<hello>"`},
				Log: []string{"2 of 2 records read: 3 events, 0 duplicates, 0 holes"},
			},
		},
		{
			"a record twice",
			[]string{text("e", 1) + text("e", 2), text("e", 1) + text("e", 2)},
			outcome{
				Out: []string{`e 1 "<hello>"`, `e 2 "<hello>"`},
				Log: []string{"2 of 2 records read: 2 events, 2 duplicates, 0 holes"},
			},
		},
		{
			"an event in parts, over two records",
			[]string{line("e", 2, "function", `"2}"`, `,"part":2,"parts":2`), line("e", 1, "function", `"{\"a\":"`, `,"part":1,"parts":2`)},
			outcome{
				Out: []string{`e 1 {"a":2}`},
				Log: []string{"2 of 2 records read: 2 events, 0 duplicates, 0 holes"},
			},
		},
		{
			"holes, and one that is reported lost",
			[]string{text("e", 1), loss + text("e", 9), text("f", 3) + text("f", 5)},
			outcome{
				Out: []string{
					`e 1 "<hello>"`, `e 6 {"firstSeq":2,"lastSeq":5,"count":3,"bytes":300,"reason":"buffer-full"}`, `e 9 "<hello>"`,
					`f 3 "<hello>"`, `f 5 "<hello>"`,
				},
				Log: []string{
					"seq 7 to 8 of the environment e are not in this batch, and not reported lost",
					"seq 4 to 4 of the environment f are not in this batch, and not reported lost",
					"3 of 3 records read: 5 events, 0 duplicates, 2 holes",
				},
			},
		},
		{
			"records out of order have no holes",
			[]string{text("e", 3), text("e", 1), text("e", 2)},
			outcome{
				Out: []string{`e 3 "<hello>"`, `e 1 "<hello>"`, `e 2 "<hello>"`},
				Log: []string{"3 of 3 records read: 3 events, 0 duplicates, 0 holes"},
			},
		},
		{
			"a record that is not Kinetel's: the records before it are read, and none after it",
			[]string{text("e", 1), "hello", text("e", 2)},
			outcome{
				Out:    []string{`e 1 "<hello>"`},
				Failed: []string{"2"},
				Log: []string{
					`record shardId-000000000000:2 (partition key "e", 5 bytes): not a record of Kinetel's: event 1, at byte 0: the last line does not end: unexpected EOF`,
					"1 of 3 records read: 1 events, 0 duplicates, 0 holes",
				},
			},
		},
		{
			"only such a record",
			[]string{"hello"},
			outcome{
				Failed: []string{"1"},
				Log: []string{
					`record shardId-000000000000:1 (partition key "e", 5 bytes): not a record of Kinetel's: event 1, at byte 0: the last line does not end: unexpected EOF`,
					"0 of 1 records read: 0 events, 0 duplicates, 0 holes",
				},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, consume(t, batch(t, tt.in...))); diff != "" {
				t.Errorf("the outcome (-want +got):\n%s", diff)
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestABatchThatCannotBeWrittenFails(t *testing.T) {
	_, err := consumer{full{}, &strings.Builder{}}.handle(context.Background(), batch(t, text("e", 1)))
	if err == nil || !strings.Contains(err.Error(), "write seq 1 of e: no room") {
		t.Errorf("the error is %v", err)
	}
}

// Lambda treats a response that it cannot read as a failure of the whole batch, and
// null as a success.
func TestTheResponseHasTheFormThatLambdaReads(t *testing.T) {
	for want, in := range map[string][]string{
		`{"batchItemFailures":[]}`:                       {text("e", 1)},
		`{"batchItemFailures":[{"itemIdentifier":"1"}]}`: {"{}"},
	} {
		response, err := consumer{&strings.Builder{}, &strings.Builder{}}.handle(context.Background(), batch(t, in...))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(response); err != nil || string(got) != want {
			t.Errorf("the response is %s (%v), want %s", got, err, want)
		}
	}
}
