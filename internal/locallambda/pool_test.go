package locallambda

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// observer records what the pool's environments do.
type observer struct {
	mu      sync.Mutex
	changed chan struct{}
	begun   int // invocations
	results []Result
}

// newPool returns a pool of the sample function. change may change the configuration of an
// environment.
func newPool(t *testing.T, cfg PoolConfig, change func(index int, c *lambdasim.Config)) (*Pool, *observer) {
	t.Helper()
	o := &observer{changed: make(chan struct{})}
	cfg.Environment = func(index int) lambdasim.Config {
		c := lambdasim.Config{Function: lambdasim.Process{Path: programs.Path("function")}, Timeout: 10 * time.Second}
		c.OnNotice = func(n lambdasim.Notice) {
			if n.Kind == lambdasim.NoticeInvokeStart {
				o.change(func() { o.begun++ })
			}
		}
		if change != nil {
			change(index, &c)
		}
		return c
	}
	cfg.OnResult = func(r Result, _ error) { o.change(func() { o.results = append(o.results, r) }) }
	p, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p, o
}

func (o *observer) change(what func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	what()
	close(o.changed)
	o.changed = make(chan struct{})
}

// awaitBegun waits until so many invocations have begun.
func (o *observer) awaitBegun(t *testing.T, n int) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		o.mu.Lock()
		begun, changed := o.begun, o.changed
		o.mu.Unlock()
		if begun >= n {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			t.Fatalf("%d invocations have begun, want %d", begun, n)
		}
	}
}

func payload(format string, args ...any) Request {
	return Request{Request: lambdasim.Request{Payload: fmt.Appendf(nil, format, args...)}}
}

