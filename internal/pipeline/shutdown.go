package pipeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

const (
	// finalBatchTime is the end of the shutdown's time that is reserved to write
	// unsent records to disk, and to report them in a last small request.
	finalBatchTime = 200 * time.Millisecond
	// finalWriteTime replaces finalBatchTime if Kinesis takes longer than
	// finalBatchTime to answer: a last request would get no answer in time.
	finalWriteTime = 100 * time.Millisecond
	// closeTime is the time limit for bodies that are on their way.
	closeTime = 100 * time.Millisecond
)

// Ending has sent what has been collected, and reports that the environment ends, and
// until when records can be sent.
func (p *Pipeline) Ending(deadline time.Time) {
	guard.Run(p.log, "shorten the waits", func() { p.shipper.Ending(p.sendUntil(deadline)) })
	p.Thawed(0)
}

// sendUntil returns until when records are sent; the time from then to the deadline is
// for records that could not be sent.
func (p *Pipeline) sendUntil(deadline time.Time) time.Time {
	rest := finalBatchTime
	if p.shipper.Stats().Latency.P50 > ledger.Milliseconds(finalBatchTime) {
		rest = finalWriteTime
	}
	return deadline.Add(-min(rest, time.Until(deadline)/3))
}

// errNotDrained is the result if a fault in Kinetel kept records from being sent.
var errNotDrained = errors.New("not everything was sent")

// Finish stops ingesting telemetry and sends everything for the last time, before ctx's
// deadline. Records that Kinesis does not accept in time go to disk, for the next
// process of the environment, or are reported lost.
func (p *Pipeline) Finish(ctx context.Context) {
	guard.Run(p.log, "stop ingesting", func() {
		closing, cancel := context.WithTimeout(ctx, closeTime)
		defer cancel()
		p.intake.Close(closing)
	})
	if p.spool != nil {
		defer p.closeSpool()
	}
	guard.Run(p.log, "report the last invocations", p.addEnded)
	guard.Run(p.log, "report", func() { p.addReport(true) })
	p.Seal()
	deadline, _ := ctx.Deadline()
	sending, cancel := context.WithDeadline(ctx, p.sendUntil(deadline))
	defer cancel()
	p.awaitRecovery(sending, recoveryTime)
	switch begun := p.recovery.decided.Swap(true); {
	case begun:
		p.awaitRecovery(sending, time.Minute) // resume takes no longer than the sending
	case p.recovery.read != nil:
		p.log.Warn("the environment ends before all telemetry of earlier processes could be read; it stays on disk for the next process")
	}
	err := errNotDrained
	guard.Run(p.log, "drain", func() { err = p.drain(sending) })
	p.stopShipping()
	<-p.shipped
	if err != nil {
		guard.Run(p.log, "spill or drop the rest", func() { p.spillOrDrop(ctx) })
	}
	guard.Run(p.log, "write metrics", func() { p.writeMetrics(true) })
	stats := p.shipper.Stats()
	p.log.Info("shipped", "events", stats.Events, "records", stats.Records, "bytes", stats.Bytes,
		"requests", stats.Requests, "retried_records", stats.Retried, "rejected_events", stats.Rejected, "lost_events", p.account.Total())
}

// addEnded adds a kinetel.invocation for each invocation that has no platform.report.
func (p *Pipeline) addEnded() {
	p.ingesting.Lock()
	defer p.ingesting.Unlock()
	if p.current.selection != nil {
		p.current.selection.End()
	}
	for _, summary := range p.invocations.Ended() {
		at := event.Event{Received: time.Now(), RequestID: summary.Request, TraceID: summary.Trace, OTLP: event.OTLP{Span: summary.Span}}
		p.addInvocation(p.current.packer, summary.Body, &at)
	}
}

// closeSpool closes the spool. It first writes a manifest of the stored records for
// each environment, so that the next process knows what it should find.
func (p *Pipeline) closeSpool() {
	p.ingesting.Lock()
	for _, s := range []*source{p.current, p.snapshot} {
		if s != nil {
			s.selection.Committed() // all lines are in records now
		}
	}
	p.ingesting.Unlock()
	if refs := p.queue.Stored(); len(refs) > 0 {
		for _, packer := range p.all() {
			p.spool.WriteManifest(packer.Environment(), packer.Last(), refs)
		}
	}
	p.spool.Close()
}

// drain sends everything, and then the losses that occurred meanwhile.
func (p *Pipeline) drain(ctx context.Context) error {
	if err := p.shipper.Drain(ctx); err != nil {
		return err
	}
	p.Seal()
	return p.shipper.Drain(ctx)
}

// spillOrDrop handles the records that Kinesis did not accept before the end: they go
// to disk or are dropped, and a last request reports that.
func (p *Pipeline) spillOrDrop(ctx context.Context) {
	before := p.account.Total()
	if p.spool != nil {
		p.spool.RetryNow()
	}
	p.queue.Check()
	p.queue.Spill()
	p.addReport(true)        // the open record is almost empty: Finish has sealed it
	var final []*pack.Record // not in the queue, behind the unsent records
	for _, packer := range p.all() {
		packer.SealTo(func(r *pack.Record) { final = append(final, r) })
	}
	pending := final
	if len(final) > 0 {
		pending = p.shipper.Last(ctx, final)
	}
	if p.spool != nil {
		for _, r := range final {
			if !slices.Contains(pending, r) {
				p.spool.Sent(r)
			}
		}
	}
	for _, r := range pending {
		p.queue.Push(r)
	}
	p.queue.Spill()
	p.queue.Check() // so that the log does not count records that are no longer on disk
	lost, spooled := p.account.Total()-before, p.queue.Waiting().Spooled
	what := "the rest is lost"
	switch {
	case spooled.Events > 0 && lost > 0:
		what = "of the rest, some is on disk, where the next process of this environment finds it, and some is lost"
	case spooled.Events > 0:
		what = "the rest is on disk, where the next process of this environment finds it"
	}
	p.log.Error("the environment ends before everything was in Kinesis; "+what, "error", p.shipper.LastError(),
		"lost_events", lost, "spooled_events", spooled.Events, "spooled_records", spooled.Records, "reported_in_stream", len(final) > 0 && len(pending) == 0)
}
