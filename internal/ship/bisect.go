package ship

import (
	"context"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
)

// bisect finds the records that Kinesis refuses as invalid, drops them, and sends
// the others. Kinesis refused the whole batch with err. bisect returns the error
// that ended the search.
func (d *delivery) bisect(ctx context.Context, err error) error {
	s, refused := d.shipper, make([]error, len(d.batch))
	stop := d.search(ctx, refused, 0, len(d.batch), err)
	if stop == nil && !s.proven.Load() {
		stop = s.probe(ctx, err)
	}
	// If Kinesis has accepted nothing yet, the reason is not in the records but
	// in what all requests have in common. Then the records are kept.
	if s.proven.Load() {
		for i, err := range refused {
			if err != nil {
				s.reject(d.batch[i], err) // first: after a fault in it the record has to stay
				d.remove(i)
			}
		}
	}
	return stop
}

// search sends the two halves of the records [from, to), which Kinesis refused with
// err. It sets the errors of the records that Kinesis refuses even alone.
func (d *delivery) search(ctx context.Context, refused []error, from, to int, err error) error {
	if to-from == 1 {
		refused[from] = err
		return nil
	}
	middle := (from + to) / 2
	for _, half := range [][2]int{{from, middle}, {middle, to}} {
		results, err := d.shipper.try(ctx, d.batch[half[0]:half[1]])
		switch {
		case err == nil:
			d.apply(half[0], results)
		case kinesis.ClassOf(err) == kinesis.Invalid:
			err = d.search(ctx, refused, half[0], half[1], err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// probe sends some of the records behind a batch, each alone, until a request is
// accepted. Kinesis refused all of the batch with err and has accepted nothing yet,
// so the reason may be in its records or in what all requests have in common. probe
// returns nil if a request was accepted, and otherwise the error for the batch.
func (s *Shipper) probe(ctx context.Context, err error) error {
	rest := s.queue.Batch(kinesis.MaxRecords, breaker.MaxBytes)
	if s.needsAnother.Store(len(rest) == 0); len(rest) == 0 {
		return kinesis.AsDenied(err)
	}
	outcomes := make([]queue.Outcome, len(rest))
	defer func() { s.queue.Ack(rest, outcomes) }()
	next := 0
	for _, i := range []int{0, len(rest) / 2, len(rest) - 1} {
		if i < next {
			continue // there are fewer than three
		}
		next = i + 1
		results, failure := s.try(ctx, rest[i:next])
		switch {
		case failure == nil:
			if outcomes[i].Done = results[0].OK(); outcomes[i].Done {
				s.count(rest[i])
			}
			return nil
		case kinesis.ClassOf(failure) != kinesis.Invalid:
			return failure
		}
	}
	return kinesis.AsDenied(err)
}

// reject drops a record that Kinesis will never accept.
func (s *Shipper) reject(r *pack.Record, err error) {
	s.mu.Lock()
	s.stats.Rejected += int64(r.Events)
	s.mu.Unlock()
	s.log.Error("Kinesis refuses a record for good; its events were dropped",
		"events", r.Events, "first_seq", r.First, "last_seq", r.Last, "bytes", r.Size(), "error", err.Error())
	r.Drop(ledger.Rejected)
}
