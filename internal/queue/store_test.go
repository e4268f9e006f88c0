package queue_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
	"github.com/kinetel/kinetel/internal/spool"
)

// withStore is a fixture with room for so many records in memory, and in a store
// whose segments have two each.
func withStore(memory, stored int64, change ...func(*queue.Options)) (*fixture, *store) {
	s := &store{max: stored * 100, segment: 200, corrupt: map[*spool.Ref]bool{}}
	opt := queue.Options{Max: room(memory), Store: s}
	for _, f := range change {
		f(&opt)
	}
	return newFixture(opt), s
}

func always(opt *queue.Options) { opt.Always = true }

func wantStored(t *testing.T, s *store, want ...uint64) {
	t.Helper()
	if diff := cmp.Diff(want, s.stored()); diff != "" {
		t.Errorf("in the store (-want +got):\n%s", diff)
	}
}

func wantLost(t *testing.T, r *fixture, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.reasons()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}

func wantRest(t *testing.T, r *fixture, want ...uint64) {
	t.Helper()
	if diff := cmp.Diff(want, r.rest()); diff != "" {
		t.Errorf("what waits (-want +got):\n%s", diff)
	}
}

func TestTheOldestRecordsAreStoredIfMemoryIsFull(t *testing.T) {
	r, s := withStore(3, 10)
	r.push(1, 2, 3)
	wantStored(t, s)
	r.push(4, 5)
	wantStored(t, s, 1, 2)
	want := queue.Waiting{Records: 5, Events: 5, Bytes: room(3), Size: 500, Spooled: queue.Spooled{Records: 2, Events: 2}}
	if diff := cmp.Diff(want, r.Waiting()); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	wantRest(t, r, 1, 2, 3, 4, 5)
	wantStored(t, s)
	wantLost(t, r)
	if diff := cmp.Diff(queue.Waiting{}, r.Waiting()); diff != "" {
		t.Errorf("waiting in the end (-want +got):\n%s", diff)
	}
}

// A record that the store had no room for reports losses that the store has.
func TestTheStoreIsInformedOfRecordsThatWereSentFromMemory(t *testing.T) {
	r, s := withStore(3, 10)
	r.push(1, 2, 3, 4) // the first one is stored
	r.Batch(3, 1<<20)
	r.Ack(func(i int) bool { return i != 1 })
	if diff := cmp.Diff([]uint64{3}, s.sent); diff != "" {
		t.Errorf("sent from memory (-want +got):\n%s", diff)
	}
}

func TestAStoredRecordIsReadUnchanged(t *testing.T) {
	r, s := withStore(0, 100)
	one := recordOf(r.env, 1, "opo", 10)
	one.Losses = []ledger.Loss{{First: 90, Last: 95, Count: 6, Bytes: 60, Reason: ledger.BufferFull}}
	want := *one
	want.Data = slices.Clone(one.Data)
	r.Push(one)
	r.push(9)
	wantStored(t, s, 1)
	got := r.Batch(1, 1<<20)
	if diff := cmp.Diff([]*pack.Record{&want}, got, cmp.Comparer(func(a, b *environment.Environment) bool { return a == b })); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
}

func TestARecordInFlightIsNeitherStoredNorDropped(t *testing.T) {
	r, s := withStore(3, 2)
	r.push(1, 2, 3)
	r.Batch(1, 1<<20)
	r.push(4, 5)
	wantStored(t, s, 2, 3)
	r.push(6)
	wantLost(t, r, "2-2 1 spool-full", "3-3 1 spool-full")
	wantStored(t, s, 4)
	r.Ack(none)
	wantRest(t, r, 1, 4, 5, 6)
}

// After a failed request, a record may be in memory and in the store. The queue
// removes it from memory before it writes anything.
func TestARecordInMemoryAndStoreIsNotStoredTwice(t *testing.T) {
	r, s := withStore(2, 10)
	r.push(1, 2, 3, 4)
	wantStored(t, s, 1, 2)
	r.Batch(2, 1<<20)
	r.Ack(none)
	if got := r.Waiting().Bytes; got != room(4) {
		t.Errorf("%d bytes of memory after a batch that came back, want %d", got, room(4))
	}
	r.push(5)
	wantStored(t, s, 1, 2, 3)
	if got := r.Waiting(); got.Bytes != room(2) || got.Spooled.Records != 3 {
		t.Errorf("waiting: %+v", got)
	}
	wantRest(t, r, 1, 2, 3, 4, 5)
	wantStored(t, s)
}

