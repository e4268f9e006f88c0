package pipeline

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/spool"
	"github.com/kinetel/kinetel/internal/testkit"
)

// A function empties /tmp. What was acknowledged survives a kill all the same.
func TestAKillAfterTmpWasEmptiedLosesNothing(t *testing.T) {
	for _, kinesis := range []mode{accepts, denies, hangs} {
		t.Run(kinesis.String(), func(t *testing.T) {
			inSandbox(t, func(t *testing.T, box *sandbox) {
				box.stream.become(kinesis)
				for range 4 {
					box.add(10, 100, false)
					box.empty()
					box.process.Seal()
					time.Sleep(time.Second)
					box.add(5, 100, true)
					box.empty()
					box.empty()
					box.kill()
					box.begin()
				}
				box.stream.become(accepts)
				time.Sleep(time.Minute)
				if got := box.stream.bodies(event.TypeLoss); len(got) > 0 {
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
			inSandbox(t, func(t *testing.T, box *sandbox) {
				box.stream.become(denies)
				for range 300 {
					box.add(10, 700, false)
					box.process.Seal()
				}
				synctest.Wait()
				before := box.process.queue.Waiting()
				box.empty()
				lost, waiting := box.process.account.Total(), box.process.queue.Waiting()
				if lost == 0 || before.Events-int(lost) > waiting.Events {
					t.Errorf("%d of %d events are reported as lost, %d wait", lost, before.Events, waiting.Events)
				}
				box.finish(time.Second)
				// What the log reports as stored is on disk.
				logged := box.process.log.Find(slog.LevelDebug, "the environment ends")[0].Attrs
				size := int64(0)
				files, _ := filepath.Glob(filepath.Join(box.cfg.SpoolDir, "*", "*", "*.seg"))
				for _, file := range files {
					if info, err := os.Stat(file); err == nil {
						size += info.Size()
					}
				}
				if logged["spooled_events"].(int64) == 0 || size < box.process.queue.Waiting().Size {
					t.Errorf("the log counts %v; %d bytes are on disk, of %d", logged, size, box.process.queue.Waiting().Size)
				}
				box.stream.become(accepts)
				box.begin()
				time.Sleep(time.Minute)
			}, withSpool(mode), func(c *config.Config) {
				c.BufferBytes, c.SpoolBytes, c.Compression = 64<<10, 16<<20, format.Uncompressed
			})
		})
	}
}

// What the log reports as stored at the end is on disk, even after a deletion in the
// last moment.
func TestTheLogCountsOnlyWhatIsOnDisk(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(denies)
		box.add(10, 700, false)
		box.process.Seal()
		time.Sleep(time.Second)
		box.process.queue.Spill() // from here on nothing is only in memory
		if err := os.RemoveAll(box.cfg.SpoolDir); err != nil {
			t.Fatal(err)
		}
		box.corrupted = true
		box.finish(time.Second)
		logged := box.process.log.Find(slog.LevelDebug, "the environment ends")
		files, _ := filepath.Glob(filepath.Join(box.cfg.SpoolDir, "*", "*", "*.seg"))
		if len(logged) != 1 || (logged[0].Attrs["spooled_events"].(int64) > 0) != (len(files) > 0) {
			t.Errorf("%v; files: %v", logged, files)
		}
		box.stream.become(accepts)
		box.begin()
	})
}

// beginSlowly begins a process whose recovery waits until wait is closed.
func (box *sandbox) beginSlowly(wait <-chan struct{}) {
	p := &process{log: &testkit.Entries{}}
	box.process = p
	p.begin(box.cfg, box.stream)
	read := p.recovery.read
	p.recovery.read = func() []spool.Recovered {
		<-wait
		return read()
	}
	p.Start(p)
}

// If a disk hangs, what is on it is not sent, but no new line is lost.
func TestARecoveryThatHangsDelaysNothingElse(t *testing.T) {
	for _, comesBack := range []bool{false, true} {
		inSandbox(t, func(t *testing.T, box *sandbox) {
			box.stream.become(denies)
			box.add(10, 100, false)
			box.finish(time.Second)
			box.stream.become(accepts)
			hangs := make(chan struct{})
			box.beginSlowly(hangs)
			began := time.Now()
			box.add(5, 100, false)
			box.process.Seal()
			ids := func() (n int) {
				for _, body := range append(box.stream.bodies("function"), append(box.stream.bodies("extension"), append(box.stream.bodies(event.TypePlatformStart), box.stream.bodies(event.TypePlatformReport)...)...)...) {
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
			box.add(5, 100, false)
			box.finish(2 * time.Second)
			if n := ids(); n != 10 {
				t.Errorf("%d events have arrived at the end, want 10", n)
			}
			close(hangs)
			synctest.Wait()
			box.begin() // what lies on disk is there still
		})
	}
}
