package locallambda

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/kinetel/kinetel/lambdasim"
)

// environment is one execution environment of the pool.
type environment struct {
	index    int
	sandbox  *lambdasim.Sandbox
	capacity int    // invocations at once
	tenant   string // whose it is, with PerTenant
	tails    tails

	invocations atomic.Int64
	running     int // guarded by Pool.mu
}

// take returns an environment for one invocation: the one that was used last and has room,
// or a new one.
func (p *Pool) take(ctx context.Context, tenant string) (*environment, error) {
	p.mu.Lock()
	for _, env := range slices.Backward(p.living) {
		// Invocations that managed instances have abandoned occupy workers still.
		if env.running+env.sandbox.Abandoned() < env.capacity && (env.tenant == tenant || env.tenant == "") {
			env.tenant = tenant
			env.running++
			p.mu.Unlock()
			return env, nil
		}
	}
	// There are no more environments than places. To make room, an idle one ends: it is
	// another tenant's, or has no worker left.
	if p.count >= p.cfg.Concurrency {
		for i, env := range p.living {
			if env.running == 0 {
				p.living = slices.Delete(p.living, i, i+1)
				p.count--
				p.end(env)
				break
			}
		}
	}
	p.count++
	p.mu.Unlock()
	return p.start(ctx, tenant)
}

// start starts an environment, for one invocation. The caller has counted it.
func (p *Pool) start(ctx context.Context, tenant string) (*environment, error) {
	p.mu.Lock()
	env := &environment{index: p.started, capacity: 1, tenant: tenant, running: 1}
	p.started++
	p.mu.Unlock()
	cfg := p.cfg.Environment(env.index)
	switch cfg.InitializationType {
	case "", lambdasim.InitOnDemand:
		cfg.RetryFailedInit = true
	case lambdasim.InitManagedInstances:
		if cfg.MaxConcurrency == 0 {
			cfg.MaxConcurrency = 10
		}
		env.capacity = cfg.MaxConcurrency
	}
	env.tails.format = cfg.LogFormat
	if env.tails.format == "" && cfg.InitializationType == lambdasim.InitManagedInstances {
		env.tails.format = lambdasim.LogJSON
	}
	observer := cfg.OnEvent
	cfg.OnEvent = func(e lambdasim.Event) {
		env.tails.add(e)
		if observer != nil {
			observer(e)
		}
	}
	sandbox, err := lambdasim.Start(ctx, cfg)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.count--
		report := EnvironmentReport{Environment: env.index, Err: err}
		var failed *lambdasim.InitError
		if errors.As(err, &failed) {
			report.Processes = failed.Processes
		}
		p.reports = append(p.reports, report)
		return nil, err
	}
	env.sandbox = sandbox
	p.living = append(p.living, env)
	return env, nil
}

// giveBack ends an invocation's use of an environment, and the environment if it has ended.
func (p *Pool) giveBack(env *environment, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	env.running--
	i := slices.Index(p.living, env)
	if i < 0 {
		return // another invocation has seen its end
	}
	p.living = slices.Delete(p.living, i, i+1)
	if ended {
		p.count--
		p.end(env)
		return
	}
	p.living = append(p.living, env)
}

// end shuts an environment down, which is not in living any more.
func (p *Pool) end(env *environment) {
	p.ending.Go(func() {
		shutdown, err := env.sandbox.Shutdown(p.ctx)
		report := EnvironmentReport{
			Environment: env.index, Invocations: int(env.invocations.Load()),
			Shutdown: shutdown, Processes: env.sandbox.Processes(), Err: err,
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reports = append(p.reports, report)
	})
}

// invoke runs one invocation in the environment.
func (env *environment) invoke(ctx context.Context, req Request) (Result, error) {
	result := Result{Environment: env.index}
	env.invocations.Add(1)
	if req.TailLog {
		env.tails.begin(req.RequestID)
	}
	var err error
	result.Result, err = env.sandbox.InvokeRequest(ctx, req.Request)
	if req.TailLog {
		result.Log = env.tails.end(req.RequestID)
	}
	return result, err
}
