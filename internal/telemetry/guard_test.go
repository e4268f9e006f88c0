package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/event"
)

// faulty is a Sink that panics in configured calls.
type faulty struct {
	ingest       func(call int, ev *event.Event) bool // reports whether Ingest panics; nil: never
	commit       func(call int) bool
	acknowledged func(call int) bool

	mu      sync.Mutex // guards all below; the test hangs if it is not released after a panic
	sink    sink
	ingests int
	commits []string // fragments
	acks    int
}

func (f *faulty) Ingest(ev *event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ingests++
	if f.ingest != nil && f.ingest(f.ingests, ev) {
		panic("Ingest is broken")
	}
	f.sink.ingest(ev)
}

func (f *faulty) Unparsed(text []byte) []byte { return text }

func (f *faulty) Commit(fragment []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits = append(f.commits, string(fragment))
	if f.commit != nil && f.commit(len(f.commits)) {
		panic("Commit is broken")
	}
}

func (f *faulty) Acknowledged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acks++
	if f.acknowledged != nil && f.acknowledged(f.acks) {
		panic("Acknowledged is broken")
	}
}

// fault is the log entry of a panic.
type fault struct {
	Level   string `json:"level"`
	Msg     string `json:"msg"`
	Problem string `json:"problem"`
	Panic   string `json:"panic"`
	Stack   string `json:"stack"`
}

// faultyListener is a listener before a faulty sink. closed ends it and returns
// the logged faults.
func faultyListener(t *testing.T, f *faulty) (l *Listener, closed func() []fault) {
	t.Helper()
	var text bytes.Buffer
	l, err := Listen(t.Context(), nowhere, false, slog.New(slog.NewJSONHandler(&text, nil)), f)
	if err != nil {
		t.Fatal(err)
	}
	l.Serve()
	t.Cleanup(func() { closeNow(l) })
	return l, func() (faults []fault) {
		l.Close(t.Context()) // waits for what comes after answers
		for line := range strings.Lines(text.String()) {
			var one fault
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if one.Level != "ERROR" || one.Msg != "a fault in Kinetel; the function runs on" || !strings.Contains(one.Stack, "guard_test.go") {
				t.Errorf("the log has %+v", one)
			}
			if strings.Contains(line, "hello") {
				t.Errorf("the log contains what the function printed: %s", line)
			}
			faults = append(faults, one)
		}
		return faults
	}
}

// problems are what was being done when there was a panic.
func problems(faults []fault) (what []string) {
	for _, one := range faults {
		what = append(what, one.Problem+": "+one.Panic)
	}
	return what
}

func (f *faulty) want(t *testing.T, events ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if diff := cmp.Diff(events, f.sink.show()); diff != "" {
		t.Errorf("ingested (-want +got):\n%s", diff)
	}
}

func TestABodyThatMakesTheSinkPanicIsKeptAsText(t *testing.T) {
	const (
		body   = "[" + helloEvent + "," + doneEvent + "," + helloEvent + "]"
		text   = "unparsed: " + body
		reader = "read telemetry: Ingest is broken"
		keeper = "keep telemetry that cannot be read: Ingest is broken"
	)
	at := func(calls ...int) func(int, *event.Event) bool {
		return func(call int, _ *event.Event) bool { return slices.Contains(calls, call) }
	}
	kind := func(kinds ...string) func(int, *event.Event) bool {
		return func(_ int, ev *event.Event) bool { return slices.Contains(kinds, string(ev.Type)) }
	}
	for _, tt := range []struct {
		name   string
		ingest func(int, *event.Event) bool
		want   []string // of the body, and of two valid ones after it
		faults []string
	}{
		{"at the first event", at(1), []string{text, helloLine, doneLine}, []string{reader}},
		{"at the second one: the first is there twice", at(2), []string{helloLine, text, helloLine, doneLine}, []string{reader}},
		{"at the last one", at(3), []string{helloLine, doneLine, text, helloLine, doneLine}, []string{reader}},
		{"at each event of a type", kind("platform.runtimeDone"), []string{helloLine, text, helloLine, "unparsed: [" + doneEvent + "]"}, []string{reader, reader}},
		{"at each function's line", kind("function"), []string{text, "unparsed: [" + helloEvent + "]", doneLine}, []string{reader, reader}},
		{"at text, too", at(1, 2), []string{helloLine, doneLine}, []string{reader, keeper}},
		{"at each event of any type", func(int, *event.Event) bool { return true }, nil, []string{reader, keeper, reader, keeper, reader, keeper}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &faulty{ingest: tt.ingest}
			l, closed := faultyListener(t, f)
			post(t, l, body)
			post(t, l, "["+helloEvent+"]")
			post(t, l, "["+doneEvent+"]")
			faults := closed()
			f.want(t, tt.want...)
			if diff := cmp.Diff(tt.faults, problems(faults)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			// Each body is committed and acknowledged, and Close commits.
			if len(f.commits) != 4 || f.acks != 3 {
				t.Errorf("committed: %q; %d acknowledgements", f.commits, f.acks)
			}
		})
	}
}

func TestALargeBodyThatMakesTheSinkPanicIsKeptWhole(t *testing.T) {
	f := &faulty{ingest: func(call int, _ *event.Event) bool { return call == 1 }}
	l, closed := faultyListener(t, f)
	body := "[" + function(`"`+strings.Repeat("x", 5*maxUnparsed/2)+`"`) + "]"
	post(t, l, body)
	closed()
	var got strings.Builder
	for _, ev := range f.sink.events {
		if ev.Type != event.TypeUnparsed || len(ev.Record) > maxUnparsed+100 {
			t.Errorf("a %s of %d bytes", ev.Type, len(ev.Record))
		}
		got.Write(unquote(ev.Record))
	}
	if got.String() != body || len(f.sink.events) != 3 {
		t.Errorf("%d bytes of %d in %d events", got.Len(), len(body), len(f.sink.events))
	}
}

