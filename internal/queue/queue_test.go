package queue_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"kinetel/internal/ledger"
	"kinetel/internal/pack"
	"kinetel/internal/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "k"

// rec is a record of so many bytes, its partition key included.
func rec(seq uint64, size int) *pack.Record {
	return &pack.Record{Data: make([]byte, size-len(key)), PartitionKey: key, First: seq, Last: seq, Events: 1}
}

// numbers are the records by their sequence numbers.
func numbers(records []*pack.Record) []uint64 {
	var n []uint64
	for _, r := range records {
		n = append(n, r.First)
	}
	return n
}

// rig is a queue and what it gave up.
type rig struct {
	*queue.Queue
	dropped []*pack.Record
}

func newRig(max int64) *rig {
	r := &rig{}
	r.Queue = queue.New(max, func(rec *pack.Record) { r.dropped = append(r.dropped, rec) })
	return r
}

func (r *rig) push(seqs ...uint64) {
	for _, seq := range seqs {
		r.Push(rec(seq, 100))
	}
}

// room is the space of so many records that push pushes.
func room(records int64) int64 { return records * (100 + queue.Overhead) }

func all(int) bool  { return true }
func none(int) bool { return false }

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

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
			r := newRig(1 << 20)
			for i, size := range tt.sizes {
				r.Push(rec(uint64(i+1), size))
			}
			if diff := cmp.Diff(tt.want, numbers(r.Batch(tt.records, tt.bytes))); diff != "" {
				t.Errorf("batch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettleKeepsTheOthersInTheirPlace(t *testing.T) {
	r := newRig(room(10))
	r.push(1, 2, 3, 4, 5)
	r.Batch(4, 1<<20)
	r.push(6)
	asked := []int{}
	r.Settle(func(i int) bool { asked = append(asked, i); return i%2 == 0 })
	if diff := cmp.Diff([]int{0, 1, 2, 3}, asked); diff != "" {
		t.Errorf("asked for the batch's records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{2, 4, 5, 6}, numbers(r.Batch(500, 1<<20))); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

func TestAFullQueueGivesUpTheOldestThatAreNotOnTheirWay(t *testing.T) {
	r := newRig(room(4))
	r.push(1, 2, 3, 4)
	if len(r.dropped) > 0 {
		t.Fatalf("given up while there was room: %v", numbers(r.dropped))
	}
	r.Batch(2, 1<<20)
	r.push(5)
	r.Push(rec(6, 100+queue.Overhead)) // takes two places
	if diff := cmp.Diff([]uint64{3, 4, 5}, numbers(r.dropped)); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
	r.Settle(none)
	if diff := cmp.Diff([]uint64{1, 2, 6}, numbers(r.Batch(500, 1<<20))); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	r.Settle(none)
	r.push(7) // what is not on its way any more can be given up
	if diff := cmp.Diff([]uint64{3, 4, 5, 1}, numbers(r.dropped)); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
}

func TestARecordAloneAlwaysHasRoom(t *testing.T) {
	r := newRig(10)
	r.push(1)
	r.push(2)
	if diff := cmp.Diff([]uint64{1}, numbers(r.dropped)); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
	if records, _, _ := r.Waiting(); records != 1 {
		t.Errorf("%d records wait, want 1", records)
	}
}

func TestWhatTellsOfLossesGivesNothingUp(t *testing.T) {
	r := newRig(room(2))
	r.push(1, 2)
	telling := rec(3, 100)
	telling.Losses = []ledger.Loss{{First: 90, Last: 90, Count: 1, Reason: ledger.BufferFull}}
	r.Push(telling)
	if len(r.dropped) > 0 {
		t.Errorf("given up: %v", numbers(r.dropped))
	}
	r.push(4) // makes room for both
	if diff := cmp.Diff([]uint64{1, 2}, numbers(r.dropped)); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
}

func TestWhoIsToldOfALossMayUseTheQueue(t *testing.T) {
	var q *queue.Queue
	var waiting int
	q = queue.New(room(1), func(*pack.Record) { waiting, _, _ = q.Waiting() })
	q.Push(rec(1, 100))
	q.Push(rec(2, 100))
	if waiting != 1 {
		t.Errorf("%d records waited when the loss was told, want 1", waiting)
	}
}

func TestLeft(t *testing.T) {
	t.Run("of an empty queue everything has left", func(t *testing.T) {
		r := newRig(room(10))
		left, forget := r.Left()
		if !closed(left) || r.Waiters() != 0 {
			t.Error("somebody waits for nothing")
		}
		forget()
	})
	t.Run("records that came later are not waited for", func(t *testing.T) {
		r := newRig(room(10))
		r.push(1, 2)
		left, forget := r.Left()
		defer forget()
		r.push(3)
		r.Batch(1, 1<<20)
		r.Settle(all)
		if closed(left) {
			t.Error("released while the second record waits")
		}
		r.Batch(1, 1<<20)
		r.Settle(all)
		if !closed(left) {
			t.Error("not released though both have left")
		}
	})
	t.Run("a younger record that leaves first releases nobody", func(t *testing.T) {
		r := newRig(room(10))
		r.push(1, 2)
		left, forget := r.Left()
		defer forget()
		r.Batch(2, 1<<20)
		r.Settle(func(i int) bool { return i == 1 })
		if closed(left) {
			t.Error("released while the first record waits")
		}
	})
	t.Run("what is given up has left", func(t *testing.T) {
		r := newRig(room(2))
		r.push(1, 2)
		left, forget := r.Left()
		defer forget()
		r.push(3)
		if closed(left) {
			t.Error("released while the second record waits")
		}
		r.push(4)
		if !closed(left) {
			t.Error("not released though both were given up")
		}
	})
	t.Run("who forgets is forgotten", func(t *testing.T) {
		r := newRig(room(10))
		r.push(1)
		_, forget := r.Left()
		left, forgetOther := r.Left()
		forget()
		forget()
		if r.Waiters() != 1 {
			t.Errorf("%d wait, want 1", r.Waiters())
		}
		r.Batch(1, 1<<20)
		r.Settle(all)
		if !closed(left) || r.Waiters() != 0 {
			t.Error("the other one was forgotten too, or still waits")
		}
		forgetOther()
	})
}

// wait is somebody who waits in the model.
type wait struct {
	left   <-chan struct{}
	forget func()
	until  uint64 // waits for records before this number
}

func TestQueueIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		max := rapid.Int64Range(1, room(12)).Draw(t, "max")
		r := newRig(max)

		// The model: records by number, oldest first.
		var model []*pack.Record
		var dropped []uint64
		var waits []wait
		inFlight := 0
		next := uint64(1)
		size := func(records []*pack.Record) (n int64) {
			for _, rec := range records {
				n += int64(rec.Size()) + queue.Overhead
			}
			return n
		}

		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				rec := rec(next, rapid.IntRange(1, 1000).Draw(t, "size"))
				rec.Events = rapid.IntRange(1, 500).Draw(t, "events")
				next++
				if rapid.IntRange(0, 4).Draw(t, "tells of losses") == 0 {
					rec.Losses = []ledger.Loss{{First: 1, Last: 1, Count: 1}}
				}
				for len(rec.Losses) == 0 && size(model)+size([]*pack.Record{rec}) > max && len(model) > inFlight {
					dropped = append(dropped, model[inFlight].First)
					model = slices.Delete(model, inFlight, inFlight+1)
				}
				model = append(model, rec)
				r.Push(rec)
				// Over the bound there is only what cannot be given up: what
				// is on its way, and the newest one.
				if _, _, bytes := r.Waiting(); bytes > max && len(rec.Losses) == 0 && len(model) > inFlight+1 {
					t.Fatalf("%d bytes in %d records wait, %d of them on their way; the bound is %d", bytes, len(model), inFlight, max)
				}
			},
			"batch": func(t *rapid.T) {
				if inFlight > 0 {
					t.Skip("the consumer has a batch")
				}
				records := rapid.IntRange(1, 8).Draw(t, "records")
				bytes := rapid.IntRange(1, 3000).Draw(t, "bytes")
				total := 0
				for _, rec := range model {
					if total += rec.Size(); inFlight == records || inFlight > 0 && total > bytes {
						break
					}
					inFlight++
				}
				if diff := cmp.Diff(numbers(model[:inFlight]), numbers(r.Batch(records, bytes))); diff != "" {
					t.Fatalf("batch (-want +got):\n%s", diff)
				}
			},
			"settle": func(t *rapid.T) {
				gone := rapid.SliceOfN(rapid.Bool(), inFlight, inFlight).Draw(t, "gone")
				kept := []*pack.Record{}
				for i, rec := range model {
					if i >= inFlight || !gone[i] {
						kept = append(kept, rec)
					}
				}
				model, inFlight = kept, 0
				r.Settle(func(i int) bool { return gone[i] })
			},
			"wait": func(*rapid.T) {
				left, forget := r.Left()
				waits = append(waits, wait{left, forget, next})
			},
			"forget": func(t *rapid.T) {
				if len(waits) == 0 {
					t.Skip("nobody waits")
				}
				i := rapid.IntRange(0, len(waits)-1).Draw(t, "who")
				waits[i].forget()
				waits = slices.Delete(waits, i, i+1)
			},
			"": func(t *rapid.T) {
				records, events, bytes := r.Waiting()
				wantEvents := 0
				for _, rec := range model {
					wantEvents += rec.Events
				}
				if records != len(model) || events != wantEvents || bytes != size(model) {
					t.Fatalf("%d records, %d events, %d bytes wait; want %d, %d, %d", records, events, bytes, len(model), wantEvents, size(model))
				}
				if diff := cmp.Diff(dropped, numbers(r.dropped)); diff != "" {
					t.Fatalf("given up (-want +got):\n%s", diff)
				}
				waiting := 0
				for _, w := range waits {
					gone := len(model) == 0 || model[0].First >= w.until
					if closed(w.left) != gone {
						t.Fatalf("who waits for the records before %d is released: %t, but they have left: %t", w.until, !gone, gone)
					}
					if !gone {
						waiting++
					}
				}
				if r.Waiters() != waiting {
					t.Fatalf("the queue knows %d who wait, want %d", r.Waiters(), waiting)
				}
			},
		})
	})
}

func TestQueueIsSafeForConcurrentUse(t *testing.T) {
	const pushers, each = 4, 200
	var mu sync.Mutex
	seen := map[uint64]int{}
	note := func(r *pack.Record) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.First]++
	}
	q := queue.New(room(50), note)
	var pushing, waiting sync.WaitGroup
	for p := range uint64(pushers) {
		pushing.Go(func() {
			for i := range uint64(each) {
				q.Push(rec(p*each+i+1, 100))
				if i%50 == 0 {
					left, forget := q.Left()
					waiting.Go(func() { <-left; forget() })
					_, forgetAtOnce := q.Left()
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
			records, _, _ := q.Waiting()
			done = records == 0
		default:
		}
		batch := q.Batch(7, 1<<20)
		for i, r := range batch {
			if i%2 == 0 {
				note(r)
			}
		}
		q.Settle(func(i int) bool { return i%2 == 0 })
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
