package ledger_test

import (
	"bytes"
	stdcmp "cmp"
	"encoding/json"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/ledger"
)

// reasons are all that there are.
func reasons() []ledger.Reason {
	return []ledger.Reason{ledger.BufferFull, ledger.SpoolFull, ledger.SpoolCorrupt, ledger.Oversize, ledger.Rejected, ledger.Shutdown}
}

// run is a loss of the events first to last, ten bytes each.
func run(first, last uint64, reason ledger.Reason) ledger.Loss {
	n := int(last - first + 1)
	return ledger.Loss{First: first, Last: last, Count: n, Bytes: 10 * int64(n), Reason: reason}
}

// empty is a ledger with an account of its own.
func empty() (*ledger.Ledger, *ledger.Account) {
	account := &ledger.Account{}
	return ledger.New(account, nil), account
}

func TestAdjacentLossesAreJoined(t *testing.T) {
	const full, rejected = ledger.BufferFull, ledger.Rejected
	for _, tt := range []struct {
		name string
		lost []ledger.Loss
		want []ledger.Loss
	}{
		{"nothing was lost", nil, nil},
		{"one loss is reported unchanged", []ledger.Loss{run(3, 5, full)}, []ledger.Loss{run(3, 5, full)}},
		{"runs that touch become one", []ledger.Loss{run(1, 2, full), run(3, 3, full)}, []ledger.Loss{run(1, 3, full)}},
		{"also when the later one was lost first", []ledger.Loss{run(3, 3, full), run(1, 2, full)}, []ledger.Loss{run(1, 3, full)}},
		{"a run that fills a gap joins both sides", []ledger.Loss{run(1, 1, full), run(3, 3, full), run(2, 2, full)}, []ledger.Loss{run(1, 3, full)}},
		{"a gap keeps runs apart", []ledger.Loss{run(1, 2, full), run(4, 4, full)}, []ledger.Loss{run(1, 2, full), run(4, 4, full)}},
		{"another reason keeps runs apart", []ledger.Loss{run(1, 2, full), run(3, 3, rejected)}, []ledger.Loss{run(1, 2, full), run(3, 3, rejected)}},
		{"another reason between two runs", []ledger.Loss{run(1, 1, full), run(3, 3, full), run(2, 2, rejected)}, []ledger.Loss{run(1, 1, full), run(2, 2, rejected), run(3, 3, full)}},
		{"the order is by sequence number", []ledger.Loss{run(9, 9, full), run(1, 1, full), run(5, 5, full)}, []ledger.Loss{run(1, 1, full), run(5, 5, full), run(9, 9, full)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, account := empty()
			var total int64
			for _, loss := range tt.lost {
				l.Lost(loss)
				total += int64(loss.Count)
			}
			if diff := cmp.Diff(tt.want, l.TakePending()); diff != "" {
				t.Errorf("pending losses (-want +got):\n%s", diff)
			}
			if account.Total() != total {
				t.Errorf("Total() is %d, want %d", account.Total(), total)
			}
		})
	}
}

func TestTakePendingRemovesWhatItReturns(t *testing.T) {
	l, account := empty()
	l.Lost(run(1, 3, ledger.BufferFull))
	l.TakePending()
	if again := l.TakePending(); len(again) != 0 {
		t.Errorf("a second TakePending returns %v", again)
	}
	l.Lost(run(4, 4, ledger.BufferFull))
	if diff := cmp.Diff([]ledger.Loss{run(4, 4, ledger.BufferFull)}, l.TakePending()); diff != "" {
		t.Errorf("a loss after TakePending (-want +got):\n%s", diff)
	}
	if account.Total() != 4 {
		t.Errorf("Total() is %d after TakePending, want 4", account.Total())
	}
}

func TestLaterLossesDoNotChangeWhatWasReturned(t *testing.T) {
	l, _ := empty()
	l.Lost(run(1, 1, ledger.BufferFull))
	pending := l.TakePending()
	want := slices.Clone(pending)
	l.Lost(run(2, 2, ledger.BufferFull))
	l.Lost(run(3, 3, ledger.Oversize))
	if diff := cmp.Diff(want, pending); diff != "" {
		t.Errorf("later losses changed what was returned (-want +got):\n%s", diff)
	}
}