// memory returns the bytes of memory that records take.
func memory(records ...*pack.Record) (n int64) {
	for _, r := range records {
		n += int64(r.Size()) + queue.Overhead
	}
	return n
}

func TestLogLinesAreDroppedBeforePlatformEvents(t *testing.T) {
	o := newFixture(queue.Options{}).env
	var records []*pack.Record
	for i, kinds := range []string{"pp", "opo", "ppp", "oo", "poo"} {
		records = append(records, recordOf(o, uint64(10*i+1), kinds, 100))
	}
	r := newFixture(queue.Options{Max: memory(records...)})
	for _, one := range records {
		one.Environment = r.env
		r.Push(one)
	}
	wantLost(t, r)
	r.push(100)
	wantLost(t, r, "11-11 1 buffer-full", "13-13 1 buffer-full")
	r.push(101)
	wantLost(t, r, "11-11 1 buffer-full", "13-13 1 buffer-full", "31-32 2 buffer-full")
	if got := r.Waiting(); got.Events != 11 || got.Records != 6 {
		t.Errorf("waiting: %+v", got)
	}
	var remaining []uint64
	for _, one := range r.Batch(4, 1<<20) {
		remaining = append(remaining, events(t, one)...)
	}
	if diff := cmp.Diff([]uint64{1, 2, 12, 21, 22, 23, 41, 42, 43}, remaining); diff != "" {
		t.Errorf("what is left of them (-want +got):\n%s", diff)
	}
}

func TestPlatformEventsAreDroppedIfThereAreNoLogLines(t *testing.T) {
	o := newFixture(queue.Options{}).env
	r := newFixture(queue.Options{Max: 2 * memory(recordOf(o, 11, "ppp", 50))})
	for i := range uint64(4) {
		r.Push(recordOf(r.env, 10*i+11, "ppp", 50))
	}
	wantLost(t, r, "11-13 3 buffer-full", "21-23 3 buffer-full")
	wantRest(t, r, 31, 41)
}

func TestTheStoreDropsLogLinesFirst(t *testing.T) {
	r := newFixture(queue.Options{Max: 0})
	s := &store{max: 5200, segment: 1000}
	r.Queue = queue.New(queue.Options{Max: 0, Store: s, LogDropper: pack.NewLogDropper(format.Uncompressed)})
	// Segments of about three records of 400 bytes each.
	for i, kinds := range []string{"pp", "pp", "pp", "oo", "op", "pp", "oo", "oo", "pp"} {
		r.Push(recordOf(r.env, uint64(10*i+1), kinds, 100))
	}
	wantLost(t, r)
	for i := uint64(9); len(r.lost) == 0; i++ {
		r.Push(recordOf(r.env, 10*i+1, "pp", 100))
	}
	wantLost(t, r, "31-32 2 spool-full", "41-41 1 spool-full")
	// The remaining records of the segment are not lost: they keep waiting.
	var waits []uint64
	for _, one := range r.Batch(500, 1<<30)[:6] {
		waits = append(waits, events(t, one)...)
	}
	if diff := cmp.Diff([]uint64{1, 2, 11, 12, 21, 22, 42, 51, 52, 61, 62}, waits); diff != "" {
		t.Errorf("what waits (-want +got):\n%s", diff)
	}
}

// If memory and the store are full, log lines are dropped before platform events,
// wherever they are.
func TestLogLinesInMemoryAreDroppedBeforePlatformEventsInTheStore(t *testing.T) {
	r, s := withStore(0, 1000)
	for i := range uint64(3) {
		r.Push(recordOf(r.env, 10*i+1, "pp", 80))
	}
	r.push(100) // the third one is stored
	wantStored(t, s, 1, 11, 21)
	s.max = s.bytes() // and the store is full
	for i := range uint64(20) {
		r.push(101 + i)
	}
	for _, loss := range r.lost {
		if loss.First < 100 {
			t.Errorf("platform events %d to %d were dropped (%s) while log lines waited", loss.First, loss.Last, loss.Reason)
		}
	}
}

