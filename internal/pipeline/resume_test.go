package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
)

func TestAFragmentOfAKilledProcessIsSentOnce(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.add(4, 10, true)
		box.kill()
		for range 3 {
			box.begin()
			synctest.Wait()
			box.process.Seal()
			box.finish(time.Second)
			if files, _ := filepath.Glob(filepath.Join(box.cfg.SpoolDir, "*", "*")); len(files) > 0 {
				t.Errorf("on disk there is left %v", files)
			}
		}
		if got := box.stream.bodies(event.TypeUnparsed); len(got) != 1 || !strings.Contains(got[0], "id-5-di") {
			t.Errorf("fragments: %q", got)
		}
		box.begin()
	}, withSpool(config.SpoolAlways))
}

func TestAKilledProcessLosesNothing(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(hangs)
		for range 5 {
			box.add(10, 100, false)
			box.process.Seal()
			box.add(5, 10, false)
			time.Sleep(time.Second)
			box.kill()
			box.begin()
		}
		box.stream.become(accepts)
		synctest.Wait()
		time.Sleep(time.Minute)
		box.process.Seal()
		time.Sleep(time.Minute)
		if n := len(box.stream.bodies(event.TypePlatformStart)) + len(box.stream.bodies(event.TypePlatformReport)) + len(box.stream.bodies("function")) + len(box.stream.bodies("extension")); n != 75 {
			t.Errorf("%d events arrived, want 75", n)
		}
		if got := box.stream.bodies(event.TypeLoss); len(got) > 0 {
			t.Errorf("losses: %v", got)
		}
	}, withSpool(config.SpoolAlways))
}

// A loss that a killed process had no time to report is reported by the next one.
func TestALossThatAKilledProcessDidNotReportIsReported(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.add(1, 10, false)
		box.process.Seal()
		time.Sleep(time.Second)
		box.stream.become(refusesPoison)
		box.poisoned = true
		box.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: []byte(`"` + poison + `"`)})
		box.process.intake.Commit(nil)
		seq := box.process.own().Last()
		box.process.Seal()
		time.Sleep(time.Second)
		if n := box.process.account.Total(); n != 1 || len(box.stream.bodies(event.TypeLoss)) > 0 {
			t.Fatalf("%d events are lost, and the stream has %v", n, box.stream.bodies(event.TypeLoss))
		}
		box.kill()
		box.begin()
		time.Sleep(time.Second)
		if got := box.stream.bodies(event.TypeLoss); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf(`"firstSeq":%d,"lastSeq":%d,"count":1,`, seq, seq)) || !strings.Contains(got[0], "rejected") {
			t.Errorf("losses: %v", got)
		}
		if n := box.process.account.Total(); n != 1 {
			t.Errorf("the next process counts %d events lost", n)
		}
	}, withSpool(config.SpoolAlways))
}

func TestACorruptRecordOnDiskIsReportedLost(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(denies)
		box.add(3, 100, false)
		n := box.process.own().Last()
		box.process.Seal()
		time.Sleep(time.Second)
		box.kill()
		files, err := filepath.Glob(filepath.Join(box.cfg.SpoolDir, "*", "*", "*.seg"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)-100] ^= 1 // in the middle of the record's data
		if err := os.WriteFile(files[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
		box.corrupted = true
		box.stream.become(accepts)
		box.begin()
		time.Sleep(time.Second)
		if got := box.stream.bodies(event.TypeLoss); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf(`"firstSeq":1,"lastSeq":%d,"count":%d,`, n, n)) || !strings.Contains(got[0], "spool-corrupt") {
			t.Errorf("losses: %v", got)
		}
		if corrupted := box.process.account.Lost()[ledger.SpoolCorrupt]; corrupted != int64(n) {
			t.Errorf("%d of %d events are counted as corrupt", corrupted, n)
		}
	}, withSpool(config.SpoolAlways))
}

// With overflow, too: the loss leaves the disk when a record with it is in Kinesis.
func TestALossThatRecoveryFindsIsReportedOnce(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(denies)
		box.add(3, 100, false)
		box.finish(2 * time.Second)
		files, err := filepath.Glob(filepath.Join(box.cfg.SpoolDir, "*", "*", "*.seg"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)-100] ^= 1
		if err := os.WriteFile(files[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
		box.corrupted = true
		box.stream.become(accepts)
		for range 3 {
			box.begin()
			time.Sleep(time.Second)
			box.finish(2 * time.Second)
		}
		box.begin()
		if got := box.stream.bodies(event.TypeLoss); len(got) != 1 {
			t.Errorf("losses: %v", got)
		}
	}, withSpool(config.SpoolOverflow))
}
