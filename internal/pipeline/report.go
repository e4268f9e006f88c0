package pipeline

import (
	"encoding/json"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/wallclock"
)

// reportEvery is how often a kinetel.report is made, at most.
const reportEvery = time.Minute

// report adds a kinetel.report if one is due.
func (p *Pipeline) report() {
	p.ingesting.Lock()
	received := p.current.news()
	p.ingesting.Unlock()
	now := time.Now()
	p.mu.Lock()
	due := received > p.since && wallclock.Sub(now, p.reported) >= reportEvery
	p.mu.Unlock()
	if due {
		p.addReport(false)
	}
}

// addReport puts a kinetel.report into the open record.
func (p *Pipeline) addReport(final bool) {
	if !p.cfg.Report.Events {
		return
	}
	now := time.Now()
	// Read in this order, so that the report never counts an event as shipped or lost
	// that it does not count as received.
	stats, lost, waiting := p.shipper.Stats(), p.account.Lost(), p.queue.Waiting()
	report := ledger.Report{
		Final:      final,
		Shipped:    ledger.Volume{Events: stats.Events, Records: stats.Records, Bytes: stats.Bytes},
		Lost:       lost,
		Requests:   stats.Requests,
		Retried:    stats.Retried,
		Unknown:    stats.Unknown,
		PutLatency: stats.Latency,
		Held:       p.invocations.Held(),
		Redacted:   p.redactor.Counts(),
	}
	if p.spool != nil {
		report.Spooled = ledger.Volume{Events: int64(waiting.Spooled.Events), Records: int64(waiting.Spooled.Records), Bytes: p.spool.Bytes()}
	}
	received := p.addReceived(&report)
	p.mu.Lock()
	report.UptimeMs = max(0, wallclock.Sub(now, p.began).Milliseconds()) // the clock may be set back
	report.Recovered += p.recovered
	report.LogsDropped = p.dropped
	p.reported, p.since = now, received
	p.mu.Unlock()
	report.Waiting = report.Received.Events + report.Own + report.Parts + report.Recovered - report.Shipped.Events - report.LeftOut.Total()
	for _, n := range lost {
		report.Waiting -= n
	}
	// A record that has just been shipped may still be on disk.
	report.Spooled.Events = min(report.Spooled.Events, report.Waiting)
	p.own().AddOwn(&event.Event{Received: now, Type: []byte(event.TypeReport), Record: report.JSON()})
}

// addReceived sets what the process has received and left out. It returns the news of the
// environment.
func (p *Pipeline) addReceived(report *ledger.Report) (news int64) {
	p.ingesting.Lock() // no event is between two of these counts
	defer p.ingesting.Unlock()
	report.Received, report.LeftOut = p.current.received, p.current.leftOut()
	for i, packer := range p.all() {
		added := packer.Added()
		report.Own += added.Own
		report.Parts += added.Parts
		switch {
		case i == 0:
		case p.snapshot != nil && packer == p.snapshot.packer:
			report.Recovered += p.snapshot.received.Events
			before := p.snapshot.leftOut()
			report.LeftOut.AddAll(&before)
		default:
			report.Recovered += added.Events // a fragment, undecided lines
		}
	}
	return p.current.news()
}

// logLosses logs losses that kinetel.loss events will report in the stream, at most
// once in reportEvery.
func (p *Pipeline) logLosses() {
	total := p.account.Total()
	now := time.Now()
	p.mu.Lock()
	due := total > p.lostLogged && (p.lostLogged == 0 || wallclock.Sub(now, p.lostLoggedAt) >= reportEvery)
	before := p.lostLogged
	if due {
		p.lostLogged, p.lostLoggedAt = total, now
	}
	p.mu.Unlock()
	if due {
		p.log.Warn("events were dropped; kinetel.loss events in the stream report them", "events", total-before, "so_far_by_reason", json.RawMessage(ledger.CountsJSON(p.account.Lost())))
	}
}
