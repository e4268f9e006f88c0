package selection_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/selection"
)

func journalled(disk *journal) *fixture {
	return newFixture(func(o *selection.Options) {
		sampling(func(s *config.Sample) { s.Error = true })(o)
		o.Journal = disk
	})
}

// If the lines that another process deleted cannot be written again at once, they are
// written with the next body.
func TestDeletedLinesAreWrittenAgain(t *testing.T) {
	disk := newJournal()
	f := journalled(disk)
	r := ordinary(t)
	f.start(r[0])
	f.line(r[0], `"one"`)
	f.Commit()
	disk.clear()
	disk.lost = true
	disk.refuse = func() bool { return true }
	f.line(r[0], `"two"`)
	f.Commit()
	if len(disk.lines) > 0 {
		t.Fatalf("on disk: %v", disk.lines)
	}
	disk.refuse = func() bool { return false }
	f.Commit()
	if len(disk.lines) != 2 {
		t.Errorf("on disk: %v", disk.lines)
	}
	f.done(r[0], "error")
	if len(disk.numbers) != 2 || len(f.bodies("function", r[0])) != 2 {
		t.Errorf("numbers on disk: %v, shipped: %v", disk.numbers, f.shipped)
	}
}

// The journal is emptied when all its lines are decided and stored elsewhere, and does not
// grow with the lines that were left out.
func TestDecidedLinesLeaveTheJournal(t *testing.T) {
	disk := newJournal()
	f := journalled(disk)
	r := ordinary(t)
	f.start(r[0])
	f.line(r[0], `"stays"`)
	size := int64(0)
	for range 10_000 {
		f.start(r[1]) // again
		f.line(r[1], `"a line that is left out in the end"`)
		f.Commit()
		f.done(r[1], "success")
		f.report(r[1], "success")
		f.Commit()
		f.Committed()
		size = max(size, disk.UndecidedSize(nil))
	}
	if size > 1<<20 {
		t.Errorf("the journal had %d bytes", size)
	}
	f.done(r[0], "error")
	f.Commit()
	f.Committed()
	if n := disk.UndecidedSize(nil); n > 0 {
		t.Errorf("%d bytes are left: %v", n, disk.lines)
	}
	disk.rewritten = 0
	for range 10 {
		f.Commit()
		f.Committed()
	}
	if disk.rewritten > 0 {
		t.Errorf("an empty file was rewritten %d times", disk.rewritten)
	}
}

// After a disk that failed once, what waits is written with the next body.
func TestLinesAreWrittenWhenTheDiskWorksAgain(t *testing.T) {
	disk := newJournal()
	f := journalled(disk)
	r := ordinary(t)[0]
	f.start(r)
	disk.refuse = func() bool { return true }
	f.line(r, `"one"`)
	f.Commit()
	f.Committed()
	disk.refuse = func() bool { return false }
	f.line(r, `"two"`)
	f.Commit()
	f.Committed()
	if len(disk.lines) != 2 {
		t.Errorf("on disk: %v", disk.lines)
	}
}

// Without a journal nothing is kept of invocations that are over.
func TestNothingGrowsWithTheInvocations(t *testing.T) {
	f := newFixture(sampling(func(*config.Sample) {}))
	play := func(n int) {
		for i := range n {
			id := fmt.Sprint("r", i)
			f.start(id)
			f.line(id, `"a line"`)
			f.report(id, "success")
			f.Commit()
			f.Committed()
			f.shipped = nil
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	play(2000)
	before := heap()
	play(20_000)
	if after := heap(); after > before+1<<20 {
		t.Errorf("%d bytes more after 20,000 invocations", after-before)
	}
	runtime.KeepAlive(f)
}

// A line that could not be stored has no index, and the lines after it have none.
func TestLinesAfterOneThatCouldNotBeStored(t *testing.T) {
	disk := newJournal()
	f := journalled(disk)
	r := ordinary(t)[0]
	f.line(r, `"one"`)
	f.Commit()
	disk.refuse = func() bool { return true }
	for range 4000 { // more than wait without compression
		f.line(r, `"not stored, because the disk is full"`)
	}
	f.Commit()
	disk.refuse = func() bool { return false }
	f.line(r, `"last"`)
	f.Commit()
	f.done(r, "error")
	for number, text := range disk.numbers {
		if number != 1 || text == "" {
			t.Errorf("the number %d is on disk for %s", number, text)
		}
	}
	if n := len(f.bodies("function", r)); n != 4002 {
		t.Errorf("%d lines are shipped", n)
	}
}
