package ledger_test

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"kinetel/internal/ledger"
)

// run is a loss of the events first to last, ten bytes each.
func run(first, last uint64, reason ledger.Reason) ledger.Loss {
	n := int(last - first + 1)
	return ledger.Loss{First: first, Last: last, Count: n, Bytes: 10 * int64(n), Reason: reason}
}

func TestLossesArePutTogetherWhereTheyTouch(t *testing.T) {
	const full, rejected = ledger.BufferFull, ledger.Rejected
	for _, tt := range []struct {
		name string
		lost []ledger.Loss
		want []ledger.Loss
	}{
		{"nothing was lost", nil, nil},
		{"one loss is told as it is", []ledger.Loss{run(3, 5, full)}, []ledger.Loss{run(3, 5, full)}},
		{"runs that touch become one", []ledger.Loss{run(1, 2, full), run(3, 3, full)}, []ledger.Loss{run(1, 3, full)}},
		{"also when the later one was lost first", []ledger.Loss{run(3, 3, full), run(1, 2, full)}, []ledger.Loss{run(1, 3, full)}},
		{"a run that fills a gap joins both sides", []ledger.Loss{run(1, 1, full), run(3, 3, full), run(2, 2, full)}, []ledger.Loss{run(1, 3, full)}},
		{"a gap keeps runs apart", []ledger.Loss{run(1, 2, full), run(4, 4, full)}, []ledger.Loss{run(1, 2, full), run(4, 4, full)}},
		{"another reason keeps runs apart", []ledger.Loss{run(1, 2, full), run(3, 3, rejected)}, []ledger.Loss{run(1, 2, full), run(3, 3, rejected)}},
		{"another reason between two runs", []ledger.Loss{run(1, 1, full), run(3, 3, full), run(2, 2, rejected)}, []ledger.Loss{run(1, 1, full), run(2, 2, rejected), run(3, 3, full)}},
		{"the order is by sequence number", []ledger.Loss{run(9, 9, full), run(1, 1, full), run(5, 5, full)}, []ledger.Loss{run(1, 1, full), run(5, 5, full), run(9, 9, full)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l ledger.Ledger
			var total int64
			for _, loss := range tt.lost {
				l.Lost(loss)
				total += int64(loss.Count)
			}
			if diff := cmp.Diff(tt.want, l.Take()); diff != "" {
				t.Errorf("losses to tell (-want +got):\n%s", diff)
			}
			if l.Total() != total {
				t.Errorf("Total() is %d, want %d", l.Total(), total)
			}
		})
	}
}

func TestTakeForgetsWhatItReturns(t *testing.T) {
	var l ledger.Ledger
	l.Lost(run(1, 3, ledger.BufferFull))
	l.Take()
	if again := l.Take(); len(again) != 0 {
		t.Errorf("a second Take returns %v", again)
	}
	l.Lost(run(4, 4, ledger.BufferFull))
	if diff := cmp.Diff([]ledger.Loss{run(4, 4, ledger.BufferFull)}, l.Take()); diff != "" {
		t.Errorf("a loss after Take (-want +got):\n%s", diff)
	}
	if l.Total() != 4 {
		t.Errorf("Total() is %d after Take, want 4", l.Total())
	}
}

func TestTakeGivesTheLossesAway(t *testing.T) {
	var l ledger.Ledger
	l.Lost(run(1, 1, ledger.BufferFull))
	taken := l.Take()
	want := slices.Clone(taken)
	l.Lost(run(2, 2, ledger.BufferFull))
	l.Lost(run(3, 3, ledger.Oversize))
	if diff := cmp.Diff(want, taken); diff != "" {
		t.Errorf("later losses changed what was taken (-want +got):\n%s", diff)
	}
}

func TestRetellDoesNotCountAgain(t *testing.T) {
	var l ledger.Ledger
	l.Lost(run(1, 3, ledger.BufferFull))
	told := l.Take()
	l.Lost(run(4, 4, ledger.BufferFull)) // the telling itself
	l.Retell(told)
	if diff := cmp.Diff([]ledger.Loss{run(1, 4, ledger.BufferFull)}, l.Take()); diff != "" {
		t.Errorf("losses to tell (-want +got):\n%s", diff)
	}
	if l.Total() != 4 {
		t.Errorf("Total() is %d, want 4", l.Total())
	}
}

func TestLossesOfARunInAnyOrderAreTheSameLosses(t *testing.T) {
	reasons := []ledger.Reason{ledger.BufferFull, ledger.Oversize, ledger.Rejected, ledger.Shutdown}
	rapid.Check(t, func(t *rapid.T) {
		// A stretch of events, cut into pieces; some were lost, some were not.
		var lost, want []ledger.Loss
		var total int64
		next := uint64(1)
		for _, length := range rapid.SliceOfN(rapid.IntRange(1, 4), 0, 40).Draw(t, "lengths") {
			loss := run(next, next+uint64(length)-1, rapid.SampledFrom(reasons[:2]).Draw(t, "reason"))
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

		var l ledger.Ledger
		for _, loss := range lost {
			if rapid.Bool().Draw(t, "told before") {
				l.Retell([]ledger.Loss{loss})
				total -= int64(loss.Count)
			} else {
				l.Lost(loss)
			}
		}
		if diff := cmp.Diff(want, l.Take(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("losses to tell (-want +got):\n%s", diff)
		}
		if l.Total() != total {
			t.Fatalf("Total() is %d, want %d", l.Total(), total)
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
		})
	}
}

func TestReasonsAreNamedAsDocumented(t *testing.T) {
	got := []ledger.Reason{ledger.BufferFull, ledger.Oversize, ledger.Rejected, ledger.Shutdown}
	if diff := cmp.Diff([]ledger.Reason{"buffer-full", "oversize", "rejected", "shutdown"}, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestLedgerIsSafeForConcurrentUse(t *testing.T) {
	const writers, each = 4, 100
	var l ledger.Ledger
	var told int64
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
		for _, loss := range l.Take() {
			told += int64(loss.Count)
		}
	}
	if told != writers*each || l.Total() != writers*each {
		t.Errorf("%d events told, %d in total, want %d", told, l.Total(), writers*each)
	}
}
