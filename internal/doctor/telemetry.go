package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/record"
)

// arrived is what the last minutes of the stream have of the function.
type arrived struct {
	function string // empty: of any

	records, foreign int // read; of these, those that are not Kinetel's
	bytes            int
	behind           time.Duration // what was not read, because of MaxBytes

	events         int           // of the function
	last, reported time.Time     // when the last event, and the last report arrived
	report         record.Report // the last one
	reportKey      record.Key    // of the last report
	lost           map[string]int64
	seen           map[record.Key]bool // the losses that were counted
}

// checkTelemetry reads the end of the stream.
func (d *diagnosis) checkTelemetry(ctx context.Context) {
	if d.streamARN() == "" || d.Since <= 0 || d.silent {
		return
	}
	a := &arrived{function: d.config.Lambda.FunctionName, lost: map[string]int64{}, seen: map[record.Key]bool{}}
	err := d.read(ctx, a)
	if err != nil && a.records == 0 {
		d.skip("the telemetry in the stream", err, "allow yourself kinesis:ListShards, GetShardIterator and GetRecords on the stream, and kms:Decrypt on its key")
		return
	}
	d.telemetry(a, err)
}

// read reads all shards, from Since ago on.
func (d *diagnosis) read(ctx context.Context, a *arrived) error {
	cfg := d.Clients.config.Copy()
	cfg.Region = d.config.AWS.Region
	reader := streamreader.New(streamreader.Config{AWS: cfg, Stream: d.streamARN(), From: streamreader.Position{Since: d.Since}})
	for r, err := range reader.Records(ctx) {
		if err != nil {
			return err
		}
		a.add(r)
		if a.bytes > d.MaxBytes {
			a.behind = reader.Progress().Behind
			break
		}
	}
	return nil
}

// add adds a record.
func (a *arrived) add(r streamreader.Record) {
	a.records++
	a.bytes += len(r.Data)
	events, err := record.Decode(r.Data)
	if err != nil {
		a.foreign++
	}
	for _, e := range events {
		if a.function != "" && e.Resource["faas.name"] != a.function {
			continue
		}
		a.events++
		if r.Arrival.After(a.last) {
			a.last = r.Arrival
		}
		a.own(e, r.Arrival)
	}
}

// own adds a loss or a report. Kinetel writes none that cannot be read, so one that
// cannot is ignored.
func (a *arrived) own(e record.Event, at time.Time) {
	if loss, err := e.Loss(); err == nil && !a.seen[e.Key()] {
		a.seen[e.Key()] = true
		a.lost[loss.Reason] += loss.Count
	}
	if report, err := e.Report(); err == nil && (at.After(a.reported) || at.Equal(a.reported) && e.Seq > a.reportKey.Seq) {
		a.report, a.reported, a.reportKey = report, at, e.Key()
	}
}

// telemetry adds what the stream says.
func (d *diagnosis) telemetry(a *arrived, err error) {
	of := "any function"
	if a.function != "" {
		of = "the function " + a.function
	}
	if err != nil {
		d.skip("a part of the stream", err, "a shorter --since, or a longer --timeout")
	}
	if a.behind > 0 {
		d.skip(fmt.Sprintf("the last %s of the stream", a.behind.Round(time.Second)), errors.New("there is too much to read"), "a shorter --since")
	}
	if a.foreign > 0 {
		d.add(Warning, fmt.Sprintf("%d of %d records are not Kinetel's", a.foreign, a.records), "a consumer of Kinetel's telemetry may fail on them", "find out what else writes to the stream")
	}
	if a.events == 0 {
		d.add(Warning, fmt.Sprintf("nothing arrived of %s in the last %s; read records: %d", of, d.Since, a.records),
			"the function did not run, or its telemetry does not arrive", "call the function, wait for ten seconds, and run this again; then docs/troubleshooting.md#nothing-arrives")
		return
	}
	for _, reason := range slices.Sorted(maps.Keys(a.lost)) {
		d.add(Error, fmt.Sprintf("%d events of %s were lost in the last %s: %s", a.lost[reason], of, d.Since, reason),
			"they are in no record", remedy(reason))
	}
	if dropped := a.report.LogsDropped; dropped.Records > 0 {
		d.add(Warning, fmt.Sprintf("Lambda dropped %d log lines before Kinetel got them (%s)", dropped.Records, a.reportKey.InstanceID),
			"the function prints faster than Lambda delivers", "print less: docs/troubleshooting.md#a-line-is-missing")
	}
	if len(a.lost) == 0 {
		d.ok("%d events of %s arrived in the last %s, the last one %s ago; none is reported lost", a.events, of, d.Since, max(time.Since(a.last), 0).Round(time.Second))
	}
	if !a.reported.IsZero() {
		d.lastReport(a)
	}
}

// lastReport adds the figures of the last kinetel.report, which count from the start of
// its environment.
func (d *diagnosis) lastReport(a *arrived) {
	r := a.report
	what := fmt.Sprintf("the last kinetel.report, %s ago: %d events shipped, %d waiting; half of the requests took %g ms or less",
		max(time.Since(a.reported), 0).Round(time.Second), r.Shipped.Events, r.Waiting, r.PutLatencyMs.P50)
	if len(r.Lost) == 0 {
		d.ok("%s; none lost", what)
		return
	}
	var lost []string
	for _, reason := range slices.Sorted(maps.Keys(r.Lost)) {
		lost = append(lost, fmt.Sprintf("%d (%s)", r.Lost[reason], reason))
	}
	d.add(Warning, what+"; lost "+strings.Join(lost, ", "), "the environment "+a.reportKey.InstanceID+" lost them since its start", "docs/operations.md#alarms")
}

// remedy returns what to do against losses, by their reason.
func remedy(reason string) string {
	const doc = "docs/operations.md#alarms"
	switch reason {
	case record.LossBufferFull:
		return "add shards, raise KINETEL_BUFFER_BYTES, or keep KINETEL_SPOOL on: " + doc
	case record.LossSpoolFull:
		return "add shards, or raise KINETEL_SPOOL_BYTES: " + doc
	case record.LossShutdown:
		return "find out why Kinesis did not accept the telemetry in time: " + doc
	case record.LossOversize:
		return "print shorter lines: " + doc
	}
	return doc
}
