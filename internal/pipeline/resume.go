package pipeline

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/spool"
	"github.com/kinetel/kinetel/internal/telemetry"
)

// recoveryTime is how long new lines wait for the telemetry of earlier processes,
// which goes first. A disk that takes longer to read must not delay them more.
const recoveryTime = 200 * time.Millisecond

// recovery is the recovery of the telemetry of earlier processes.
type recovery struct {
	read    func() []spool.Recovered // nil: there is no spool
	decided atomic.Bool              // to resume with it, or to leave it on disk because the environment ends
	done    chan struct{}            // closed when the recovery is over
}

// runRecovery reads the telemetry of earlier processes and resumes with it.
func (p *Pipeline) runRecovery() {
	defer close(p.recovery.done)
	if p.recovery.read == nil {
		return
	}
	guard.Run(p.log, "resume with the telemetry of an earlier process", func() {
		if recovered := p.recovery.read(); !p.recovery.decided.Swap(true) {
			p.resume(recovered)
		}
	})
}

// awaitRecovery waits until the recovery is over, but no longer than atMost.
func (p *Pipeline) awaitRecovery(ctx context.Context, atMost time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	select {
	case <-p.recovery.done:
	case <-ctx.Done():
	}
}

// resume queues the telemetry of earlier processes, the oldest first.
func (p *Pipeline) resume(recovered []spool.Recovered) {
	for _, r := range slices.Backward(recovered) { // Restore puts each in front of the one before
		// In every mode: the spool has the losses of this environment until they are
		// reported.
		r.Environment.Ledger = ledger.New(p.account, func(loss ledger.Loss) { p.spool.Lost(r.Environment, loss) })
		events := countEvents(r)
		p.log.Info("telemetry of an earlier process is sent first", "environment", r.Environment.ID,
			"records", len(r.Records), "events", events)
		p.mu.Lock()
		p.recovered += events // before Restore: no report may count as shipped what it does not count as recovered
		p.mu.Unlock()
		p.queue.Restore(r.Records)
	}
	for _, r := range recovered {
		p.resumeLines(r)
	}
	if len(recovered) > 0 {
		p.shipper.Wake()
	}
}

// resumeLines packs the lines of an earlier process that are in no record, and adds its
// losses.
func (p *Pipeline) resumeLines(r spool.Recovered) {
	for _, loss := range r.Losses {
		r.Environment.Ledger.Lost(loss)
	}
	packer := p.packer(r.Environment, r.Next, nil)
	p.mu.Lock()
	p.packers = append(p.packers, packer)
	p.mu.Unlock()
	for _, run := range r.Lines {
		packer.Restore(run.First, run.Lines)
	}
	for _, u := range r.Undecided { // the process ended before a decision, so all are kept
		packer.AddLines(u.Lines, nil, func(first uint64) {
			p.spool.Decide(r.Environment, u.Invocation, u.Index, u.Count, first)
		})
	}
	if len(r.Fragment) > 0 {
		telemetry.Unparsed(r.Fragment, time.Now(), func(ev *event.Event) { packer.Add(ev) })
	}
	packer.Seal()
	// Everything is in records now, the fragment too.
	if last := packer.Last(); len(r.Fragment) > 0 {
		p.spool.Journal(r.Environment, last+1, last, nil, nil)
	}
	p.spool.ForgetJournal(r.Environment)
	p.spool.RewriteUndecided(r.Environment, nil)
}

// countEvents counts the events of an earlier process: recovered ones and losses to
// report.
func countEvents(r spool.Recovered) (n int64) {
	for _, ref := range r.Records {
		n += int64(ref.Events)
	}
	for _, run := range r.Lines {
		n += int64(run.Last - run.First + 1)
	}
	for _, loss := range r.Losses {
		n += int64(loss.Count)
	}
	return n
}
