package localrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
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
// of Kinetel's is missing: of the numbers in the stream, and of the events that Kinetel
// accepted. An event that never got to the stream leaves no hole in the numbers.
func (s Stream) Summary(audited bool, accepted int) *report.Kinesis {
	stats := s.sim.Stats()
	k := &report.Kinesis{Records: stats.Records, Bytes: stats.Bytes, Rejected: stats.Rejected}
	if !audited {
		return k
	}
	auditor := audit.New(audit.Options{Whole: true})
	var arrived arrivals
	for _, r := range s.sim.Records(s.Name) {
		events, err := record.Decode(r.Data)
		for _, e := range events {
			if err == nil {
				err = errors.Join(auditor.Add(e), arrived.add(e))
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
	lost := int(verdict.Totals.Explained + verdict.Totals.Spooled)
	if there, leftOut := arrived.count(), arrived.leftOut(); k.Complete && there+lost+leftOut < accepted {
		k.Audit, k.Complete = fmt.Sprintf("accepted %d, in the stream %d, reported lost %d, left out %d", accepted, there, lost, leftOut), false
	}
	return k
}

// arrivals are the events in the stream that Lambda sent, each once, and the reports.
type arrivals struct {
	seen    map[record.Key]bool
	reports map[record.Key]record.Report
}

func (a *arrivals) add(e record.Event) error {
	if a.seen == nil {
		a.seen, a.reports = map[record.Key]bool{}, map[record.Key]record.Report{}
	}
	switch {
	case e.Type == record.TypeReport:
		r, err := e.Report()
		a.reports[e.Key()] = r
		return err
	case strings.HasPrefix(e.Type, "kinetel."), e.Part > 1: // parts of an event count once
		return nil
	}
	a.seen[e.Key()] = true
	return nil
}

func (a *arrivals) count() int { return len(a.seen) }

// leftOut adds up the last report of each process. A process counts from 0, so its first
// report has received less than the one before it.
func (a *arrivals) leftOut() (n int) {
	keys := slices.SortedFunc(maps.Keys(a.reports), func(a, b record.Key) int {
		return cmp.Or(cmp.Compare(a.InstanceID, b.InstanceID), cmp.Compare(a.Seq, b.Seq))
	})
	for i, key := range keys {
		r := a.reports[key]
		last := i+1 == len(keys) || keys[i+1].InstanceID != key.InstanceID || r.Final || a.reports[keys[i+1]].Received.Events < r.Received.Events
		if last {
			n += int(r.LeftOut.Total())
		}
	}
	return n
}
