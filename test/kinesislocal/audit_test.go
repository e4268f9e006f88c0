package kinesislocal

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/seqrange"
	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

// The audit of a stream finds nothing. Without one of its records, it finds the numbers of
// that record.
func TestAnAuditFindsExactlyTheRecordThatIsMissing(t *testing.T) {
	formats := []string{"ndjson", "otlp", "cloudwatch", "kpl"}
	if testing.Short() {
		formats = []string{"ndjson"}
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			_, url := startKinesis(t, 2)
			r := sandbox.Start(t, binaries, sandbox.Options{Endpoint: url, Env: map[string]string{"KINETEL_FORMAT": format, "KINETEL_PARTITION_KEY": "random"}})
			for range 3 {
				r.Invoke(`{"id":"some","lines":200}`)
			}
			r.Shutdown()
			var records [][]record.Event
			reader := streamreader.New(streamreader.Config{Stream: sandbox.Stream, AWS: aws.Config{
				Region: region, BaseEndpoint: aws.String(url), Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
			}})
			for one, err := range reader.Records(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				events, err := record.Decode(one.Data)
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, events)
			}
			if whole := auditWithout(t, records, -1); !whole.Complete || whole.Totals.Ended != 1 {
				t.Errorf("everything: %s", whole.Verdict())
			}
			tried := 0
			for left, events := range records {
				var want seqrange.Set
				last := false
				for _, e := range events {
					want = want.Add(seqrange.Range{First: e.Seq, Last: e.Seq})
					last = last || e.Type == record.TypeReport // nothing shows that the last record is missing
				}
				if last {
					continue
				}
				tried++
				got := auditWithout(t, records, left)
				var holes seqrange.Set
				for _, h := range got.Environments[0].Holes {
					holes = holes.Add(seqrange.Range{First: h.FirstSeq, Last: h.LastSeq})
				}
				if len(holes.Subtract(want)) > 0 || len(want.Subtract(holes)) > 0 || got.Totals.Unexplained != want.Len() {
					t.Errorf("without record %d: holes %v, want %v", left, holes, want)
				}
			}
			if tried < 2 {
				t.Errorf("only %d of %d records were left out", tried, len(records))
			}
		})
	}
}

// auditWithout audits all records but one.
func auditWithout(t *testing.T, records [][]record.Event, left int) audit.Report {
	t.Helper()
	auditor := audit.New(audit.Options{Whole: true})
	for i, events := range records {
		if i == left {
			continue
		}
		for _, e := range events {
			if err := auditor.Add(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	return auditor.Report()
}
