package locallambda

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kinetel/kinetel/lambdasim"
)

// PoolConfig is what a Pool needs. Only Environment is required.
type PoolConfig struct {
	// Environment returns the configuration of an environment. It is called when the
	// environment is started, with its index: environments count from 0, and no index
	// comes twice. So its observers know where they are. With InitOnDemand the pool
	// sets RetryFailedInit, as AWS Lambda does.
	Environment func(index int) lambdasim.Config
	// Concurrency is how many invocations may run at once: 10 by default.
	Concurrency int
	// PerTenant gives each tenant environments of its own (tenant isolation). Then
	// every request must have a TenantID, otherwise none may have one.
	PerTenant bool
	// OnResult, if set, is called when an invocation has ended, also if it failed
	// with an error. Several calls may run at the same time.
	OnResult func(Result, error)
}

// Request is an invocation of the function.
type Request struct {
	lambdasim.Request
	// Wait waits while Concurrency invocations run, until StopWaiting is closed.
	// Otherwise Invoke returns ErrThrottled.
	Wait        bool
	StopWaiting <-chan struct{}
	// TailLog asks for Result.Log.
	TailLog bool
}

// Result describes an invocation that has ended.
type Result struct {
	lambdasim.Result
	// Environment is the index of the environment, or -1 if it could not be started.
	Environment int
	// Log is the end of the invocation's log, 4 KB at most, as Lambda writes it.
	Log []byte
}

// EnvironmentReport describes an environment that has ended.
type EnvironmentReport struct {
	Environment int
	Invocations int
	// Shutdown is the report of the shutdown, and Processes describes all processes
	// that were started, also those before a reset.
	Shutdown  lambdasim.ShutdownReport
	Processes []lambdasim.ProcessReport
	// Err is set if the environment could not be started, or not be shut down in time.
	Err error
}

// Errors of Pool.Invoke, besides those of lambdasim.
var (
	// ErrThrottled means that PoolConfig.Concurrency invocations run already.
	ErrThrottled = errors.New("the function runs as many invocations at once as it may")
	// ErrClosed means that the pool is closed.
	ErrClosed = errors.New("the function is shutting down")
	// ErrNoTenant and ErrTenant mean that a request has to have a TenantID, or must
	// not have one.
	ErrNoTenant = errors.New("the function has tenant isolation, and the request has no tenant ID")
	ErrTenant   = errors.New("the request has a tenant ID, and the function has no tenant isolation")
)

// Pool is a function with its environments, as many as invocations run at once. An
// invocation gets an idle environment, the one that was used last. If there is none, it
// starts one. It is safe for concurrent use.
type Pool struct {
	cfg     PoolConfig
	places  chan struct{} // has an element for each invocation that runs
	closing chan struct{}
	// finishing counts the invocations that run although their clients have the
	// answer, and awaiting those that wait for one of them to end.
	finishing, awaiting atomic.Int32
	// ctx ends what runs, when there is no more time for a shutdown in order.
	ctx    context.Context
	cancel context.CancelFunc

	running sync.WaitGroup // invocations and starts
	ending  sync.WaitGroup // environments that are shut down

	mu      sync.Mutex
	closed  bool
	started int            // environments so far
	count   int            // environments that start or live
	living  []*environment // the one that was used last is the last one
	reports []EnvironmentReport
}

