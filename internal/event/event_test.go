package event_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/event"
)

func TestAt(t *testing.T) {
	received := time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		time string
		want time.Time
	}{
		{"Lambda's own time is the event's", "2026-11-22T20:14:59.123Z", time.Date(2026, 11, 22, 20, 14, 59, 123e6, time.UTC)},
		{"a time without a fraction is read", "2026-11-22T20:14:59Z", time.Date(2026, 11, 22, 20, 14, 59, 0, time.UTC)},
		{"no time: when it was received", "", received},
		{"an unreadable time: when it was received", "yesterday", received},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev := event.Event{Time: []byte(tt.time), Received: received}
			if got := ev.At(); !got.Equal(tt.want) {
				t.Errorf("At() of time %q is %s, want %s", tt.time, got, tt.want)
			}
		})
	}
}

func TestLinesAndUnparsedTextAreDroppable(t *testing.T) {
	for _, tt := range []struct {
		kind string
		want bool
	}{
		{"function", true},
		{"extension", true},
		{"kinetel.unparsed", true},
		{"", true},
		{"platform", true},
		{"platformx.start", true},
		{"a.platform.start", true},
		{"Platform.start", true},
		{"kinetel", true},
		{"kinetelx.loss", true},
		{event.TypePlatformStart, false},
		{event.TypePlatformRuntimeDone, false},
		{event.TypePlatformReport, false},
		{event.TypePlatformLogsDropped, false},
		{"platform.of.a.later.time", false},
		{"platform.", false},
		{event.TypeLoss, false},
		{event.TypeReport, false},
		{"kinetel.of.a.later.version", false},
		{"kinetel.unparsed.more", false},
		{"kinetel.unparse", false},
		{"kinetel.", false},
	} {
		if got := event.Droppable([]byte(tt.kind)); got != tt.want {
			t.Errorf("Droppable(%q) is %t", tt.kind, got)
		}
	}
	if event.TypeUnparsed != "kinetel.unparsed" || event.TypeReport != "kinetel.report" || event.TypeLoss != "kinetel.loss" || event.TypePlatformLogsDropped != "platform.logsDropped" {
		t.Error("types are not named as documented")
	}
}

func TestTimeFormatIsLambdas(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	if got := at.Format(event.TimeFormat); got != "2026-01-02T03:04:05.006Z" {
		t.Errorf("a time is written as %s", got)
	}
}

func TestAtReadsEveryTimeOfTheCalendar(t *testing.T) {
	received := time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)
	for _, text := range []string{
		"", "2026-11-22T20:15:00.123", "2026-11-22T20:15:00.1x3Z", "2026-13-22T20:15:00.123Z", "2026-00-22T20:15:00.123Z", "2026-11-00T20:15:00.123Z", "2026-11-31T20:15:00.123Z", "2026-02-29T20:15:00.123Z", "2026-11-22T24:15:00.123Z", "2026-11-22T20:60:00.123Z", "2026-11-22T20:15:60.123Z", "-026-11-22T20:15:00.123Z", "2026/11-22T20:15:00.123Z", "2026-11/22T20:15:00.123Z", "2026-11-22T20-15:00.123Z", "2026-11-22T20:15-00.123Z", "2026-11-22T-1:15:00.123Z", "2026-11-22T20:1 :00.123Z", "2026-11-22T20:15: 0.123Z",
	} {
		ev := event.Event{Time: []byte(text), Received: received}
		if got := ev.At(); !got.Equal(received) {
			t.Errorf("the time %q is read as %s", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64Range(-62135596800000, 253402300799999).Draw(t, "milliseconds")
		ev := event.Event{Time: time.UnixMilli(want).UTC().AppendFormat(nil, event.TimeFormat), Received: received}
		if got := ev.At().UnixMilli(); got != want {
			t.Fatalf("%s is read as %d, want %d", ev.Time, got, want)
		}
	})
	ev := event.Event{Time: []byte("2026-11-22T20:15:00.123Z")}
	if n := testing.AllocsPerRun(100, func() { ev.At() }); n != 0 {
		t.Errorf("%v allocations for a time", n)
	}
}
