package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"kinetel/internal/config"
	"kinetel/internal/event"
	"kinetel/internal/extensionapi"
	"kinetel/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes what happens when, in fake time since the start, as lines such
// as "1.5s next". The fakes below write it.
type diary struct {
	start time.Time

	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("%s ", time.Since(d.start))+fmt.Sprintf(format, args...))
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// only gives the lines about some things, such as "next".
func (d *diary) only(things ...string) []string {
	return slices.DeleteFunc(d.all(), func(line string) bool {
		return !slices.ContainsFunc(things, func(thing string) bool {
			_, what, _ := bytes.Cut([]byte(line), []byte(" "))
			return bytes.HasPrefix(what, []byte(thing))
		})
	})
}

// step is one answer of Lambda's to next.
type step struct {
	at    time.Duration // since the start; next waits for it
	event extensionapi.Event
	err   error
}

// fakeAPI answers next by a script, and then never.
type fakeAPI struct {
	diary *diary

	mu    sync.Mutex
	steps []step
}

func (a *fakeAPI) Next(ctx context.Context) (extensionapi.Event, error) {
	if err := ctx.Err(); err != nil {
		return extensionapi.Event{}, err // nothing reaches Lambda
	}
	a.diary.note("next")
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
	select {
	case <-time.After(time.Until(a.diary.start.Add(s.at))):
		return s.event, s.err
	case <-ctx.Done():
		return extensionapi.Event{}, ctx.Err()
	}
}

// fakePipeline notes what it is told. Sending takes the times given, or until
// the context ends.
type fakePipeline struct {
	diary                *diary
	flush, finish, close time.Duration
	unavailable          func() bool // nil: never
}

func (p *fakePipeline) Thawed()                      { p.diary.note("Thawed") }
func (p *fakePipeline) Cut()                         { p.diary.note("Cut") }
func (p *fakePipeline) CutIfOlder(age time.Duration) { p.diary.note("CutIfOlder %s", age) }

func (p *fakePipeline) Unavailable() bool { return p.unavailable != nil && p.unavailable() }

func (p *fakePipeline) Flush(ctx context.Context) error { return p.work(ctx, "Flush", p.flush) }
func (p *fakePipeline) Finish(ctx context.Context)      { _ = p.work(ctx, "Finish", p.finish) }
func (p *fakePipeline) CloseIntake(ctx context.Context) { _ = p.work(ctx, "CloseIntake", p.close) }

func (p *fakePipeline) work(ctx context.Context, what string, takes time.Duration) error {
	p.diary.note("%s", what)
	if ctx.Err() != nil {
		p.diary.note("%s gave up", what)
		return ctx.Err()
	}
	select {
	case <-time.After(takes):
		return nil
	case <-ctx.Done():
		p.diary.note("%s gave up", what)
		return ctx.Err()
	}
}

// forever is longer than any invocation.
const forever = 24 * time.Hour

// scene is a loop among fakes. Times are since the start.
type scene struct {
	t *testing.T
	*diary
	api      *fakeAPI
	pipeline *fakePipeline
	loop     *lifecycle.Loop
	stop     context.CancelFunc
	log      *bytes.Buffer // read it when Run has ended

	stopping context.Context
}

// inFakeTime plays a scene in fake time. The default is to hold every
// invocation for its telemetry, at most 500 ms.
func inFakeTime(t *testing.T, play func(s *scene), change ...func(*config.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Config{Flush: config.FlushEnd, FlushInterval: time.Hour, MaxHold: 500 * time.Millisecond}
		for _, f := range change {
			f(&cfg)
		}
		d := &diary{start: time.Now()}
		s := &scene{t: t, diary: d, api: &fakeAPI{diary: d}, pipeline: &fakePipeline{diary: d}, log: &bytes.Buffer{}}
		s.loop = lifecycle.New(s.api, s.pipeline, cfg, slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelWarn})))
		s.stopping, s.stop = context.WithCancel(t.Context())
		defer s.stop()
		play(s)
	})
}

// run runs the loop and notes its end.
func (s *scene) run() error {
	err := s.loop.Run(s.stopping)
	s.note("end")
	return err
}

// at has something happen at a time.
func (s *scene) at(at time.Duration, f func()) {
	go func() {
		time.Sleep(at - time.Since(s.start)) // fake time
		f()
	}()
}

// invoke has Lambda send an invocation whose deadline is that long after it.
func (s *scene) invoke(at time.Duration, request string, timeout time.Duration) {
	s.api.steps = append(s.api.steps, step{at: at, event: extensionapi.Event{
		Type: extensionapi.Invoke, RequestID: request, DeadlineMs: s.start.Add(at + timeout).UnixMilli(),
	}})
}

// shutdown has Lambda send SHUTDOWN.
func (s *scene) shutdown(at, timeout time.Duration) {
	s.api.steps = append(s.api.steps, step{at: at, event: extensionapi.Event{
		Type: extensionapi.Shutdown, ShutdownReason: "spindown", DeadlineMs: s.start.Add(at + timeout).UnixMilli(),
	}})
}

// fail has next fail.
func (s *scene) fail(at time.Duration, err error) {
	s.api.steps = append(s.api.steps, step{at: at, err: err})
}

// telemetry has a body of events arrive and acknowledged at once.
func (s *scene) telemetry(at time.Duration, events ...*event.Event) {
	s.at(at, func() {
		for _, ev := range events {
			s.loop.Observe(ev)
		}
		s.loop.Acknowledged()
	})
}

// runtimeDone is the platform.runtimeDone of a request.
func (s *scene) runtimeDone(at time.Duration, request string) *event.Event {
	return s.event(at, event.TypePlatformRuntimeDone, request)
}

func (s *scene) report(at time.Duration, request string) *event.Event {
	return s.event(at, event.TypePlatformReport, request)
}

func (s *scene) event(at time.Duration, kind, request string) *event.Event {
	return &event.Event{
		Time:     []byte(s.start.Add(at).UTC().Format(event.TimeFormat)),
		Received: s.start.Add(at),
		Type:     []byte(kind),
		Record:   fmt.Appendf(nil, `{"requestId":%q,"status":"success"}`, request),
	}
}

// want wants these lines about these things.
func (s *scene) want(things []string, want ...string) {
	s.t.Helper()
	if got := s.only(things...); !slices.Equal(got, want) {
		s.t.Errorf("%q: %q\nwant: %q\nall: %q", things, got, want, s.all())
	}
}

// finish has Lambda shut down an hour after the start, and runs the loop to
// its end. What belongs to the shutdown is forgotten, so that a test of
// invocations sees only them.
func (s *scene) finish() {
	s.t.Helper()
	s.shutdown(time.Hour, 2*time.Second)
	if err := s.run(); err != nil {
		s.t.Errorf("Run gives %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = slices.DeleteFunc(s.lines, func(line string) bool { return line[:3] == "1h0" })
}

var (
	errNetwork = errors.New("connection reset")
	errRefused = fmt.Errorf("next: %w", &extensionapi.Error{Call: "next", Status: 403, Body: "no"})
)
