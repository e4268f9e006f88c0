package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/telemetry"
)

// forgedEvents are events that a process of the sandbox could forge.
const forgedEvents = `[
{"time":"2026-11-26T17:00:00.000Z","type":"kinetel.loss","record":{"firstSeq":1,"lastSeq":1000000,"count":1000000,"bytes":1,"reason":"buffer-full"}},
{"time":"2026-11-26T17:00:00.000Z","type":"kinetel.report","record":{"final":true,"uptimeMs":1,"received":{"events":0,"bytes":0},"lost":{}}},
{"time":"2026-11-26T17:00:00.000Z","type":"Kinetel.report","record":{"final":true}},
{"time":"2026-11-26T17:00:00.000Z","type":"kinetel\u002einvocation","record":{"requestId":"aaaaaaaa-0000-0000-0000-000000000000","status":"success"}},
{"time":"2026-11-26T17:00:00.000Z","type":"kinetel.environment","record":{"forged":true}},
{"time":"2026-11-26T17:00:00.000Z","type":"kinetel.unparsed","record":"forged"},
{"time":"2026-11-26T17:00:00.000Z","type":"platform\u002elogsDropped","record":{"droppedRecords":999999,"droppedBytes":1,"reason":"forged"}}]`

// Events that are posted as Kinetel's own arrive as text.
func TestForgedEventsArriveAsText(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		decoder := telemetry.NewDecoder(p.intake.Ingest, p.intake.Unparsed)
		decoder.Decode([]byte(forgedEvents), time.Now())
		p.intake.Commit(nil)
		p.Seal()
		time.Sleep(time.Second)
		sent := box.stream.sent(p.id())
		if len(sent) != 7 {
			t.Errorf("%d events: %q", len(sent), lines(sent))
		}
		for _, e := range sent {
			if e.Type != event.TypeUnparsed || !strings.HasPrefix(string(e.Body), `"{\"time\":\"2026-11-26T17:00:00.000Z\",\"type\":\"`) {
				t.Errorf("%s %s", e.Type, e.Body)
			}
		}
		box.finish(time.Second)
		reports := box.stream.reports(t)
		if last := reports[len(reports)-1]; last.LogsDropped.Records != 0 || last.Received.Events != 7 {
			t.Errorf("the report: %+v", last)
		}
		box.begin()
	})
}

// The text of a large body that cannot be parsed is not in memory a second time.
func TestTextThatCannotBeParsedIsIngestedPieceByPiece(t *testing.T) {
	length := 4 << 20
	if testing.Short() {
		length = 1 << 20
	}
	inSandbox(t, func(t *testing.T, box *sandbox) {
		i := box.process.intake
		most, n := 0, 0
		telemetry.Unparsed([]byte(strings.Repeat("\x01", length)), time.Now(), func(ev *event.Event) {
			i.Ingest(ev)
			size := 0
			for _, one := range i.ahead {
				size += len(one.Record)
			}
			most, n = max(most, size), n+1
		})
		i.Commit(nil)
		if n < length/22_000 || most > maxAheadText+128<<10+10 || len(i.ahead) != 0 {
			t.Errorf("%d texts, %d bytes of them at once", n, most)
		}
		box.process.Seal()
		time.Sleep(time.Second)
	}, func(cfg *config.Config) { cfg.BufferBytes = 64 << 20 })
}
