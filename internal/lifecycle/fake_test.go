package lifecycle_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// calls notes what happens when, in fake time since the start, as lines such
// as "1.5s next". The fakes below write it.
type calls struct {
	start time.Time

	mu    sync.Mutex
	lines []string
}

func (d *calls) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("%s ", time.Since(d.start))+fmt.Sprintf(format, args...))
}

func (d *calls) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// only returns the lines about some things, such as "next".
func (d *calls) only(things ...string) []string {
	return slices.DeleteFunc(d.all(), func(line string) bool {
		return !slices.ContainsFunc(things, func(thing string) bool {
			_, what, _ := bytes.Cut([]byte(line), []byte(" "))
			return bytes.HasPrefix(what, []byte(thing))
		})
	})
}

// step is one of Lambda's answers to next.
type step struct {
	at    time.Duration // since the start; next waits for it
	event extensionapi.Event
	err   error
	play  func() extensionapi.Event // instead of the others: waits until the event is due
}

// fakeAPI answers next with its steps, and then blocks.
type fakeAPI struct {
	calls *calls

	mu    sync.Mutex
	steps []step
}

func (a *fakeAPI) Next(ctx context.Context) (extensionapi.Event, error) {
	if err := ctx.Err(); err != nil {
		return extensionapi.Event{}, err // nothing reaches Lambda
	}
	a.calls.note("next")
	a.mu.Lock()
	var s *step
	if len(a.steps) > 0 {
		s = &a.steps[0]
		a.steps = a.steps[1:]
	}
	a.mu.Unlock()
	if s == nil {
		<-ctx.Done()
		return extensionapi.Event{}, ctx.Err()
	}
	if s.play != nil {
		return s.play(), nil
	}
	select {
	case <-time.After(time.Until(a.calls.start.Add(s.at))):
		return s.event, s.err
	case <-ctx.Done():
		return extensionapi.Event{}, ctx.Err()
	}
}

// fakePipeline notes the calls in the calls. Flush and Finish take the given times, or
// until the context ends.
type fakePipeline struct {
	calls         *calls
	flush, finish time.Duration
	deadline      time.Duration        // of the end, since the start; as announced
	unavailable   func() bool          // nil: never
	behind        func() time.Duration // nil: not at all
	permanent     func() error         // nil: none
	fault         func(method string)  // nil: none; called first in each method, to panic or to block
	invoked       []string             // requests, their ARNs and traces
}

func (p *fakePipeline) Ending(deadline time.Time) {
	p.deadline = deadline.Sub(p.calls.start)
	p.do("Ending")
}

func (p *fakePipeline) Invoked(request, arn, trace string, _ time.Time) {
	p.fail("Invoked")
	p.invoked = append(p.invoked, request+" "+arn+" "+trace)
}

func (p *fakePipeline) Thawed(age time.Duration) { p.do("Thawed", age) }
func (p *fakePipeline) Restored()                { p.do("Restored") }
func (p *fakePipeline) Seal()                    { p.do("Seal") }

func (p *fakePipeline) Released(request string, held time.Duration, why flush.Reason) {
	p.do("Released", request, held, why)
}

func (p *fakePipeline) Unavailable() bool {
	p.fail("Unavailable")
	return p.unavailable != nil && p.unavailable()
}

func (p *fakePipeline) Behind() time.Duration {
	p.fail("Behind")
	if p.behind == nil {
		return 0
	}
	return p.behind()
}

func (p *fakePipeline) PermanentError() error {
	p.fail("PermanentError")
	if p.permanent == nil {
		return nil
	}
	return p.permanent()
}

func (p *fakePipeline) Flush(ctx context.Context) error { return p.work(ctx, "Flush", p.flush) }
func (p *fakePipeline) Finish(ctx context.Context)      { _ = p.work(ctx, "Finish", p.finish) }

func (p *fakePipeline) fail(method string) {
	if p.fault != nil {
		p.fault(method)
	}
}

// do notes a call with its arguments.
func (p *fakePipeline) do(method string, args ...any) {
	p.calls.note("%s", strings.TrimSpace(method+" "+strings.TrimSuffix(fmt.Sprintln(args...), "\n")))
	p.fail(method)
}

func (p *fakePipeline) work(ctx context.Context, what string, takes time.Duration) error {
	p.do(what)
	if ctx.Err() != nil {
		p.calls.note("%s timed out", what)
		return ctx.Err()
	}
	select {
	case <-time.After(takes):
		return nil
	case <-ctx.Done():
		p.calls.note("%s timed out", what)
		return ctx.Err()
	}
}