func TestSpillStoresThePlatformEventsOfASegmentAgain(t *testing.T) {
	r, s := withStore(0, 1000)
	s.max, s.segment = 2000, 1000
	for i := range uint64(4) {
		r.Push(recordOf(r.env, 10*i+1, "op", 80))
	}
	r.Push(recordOf(r.env, 41, "pp", 80))
	r.Push(recordOf(r.env, 51, "pp", 80))
	wantLost(t, r)
	before := r.Waiting().Events
	r.Spill() // makes room by dropping log lines; the platform events beside them have room then
	lines := 0
	for _, loss := range r.lost {
		if loss.Reason == ledger.Shutdown {
			t.Errorf("%d events of %d to %d were dropped at the shutdown while there were log lines in the store", loss.Count, loss.First, loss.Last)
		}
		lines += loss.Count
	}
	if got := r.Waiting(); got.Events != before-lines || got.Spooled.Events != got.Events {
		t.Errorf("%d events waited, %d were dropped; waiting: %+v", before, lines, got)
	}
}

func TestCorruptRecordsAreReportedLostAndTheOthersSent(t *testing.T) {
	r, s := withStore(1, 10)
	r.push(1, 2, 3, 4)
	wantStored(t, s, 1, 2, 3)
	drained, forget := r.Drained()
	defer forget()
	s.corrupt[s.refs()[0]], s.corrupt[s.refs()[2]] = true, true
	if diff := cmp.Diff([]uint64{2, 4}, numbers(r.Batch(500, 1<<20))); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	wantLost(t, r, "1-1 1 spool-corrupt", "3-3 1 spool-corrupt")
	r.Ack(all)
	wantStored(t, s)
	if !closed(drained) {
		t.Error("the waiter was not released")
	}
}

func TestACorruptRecordReleasesItsWaiter(t *testing.T) {
	r, s := withStore(0, 10)
	r.Restore(refs(t, s, r, 1))
	drained, forget := r.Drained()
	defer forget()
	s.corrupt[s.refs()[0]] = true
	if batch := r.Batch(500, 1<<20); len(batch) > 0 || !closed(drained) {
		t.Errorf("batch: %v; released: %t", numbers(batch), closed(drained))
	}
}

// A disk may fail only briefly. Other records do not wait for it.
func TestAnUnreadableRecordIsSkippedAndReadAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withStore(1, 10)
		s.unread = map[*spool.Ref]bool{}
		r.push(1, 2, 3, 4)
		wantStored(t, s, 1, 2, 3)
		s.unread[s.refs()[0]], s.unread[s.refs()[1]] = true, true
		drained, forget := r.Drained()
		defer forget()
		wantBatch := func(want ...uint64) {
			t.Helper()
			if diff := cmp.Diff(want, numbers(r.Batch(500, 1<<20))); diff != "" {
				t.Errorf("batch (-want +got):\n%s", diff)
			}
			r.Ack(all)
		}
		wantBatch(3, 4)
		wantBatch()
		if got := r.Waiting(); got.Records != 2 || got.Spooled.Events != 2 || len(r.Stored()) != 2 || closed(drained) {
			t.Errorf("waiting: %+v, of which %d are stored; released: %t", got, len(r.Stored()), closed(drained))
		}
		if delay, ok := r.RetryIn(); !ok || delay != 200*time.Millisecond {
			t.Errorf("tried again in %v, %t", delay, ok)
		}
		time.Sleep(200 * time.Millisecond)
		r.push(5)
		wantBatch(5)
		delete(s.unread, s.refs()[0])
		// A new waiter does not wait for the second attempt.
		_, forgetSecond := r.Drained()
		defer forgetSecond()
		wantBatch(1)
		wantLost(t, r)
		for range 3 {
			delay, _ := r.RetryIn()
			time.Sleep(delay)
			wantBatch()
		}
		wantLost(t, r, "2-2 1 spool-corrupt")
		if delay, ok := r.RetryIn(); ok || !closed(drained) {
			t.Errorf("tried again in %v; released: %t", delay, closed(drained))
		}
		wantStored(t, s)
	})
}

// A process without a free file descriptor can read no record. It does not try all
// of them each time.
func TestBatchReadsOnlySomeRecordsIfNoneCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := withStore(1, 1000)
		s.unread = map[*spool.Ref]bool{}
		for seq := range uint64(500) {
			r.push(seq + 1)
		}
		for _, ref := range s.refs() {
			s.unread[ref] = true
		}
		for range 3 {
			s.calls = 0
			if diff := cmp.Diff([]uint64{500}, numbers(r.Batch(500, 1<<20))); diff != "" || s.calls > 10 {
				t.Errorf("read %d times; batch (-want +got):\n%s", s.calls, diff)
			}
			r.Ack(none)
			time.Sleep(200 * time.Millisecond)
		}
		clear(s.unread)
		time.Sleep(time.Minute)
		if got := r.rest(); len(got) != 500 || !slices.IsSorted(got) {
			t.Errorf("%d records: %v", len(got), got)
		}
		wantLost(t, r)
	})
}

