package record_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/record"
)

// someTimes are texts that Lambda might write as a time, with odd ones.
func someTimes() []string {
	return []string{
		"2026-11-22T20:15:00.123Z", "2026-11-22T20:15:00Z", "2026-11-22T20:15:00.120Z", "2026-11-22T20:15:00.123456789Z",
		"2026-11-22T22:15:00.123+02:00", "2026-02-29T20:15:00.123Z", "2026-11-22 20:15:00", "yesterday", "",
	}
}

// The time that cannot be read must not lose the event, nor its text.
func TestTheTimeIsReadAndItsTextStays(t *testing.T) {
	at := time.Date(2026, 11, 22, 20, 15, 0, 123e6, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-22T20:15:00.123Z":      at,
		"2026-11-22T22:15:00.123+02:00": at,
		"2026-11-22T20:15:00.1230000Z":  at,
		"2026-02-29T20:15:00.123Z":      {},
		"yesterday":                     {},
		"":                              {},
	} {
		line := strings.Replace(aLine, "2026-11-22T20:15:00.123Z", text, 1)
		events, err := record.Decode([]byte(line))
		if err != nil || len(events) != 1 {
			t.Fatalf("%q: %d events, %v", text, len(events), err)
		}
		e := events[0]
		if e.Time != want || e.TimeText != text {
			t.Errorf("%q is read as %v, %q", text, e.Time, e.TimeText)
		}
		written, err := json.Marshal(e)
		if err != nil || !strings.Contains(string(written), fmt.Sprintf("%q:%q", "time", text)) {
			t.Errorf("%q is written as %s, %v", text, written, err)
		}
		var again record.Event
		if err := json.Unmarshal(written, &again); err != nil || again.Time != want || again.TimeText != text {
			t.Errorf("%q is read again as %v, %q, %v", text, again.Time, again.TimeText, err)
		}
	}
}

func TestMarshalWritesTheTimeIfThereIsNoText(t *testing.T) {
	e := anEvent()
	e.TimeText = ""
	e.Time = e.Time.In(time.FixedZone("", 7200)).Add(456 * time.Nanosecond)
	if got, err := json.Marshal(e); err != nil || !strings.Contains(string(got), `"time":"2026-11-22T20:15:00.123000456Z"`) {
		t.Errorf("written as %s, %v", got, err)
	}
	e.Time = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	if got, err := json.Marshal(e); err == nil {
		t.Errorf("the year 10000 is written as %s", got)
	}
}

func TestKey(t *testing.T) {
	e := anEvent()
	if got := e.Key(); got != (record.Key{InstanceID: "e1", Seq: 17}) || got.String() != "seq 17 of e1" {
		t.Errorf("the key is %v", got)
	}
}