// forever is longer than any invocation.
const forever = 24 * time.Hour

// fixture is a loop among fakes. Times are since the start.
type fixture struct {
	t *testing.T
	*calls
	api      *fakeAPI
	pipeline *fakePipeline
	loop     *lifecycle.Loop
	stop     context.CancelFunc
	jitter   func(time.Duration) time.Duration // may be set before run
	log      *bytes.Buffer                     // read it when Run has ended

	stopping context.Context
	pending  sync.WaitGroup // what is still to happen, even after Run has ended
}

// inFakeTime runs a test in fake time. The default is to hold every
// invocation for its telemetry, at most 500 ms.
func inFakeTime(t *testing.T, play func(s *fixture), change ...func(*config.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Config{Flush: flush.ModeEnd, FlushInterval: time.Hour, MaxHold: 500 * time.Millisecond}
		for _, f := range change {
			f(&cfg)
		}
		d := &calls{start: time.Now()}
		s := &fixture{t: t, calls: d, api: &fakeAPI{calls: d}, pipeline: &fakePipeline{calls: d}, log: &bytes.Buffer{}}
		s.jitter = func(time.Duration) time.Duration { return 0 }
		jitter := func(below time.Duration) time.Duration { return s.jitter(below) }
		s.loop = lifecycle.New(s.api, s.pipeline, cfg, jitter, slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelWarn})))
		s.stopping, s.stop = context.WithCancel(t.Context())
		defer s.stop()
		defer s.pending.Wait()
		play(s)
	})
}

// run runs the loop and notes its end.
func (s *fixture) run() error {
	err := s.loop.Run(s.stopping)
	s.note("end")
	return err
}

// at calls f at a time.
func (s *fixture) at(at time.Duration, f func()) {
	s.pending.Go(func() {
		time.Sleep(at - time.Since(s.start)) // fake time
		f()
	})
}

// invoke has Lambda send an invocation that times out after timeout, and its
// platform.start.
func (s *fixture) invoke(at time.Duration, request string, timeout time.Duration) {
	s.telemetry(at+late, s.event(at, event.TypePlatformStart, request))
	s.invokeSilently(at, request, timeout)
}

// invokeSilently has Lambda send an invocation without a platform.start.
func (s *fixture) invokeSilently(at time.Duration, request string, timeout time.Duration) {
	s.api.steps = append(s.api.steps, step{at: at, event: extensionapi.Event{
		Type: extensionapi.Invoke, RequestID: request, DeadlineMs: s.start.Add(at + timeout).UnixMilli(), FunctionARN: "arn:" + request, Trace: extensionapi.Trace("Root=1-" + request),
	}})
}

// shutdown has Lambda send SHUTDOWN.
func (s *fixture) shutdown(at, timeout time.Duration) {
	s.api.steps = append(s.api.steps, step{at: at, event: extensionapi.Event{
		Type: extensionapi.Shutdown, ShutdownReason: "spindown", DeadlineMs: s.start.Add(at + timeout).UnixMilli(),
	}})
}

// invocation is one of a series of invocations.
type invocation struct {
	gap   time.Duration // how long the environment is idle, and frozen, before it
	takes time.Duration // how long its runtime takes
}

// times returns n such invocations, one after the other.
func times(n int, v invocation) []invocation { return slices.Repeat([]invocation{v}, n) }

// late is how long Lambda buffers telemetry.
const late = 25 * time.Millisecond