// Restore may be called while a request is in flight.
func TestRecordsThatAreRestoredBetweenBatchAndAckAreInTheNextBatch(t *testing.T) {
	r, s := withStore(10, 10)
	earlier := refs(t, s, r, 1, 2)
	r.push(10, 11)
	if diff := cmp.Diff([]uint64{10}, numbers(r.Batch(1, 1<<20))); diff != "" {
		t.Fatalf("batch (-want +got):\n%s", diff)
	}
	r.Restore(earlier)
	if got := r.Waiting(); got.Records != 4 || got.Spooled.Records != 2 {
		t.Errorf("waiting: %+v", got)
	}
	left, forget := r.Drained()
	defer forget()
	r.Ack(none)
	if diff := cmp.Diff([]uint64{1, 2, 10}, numbers(r.Batch(3, 1<<20))); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	r.Ack(all)
	if closed(left) {
		t.Error("released while a record waits")
	}
	wantRest(t, r, 11)
	if !closed(left) {
		t.Error("not released")
	}
	wantLost(t, r)
}

// withGone is a queue whose store another process has emptied.
func withGone(memory int64, change ...func(*queue.Options)) (*fixture, *store) {
	r, s := withStore(memory, 1000, change...)
	r.push(1, 2, 3, 4)
	s.gone = map[*spool.Ref]bool{}
	for _, ref := range s.refs() {
		s.gone[ref] = true
	}
	return r, s
}

func TestARecordThatWasDeletedFromTheStoreIsStoredAgainFromMemory(t *testing.T) {
	r, s := withGone(10, always)
	r.Batch(1, 1<<20) // the request may fail
	before := s.refs()
	r.Check()
	after := s.refs()
	if len(after) != 4 || slices.ContainsFunc(after, func(ref *spool.Ref) bool { return slices.Contains(before, ref) }) {
		t.Errorf("in the store there are %v", s.stored())
	}
	wantStored(t, s, 1, 2, 3, 4)
	r.Ack(none)
	wantRest(t, r, 1, 2, 3, 4)
	wantLost(t, r)
	wantStored(t, s)
}

func TestARecordThatWasDeletedAndIsNotInMemoryIsLost(t *testing.T) {
	for name, change := range map[string][]func(*queue.Options){"overflow": nil, "always": {always}} {
		r, _ := withGone(2, change...)
		drained, forget := r.Drained()
		defer forget()
		r.Check()
		wantLost(t, r, "1-1 1 spool-corrupt", "2-2 1 spool-corrupt")
		if got := r.Waiting(); got.Records != 2 || closed(drained) {
			t.Errorf("%s: waiting: %+v; released: %t", name, got, closed(drained))
		}
		wantRest(t, r, 3, 4)
	}
}

func TestACorruptRecordDoesNotCountInABatch(t *testing.T) {
	r, s := withStore(1, 10)
	r.push(1, 2, 3)
	s.corrupt[s.refs()[0]] = true
	if diff := cmp.Diff([]uint64{2, 3}, numbers(r.Batch(500, 200))); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
}

func TestAFailingStoreIsLikeNoStore(t *testing.T) {
	r, s := withStore(2, 10)
	s.failing = true
	r.push(1, 2, 3)
	wantLost(t, r, "1-1 1 buffer-full")
	s.failing = false
	r.push(4)
	wantStored(t, s, 2)
	wantLost(t, r, "1-1 1 buffer-full")
	wantRest(t, r, 2, 3, 4)
}

func TestARecordThatReportsLossesIsStoredLikeAnyOther(t *testing.T) {
	r, s := withStore(2, 10)
	r.push(1, 2)
	reporting := r.rec(3, 100)
	reporting.Losses = []ledger.Loss{{First: 90, Last: 90, Count: 1, Reason: ledger.BufferFull}}
	r.Push(reporting)
	wantStored(t, s, 1)
}