func TestRequeueDoesNotCountAgain(t *testing.T) {
	l, account := empty()
	l.Lost(run(1, 3, ledger.BufferFull))
	reported := l.TakePending()
	l.Lost(run(4, 4, ledger.BufferFull)) // the kinetel.loss event itself
	l.Requeue(reported)
	if diff := cmp.Diff([]ledger.Loss{run(1, 4, ledger.BufferFull)}, l.TakePending()); diff != "" {
		t.Errorf("pending losses (-want +got):\n%s", diff)
	}
	if account.Total() != 4 {
		t.Errorf("Total() is %d, want 4", account.Total())
	}
}

func TestLossesOfARunInAnyOrderAreTheSameLosses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A run of events, cut into pieces; some were lost, some were not.
		var lost, want []ledger.Loss
		var total int64
		next := uint64(1)
		for _, length := range rapid.SliceOfN(rapid.IntRange(1, 4), 0, 40).Draw(t, "lengths") {
			loss := run(next, next+uint64(length)-1, rapid.SampledFrom(reasons()[:2]).Draw(t, "reason"))
			next += uint64(length)
			if !rapid.Bool().Draw(t, "lost") {
				continue
			}
			lost = append(lost, loss)
			total += int64(loss.Count)
			if n := len(want); n > 0 && want[n-1].Last+1 == loss.First && want[n-1].Reason == loss.Reason {
				want[n-1] = run(want[n-1].First, loss.Last, loss.Reason)
				continue
			}
			want = append(want, loss)
		}
		lost = rapid.Permutation(lost).Draw(t, "order")

		l, account := empty()
		for _, loss := range lost {
			if rapid.Bool().Draw(t, "reported before") {
				l.Requeue([]ledger.Loss{loss})
				total -= int64(loss.Count)
			} else {
				l.Lost(loss)
			}
		}
		if diff := cmp.Diff(want, l.TakePending(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("pending losses (-want +got):\n%s", diff)
		}
		if account.Total() != total {
			t.Fatalf("Total() is %d, want %d", account.Total(), total)
		}
	})
}

