package ship

import (
	"context"
	"time"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
)

// delivery is what becomes of a batch, in one request or several.
type delivery struct {
	shipper  *Shipper
	batch    []*pack.Record
	outcomes []queue.Outcome
	done     int64          // bytes of the records that are done
	failed   int            // records to send again
	example  kinesis.Result // of one of them
}

// send makes one attempt for a batch, and acks it.
func (s *Shipper) send(ctx context.Context, batch []*pack.Record) {
	defer s.sent(len(batch)) // after the ack, and also if that panics
	d := delivery{shipper: s, batch: batch, outcomes: make([]queue.Outcome, len(batch))}
	// Last, and also after a panic: from then on another worker may send what is
	// left, and it is known how long the next attempt must wait.
	defer func() { s.queue.Ack(batch, d.outcomes) }()
	began := time.Now()
	results, err := s.put(ctx, batch)
	switch {
	case err == nil:
		d.apply(0, results)
	case kinesis.ClassOf(err) == kinesis.Invalid:
		err = d.bisect(ctx, err)
	}
	switch {
	case err != nil && ctx.Err() != nil: // the shipper cancelled it itself
		s.unanswered()
	case err != nil:
		s.failed(began, err, len(batch))
	case d.failed == len(batch):
		s.failed(began, throttling(d.example), d.failed)
	case d.failed > 0:
		s.partly(&d)
	default:
		s.succeeded(&d)
	}
}

// sent notes that the records of a batch are not in flight any more.
func (s *Shipper) sent(records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending -= records
}

// apply records the results of a request for the records from the index from on.
func (d *delivery) apply(from int, results []kinesis.Result) {
	for i, r := range results {
		i += from
		if r.OK() {
			d.shipper.count(d.batch[i])
			d.remove(i)
			continue
		}
		d.failed++
		d.example = r
		d.outcomes[i].PartitionKey = d.shipper.newKey(d.batch[i])
	}
}

// remove has a record leave the queue.
func (d *delivery) remove(i int) {
	d.outcomes[i].Done = true
	d.done += int64(d.batch[i].Size())
}
