package selection_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/selection"
)

// modelled is what a model knows of an invocation.
type modelled struct {
	request      string
	lines        []string // that pass the filters, in order
	first        int      // how many are within the limits
	bytes        int64
	beyond       bool
	begun        bool
	failed, done bool
	filtered     ledger.LeftOut
}

// journal is a selection.Journal in memory.
type journal struct {
	lines   map[[2]uint64]string // by invocation and index
	next    map[uint64]uint64    // index, by invocation
	numbers map[uint64]string    // decided
	refuse  func() bool
	refused bool // some lines
	lost    bool
	size    int64 // bytes of the file

	rewritten int // how often
}

func newJournal() *journal {
	return &journal{
		lines: map[[2]uint64]string{}, next: map[uint64]uint64{}, numbers: map[uint64]string{}, refuse: func() bool { return false },
	}
}

func (j *journal) clear() {
	clear(j.lines)
	clear(j.next)
	clear(j.numbers)
	j.size = 0
}

func (j *journal) Undecided(_ *environment.Environment, invocation, index uint64, lines []byte) bool {
	if j.refuse() {
		j.refused = true
		return false
	}
	if j.next[invocation] != index && !j.lost {
		panic(fmt.Sprintf("line %d of invocation %d follows line %d", index, invocation, j.next[invocation]))
	}
	for text := range bytes.Lines(lines) {
		j.lines[[2]uint64{invocation, index}] = string(text)
		index++
	}
	j.next[invocation] = index
	j.size += int64(len(lines))
	return true
}

func (j *journal) Decide(_ *environment.Environment, invocation, index, count, first uint64) bool {
	for i := range count {
		if j.lost {
			break
		}
		at := [2]uint64{invocation, index + i}
		if j.lines[at] == "" {
			panic(fmt.Sprintf("line %v gets a number and is not stored", at))
		}
		j.numbers[first+i] = j.lines[at]
		delete(j.lines, at)
	}
	return true
}

func (j *journal) LeaveOut(_ *environment.Environment, invocation uint64) bool {
	for at := range j.lines {
		if at[0] == invocation {
			delete(j.lines, at)
		}
	}
	return true
}

func (j *journal) RewriteUndecided(o *environment.Environment, each func(yield func(invocation, index uint64, lines []byte) bool)) bool {
	if j.refuse() {
		j.refused = true
		return false
	}
	j.clear()
	j.rewritten++
	if each == nil {
		j.refused = false
		return true
	}
	refuse := j.refuse
	j.refused, j.refuse = false, func() bool { return false }
	each(func(invocation, index uint64, lines []byte) bool { return j.Undecided(o, invocation, index, lines) })
	j.refuse = refuse
	return true
}

func (j *journal) UndecidedSize(*environment.Environment) int64 { return j.size }

func (j *journal) UndecidedLost(*environment.Environment) bool {
	lost := j.lost
	j.lost = false
	return lost
}

