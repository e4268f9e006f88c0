package pipeline

import (
	"errors"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ship"
)

// The first record is rejected, and nothing was accepted yet. The next invocation's
// telemetry shows that the reason is in the record, so it is sent however young it is.
func TestAnInvocationSendsASecondRecordIfTheFirstIsRejected(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(refusesPoison)
		box.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: jsontext.AppendQuote(nil, poison)})
		box.process.intake.Commit(nil)
		box.poisoned = true
		box.process.Seal()
		time.Sleep(time.Second)
		box.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: jsontext.AppendQuote(nil, "fine")})
		box.process.intake.Commit(nil)
		box.process.Thawed(time.Hour)
		time.Sleep(time.Second)
		if bodies := box.stream.bodies("function"); len(bodies) != 1 || box.process.account.Total() == 0 || box.process.Unavailable() {
			t.Errorf("%q arrived, %d are lost", bodies, box.process.account.Total())
		}
		box.finish(2 * time.Second)
		box.begin()
	}, withSpool(config.SpoolOff))
}

func TestNothingIsFlushedWhileKinesisIsUnavailable(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(denies)
		box.add(1, 10, false)
		box.process.Seal()
		time.Sleep(time.Second)
		box.add(1, 10, false)
		before := time.Now()
		if err := box.process.Flush(t.Context()); !errors.Is(err, ship.ErrUnavailable) || time.Since(before) > 0 || !box.process.Unavailable() {
			t.Errorf("Flush returned %v after %s", err, time.Since(before))
		}
		// The record stays open, so that it gets full.
		if n := box.process.queue.Waiting().Records; n != 1 || box.process.own().Age() != 0 {
			t.Errorf("%d records wait; the open one is %s old", n, box.process.own().Age())
		}
	})
}
