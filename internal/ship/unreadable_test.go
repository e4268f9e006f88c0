package ship_test

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

// unreadableStore is a Store whose records cannot be read until a point in time.
type unreadableStore struct {
	memoryStore
	until map[uint64]time.Time // by first number
}

func (s *unreadableStore) Read(ref *spool.Ref) (*pack.Record, error) {
	if time.Now().Before(s.until[ref.First]) {
		return nil, syscall.EIO
	}
	return s.memoryStore.Read(ref)
}

// What cannot be read blocks neither what is behind it nor what comes later, and
// is sent when it can be read, though nothing wakes the shipper.
func TestAnUnreadableRecordBlocksNoOther(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		store := &unreadableStore{memoryStore{kept: map[*spool.Ref]*pack.Record{}}, map[uint64]time.Time{
			1: time.Now().Add(3 * time.Second), 2: time.Now().Add(time.Hour),
		}}
		r := startWith(t, options{store: store}, accept)
		for seq := range uint64(5) {
			r.add(newRecord(seq + 1))
		}
		r.Wake()
		time.Sleep(time.Second)
		if diff := cmp.Diff([]uint64{3, 4, 5}, slices.Sorted(slices.Values(r.kinesis.accepted()))); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		r.push(6)
		time.Sleep(10 * time.Millisecond)
		if !slices.Contains(r.kinesis.accepted(), 6) {
			t.Error("a new record waits")
		}
		time.Sleep(9 * time.Second)
		if !slices.Contains(r.kinesis.accepted(), 1) || r.account.Total() != 0 {
			t.Errorf("stored: %v; lost: %d", r.kinesis.accepted(), r.account.Total())
		}
		time.Sleep(time.Minute)
		if got := r.queue.Waiting(); got.Records != 0 || r.account.Total() != 1 {
			t.Errorf("waiting: %+v; lost: %d", got, r.account.Total())
		}
		r.running(t)
	})
}

// At the shutdown the shipper sends all records that can be read. It does not treat
// an unreadable record as sent.
func TestDrainWaitsForUnreadableRecords(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		store := &unreadableStore{memoryStore{kept: map[*spool.Ref]*pack.Record{}}, map[uint64]time.Time{
			1: time.Now().Add(time.Second), 2: time.Now().Add(time.Hour),
		}}
		r := startWith(t, options{store: store}, accept)
		for seq := range uint64(300) {
			r.add(newRecord(seq + 1))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := r.Drain(ctx); err == nil {
			t.Error("drained, with a record that cannot be read")
		}
		if got := len(r.kinesis.accepted()); got != 299 || !slices.Contains(r.kinesis.accepted(), 1) {
			t.Errorf("%d records are stored", got)
		}
		if got := r.queue.Waiting(); got.Records != 1 || len(r.queue.Stored()) != 1 || r.account.Total() != 0 {
			t.Errorf("waiting: %+v; lost: %d", got, r.account.Total())
		}
	})
}
