package queue_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/queue"
)

func TestBatch(t *testing.T) {
	for _, tt := range []struct {
		name           string
		sizes          []int
		records, bytes int
		want           []uint64
	}{
		{"nothing waits", nil, 500, 1000, nil},
		{"all that waits", []int{10, 20, 30}, 500, 1000, []uint64{1, 2, 3}},
		{"so many records", []int{10, 20, 30}, 2, 1000, []uint64{1, 2}},
		{"so many bytes, to the last one", []int{10, 20, 30}, 500, 30, []uint64{1, 2}},
		{"one byte too few", []int{10, 20, 30}, 500, 29, []uint64{1}},
		{"a smaller one does not overtake", []int{10, 50, 10}, 500, 30, []uint64{1}},
		{"at least one, however large", []int{5000, 10}, 500, 30, []uint64{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newFixture(queue.Options{Max: 1 << 20})
			for i, size := range tt.sizes {
				r.Push(r.rec(uint64(i+1), size))
			}
			if diff := cmp.Diff(tt.want, numbers(r.Batch(tt.records, tt.bytes))); diff != "" {
				t.Errorf("batch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAckKeepsTheOtherRecordsInTheirPlace(t *testing.T) {
	r := inMemory(10)
	r.push(1, 2, 3, 4, 5)
	r.Batch(4, 1<<20)
	r.push(6)
	asked := []int{}
	r.Ack(func(i int) bool { asked = append(asked, i); return i%2 == 0 })
	if diff := cmp.Diff([]int{0, 1, 2, 3}, asked); diff != "" {
		t.Errorf("asked for the batch's records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{2, 4, 5, 6}, numbers(r.Batch(500, 1<<20))); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

func TestAFullQueueDropsTheOldestRecordsThatAreNotInFlight(t *testing.T) {
	r := inMemory(4)
	r.push(1, 2, 3, 4)
	if len(r.lost) > 0 {
		t.Fatalf("dropped while there was room: %v", r.dropped())
	}
	r.Batch(2, 1<<20)
	r.push(5)
	r.Push(r.rec(6, 100+queue.Overhead)) // takes the room of two
	if diff := cmp.Diff([]uint64{3, 4, 5}, r.dropped()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	r.Ack(none)
	if diff := cmp.Diff([]uint64{1, 2, 6}, numbers(r.Batch(500, 1<<20))); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	r.Ack(none)
	r.push(7) // records that are not in flight any more can be dropped
	if diff := cmp.Diff([]uint64{3, 4, 5, 1}, r.dropped()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}

func TestPlatformEventsAreKeptWhileLogLinesAreInFlight(t *testing.T) {
	full := func(t *testing.T) *fixture {
		r := inMemory(10)
		r.push(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		r.Batch(500, 1<<20)
		for seq := range uint64(3) {
			r.Push(recordOf(r.env, 11+seq, "p", 0))
		}
		if len(r.lost) > 0 {
			t.Fatalf("dropped while a request was in flight: %v", r.dropped())
		}
		return r
	}
	t.Run("the lines do not arrive", func(t *testing.T) {
		r := full(t)
		r.Ack(none)
		lost := r.dropped()
		if len(lost) == 0 || slices.Max(lost) > 10 || r.Waiting().Bytes > room(10) {
			t.Errorf("dropped: %v; %d bytes wait, at most %d should", lost, r.Waiting().Bytes, room(10))
		}
	})
	t.Run("the lines arrive", func(t *testing.T) {
		r := full(t)
		r.Ack(all)
		if len(r.lost) > 0 || r.Waiting().Records != 3 {
			t.Errorf("dropped: %v, %d records wait", r.dropped(), r.Waiting().Records)
		}
	})
	t.Run("there are too many of them", func(t *testing.T) {
		r := inMemory(2)
		r.push(1, 2)
		r.Batch(500, 1<<20)
		for seq := uint64(3); len(r.lost) == 0; seq++ {
			r.Push(recordOf(r.env, seq, "p", 10_000))
			if most := room(2) + queue.Credit + 11_000 + queue.Overhead; r.Waiting().Bytes > most {
				t.Fatalf("%d bytes wait, at most %d may", r.Waiting().Bytes, most)
			}
		}
		if diff := cmp.Diff([]uint64{3}, r.dropped()); diff != "" {
			t.Errorf("dropped (-want +got):\n%s", diff)
		}
	})
}

func TestASingleRecordAlwaysHasRoom(t *testing.T) {
	r := newFixture(queue.Options{Max: 10})
	r.push(1)
	r.push(2)
	if diff := cmp.Diff([]uint64{1}, r.dropped()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	if records := r.Waiting().Records; records != 1 {
		t.Errorf("%d records wait, want 1", records)
	}
}

func TestARecordThatReportsLossesDropsNoOther(t *testing.T) {
	r := inMemory(2)
	r.push(1, 2)
	reporting := r.rec(3, 100)
	reporting.Losses = []ledger.Loss{{First: 90, Last: 90, Count: 1, Reason: ledger.BufferFull}}
	r.Push(reporting)
	if len(r.lost) > 0 {
		t.Errorf("dropped: %v", r.dropped())
	}
	r.push(4) // makes room for both
	if diff := cmp.Diff([]uint64{1, 2}, r.dropped()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}

func TestDrained(t *testing.T) {
	t.Run("of an empty queue everything has left", func(t *testing.T) {
		r := inMemory(10)
		drained, forget := r.Drained()
		if !closed(drained) || r.Waiters() != 0 {
			t.Error("there is a waiter for no record")
		}
		forget()
	})
	t.Run("records that came later are not waited for", func(t *testing.T) {
		r := inMemory(10)
		r.push(1, 2)
		drained, forget := r.Drained()
		defer forget()
		r.push(3)
		r.Batch(1, 1<<20)
		r.Ack(all)
		if closed(drained) {
			t.Error("released while the second record waits")
		}
		r.Batch(1, 1<<20)
		r.Ack(all)
		if !closed(drained) {
			t.Error("not released though both have left")
		}
	})
	t.Run("a newer record that leaves first releases no waiter", func(t *testing.T) {
		r := inMemory(10)
		r.push(1, 2)
		drained, forget := r.Drained()
		defer forget()
		r.Batch(2, 1<<20)
		r.Ack(func(i int) bool { return i == 1 })
		if closed(drained) {
			t.Error("released while the first record waits")
		}
	})
	t.Run("a dropped record has left", func(t *testing.T) {
		r := inMemory(2)
		r.push(1, 2)
		drained, forget := r.Drained()
		defer forget()
		r.push(3)
		if closed(drained) {
			t.Error("released while the second record waits")
		}
		r.push(4)
		if !closed(drained) {
			t.Error("not released though both were dropped")
		}
	})
	t.Run("forget removes only its own waiter", func(t *testing.T) {
		r := inMemory(10)
		r.push(1)
		_, forget := r.Drained()
		drained, forgetOther := r.Drained()
		forget()
		forget()
		if r.Waiters() != 1 {
			t.Errorf("%d wait, want 1", r.Waiters())
		}
		r.Batch(1, 1<<20)
		r.Ack(all)
		if !closed(drained) || r.Waiters() != 0 {
			t.Error("the other one was removed too, or still waits")
		}
		forgetOther()
	})
}

// A record that is throttled gets another partition key, which may have
// another length.
func TestAckSetsThePartitionKeyAndCountsItsMemory(t *testing.T) {
	for _, other := range []string{"k2", "a longer key"} {
		t.Run(other, func(t *testing.T) {
			const first = "the first key"
			r := inMemory(10)
			one := r.rec(1, 100)
			one.PartitionKey = first
			r.Push(one)
			r.push(2)
			batch := r.Batch(1, 1<<20)
			r.Queue.Ack(batch, []queue.Outcome{{PartitionKey: other}})
			if batch[0].PartitionKey != other {
				t.Errorf("the key is %q, want %q", batch[0].PartitionKey, other)
			}
			if got, want := r.Waiting(), room(2)+int64(len(other)-len(key)); got.Bytes != want || got.Size != want-2*queue.Overhead {
				t.Errorf("waiting: %+v, want %d bytes of memory", got, want)
			}
			r.Batch(1, 1<<20)
			r.Ack(all)
			if got := r.Waiting().Bytes; got != room(1) {
				t.Errorf("one record takes %d bytes of memory, want %d", got, room(1))
			}
			r.Batch(1, 1<<20)
			r.Ack(all)
			if got := r.Waiting().Bytes; got != 0 {
				t.Errorf("nothing takes %d bytes of memory", got)
			}
		})
	}
}

func TestQueueIsSafeForConcurrentUse(t *testing.T) {
	const pushers, each = 4, 200
	var mu sync.Mutex
	seen := map[uint64]int{}
	note := func(seq uint64) {
		mu.Lock()
		defer mu.Unlock()
		seen[seq]++
	}
	account := &ledger.Account{}
	q := newFixture(queue.Options{Max: room(50), Store: &store{max: room(50), segment: 1000}})
	q.env.Ledger = ledger.New(account, func(loss ledger.Loss) { note(loss.First) })
	var pushing, waiting sync.WaitGroup
	for p := range uint64(pushers) {
		pushing.Go(func() {
			for i := range uint64(each) {
				q.push(p*each + i + 1)
				if i%50 == 0 {
					drained, forget := q.Drained()
					waiting.Go(func() { <-drained; forget() })
					_, forgetAtOnce := q.Drained()
					forgetAtOnce()
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { pushing.Wait(); close(over) }()
	for done := false; !done; {
		select {
		case <-over:
			done = q.Waiting().Records == 0
		default:
		}
		batch := q.Batch(7, 1<<20)
		for i, r := range batch {
			if i%2 == 0 {
				note(r.First)
			}
		}
		q.Ack(func(i int) bool { return i%2 == 0 })
	}
	waiting.Wait()
	for seq := range uint64(pushers * each) {
		if seen[seq+1] != 1 {
			t.Errorf("record %d left %d times", seq+1, seen[seq+1])
		}
	}
	if q.Waiters() != 0 {
		t.Errorf("%d still wait", q.Waiters())
	}
}

func TestSeveralBatchesAreInFlight(t *testing.T) {
	r := inMemory(100)
	r.push(1, 2, 3, 4, 5, 6, 7)
	one := r.Queue.Batch(2, 1<<20)
	two := r.Queue.Batch(3, 1<<20)
	if diff := cmp.Diff([][]uint64{{1, 2}, {3, 4, 5}}, [][]uint64{numbers(one), numbers(two)}); diff != "" {
		t.Fatalf("batches (-want +got):\n%s", diff)
	}
	drained, forget := r.Drained()
	defer forget()
	r.Queue.Ack(two, outcomes(two, func(i int) bool { return i != 1 })) // 4 stays
	if diff := cmp.Diff([]uint64{4, 6}, numbers(r.Batch(2, 1<<20))); diff != "" {
		t.Errorf("what no other batch has (-want +got):\n%s", diff)
	}
	r.Ack(all)
	r.Queue.Ack(one, outcomes(one, none))
	if got := r.Waiting().Records; got != 3 || closed(drained) {
		t.Errorf("%d records wait, want 3; all have left: %t", got, closed(drained))
	}
	if diff := cmp.Diff([]uint64{1, 2, 7}, numbers(r.Batch(500, 1<<20))); diff != "" {
		t.Errorf("the last batch (-want +got):\n%s", diff)
	}
	r.Ack(all)
	if !closed(drained) {
		t.Error("not all have left")
	}
}

// Records in flight are not dropped, whichever batch they are in.
func TestRecordsInFlightAreNotDropped(t *testing.T) {
	r := inMemory(4)
	r.push(1, 2, 3, 4)
	one, two := r.Queue.Batch(1, 1<<20), r.Queue.Batch(1, 1<<20)
	r.Queue.Ack(one, outcomes(one, none))
	r.push(5)
	if diff := cmp.Diff([]uint64{1}, r.dropped()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	r.push(6)
	if diff := cmp.Diff([]uint64{1, 3}, r.dropped()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	r.Queue.Ack(two, outcomes(two, all))
}
