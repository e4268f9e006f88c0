package selection_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/selection"
)

// fixture is a Selector with a Sink that keeps what it gets.
type fixture struct {
	*selection.Selector
	cold    map[string]bool // requests that waited for an init
	shipped []shipped
	next    uint64 // number
	starts  int
}

// shipped is an event that the sink got.
type shipped struct {
	kind, request, body string
}

func newFixture(change func(*selection.Options)) *fixture {
	f := &fixture{cold: map[string]bool{}}
	opt := selection.Options{
		Environment: environment.New("e1", environment.Details{Resource: []byte(`{"service.instance.id":"e1"}`)}),
		Sink:        f, MaxBytes: 4 << 20, MaxJournal: 4 << 20,
		Cold: func(ev *event.Event) bool { return f.cold[ev.RequestID] },
	}
	change(&opt)
	f.Selector = selection.New(opt)
	return f
}

func (f *fixture) Add(ev *event.Event) {
	f.next++
	f.shipped = append(f.shipped, shipped{string(ev.Type), ev.RequestID, string(ev.Record)})
}

func (f *fixture) AddOwn(kind string, body []byte, about *event.Event) {
	f.next++
	f.shipped = append(f.shipped, shipped{kind, about.RequestID, string(body)})
}

func (f *fixture) AddLines(request string, _ int64, lines []byte, _ []format.Details, before func(first uint64)) {
	if before != nil {
		before(f.next + 1)
	}
	for text := range bytes.Lines(lines) {
		l, ok := format.ReadLine(text)
		if !ok || l.Seq != 0 || string(l.RequestID) != request || len(text) > format.ShortLine {
			panic(fmt.Sprintf("not a line without a number, of %s: %s", request, text))
		}
		f.next++
		f.shipped = append(f.shipped, shipped{string(l.Type), request, string(l.Body)})
	}
}

// bodies returns the bodies of shipped events of a type, and of a request unless that is
// empty.
func (f *fixture) bodies(kind, request string) (all []string) {
	for _, s := range f.shipped {
		if s.kind == kind && (request == "" || s.request == request) {
			all = append(all, s.body)
		}
	}
	return all
}

// trace shows what was shipped, in order, without platform events.
func (f *fixture) trace() string {
	var all []string
	for _, s := range f.shipped {
		if !strings.HasPrefix(s.kind, "platform.") {
			all = append(all, s.body)
		}
	}
	return strings.Join(all, " ")
}

// line adds a line of the function.
func (f *fixture) line(request, record string, severity ...event.Severity) {
	ev := lineOf(request, record)
	for _, s := range severity {
		ev.Severity = s
	}
	f.Selector.Add(ev)
}

func lineOf(request, record string) *event.Event {
	return &event.Event{
		Time: []byte("2026-11-22T20:15:00.123Z"), Received: time.Now(), Type: []byte(event.TypeFunction),
		Record: []byte(record), RequestID: request,
	}
}

// platform adds a platform event about a request.
func (f *fixture) platform(kind, request, record string, change ...func(*event.Event)) {
	ev := lineOf(request, record)
	ev.Type = []byte(kind)
	for _, c := range change {
		c(ev)
	}
	f.Selector.Redact(ev)
	f.Selector.Add(ev)
}

// start begins an attempt of a request.
func (f *fixture) start(request string, change ...func(*event.Event)) {
	f.starts++
	at := fmt.Appendf(nil, "2026-11-22T20:%02d:%02d.%03dZ", f.starts/60_000, f.starts/1000%60, f.starts%1000)
	f.platform(event.TypePlatformStart, request, `{}`, append(change, func(ev *event.Event) { ev.Time = at })...)
}

func (f *fixture) done(request, status string) {
	f.platform(event.TypePlatformRuntimeDone, request, fmt.Sprintf(`{"status":%q,"metrics":{"durationMs":5}}`, status))
}

func (f *fixture) report(request, status string) {
	f.platform(event.TypePlatformReport, request, fmt.Sprintf(`{"status":%q,"metrics":{"durationMs":5}}`, status))
}

// ordinary are ids of requests that no share below one half keeps.
func ordinary(t testing.TB) (ids []string) {
	t.Helper()
	for i := 0; len(ids) < 50; i++ {
		if id := fmt.Sprintf("request-%d", i); !selection.InShare(id, 0.5) {
			ids = append(ids, id)
		}
	}
	return ids
}