func TestAppendJSON(t *testing.T) {
	for _, tt := range []struct {
		name string
		loss ledger.Loss
		want string
	}{
		{
			"a run",
			ledger.Loss{First: 17, Last: 19, Count: 3, Bytes: 812, Reason: ledger.BufferFull},
			`{"firstSeq":17,"lastSeq":19,"count":3,"bytes":812,"reason":"buffer-full"}`,
		},
		{
			"the largest numbers",
			ledger.Loss{First: math.MaxUint64, Last: math.MaxUint64, Count: 1, Bytes: math.MaxInt64, Reason: ledger.Oversize},
			`{"firstSeq":18446744073709551615,"lastSeq":18446744073709551615,"count":1,"bytes":9223372036854775807,"reason":"oversize"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.loss.AppendJSON([]byte("before "))); got != "before "+tt.want {
				t.Errorf("AppendJSON gives %s, want it to append %s", got, tt.want)
			}
			if got, err := json.Marshal(tt.loss); err != nil || string(got) != tt.want {
				t.Errorf("encoding/json writes %s (%v), want %s", got, err, tt.want)
			}
			var again ledger.Loss
			if err := json.Unmarshal([]byte(tt.want), &again); err != nil || again != tt.loss {
				t.Errorf("encoding/json reads %+v (%v), want %+v", again, err, tt.loss)
			}
		})
	}
}

func TestReasonsAreNamedAsDocumented(t *testing.T) {
	if diff := cmp.Diff([]ledger.Reason{"buffer-full", "spool-full", "spool-corrupt", "oversize", "rejected", "shutdown"}, reasons()); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestLedgerIsSafeForConcurrentUse(t *testing.T) {
	const writers, each = 4, 100
	l, account := empty()
	var reported int64
	var writing sync.WaitGroup
	for w := range uint64(writers) {
		writing.Go(func() {
			for i := range uint64(each) {
				l.Lost(run(w*each+i+1, w*each+i+1, ledger.BufferFull))
			}
		})
	}
	over := make(chan struct{})
	go func() { writing.Wait(); close(over) }()
	for done := false; !done; {
		select {
		case <-over:
			done = true // one last time
		default:
		}
		for _, loss := range l.TakePending() {
			reported += int64(loss.Count)
		}
	}
	if reported != writers*each || account.Total() != writers*each {
		t.Errorf("%d events reported, %d in total, want %d", reported, account.Total(), writers*each)
	}
}

func TestAnAccountAddsUpByReason(t *testing.T) {
	account := &ledger.Account{}
	if account.Total() != 0 || len(account.Lost()) != 0 {
		t.Errorf("an empty account has %d, %v", account.Total(), account.Lost())
	}
	one, other := ledger.New(account, nil), ledger.New(account, nil) // two environments
	one.Lost(run(1, 3, ledger.BufferFull))
	other.Lost(run(1, 2, ledger.BufferFull))
	other.Lost(run(9, 9, ledger.Oversize))
	one.TakePending()
	want := map[ledger.Reason]int64{ledger.BufferFull: 5, ledger.Oversize: 1}
	got := account.Lost()
	if diff := cmp.Diff(want, got); diff != "" || account.Total() != 6 {
		t.Errorf("the account has %d (-want +got):\n%s", account.Total(), diff)
	}
	got[ledger.Oversize] = 99
	if diff := cmp.Diff(want, account.Lost()); diff != "" {
		t.Errorf("the account was changed from outside (-want +got):\n%s", diff)
	}
}

func TestEachLossIsPersistedWithANumber(t *testing.T) {
	var persisted []ledger.Loss
	account := &ledger.Account{}
	l := ledger.New(account, func(loss ledger.Loss) { persisted = append(persisted, loss) })
	numbered := func(loss ledger.Loss, number uint64) ledger.Loss { loss.Number = number; return loss }
	const full = ledger.BufferFull

	l.Lost(run(11, 12, full))
	l.Lost(run(13, 13, full))
	l.Lost(run(7, 7, ledger.Rejected))
	if diff := cmp.Diff([]ledger.Loss{run(7, 7, ledger.Rejected), numbered(run(11, 13, full), 3)}, l.TakePending()); diff != "" {
		t.Errorf("pending of three that were persisted (-want +got):\n%s", diff)
	}
	if again := l.TakePending(); len(again) != 0 {
		t.Errorf("pending again: %v", again)
	}
	// The losses that a lost record reported get a new number.
	l.Requeue([]ledger.Loss{numbered(run(11, 13, full), 3), run(20, 20, full)})
	if diff := cmp.Diff([]ledger.Loss{run(11, 13, full), numbered(run(20, 20, full), 5)}, l.TakePending()); diff != "" {
		t.Errorf("pending after Requeue (-want +got):\n%s", diff)
	}
	want := []ledger.Loss{
		numbered(run(11, 12, full), 1), numbered(run(13, 13, full), 2), numbered(run(7, 7, ledger.Rejected), 3),
		numbered(run(11, 13, full), 4), numbered(run(20, 20, full), 5),
	}
	if diff := cmp.Diff(want, persisted); diff != "" {
		t.Errorf("persisted (-want +got):\n%s", diff)
	}
	if account.Total() != 4 {
		t.Errorf("%d events lost, want 4", account.Total())
	}
}

func TestLossesThatAreNotPersistedHaveNoNumber(t *testing.T) {
	l, _ := empty()
	l.Lost(run(1, 2, ledger.BufferFull))
	l.Requeue([]ledger.Loss{{First: 9, Last: 9, Count: 1, Reason: ledger.Shutdown, Number: 7}})
	want := []ledger.Loss{run(1, 2, ledger.BufferFull), {First: 9, Last: 9, Count: 1, Reason: ledger.Shutdown}}
	if diff := cmp.Diff(want, l.TakePending()); diff != "" {
		t.Errorf("pending losses (-want +got):\n%s", diff)
	}
}

// TakePending returns all losses that were persisted up to the number that it
// returns, and none beyond it.
func TestNoLossIsReturnedBeforeItIsPersisted(t *testing.T) {
	const writers, each = 4, 100 // not so many that ranges get gaps
	var mu sync.Mutex
	events := map[uint64]uint64{} // by the number with which they were persisted
	l := ledger.New(&ledger.Account{}, func(loss ledger.Loss) {
		for range 10 {
			runtime.Gosched() // another goroutine may come in between
		}
		mu.Lock()
		defer mu.Unlock()
		events[loss.Number] = loss.First
	})
	reported := map[uint64]bool{}
	take := func() {
		losses := l.TakePending()
		if len(losses) == 0 {
			return
		}
		for _, loss := range losses {
			for n := loss.First; n <= loss.Last; n++ {
				reported[n] = true
			}
		}
		number := losses[len(losses)-1].Number
		mu.Lock()
		defer mu.Unlock()
		for n := uint64(1); n <= number; n++ {
			if event := events[n]; !reported[event] {
				t.Errorf("%d were returned up to number %d, and number %d, event %d, is not among them", len(reported), number, n, event)
			}
		}
		if uint64(len(reported)) != number {
			t.Errorf("%d were returned up to number %d", len(reported), number)
		}
	}
	var writing sync.WaitGroup
	for w := range uint64(writers) {
		writing.Go(func() {
			for i := range uint64(each) {
				l.Lost(run(2*(w*each+i)+1, 2*(w*each+i)+1, ledger.BufferFull))
			}
		})
	}
	over := make(chan struct{})
	go func() { writing.Wait(); close(over) }()
	for done := false; !done && !t.Failed(); {
		select {
		case <-over:
			done = true // one last time
		default:
		}
		take()
	}
	writing.Wait()
}

// maxPending is the greatest number of pending losses.
const maxPending = 512

func TestLossesAreReportedOneByOneUpToABound(t *testing.T) {
	for _, n := range []uint64{maxPending, maxPending + 1} {
		l, _ := empty()
		var want []ledger.Loss
		for i := range n {
			want = append(want, run(10*i+1, 10*i+2, ledger.BufferFull))
			l.Lost(want[i])
		}
		if n > maxPending {
			// Pairs, and the gap between the two is not counted.
			var pairs []ledger.Loss
			for i := 0; i+1 < len(want); i += 2 {
				pairs = append(pairs, ledger.Loss{First: want[i].First, Last: want[i+1].Last, Count: 4, Bytes: 40, Reason: ledger.BufferFull})
			}
			want = append(pairs, want[n-1])
		}
		if diff := cmp.Diff(want, l.TakePending()); diff != "" {
			t.Errorf("pending of %d losses (-want +got):\n%s", n, diff)
		}
	}
}

func TestLossesOfDifferentReasonsAreNeverJoined(t *testing.T) {
	l, account := empty()
	for i := range uint64(maxPending + 1) {
		l.Lost(run(2*i+1, 2*i+1, reasons()[i%2]))
	}
	got := l.TakePending()
	count := map[ledger.Reason]int64{}
	for i, loss := range got {
		count[loss.Reason] += int64(loss.Count)
		if alone := i == len(got)-1; !alone && (loss.Count != 2 || loss.Last-loss.First != 4) {
			t.Errorf("%+v is no pair of one reason", loss)
		}
	}
	if diff := cmp.Diff(account.Lost(), count); diff != "" || len(got) != maxPending/2+1 {
		t.Errorf("%d losses (-lost +reported):\n%s", len(got), diff)
	}
}

// With any number of losses, each lost event is in a range that is reported with its
// reason, and the counts and bytes are right.
func TestManyLossesAreCountedExactlyAndReportedInFewRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type sum struct{ count, bytes int64 }
		sums := map[ledger.Reason]sum{}
		next := uint64(1)
		few := rapid.IntRange(1, len(reasons())).Draw(t, "reasons")
		lost := make([]ledger.Loss, rapid.SampledFrom([]int{3, maxPending, 2 * maxPending, 5 * maxPending}).Draw(t, "losses"))
		// To draw each of them would take long; their seed is drawn.
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for i := range lost {
			next += uint64(random.IntN(4)) // sometimes they are adjacent
			lost[i] = run(next, next+uint64(random.IntN(3)), reasons()[random.IntN(few)])
			lost[i].Bytes = int64(random.IntN(1000))
			next = lost[i].Last + 1
			s := sums[lost[i].Reason]
			sums[lost[i].Reason] = sum{s.count + int64(lost[i].Count), s.bytes + lost[i].Bytes}
		}
		if rapid.Bool().Draw(t, "in any order") {
			random.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
		}
		requeue := rapid.Bool().Draw(t, "some are requeued")

		l, account := empty()
		check := func(reported []ledger.Loss, final bool) {
			if len(reported) > maxPending {
				t.Fatalf("%d losses are pending", len(reported))
			}
			if !slices.IsSortedFunc(reported, func(a, b ledger.Loss) int { return stdcmp.Compare(a.First, b.First) }) {
				t.Fatalf("losses are not in order: %v", reported)
			}
			got := map[ledger.Reason]sum{}
			for _, loss := range reported {
				if loss.Last < loss.First || loss.Count < 1 || uint64(loss.Count) > loss.Last-loss.First+1 {
					t.Fatalf("no range has so many: %+v", loss)
				}
				s := got[loss.Reason]
				got[loss.Reason] = sum{s.count + int64(loss.Count), s.bytes + loss.Bytes}
			}
			if !final {
				return
			}
			if diff := cmp.Diff(sums, got, cmp.AllowUnexported(sum{})); diff != "" {
				t.Fatalf("sums by reason (-lost +reported):\n%s", diff)
			}
			for _, loss := range lost {
				for n := loss.First; n <= loss.Last; n++ {
					if !slices.ContainsFunc(reported, func(in ledger.Loss) bool { return in.Reason == loss.Reason && in.First <= n && n <= in.Last }) {
						t.Fatalf("event %d was lost, and no range of %s has it", n, loss.Reason)
					}
				}
			}
		}
		for _, loss := range lost {
			l.Lost(loss)
			if requeue && random.IntN(100) == 0 {
				reported := l.TakePending()
				check(reported, false)
				random.Shuffle(len(reported), func(i, j int) { reported[i], reported[j] = reported[j], reported[i] })
				l.Requeue(reported)
			}
		}
		check(l.TakePending(), true)
		var total int64
		for _, s := range sums {
			total += s.count
		}
		if account.Total() != total {
			t.Fatalf("%d events lost in total, want %d", account.Total(), total)
		}
	})
}

// Data that was read from disk can have any value.
func TestAReasonIsQuoted(t *testing.T) {
	for _, reason := range []ledger.Reason{ledger.BufferFull, "", `x"},"resource":{}}` + "\n{", "\xff\x00"} {
		text := ledger.Loss{First: 1, Last: 2, Count: 1, Reason: reason}.AppendJSON(nil)
		var loss ledger.Loss
		if err := json.Unmarshal(text, &loss); err != nil || loss.First != 1 || bytes.ContainsAny(text, "\n") {
			t.Errorf("%q: %q, %v", reason, text, err)
		}
		if reason.Known() != (reason == ledger.BufferFull) {
			t.Errorf("%q is known: %t", reason, reason.Known())
		}
	}
}

// The loss of a corrupt file is an estimate. The count of two joined losses is at most
// the length of their range.
func TestOverlappingLossesAreNotCountedTwice(t *testing.T) {
	l := ledger.New(&ledger.Account{}, nil)
	for first := uint64(1); first < 2000; first += 2 {
		l.Lost(ledger.Loss{First: first, Last: first + 2, Count: 3, Reason: ledger.SpoolCorrupt})
	}
	for _, loss := range l.TakePending() {
		if uint64(loss.Count) > loss.Last-loss.First+1 {
			t.Fatalf("%+v", loss)
		}
	}
}
