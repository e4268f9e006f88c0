package localrun

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"time"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/localrun/fault"
	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
)

// Kinetel is the name of Kinetel's extension.
const Kinetel = "kinesis-telemetry-extension"

// The variables that say which stream Kinetel writes to, where Kinesis is, and where the
// spool is.
const (
	spoolDir   = "KINETEL_SPOOL_DIR"
	streamName = "KINETEL_STREAM_NAME"
	streamARN  = "KINETEL_STREAM_ARN"
	endpoint   = "AWS_ENDPOINT_URL_KINESIS"
)

// defaultStream is the stream if no variable names one.
const defaultStream = "telemetry"

// Stream is the stream that a run's extensions write to.
type Stream struct {
	Name string
	URL  string             // of Kinesis
	sim  *kinesissim.Server // nil: it is another one
}

// OpenStream starts the embedded Kinesis, unless url is that of another one, and sets the
// variables of the function that Kinetel needs. elapsed is the time since the start.
func OpenStream(ctx context.Context, function lambdasim.Config, url string, faults []fault.Fault, elapsed func() time.Duration) (s Stream, err error) {
	env := function.Env
	s.Name = env[streamName]
	if arn := env[streamARN]; arn != "" {
		s.Name = path.Base(arn)
	}
	if s.Name == "" {
		s.Name = defaultStream
		env[streamName] = s.Name
	}
	s.URL = url
	if url == "" {
		s.sim, err = kinesissim.Start(ctx, kinesissim.Config{
			Region: cmp.Or(env["AWS_REGION"], function.Region), Streams: []kinesissim.Stream{{Name: s.Name, Shards: 1}}, Intercept: fault.Interceptor(faults, 1, elapsed),
		})
		if err != nil {
			return s, fmt.Errorf("the embedded Kinesis: %w", err)
		}
		s.URL = s.sim.URL()
	}
	env[endpoint] = cmp.Or(env[endpoint], s.URL)
	return s, nil
}

// Embedded reports whether Kinesis is part of this program.
func (s Stream) Embedded() bool { return s.sim != nil }

// Close ends the embedded Kinesis.
func (s Stream) Close() {
	if s.sim != nil {
		_ = s.sim.Close() // nothing is left to lose
	}
}

// Summary returns what the embedded Kinesis has. With audited it proves whether anything
// of Kinetel's is missing.
func (s Stream) Summary(audited bool) *report.Kinesis {
	stats := s.sim.Stats()
	k := &report.Kinesis{Records: stats.Records, Bytes: stats.Bytes, Rejected: stats.Rejected}
	if !audited {
		return k
	}
	auditor := audit.New(audit.Options{Whole: true})
	for _, r := range s.sim.Records(s.Name) {
		events, err := record.Decode(r.Data)
		for _, e := range events {
			if err == nil {
				err = auditor.Add(e)
			}
		}
		k.Events += len(events)
		if err != nil {
			k.Audit = fmt.Sprintf("record %s cannot be read: %v", r.SequenceNumber, err)
			return k
		}
	}
	verdict := auditor.Report()
	k.Audit, k.Complete = verdict.Verdict(), verdict.Complete
	return k
}
