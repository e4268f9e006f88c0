package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/event"
	"kinetel/internal/format"
	"kinetel/internal/spool"
)

// A function empties /tmp. What was acknowledged survives a kill all the same.
func TestAKillAfterTmpWasEmptiedLosesNothing(t *testing.T) {
	for _, kinesis := range []mode{accepts, denies, hangs} {
		t.Run(kinesis.String(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.stream.become(kinesis)
				for range 4 {
					w.add(10, 100, false)
					w.empty()
					w.process.Seal()
					time.Sleep(time.Second)
					w.add(5, 100, true)
					w.empty()
					w.empty()
					w.kill()
					w.begin()
				}
				w.stream.become(accepts)
				time.Sleep(time.Minute)
				if got := w.stream.bodies(event.TypeLoss); len(got) > 0 {
					t.Errorf("losses: %v", got)
				}
			}, withSpool(config.SpoolAlways))
		})
	}
}

// Records that were only on disk are reported lost with the next body, long before
// they would be read.
func TestWhatWasOnDiskOnlyIsReportedAtOnce(t *testing.T) {
	for _, mode := range []config.Spool{config.SpoolOverflow, config.SpoolAlways} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.stream.become(denies)
				for range 300 {
					w.add(10, 700, false)
					w.process.Seal()
				}
				synctest.Wait()
				before := w.process.queue.Waiting()
				w.empty()
				lost, waiting := w.process.account.Total(), w.process.queue.Waiting()
				if lost == 0 || before.Events-int(lost) > waiting.Events {
					t.Errorf("%d of %d events are reported as lost, %d wait", lost, before.Events, waiting.Events)
				}
				w.finish(time.Second)
				// What the log reports as stored is on disk.
				claimed := w.process.log.find("the environment ends")[0].attrs
				size := int64(0)
				files, _ := filepath.Glob(filepath.Join(w.cfg.SpoolDir, "*", "*", "*.seg"))
				for _, file := range files {
					if info, err := os.Stat(file); err == nil {
						size += info.Size()
					}
				}
				if claimed["spooled_events"].(int64) == 0 || size < w.process.queue.Waiting().Size {
					t.Errorf("%v are claimed; %d bytes are on disk, of %d", claimed, size, w.process.queue.Waiting().Size)
				}
				w.stream.become(accepts)
				w.begin()
				time.Sleep(time.Minute)
			}, withSpool(mode), func(c *config.Config) {
				c.BufferBytes, c.SpoolBytes, c.Compression = 64<<10, 16<<20, format.Uncompressed
			})
		})
	}
}

// What the log reports as stored at the end is on disk, even after a deletion in the
// last moment.
func TestTheLogClaimsNothingThatIsNotThere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stream.become(denies)
		w.add(10, 700, false)
		w.process.Seal()
		time.Sleep(time.Second)
		w.process.queue.Spill() // from here on nothing is only in memory
		if err := os.RemoveAll(w.cfg.SpoolDir); err != nil {
			t.Fatal(err)
		}
		w.corrupted = true
		w.finish(time.Second)
		logged := w.process.log.find("the environment ends")
		files, _ := filepath.Glob(filepath.Join(w.cfg.SpoolDir, "*", "*", "*.seg"))
		if len(logged) != 1 || (logged[0].attrs["spooled_events"].(int64) > 0) != (len(files) > 0) {
			t.Errorf("%v; files: %v", logged, files)
		}
		w.stream.become(accepts)
		w.begin()
	})
}

// slowly begins a process whose recovery waits until wait is closed.
func (w *world) slowly(wait <-chan struct{}) {
	p := &process{log: &logbook{}}
	w.process = p
	p.begin(w.cfg, w.stream)
	read := p.recover
	p.recover = func() []spool.Recovered {
		<-wait
		return read()
	}
	p.start(p)
}

// If a disk hangs, what is on it is not sent, but no new line is lost.
func TestARecoveryThatHangsKeepsNothingElse(t *testing.T) {
	for _, comesBack := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			w.stream.become(denies)
			w.add(10, 100, false)
			w.finish(time.Second)
			w.stream.become(accepts)
			hangs := make(chan struct{})
			w.slowly(hangs)
			began := time.Now()
			w.add(5, 100, false)
			w.process.Seal()
			ids := func() (n int) {
				for _, body := range append(w.stream.bodies("function"), append(w.stream.bodies("extension"), append(w.stream.bodies(event.TypePlatformStart), w.stream.bodies(event.TypePlatformReport)...)...)...) {
					if strings.Contains(body, "id-") {
						n++
					}
				}
				return n
			}
			time.Sleep(300 * time.Millisecond)
			if n := ids(); n != 5 {
				t.Errorf("%d events have arrived after %v, want 5", n, time.Since(began))
			}
			if comesBack {
				close(hangs)
				time.Sleep(time.Second)
				if n := ids(); n != 15 {
					t.Errorf("%d events have arrived, want 15", n)
				}
				return
			}
			w.add(5, 100, false)
			w.finish(2 * time.Second)
			if n := ids(); n != 10 {
				t.Errorf("%d events have arrived at the end, want 10", n)
			}
			close(hangs)
			synctest.Wait()
			w.begin() // what lies on disk is there still
		})
	}
}