// invokeAll has Lambda send invocations, called 0, 1, … and then SHUTDOWN, with the
// telemetry of each as Lambda sends it: while the environment is frozen no telemetry
// comes. It runs the loop to its end and returns why each invocation was held or not.
func (s *fixture) invokeAll(invocations ...invocation) (reasons []flush.Reason) {
	s.t.Helper()
	var (
		mu     sync.Mutex
		idle   = make(chan struct{}) // closed at the next thaw
		frozen bool
		free   time.Time // when the runtime is free
	)
	thaw := func() {
		mu.Lock()
		defer mu.Unlock()
		frozen = false
		close(idle)
		idle = make(chan struct{})
	}
	freeze := func() {
		mu.Lock()
		defer mu.Unlock()
		frozen = true
	}
	deliver := func(after time.Duration, ev *event.Event) {
		s.pending.Go(func() {
			time.Sleep(after + late)
			mu.Lock()
			wait, thawed := frozen, idle
			mu.Unlock()
			if wait {
				<-thawed
				time.Sleep(time.Millisecond)
			}
			s.loop.Observe(ev)
			s.loop.Acknowledged()
		})
	}
	for i, v := range invocations {
		request := strconv.Itoa(i)
		s.api.steps = append(s.api.steps, step{play: func() extensionapi.Event {
			time.Sleep(time.Until(free)) // fake time, like all here
			freeze()
			time.Sleep(v.gap)
			thaw()
			free = time.Now().Add(v.takes)
			at := time.Since(s.start)
			deliver(0, s.event(at, event.TypePlatformStart, request))
			deliver(v.takes, s.runtimeDone(at+v.takes, request))
			return extensionapi.Event{Type: extensionapi.Invoke, RequestID: request, DeadlineMs: time.Now().Add(15 * time.Minute).UnixMilli()}
		}})
	}
	s.api.steps = append(s.api.steps, step{play: func() extensionapi.Event {
		time.Sleep(time.Until(free))
		thaw()
		return extensionapi.Event{Type: extensionapi.Shutdown, DeadlineMs: time.Now().Add(2 * time.Second).UnixMilli()}
	}})
	if err := s.run(); err != nil {
		s.t.Errorf("Run returned %v", err)
	}
	for i, line := range s.only("Released") {
		fields := strings.Fields(line)
		if fields[2] != strconv.Itoa(i) {
			s.t.Fatalf("%q is not of request %d", line, i)
		}
		reasons = append(reasons, flush.Reason(fields[4]))
	}
	if len(reasons) != len(invocations) {
		s.t.Fatalf("%d of %d invocations were released: %q", len(reasons), len(invocations), s.all())
	}
	return reasons
}

// fail makes next fail.
func (s *fixture) fail(at time.Duration, err error) {
	s.api.steps = append(s.api.steps, step{at: at, err: err})
}

// telemetry has a body of events arrive, and acknowledges it at once.
func (s *fixture) telemetry(at time.Duration, events ...*event.Event) {
	s.at(at, func() {
		for _, ev := range events {
			ev := *ev // a body may be sent again
			s.loop.Observe(&ev)
		}
		s.loop.Acknowledged()
	})
}

// runtimeDone is the platform.runtimeDone of a request.
func (s *fixture) runtimeDone(at time.Duration, request string) *event.Event {
	return s.event(at, event.TypePlatformRuntimeDone, request)
}

func (s *fixture) report(at time.Duration, request string) *event.Event {
	return s.event(at, event.TypePlatformReport, request)
}

// initDone is the platform.initRuntimeDone.
func (s *fixture) initDone(at time.Duration) *event.Event {
	ev := s.event(at, "platform.initRuntimeDone", "")
	ev.Record = []byte(`{"initializationType":"snap-start","phase":"init","status":"success"}`)
	return ev
}

func (s *fixture) event(at time.Duration, kind, request string) *event.Event {
	return &event.Event{
		Time:     []byte(s.start.Add(at).UTC().Format(event.TimeFormat)),
		Received: s.start.Add(at),
		Type:     []byte(kind),
		Record:   fmt.Appendf(nil, `{"requestId":%q,"status":"success"}`, request),
	}
}

// want checks the lines about some things. The loop and its worker run concurrently:
// within an instant, want sorts the lines of the loop last.
func (s *fixture) want(things []string, want ...string) {
	s.t.Helper()
	got := s.only(things...)
	slices.SortStableFunc(got, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.instant(a), s.instant(b)), cmp.Compare(byLoop(a), byLoop(b)))
	})
	if !slices.Equal(got, want) {
		s.t.Errorf("%q: %q\nwant: %q\nall: %q", things, got, want, s.all())
	}
}

// instant is when a line was noted.
func (s *fixture) instant(line string) time.Duration {
	s.t.Helper()
	text, _, _ := strings.Cut(line, " ")
	at, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// byLoop returns 1 for what the loop does itself, and 0 for what its worker does.
func byLoop(line string) int {
	switch _, what, _ := strings.Cut(line, " "); {
	case what == "next", what == "end", strings.HasPrefix(what, "Released"):
		return 1
	}
	return 0
}

// finish has Lambda shut down an hour after the start, and runs the loop to its end.
// It deletes the lines of the shutdown, so that a test of invocations sees only them.
func (s *fixture) finish() {
	s.t.Helper()
	s.shutdown(time.Hour, 2*time.Second)
	if err := s.run(); err != nil {
		s.t.Errorf("Run returned %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = slices.DeleteFunc(s.lines, func(line string) bool { return line[:3] == "1h0" })
}

var (
	errNetwork = errors.New("connection reset")
	errRefused = fmt.Errorf("next: %w", &extensionapi.Error{Call: "next", Status: 403, Body: "no"})
)