// Whatever invocations do at the same time: each line is shipped once, as it was, or
// counted once; an invocation is kept whole or not at all; and with a journal, each line
// that is neither shipped nor left out is on disk.
func TestEveryLineIsShippedOrCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sink *fixture
		disk := newJournal()
		cfg := config.Selection{}
		if rapid.Bool().Draw(t, "limited") {
			cfg.MaxLines = rapid.Int64Range(0, 20).Draw(t, "lines")
			cfg.MaxBytes = rapid.SampledFrom([]int64{0, 1, 100, 1000}).Draw(t, "bytes")
		}
		if rapid.Bool().Draw(t, "sampled") || cfg.MaxLines+cfg.MaxBytes == 0 {
			cfg.Sample = &config.Sample{Share: rapid.SampledFrom([]float64{0, 0.3}).Draw(t, "share"), Error: true}
		}
		if rapid.Bool().Draw(t, "filtered") {
			cfg.Level = event.Info
		}
		journalled := rapid.Bool().Draw(t, "journalled")
		if rapid.IntRange(0, 4).Draw(t, "the disk gets full") == 0 {
			disk.refuse = func() bool { return rapid.IntRange(0, 3).Draw(t, "full") == 0 }
		}
		sink = newFixture(func(o *selection.Options) {
			o.Config = cfg
			if journalled {
				o.Journal = disk
			}
		})
		all := map[string]*modelled{}
		var order []*modelled
		total := ledger.LeftOut{}
		count := 0
		long := strings.Repeat("long ", 8<<10)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			request := "r" + strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "request"))
			in := all[request]
			if in == nil || in.done && rapid.Bool().Draw(t, "another one") {
				in = &modelled{request: fmt.Sprintf("%s-%d", request, len(order))}
				all[request] = in
				order = append(order, in)
			}
			severity := rapid.SampledFrom([]event.Severity{event.Info, event.Info, event.Info, event.Debug, event.Error}).Draw(t, "severity")
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step == 0 && !in.begun && !in.done:
				in.begun = true
				sink.start(in.request)
			case step == 1 && !in.done:
				in.failed = in.failed || severity == event.Error
				in.done = true
				sink.done(in.request, map[bool]string{true: "error", false: "success"}[severity == event.Error])
				sink.report(in.request, "success")
			case step == 2 && journalled:
				if rapid.Bool().Draw(t, "emptied") {
					disk.lost = true
					disk.clear()
				}
			case !in.done:
				n := 1
				if step == 3 {
					n = rapid.IntRange(1, 150).Draw(t, "burst")
				}
				for range n {
					count++
					text := fmt.Sprintf(`"line %d"`, count)
					if step == 4 {
						text = fmt.Sprintf(`"%s %d"`, long, count)
					}
					if severity < cfg.Level {
						in.filtered.Level++
					} else {
						in.failed = in.failed || severity == event.Error
						in.add(cfg, text)
					}
					sink.line(in.request, text, severity)
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "body ends") == 0 {
				sink.Commit()
				if journalled && !disk.lost && !disk.refused {
					checkDisk(t, sink, disk, cfg, order)
				}
				sink.Committed()
				if journalled && !disk.lost {
					checkDisk(t, sink, disk, cfg, order)
				}
			}
		}
		sink.End()
		for _, in := range order {
			kept, left := in.outcome(cfg)
			total.AddAll(&left)
			if diff := cmp.Diff(kept, sink.bodies(event.TypeFunction, in.request)); diff != "" {
				t.Fatalf("%s (%+v): shipped (-want +got):\n%s", in.request, cfg, diff)
			}
			got := sink.Selected(in.request)
			if got.LeftOut == nil {
				got.LeftOut = &ledger.LeftOut{}
			}
			if diff := cmp.Diff(left, *got.LeftOut); diff != "" {
				t.Fatalf("%s: left out (-want +got):\n%s", in.request, diff)
			}
		}
		if diff := cmp.Diff(total, sink.LeftOut()); diff != "" {
			t.Fatalf("left out in total (-want +got):\n%s", diff)
		}
	})
}

// add adds a line that passes the filters.
func (in *modelled) add(cfg config.Selection, text string) {
	in.lines = append(in.lines, text)
	switch size := int64(len(text)); {
	case in.beyond:
	case cfg.MaxLines > 0 && int64(in.first) == cfg.MaxLines, cfg.MaxBytes > 0 && in.bytes+size > cfg.MaxBytes:
		in.beyond = true
	default:
		in.first++
		in.bytes += size
	}
}

// outcome returns the lines that are shipped, and how many are left out.
func (in *modelled) outcome(cfg config.Selection) (kept []string, left ledger.LeftOut) {
	left = in.filtered
	// The last lines: at most 100, of at most 256 KiB with what is around them.
	from, size := len(in.lines), 0
	for from > in.first && len(in.lines)-from < 100 {
		line := in.lines[from-1]
		if size += len(format.AppendLine(nil, 0, lineOf(in.request, line), format.Part{}, []byte(`{"service.instance.id":"e1"}`))); size > 256<<10 {
			break
		}
		from--
	}
	kept = append(append(kept, in.lines[:in.first]...), in.lines[from:]...)
	cut := int64(from - in.first)
	sampledOut := cfg.Sample != nil && in.done && in.begun && !in.failed && !selection.InShare(in.request, cfg.Sample.Share)
	if sampledOut {
		left.SampledOut, kept = int64(len(kept)), nil
	}
	if cut > 0 && cfg.MaxLines > 0 && int64(in.first) == cfg.MaxLines {
		left.MaxLines = cut
	} else {
		left.MaxBytes = cut
	}
	return kept, left
}

// checkDisk checks that a kill now would lose no line, and give none two numbers.
func checkDisk(t *rapid.T, f *fixture, disk *journal, cfg config.Selection, all []*modelled) {
	stored := map[string]bool{}
	for _, text := range disk.lines {
		l, _ := format.ReadLine([]byte(text))
		stored[string(l.Body)] = true
	}
	shipped := map[string]bool{}
	for _, one := range f.shipped {
		shipped[one.body] = one.kind == event.TypeFunction
	}
	for _, in := range all {
		kept, _ := in.outcome(cfg)
		for _, text := range kept {
			if shipped[text] == stored[text] && (shipped[text] || !disk.refused) {
				t.Fatalf("%.20s of %s: shipped %t, on disk without a number %t", text, in.request, shipped[text], stored[text])
			}
		}
	}
	for number, text := range disk.numbers {
		l, _ := format.ReadLine([]byte(text))
		if got := f.shipped[number-1]; got.body != string(l.Body) {
			t.Fatalf("number %d is %s, and on disk %s", number, got.body, l.Body)
		}
	}
}