// NewPool returns a pool without environments. Call Close to end it.
func NewPool(cfg PoolConfig) (*Pool, error) {
	if cfg.Environment == nil {
		return nil, errors.New("locallambda: PoolConfig has no Environment")
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 10
	}
	if cfg.Concurrency < 1 {
		return nil, fmt.Errorf("locallambda: Concurrency is %d, want 1 or more", cfg.Concurrency)
	}
	p := &Pool{cfg: cfg, places: make(chan struct{}, cfg.Concurrency), closing: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Invoke invokes the function, and returns when the invocation has ended. If ctx ends
// earlier, the invocation is aborted, as by lambdasim. An invocation does not count as
// running for ErrThrottled when its client has the answer and only the extensions work
// still, or the reset after a crash: the next one waits for it. So a client that sends one
// request after the other is never throttled.
func (p *Pool) Invoke(ctx context.Context, req Request) (Result, error) {
	if err := p.Check(req); err != nil {
		return Result{}, err
	}
	if req.RequestID == "" {
		req.RequestID = newRequestID()
	}
	if err := p.enter(ctx, req); err != nil {
		return Result{}, err
	}
	answered := false
	defer func() { p.leave(answered) }()
	ctx, stop := p.bound(ctx)
	defer stop()
	respond := req.OnResponse
	req.OnResponse = func(r lambdasim.Response) {
		answered = true
		p.finishing.Add(1) // before the client can send its next request
		if respond != nil {
			respond(r)
		}
	}
	// An environment of managed instances may have ended just before. Then the
	// invocation has not begun, and gets another one.
	result, err := Result{Environment: -1}, error(nil)
	for range 3 {
		var env *environment
		if env, err = p.take(ctx, req.TenantID); err != nil {
			break
		}
		result, err = env.invoke(ctx, req)
		ended := errors.Is(err, lambdasim.ErrEnvironmentEnded)
		p.giveBack(env, ended)
		if !ended {
			break
		}
	}
	result.RequestID = req.RequestID
	if p.cfg.OnResult != nil {
		p.cfg.OnResult(result, err)
	}
	return result, err
}

// Check returns the error of a request that no environment can take.
func (p *Pool) Check(req Request) error {
	switch {
	case p.cfg.PerTenant && req.TenantID == "":
		return ErrNoTenant
	case !p.cfg.PerTenant && req.TenantID != "":
		return ErrTenant
	}
	return nil
}

// Warm starts environments until there are n, but not more than Concurrency. Use it for
// provisioned concurrency, SnapStart and managed instances, whose environments exist before
// the first invocation, and to find mistakes in the configuration early.
func (p *Pool) Warm(ctx context.Context, n int) error {
	if err := p.begin(); err != nil {
		return err
	}
	defer p.running.Done()
	ctx, stop := p.bound(ctx)
	defer stop()
	var starting sync.WaitGroup
	p.mu.Lock()
	missing := max(min(n, p.cfg.Concurrency)-p.count, 0)
	p.count += missing
	p.mu.Unlock()
	errs := make([]error, missing)
	for i := range missing {
		starting.Go(func() {
			env, err := p.start(ctx, "")
			if errs[i] = err; err == nil {
				p.giveBack(env, false)
			}
		})
	}
	starting.Wait()
	return errors.Join(errs...)
}

// Sandboxes returns the environments that live, by their index.
func (p *Pool) Sandboxes() map[int]*lambdasim.Sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	sandboxes := make(map[int]*lambdasim.Sandbox, len(p.living))
	for _, env := range p.living {
		sandboxes[env.index] = env.sandbox
	}
	return sandboxes
}

// Close takes no more invocations, waits for those that run, and shuts all environments
// down. When ctx ends, it aborts the invocations and kills the processes. It returns the
// reports of all environments that ever were, by their index. A second call waits for the
// first.
func (p *Pool) Close(ctx context.Context) []EnvironmentReport {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
	p.mu.Unlock()
	defer context.AfterFunc(ctx, p.cancel)()
	p.running.Wait()
	p.mu.Lock()
	living := p.living
	p.living = nil
	p.mu.Unlock()
	for _, env := range living {
		p.end(env)
	}
	p.ending.Wait()
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(p.reports, func(a, b EnvironmentReport) int { return a.Environment - b.Environment })
	return p.reports
}

// begin counts something that Close waits for.
func (p *Pool) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.running.Add(1)
	return nil
}

// enter takes one of the places.
func (p *Pool) enter(ctx context.Context, req Request) error {
	select {
	case p.places <- struct{}{}:
	default:
		if !req.Wait {
			defer p.awaiting.Add(-1)
			if p.awaiting.Add(1) > p.finishing.Load() {
				return ErrThrottled
			}
		}
		select {
		case p.places <- struct{}{}:
		case <-req.StopWaiting:
			return ErrThrottled
		case <-p.closing:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := p.begin(); err != nil {
		<-p.places
		return err
	}
	return nil
}

func (p *Pool) leave(answered bool) {
	<-p.places
	if answered {
		p.finishing.Add(-1)
	}
	p.running.Done()
}

// bound returns a context that ends with ctx, and when Close has no more time.
func (p *Pool) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// newRequestID makes a version 4 UUID.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