func TestWithAlwaysEachRecordIsStoredBeforePushReturns(t *testing.T) {
	r, s := withStore(2, 10, always)
	for seq := range uint64(4) {
		r.push(seq + 1)
		if got := s.stored(); len(got) != int(seq+1) {
			t.Fatalf("after record %d the store has %v", seq+1, got)
		}
	}
	calls := s.calls
	if got := r.Waiting(); got.Bytes != room(2) || got.Spooled.Records != 4 || s.calls != calls {
		t.Errorf("waiting: %+v", got)
	}
	r.Batch(2, 1<<20)
	r.Ack(func(i int) bool { return i == 0 })
	wantStored(t, s, 2, 3, 4)
	wantRest(t, r, 2, 3, 4)
	wantStored(t, s)
	wantLost(t, r)
}

// More memory than disk: records in both places would be written again and again
// to a store that gains no room by it.
func TestWithAlwaysAStoreThatIsSmallerThanMemoryFillsUp(t *testing.T) {
	r, s := withStore(100, 4, always)
	r.push(1, 2, 3, 4, 5, 6, 7, 8, 9)
	if got := r.Waiting(); got.Events+len(r.lost) != 9 || got.Spooled.Records != len(s.refs()) {
		t.Errorf("waiting: %+v; lost: %v; in the store: %v", got, r.reasons(), s.stored())
	}
	if newest := slices.Contains(s.stored(), 9); !newest {
		t.Errorf("in the store there is %v, but not the newest one", s.stored())
	}
}

// A record is in one place of the store, whatever had to be moved.
func TestWithAlwaysNoRecordIsStoredTwice(t *testing.T) {
	r, s := withStore(3, 4, always)
	s.failing = true
	r.push(1, 2)
	s.failing = false
	r.push(3, 4, 5, 6, 7, 8, 9, 10)
	if got := r.Waiting(); got.Spooled.Records != len(s.refs()) {
		t.Errorf("waiting: %+v; in the store: %v", got, s.stored())
	}
	seen := map[uint64]bool{}
	for _, seq := range s.stored() {
		if seen[seq] {
			t.Errorf("record %d is in the store twice", seq)
		}
		seen[seq] = true
	}
	r.rest()
	wantStored(t, s)
}

// A request may fail, and the process may be killed.
func TestWithAlwaysARecordInFlightStaysInTheStore(t *testing.T) {
	r, s := withStore(100, 4, always)
	r.push(1, 2, 3, 4)
	r.Batch(1, 1<<20)
	r.push(5) // makes room in the segment of the first one, whose request may still fail
	if !slices.Contains(s.stored(), 1) || !slices.Contains(s.stored(), 5) {
		t.Errorf("in the store there is %v", s.stored())
	}
	wantLost(t, r, "2-2 1 spool-full")
	r.Ack(none)
	wantRest(t, r, 1, 3, 4, 5)
	wantStored(t, s)
}

// A disk that failed may work again.
func TestWithAlwaysARecordThatCouldNotBeStoredIsStoredLater(t *testing.T) {
	r, s := withStore(100, 10, always)
	s.failing = true
	r.push(1, 2)
	wantStored(t, s)
	s.failing = false
	r.Batch(1, 1<<20)
	r.Ack(none)
	wantStored(t, s, 1, 2)
	wantLost(t, r)
}