// The first part of a record that was split is acknowledged, and so must not get
// lost with what comes after it.
func TestAPanicDoesNotLoseTheBeginningOfASplitRecord(t *testing.T) {
	bodies := pieces(`"hello, wide world"`, 6, 12)
	first := "unparsed: " + envelope + `"hello`
	for _, tt := range []struct {
		name   string
		bodies []string
		want   []string
	}{
		{
			"in the body that goes on with it",
			[]string{bodies[0], after(bodies[2], doneEvent)},
			[]string{first, "unparsed: " + after(bodies[2], doneEvent)},
		},
		{
			"in another body",
			[]string{bodies[0], "[" + doneEvent + "]"},
			[]string{first, "unparsed: [" + doneEvent + "]"},
		},
		{
			"when its rest is no longer waited for",
			[]string{bodies[0], "[]", "[]", "[" + doneEvent + "]"},
			[]string{first, "unparsed: [" + doneEvent + "]"},
		},
		{
			"when another record is cut",
			[]string{bodies[0], before(doneEvent, bodies[0])},
			[]string{first, "unparsed: " + before(doneEvent, bodies[0])},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &faulty{ingest: func(call int, _ *event.Event) bool { return call == 1 }}
			l, closed := faultyListener(t, f)
			for _, body := range tt.bodies {
				post(t, l, body)
			}
			// Later bodies are read as usual, also split records.
			post(t, l, bodies[0])
			post(t, l, after(bodies[2], doneEvent))
			closed()
			f.want(t, append(tt.want, functionLine(`"hello world"`), doneLine)...)
			if n := len(f.commits); n < 3 || f.commits[n-1] != "" || f.commits[len(tt.bodies)-1] != "" {
				t.Errorf("committed: %q", f.commits)
			}
		})
	}
}

func TestAPanicInCommitOrAcknowledgedDoesNotChangeTheAnswer(t *testing.T) {
	once := func(call int) bool { return call == 1 }
	always := func(int) bool { return true }
	for _, tt := range []struct {
		name   string
		faulty *faulty
		faults []string
	}{
		{"Commit, once", &faulty{commit: once}, []string{"commit telemetry: Commit is broken"}},
		{"Commit, always", &faulty{commit: always}, append(slices.Repeat([]string{"commit telemetry: Commit is broken"}, 9), "ingest the last telemetry: Commit is broken")},
		{"Acknowledged, once", &faulty{acknowledged: once}, []string{"act on telemetry: Acknowledged is broken"}},
		{"Acknowledged, always", &faulty{acknowledged: always}, slices.Repeat([]string{"act on telemetry: Acknowledged is broken"}, 9)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, closed := faultyListener(t, tt.faulty)
			c := connect(t, l)
			var want []string
			for range 9 { // all on one connection
				c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n[%s]", len(helloEvent)+2, helloEvent)
				if status := c.answer(); status != http.StatusOK {
					t.Errorf("the answer is %d", status)
				}
				want = append(want, helloLine)
			}
			faults := closed()
			tt.faulty.want(t, want...)
			if diff := cmp.Diff(tt.faults, problems(faults)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if len(tt.faulty.commits) != 10 || tt.faulty.acks != 9 {
				t.Errorf("%d commits, %d acknowledgements", len(tt.faulty.commits), tt.faulty.acks)
			}
		})
	}
}

func TestCloseReturnsWhateverTheSinkDoes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faulty *faulty
		want   []string
	}{
		{"an Ingest that panics", &faulty{ingest: func(int, *event.Event) bool { return true }}, []string{"ingest the last telemetry: Ingest is broken"}},
		{"a Commit that panics", &faulty{commit: func(call int) bool { return call > 1 }}, []string{"ingest the last telemetry: Commit is broken"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, closed := faultyListener(t, tt.faulty)
			post(t, l, pieces(`"hello, world"`, 6)[0]) // of which there is no event yet
			addr := l.listener.Addr().String()
			if diff := cmp.Diff(tt.want, problems(closed())); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			var dialer net.Dialer
			if c, err := dialer.DialContext(t.Context(), "tcp", addr); err == nil {
				c.Close()
				t.Error("the port is still open")
			}
			closed() // the lock is free
		})
	}
}

// Bodies that come at the same time wait for no lock that a fault has kept.
func TestConcurrentBodiesAreAllIngestedDespitePanics(t *testing.T) {
	const senders, each = 8, 20
	f := &faulty{ingest: func(call int, _ *event.Event) bool { return call%3 == 0 }}
	l, closed := faultyListener(t, f)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for j := range each {
				post(t, l, "["+function(fmt.Sprintf(`"hello %d/%d;"`, i, j))+"]")
			}
		})
	}
	group.Wait()
	closed()
	all := strings.Join(f.sink.show(), "\n")
	for i := range senders {
		for j := range each {
			if !strings.Contains(all, fmt.Sprintf("hello %d/%d;", i, j)) {
				t.Errorf("line %d/%d is lost", i, j)
			}
		}
	}
	if f.acks != senders*each {
		t.Errorf("%d acknowledgements", f.acks)
	}
}