func invoke(t *testing.T, p *Pool, req Request) Result {
	t.Helper()
	result, err := p.Invoke(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// together runs invocations at the same time.
func together(t *testing.T, p *Pool, reqs ...Request) (wait func() []Result) {
	results := make([]Result, len(reqs))
	var running sync.WaitGroup
	for i, req := range reqs {
		running.Go(func() {
			var err error
			if results[i], err = p.Invoke(context.WithoutCancel(t.Context()), req); err != nil {
				t.Error(err)
			}
		})
	}
	return func() []Result { running.Wait(); return results }
}

// hold runs n invocations that do not end before release is called. Then they are aborted.
func hold(t *testing.T, p *Pool, o *observer, n int) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	o.mu.Lock()
	before := o.begun
	o.mu.Unlock()
	for range n {
		running.Go(func() {
			if _, err := p.Invoke(ctx, payload(`{"hang":true}`)); err != context.Canceled {
				t.Errorf("an invocation that hangs: %v", err)
			}
		})
	}
	o.awaitBegun(t, before+n)
	return func() { cancel(); running.Wait() }
}

func TestPoolThrottles(t *testing.T) {
	t.Parallel()
	p, o := newPool(t, PoolConfig{Concurrency: 2}, nil)
	release := hold(t, p, o, 2)
	if _, err := p.Invoke(t.Context(), payload(`{}`)); err != ErrThrottled {
		t.Errorf("a third invocation at once: %v", err)
	}
	stop := make(chan struct{})
	close(stop)
	if _, err := p.Invoke(t.Context(), Request{Wait: true, StopWaiting: stop}); err != ErrThrottled {
		t.Errorf("an invocation that stopped waiting: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Invoke(ended, Request{Wait: true}); err != context.Canceled {
		t.Errorf("an invocation whose client is gone: %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := p.Invoke(context.Background(), Request{Wait: true})
		waiting <- err
	}()
	release()
	if err := <-waiting; err != nil {
		t.Errorf("an invocation that waited: %v", err)
	}
}

// A client that sends one request after the other is not throttled, although extensions
// work when it has its answer.
func TestPoolThatFinishes(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, PoolConfig{Concurrency: 1}, nil)
	var all []chan error
	for range 5 {
		answered, ended := make(chan struct{}), make(chan error, 1)
		all = append(all, ended)
		req := payload(`{"exit":3}`) // the reset comes after the answer
		req.OnResponse = func(lambdasim.Response) { close(answered) }
		go func() {
			_, err := p.Invoke(context.Background(), req)
			ended <- err
		}()
		select {
		case <-answered:
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			ended <- err
		}
	}
	for _, ended := range all {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	// But only one client may wait for one answer.
	p.finishing.Add(1)
	p.places <- struct{}{}
	waiting := make(chan error)
	go func() {
		_, err := p.Invoke(context.Background(), payload(`{}`))
		waiting <- err
	}()
	for p.awaiting.Load() == 0 {
		runtime.Gosched()
	}
	if _, err := p.Invoke(t.Context(), payload(`{}`)); err != ErrThrottled {
		t.Errorf("a second one that waits: %v", err)
	}
	<-p.places
	p.finishing.Add(-1)
	if err := <-waiting; err != nil {
		t.Error(err)
	}
}

func TestPoolScales(t *testing.T) {
	t.Parallel()
	p, o := newPool(t, PoolConfig{Concurrency: 2}, nil)
	if r := invoke(t, p, payload(`{}`)); !r.ColdStart || r.Environment != 0 || r.Status != lambdasim.StatusSuccess {
		t.Errorf("first invocation: %+v", r)
	}
	wait := together(t, p, payload(`{"id":"a","sleep":"1s"}`), payload(`{"id":"b","sleep":"1s"}`))
	both := wait()
	if both[0].Environment == both[1].Environment || both[0].ColdStart == both[1].ColdStart {
		t.Errorf("two at once: %+v, %+v", both[0], both[1])
	}
	// The environment that was used last is used again.
	last := invoke(t, p, payload(`{}`)).Environment
	for range 2 {
		if r := invoke(t, p, payload(`{}`)); r.ColdStart || r.Environment != last {
			t.Errorf("after environment %d: %+v", last, r)
		}
	}
	if n := len(p.Sandboxes()); n != 2 {
		t.Errorf("%d environments", n)
	}
	reports := p.Close(t.Context())
	if len(reports) != 2 || reports[0].Environment != 0 || reports[1].Environment != 1 || reports[0].Invocations+reports[1].Invocations != 6 {
		t.Errorf("reports: %+v", reports)
	}
	for _, report := range reports {
		if report.Err != nil || len(report.Processes) != 1 || !report.Processes[0].Exited {
			t.Errorf("report: %+v", report)
		}
	}
	if len(o.results) != 6 {
		t.Errorf("%d results were observed", len(o.results))
	}
	if len(p.Sandboxes()) != 0 {
		t.Error("environments live after Close")
	}
}

// A crash resets the environment, as in lambdasim.
func TestPoolAfterACrash(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, PoolConfig{}, nil)
	if r := invoke(t, p, payload(`{"exit":3}`)); r.ErrorType != "Runtime.ExitError" {
		t.Errorf("the crash: %+v", r)
	}
	if r := invoke(t, p, payload(`{}`)); r.Environment != 0 || !r.SuppressedInit || r.Status != lambdasim.StatusSuccess {
		t.Errorf("the next invocation: %+v", r)
	}
	if reports := p.Close(t.Context()); len(reports) != 1 || len(reports[0].Processes) != 2 {
		t.Errorf("reports: %+v", reports)
	}
}

func TestPoolOfManagedInstances(t *testing.T) {
	t.Parallel()
	p, o := newPool(t, PoolConfig{Concurrency: 3}, func(_ int, c *lambdasim.Config) {
		c.InitializationType, c.MaxConcurrency = lambdasim.InitManagedInstances, 2
	})
	if err := p.Warm(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	release := hold(t, p, o, 2)
	if n := len(p.Sandboxes()); n != 1 {
		t.Errorf("%d environments for two invocations", n)
	}
	if r := invoke(t, p, payload(`{}`)); r.Environment != 1 {
		t.Errorf("the third invocation: %+v", r)
	}
	release()
	// Now the workers of environment 0 are busy with invocations that are abandoned.
	if r := invoke(t, p, payload(`{}`)); r.Environment != 1 {
		t.Errorf("after invocations were abandoned: %+v", r)
	}
	// The crash of an environment ends it. The next invocation gets another one.
	crashed := invoke(t, p, payload(`{"exit":3}`))
	if crashed.ErrorType != "Runtime.ExitError" {
		t.Errorf("the crash: %+v", crashed)
	}
	for range 3 {
		if r := invoke(t, p, payload(`{}`)); r.Environment == crashed.Environment || r.Status != lambdasim.StatusSuccess {
			t.Errorf("after the crash of environment %d: %+v", crashed.Environment, r)
		}
	}
}

func TestPoolOfTenants(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, PoolConfig{Concurrency: 2, PerTenant: true}, nil)
	if _, err := p.Invoke(t.Context(), payload(`{}`)); err != ErrNoTenant {
		t.Errorf("without a tenant: %v", err)
	}
	for _, step := range []struct {
		tenant string
		want   int
	}{
		{"blue", 0},
		{"green", 1},
		{"blue", 0},
		{"green", 1},
		{"red", 2}, // in place of blue, which was idle longer
		{"green", 1},
		{"blue", 3},
	} {
		req := payload(`{}`)
		req.TenantID = step.tenant
		if r := invoke(t, p, req); r.Environment != step.want {
			t.Errorf("%s got environment %d, want %d", step.tenant, r.Environment, step.want)
		}
	}
	if reports := p.Close(t.Context()); len(reports) != 4 {
		t.Errorf("%d reports", len(reports))
	}
	p, _ = newPool(t, PoolConfig{}, nil)
	req := payload(`{}`)
	req.TenantID = "blue"
	if _, err := p.Invoke(t.Context(), req); err != ErrTenant {
		t.Errorf("with a tenant: %v", err)
	}
}

func TestWarm(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, PoolConfig{Concurrency: 2}, func(_ int, c *lambdasim.Config) {
		c.InitializationType = lambdasim.InitProvisionedConcurrency
	})
	for _, n := range []int{1, 1, 5} {
		if err := p.Warm(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if got := len(p.Sandboxes()); got != min(n, 2) {
			t.Errorf("Warm(%d): %d environments", n, got)
		}
	}
	if r := invoke(t, p, payload(`{}`)); r.Environment > 1 {
		t.Errorf("%+v", r)
	}
}

// On demand a failed init is the error of the invocation that runs it again.
func TestFailedInit(t *testing.T) {
	t.Parallel()
	failing := func(initialization lambdasim.InitializationType) func(int, *lambdasim.Config) {
		return func(_ int, c *lambdasim.Config) {
			c.Extensions = []lambdasim.Process{{Path: "/bin/false"}}
			c.InitializationType = initialization
		}
	}
	p, _ := newPool(t, PoolConfig{}, failing(lambdasim.InitOnDemand))
	if r := invoke(t, p, payload(`{}`)); r.FunctionError != "Unhandled" || r.ErrorType != "Extension.Crash" {
		t.Errorf("on demand: %+v", r)
	}
	p, o := newPool(t, PoolConfig{}, failing(lambdasim.InitProvisionedConcurrency))
	var failed *lambdasim.InitError
	if _, err := p.Invoke(t.Context(), payload(`{}`)); !errors.As(err, &failed) || failed.Type != "Extension.Crash" {
		t.Errorf("provisioned: %v", err)
	}
	if len(o.results) != 1 || o.results[0].Environment != -1 {
		t.Errorf("results: %+v", o.results)
	}
	reports := p.Close(t.Context())
	if len(reports) != 1 || !errors.As(reports[0].Err, &failed) || len(reports[0].Processes) != 1 {
		t.Errorf("reports: %+v", reports)
	}
}

func TestPoolConfig(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]PoolConfig{
		"no Environment":     {},
		"Concurrency is -1,": {Concurrency: -1, Environment: func(int) lambdasim.Config { return lambdasim.Config{} }},
	} {
		if _, err := NewPool(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	p, _ := newPool(t, PoolConfig{}, func(_ int, c *lambdasim.Config) { c.Function.Path = "/nowhere" })
	if err := p.Warm(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("error: %v", err)
	}
	if _, err := p.Invoke(t.Context(), payload(`{}`)); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("error: %v", err)
	}
}

// Close waits for what runs, and every extension gets SHUTDOWN.
func TestPoolClose(t *testing.T) {
	t.Parallel()
	p, o := newPool(t, PoolConfig{Concurrency: 1}, func(_ int, c *lambdasim.Config) {
		c.Extensions = []lambdasim.Process{{Path: programs.Path(sandbox.Extension)}}
		c.Env = map[string]string{"KINETEL_ENABLED": "false"}
	})
	wait := together(t, p, payload(`{"sleep":"500ms"}`))
	o.awaitBegun(t, 1)
	reports := p.Close(t.Context())
	if r := wait()[0]; r.Status != lambdasim.StatusSuccess {
		t.Errorf("the invocation that ran: %+v", r)
	}
	if len(reports) != 1 {
		t.Fatalf("reports: %+v", reports)
	}
	extension, found := reports[0].Shutdown.Extension(sandbox.Extension)
	if !found || extension.ExitCode != 0 || extension.Killed || extension.ShutdownTook == 0 {
		t.Errorf("the extension: %+v", extension)
	}
	if _, err := p.Invoke(t.Context(), payload(`{}`)); err != ErrClosed {
		t.Errorf("an invocation after Close: %v", err)
	}
	if err := p.Warm(t.Context(), 1); err != ErrClosed {
		t.Errorf("Warm after Close: %v", err)
	}
	if again := p.Close(t.Context()); len(again) != 1 {
		t.Errorf("a second Close: %+v", again)
	}
}

// If its context ends, Close aborts what runs.
func TestPoolCloseInAHurry(t *testing.T) {
	t.Parallel()
	p, o := newPool(t, PoolConfig{Concurrency: 1}, func(_ int, c *lambdasim.Config) { c.Timeout = 10 * time.Minute })
	release := hold(t, p, o, 1)
	waiting := make(chan error)
	go func() {
		_, err := p.Invoke(context.Background(), Request{Wait: true})
		waiting <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan []EnvironmentReport, 1)
	go func() { closed <- p.Close(ctx) }()
	if err := <-waiting; err != ErrClosed {
		t.Errorf("an invocation that waited: %v", err)
	}
	if len(closed) > 0 {
		t.Error("Close did not wait for the invocation that runs")
	}
	cancel()
	defer release()
	if reports := <-closed; len(reports) != 1 || !reports[0].Processes[0].Killed {
		t.Errorf("reports: %+v", reports)
	}
}

func TestTailLog(t *testing.T) {
	t.Parallel()
	for _, initialization := range []lambdasim.InitializationType{lambdasim.InitOnDemand, lambdasim.InitManagedInstances} {
		t.Run(string(initialization), func(t *testing.T) {
			t.Parallel()
			p, _ := newPool(t, PoolConfig{}, func(_ int, c *lambdasim.Config) {
				c.InitializationType, c.DisableTracing = initialization, true
			})
			invoke(t, p, payload(`{"lines":1}`))
			req := payload(`{"lines":2}`) // each has the request id
			req.TailLog = true
			r := invoke(t, p, req)
			lines := strings.SplitAfter(strings.TrimSuffix(string(r.Log), "\n"), "\n")
			want := []string{"START RequestId: ID Version: $LATEST\n", "ID line 1 hello", "ID line 2 hello", "END RequestId: ID\n", "REPORT RequestId: ID\tDuration: "}
			if initialization == lambdasim.InitManagedInstances {
				want = []string{`"type":"platform.start","record":{"requestId":"ID"`, "ID line 1 hello", "ID line 2 hello", `"type":"platform.report","record":{"requestId":"ID"`}
			}
			if len(lines) != len(want) {
				t.Fatalf("log:\n%s", r.Log)
			}
			for i, line := range lines {
				if want := strings.ReplaceAll(want[i], "ID", r.RequestID); !strings.Contains(line, want) {
					t.Errorf("line %d is %q, want %q", i+1, line, want)
				}
			}
			if other := invoke(t, p, payload(`{}`)); other.Log != nil {
				t.Errorf("a log that no client wants: %q", other.Log)
			}
		})
	}
}