// refs stores records of one droppable event, as an earlier process did.
func refs(t *testing.T, s *store, r *fixture, seqs ...uint64) (refs []*spool.Ref) {
	t.Helper()
	for _, seq := range seqs {
		ref, err := s.Append(r.rec(seq, 100))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	return refs
}

func TestRestoredRecordsAreSentFirst(t *testing.T) {
	r, s := withStore(10, 10)
	early, forgetEarly := r.Drained() // of nothing
	defer forgetEarly()
	earlier := refs(t, s, r, 1, 2, 3)
	r.push(10, 11)
	own, forgetOwn := r.Drained()
	defer forgetOwn()
	r.Restore(earlier)
	both, forgetBoth := r.Drained()
	defer forgetBoth()
	if got := r.Waiting(); got.Records != 5 || got.Spooled.Records != 3 || got.Bytes != room(2) {
		t.Errorf("waiting: %+v", got)
	}
	if diff := cmp.Diff([]uint64{1, 2, 3, 10}, numbers(r.Batch(4, 1<<20))); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	r.Ack(func(i int) bool { return i < 3 })
	wantStored(t, s)
	if !closed(early) || closed(own) || closed(both) {
		t.Errorf("released: %t, %t, %t", closed(early), closed(own), closed(both))
	}
	r.rest()
	if !closed(own) || !closed(both) {
		t.Error("not released though all have left")
	}
}

func TestAWaiterIsReleasedWhenTheRestoredRecordsHaveLeft(t *testing.T) {
	r, s := withStore(10, 10)
	r.Restore(refs(t, s, r, 1, 2))
	drained, forget := r.Drained()
	defer forget()
	r.push(10)
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
}

func TestSpillStoresTheRecordsInMemory(t *testing.T) {
	r, s := withStore(2, 10)
	r.push(1, 2, 3, 4)
	wantStored(t, s, 1, 2)
	drained, forget := r.Drained()
	defer forget()
	r.Spill()
	wantStored(t, s, 1, 2, 3, 4)
	wantLost(t, r)
	if got := r.Waiting(); got.Spooled.Events != 4 || closed(drained) {
		t.Errorf("waiting: %+v; released: %t", got, closed(drained))
	}
}

func TestSpillDropsTheOldestRecordsIfTheStoreIsTooSmall(t *testing.T) {
	r, s := withStore(5, 2)
	r.push(1, 2, 3, 4, 5)
	r.Spill()
	wantStored(t, s, 5)
	wantLost(t, r, "1-1 1 spool-full", "2-2 1 spool-full", "3-3 1 spool-full", "4-4 1 spool-full")
}

func TestSpillDropsRecordsThatCannotBeStored(t *testing.T) {
	r, s := withStore(2, 10)
	r.push(1, 2, 3, 4)
	s.failing = true
	drained, forget := r.Drained()
	defer forget()
	r.Spill()
	wantLost(t, r, "3-3 1 shutdown", "4-4 1 shutdown")
	if got := r.Waiting(); got.Events != 2 || got.Bytes != 0 || closed(drained) {
		t.Errorf("waiting: %+v; released: %t", got, closed(drained))
	}
}

func TestSpillDropsAllRecordsIfThereIsNoStore(t *testing.T) {
	r := inMemory(10)
	r.push(1, 2)
	drained, forget := r.Drained()
	defer forget()
	r.Spill()
	wantLost(t, r, "1-1 1 shutdown", "2-2 1 shutdown")
	if got := r.Waiting(); got != (queue.Waiting{}) || !closed(drained) {
		t.Errorf("waiting: %+v; released: %t", got, closed(drained))
	}
}

// The losses that a record reports are reported again when the record is dropped.
func TestTheLossesOfADroppedRecordAreReportedAgain(t *testing.T) {
	r := inMemory(2)
	loss := ledger.Loss{First: 90, Last: 95, Count: 6, Bytes: 60, Reason: ledger.Oversize}
	reporting := r.rec(1, 100)
	reporting.Losses = []ledger.Loss{loss}
	r.Push(reporting)
	r.push(2, 3)
	wantLost(t, r, "1-1 1 buffer-full", "90-95 6 oversize")
	if got := r.account.Total(); got != 1 {
		t.Errorf("%d events are lost, want 1: a reported loss is counted already", got)
	}
}

// watched is a store that calls a check before it removes a record.
type watched struct {
	*store
	done func(ref *spool.Ref)
}

func (w watched) Done(ref *spool.Ref) {
	w.done(ref)
	w.store.Done(ref)
}

// A process that is killed while a full store makes room must not lose the
// platform events that it is to keep.
func TestTheRestOfARecordIsStoredBeforeTheRecordIsRemoved(t *testing.T) {
	s := &store{segment: 1, corrupt: map[*spool.Ref]bool{}}
	removed := 0
	w := watched{s, func(ref *spool.Ref) {
		if ref.First != 1 {
			return
		}
		removed++
		if stored := s.refs()[1:]; len(stored) != 1 || stored[0].First != 9 || stored[0].Events != 1 {
			t.Errorf("when the record is removed, its platform event is not in the store: %v", s.stored())
		}
	}}
	r := newFixture(queue.Options{Max: 1 << 20, Store: w, Always: true})
	first, second := recordOf(r.env, 1, "oooooooop", 100), recordOf(r.env, 10, "oooooooo", 100)
	s.max = int64(first.Size() + second.Size()/2)
	r.Push(first)
	r.Push(second)
	wantStored(t, s, 9, 10)
	if removed != 1 {
		t.Errorf("the first record was removed %d times", removed)
	}
}
