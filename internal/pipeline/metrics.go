package pipeline

import (
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/emf"
)

// metrics is what was last written for CloudWatch.
type metrics struct {
	mu        sync.Mutex // guards all below, and the order of the lines
	writtenAt time.Time
	before    counts
}

// counts are totals since the start.
type counts struct{ shipped, lost, retried, bytes int64 }

// writeMetrics writes the figures since the last call that wrote any to standard
// output, as CloudWatch metrics: at most once a minute, and at the end.
func (p *Pipeline) writeMetrics(final bool) {
	if !p.cfg.Report.EMF {
		return
	}
	p.metrics.mu.Lock()
	defer p.metrics.mu.Unlock()
	now := time.Now()
	if !final && !emf.Due(p.metrics.writtenAt, now) {
		return
	}
	stats, waiting := p.shipper.Stats(), p.queue.Waiting()
	total := counts{stats.Events, p.account.Total(), stats.Retried, stats.Bytes}
	before := p.metrics.before
	p.metrics.writtenAt, p.metrics.before = now, total
	f := emf.Figures{
		Shipped:      total.shipped - before.shipped,
		Lost:         total.lost - before.lost,
		Retried:      total.retried - before.retried,
		BytesShipped: total.bytes - before.bytes,
		Held:         p.invocations.Period(),
		PutLatency:   p.shipper.Period(),
		BufferBytes:  waiting.Bytes,
		BufferUse:    100 * float64(waiting.Bytes) / float64(p.cfg.BufferBytes),

		SettingsReplaced: int64(config.Count(p.cfg.Problems, config.Replaced)),
	}
	if p.spool != nil {
		f.SpooledBytes = p.spool.Bytes()
	}
	// If the write fails there is no other place to report it.
	_, _ = p.stdout.Write(emf.Append(nil, now, p.function.Name, f))
}
