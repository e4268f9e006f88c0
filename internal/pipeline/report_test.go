package pipeline

import (
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
)

func TestAReportIsMadeAtMostOnceAMinuteAndAtTheEnd(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		for range 300 { // 150 s
			box.add(1, 10, false)
			box.process.Seal()
			time.Sleep(500 * time.Millisecond)
		}
		if n := len(box.stream.reports(t)); n != 2 {
			t.Errorf("%d reports in 150 s", n)
		}
		time.Sleep(time.Hour)
		box.process.Seal() // something has come since the last one
		time.Sleep(time.Hour)
		box.process.Seal() // but nothing since this one
		time.Sleep(time.Second)
		if n := len(box.stream.reports(t)); n != 3 {
			t.Errorf("%d reports after that", n)
		}
		box.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte(event.TypePlatformLogsDropped), Record: []byte(`{"droppedRecords":7,"droppedBytes":1234}`)})
		box.finish(time.Second)
		reports := box.stream.reports(t)
		last := reports[len(reports)-1]
		own := int64(3 + len(box.stream.bodies(event.TypeInvocation)) + len(box.stream.bodies(event.TypeEnvironment)))
		if len(reports) != 4 || !last.Final || last.Received.Events != 301 || last.Own != own || last.Shipped.Events+last.Waiting != 301+own || last.Waiting < 1 {
			t.Errorf("%d reports, the last one %+v", len(reports), last)
		}
		if diff := last.LogsDropped; diff != (ledger.Dropped{Times: 1, Records: 7, Bytes: 1234}) {
			t.Errorf("logs dropped: %+v", diff)
		}
		for i, r := range reports[:3] {
			if r.Final {
				t.Errorf("report %d is final", i+1)
			}
		}
		box.begin()
	})
}

func TestNoReportIsMadeIfReportsAreOff(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.add(1, 10, false)
		time.Sleep(time.Hour)
		box.process.Seal()
		box.finish(time.Second)
		box.begin()
		box.stream.become(denies)
		box.add(1, 10, false)
		box.finish(time.Second)
		if n := len(box.stream.reports(t)); n > 0 {
			t.Errorf("%d reports", n)
		}
		box.begin()
	}, func(cfg *config.Config) { cfg.Report = config.Report{} })
}

func TestTheUptimeIsNotNegativeIfTheClockIsSetBack(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.add(1, 10, false)
		p := box.process.Pipeline
		p.mu.Lock()
		p.began = p.began.Add(time.Hour)
		p.mu.Unlock()
		box.finish(time.Second)
		reports := box.stream.reports(t)
		if last := reports[len(reports)-1]; !last.Final || last.UptimeMs != 0 {
			t.Errorf("the last report: %+v", last)
		}
		box.begin()
	})
}
