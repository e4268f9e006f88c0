// Package localrun runs a function with extensions in the local Lambda: it invokes it or
// serves it, prints what happens, and sums it up. It is the work of kinetel run.
package localrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/locallambda"
	"github.com/kinetel/kinetel/internal/localrun/cpulimit"
	"github.com/kinetel/kinetel/internal/localrun/fault"
	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/lambdasim"
)

// Config is what to run, and how.
type Config struct {
	// Lambda is what all environments have in common.
	Lambda lambdasim.Config
	// Concurrency is how many invocations may run at once.
	Concurrency int
	// Provisioned is how many environments are provisioned; others are on demand.
	Provisioned int
	// Tenant is the tenant of the Invocations. With one, the function has tenant
	// isolation.
	Tenant string
	// Invocations are those to make; nil: serve the endpoint on Port until the context
	// ends.
	Invocations *Invocations
	Port        int
	Faults      []fault.Fault
	Started     time.Time         // when the times of faults begin
	CPU         *cpulimit.Limiter // nil: no limit
	Dir         string            // each environment gets a folder in it, in place of /tmp
	Tail        tail.Options      // how to print
	Out, Notes  io.Writer
	Stream      Stream // that Kinetel writes to
	// Abort, if set, ends the run at once: it kills the processes, and waits for no output.
	Abort context.Context
	// Serving returns what to print when the endpoint is served, for a person.
	Serving func(url string) string
}

// Invocations are those that a run makes.
type Invocations struct {
	Payload []byte
	Count   int
	Rate    float64 // begun a second, if there is an environment for them; 0: no limit
}

// run is one run.
type run struct {
	Config
	printer   *printer
	collector *report.Collector
	pool      *locallambda.Pool
	fail      context.CancelCauseFunc // ends the run
}

// Run runs the function until the invocations are done, or the context ends. Then it shuts
// all environments down. The error says why the run ended early: it is that of the context,
// if that ended while there was something to do. The summary is true in any case.
func Run(ctx context.Context, cfg Config) (report.Summary, error) {
	outer := ctx
	if cfg.Abort == nil {
		cfg.Abort = context.Background()
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &run{Config: cfg, printer: newPrinter(cfg, fail), collector: report.NewCollector(), fail: fail}
	defer r.printer.close()
	var err error
	r.pool, err = locallambda.NewPool(locallambda.PoolConfig{
		Environment: r.environment, Concurrency: cfg.Concurrency, PerTenant: cfg.Tenant != "", OnResult: r.ended,
	})
	if err != nil {
		return r.collector.Summary(), err
	}
	var watching sync.WaitGroup
	watching.Go(func() { r.kill(ctx) })
	watching.Go(func() {
		<-ctx.Done()
		if outer.Err() != nil {
			r.printer.note("the environments are shut down; interrupt again to end at once")
		}
	})
	err = r.warm(ctx)
	switch {
	case err != nil:
	case cfg.Invocations != nil:
		err = r.invoke(ctx)
	default:
		err = r.serve(ctx)
	}
	fail(nil)
	watching.Wait()
	for _, e := range r.pool.Close(cfg.Abort) {
		r.collector.Environment(e.Processes, e.Err)
	}
	return r.collector.Summary(), err
}

// environment returns the configuration of an environment.
func (r *run) environment(index int) lambdasim.Config {
	cfg := r.Lambda
	if cfg.InitializationType == lambdasim.InitProvisionedConcurrency && index >= r.Provisioned {
		cfg.InitializationType = lambdasim.InitOnDemand
	}
	name := "environment-" + strconv.Itoa(index)
	// Its /tmp is this machine's, so each environment gets a folder, and Kinetel's spool
	// is in it.
	cfg.TmpDir = filepath.Join(r.Dir, name)
	if err := os.MkdirAll(cfg.TmpDir, 0o700); err != nil {
		r.fail(err)
	}
	cfg.Extensions = slices.Clone(cfg.Extensions)
	for i, e := range cfg.Extensions {
		if filepath.Base(e.Path) == Kinetel && cfg.Env[spoolDir] == "" {
			cfg.Extensions[i].Env = map[string]string{spoolDir: cfg.TmpDir}
		}
	}
	cfg.OnEvent = func(e lambdasim.Event) {
		r.collector.Event(index, e)
		r.printer.event(index, cfg.InitializationType, e)
	}
	cfg.OnDelivered = func(d lambdasim.Delivery) { r.collector.Delivered(index, d) }
	var group *cpulimit.Group
	if r.CPU != nil {
		var err error
		if group, err = r.CPU.Group(name); err != nil {
			r.printer.note("--cpu: %v", err)
		}
	}
	cfg.OnNotice = func(n lambdasim.Notice) { r.notice(index, n, group) }
	return cfg
}

// notice prints the steps of a sandbox that a user should know of, and limits its new
// processes.
func (r *run) notice(environment int, n lambdasim.Notice, group *cpulimit.Group) {
	switch n.Kind {
	case lambdasim.NoticeExec:
		if group != nil {
			if err := group.Add(n.PID); err != nil {
				r.printer.note("--cpu: %s is not throttled: %v", n.Process, err)
			}
		}
	case lambdasim.NoticeInitFailed, lambdasim.NoticeReset, lambdasim.NoticeEnvironmentEnded, lambdasim.NoticeRefused:
		r.printer.note("environment %d: %v", environment, n)
	}
}

// ended observes an invocation.
func (r *run) ended(result locallambda.Result, err error) {
	if err != nil {
		return // it was not an invocation
	}
	r.collector.Invocation(result.Result)
	r.printer.invocation(result.Environment, result.Result)
}

// warm starts the environments that exist before the first invocation. The endpoint always
// has one, so that a mistake shows at once.
func (r *run) warm(ctx context.Context) error {
	n := r.Provisioned
	if r.Invocations == nil || r.Lambda.InitializationType == lambdasim.InitManagedInstances || r.Lambda.InitializationType == lambdasim.InitSnapStart {
		n = max(n, 1)
	}
	if n == 0 {
		return nil
	}
	err := r.pool.Warm(ctx, n)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// invoke makes the invocations: as many at once as there may be.
func (r *run) invoke(ctx context.Context) error {
	turns := make(chan struct{})
	var workers sync.WaitGroup
	for range min(r.Concurrency, r.Invocations.Count) {
		workers.Go(func() {
			for range turns {
				if err := r.invokeOnce(); err != nil {
					r.fail(err)
				}
			}
		})
	}
	err := r.pace(ctx, turns)
	close(turns)
	workers.Wait()
	if cause := context.Cause(ctx); err == nil {
		err = cause // of the last ones
	}
	return err
}

// pace gives a turn for each invocation, at the rate.
func (r *run) pace(ctx context.Context, turns chan<- struct{}) error {
	begin := time.Now()
	for i := range r.Invocations.Count {
		if r.Invocations.Rate > 0 {
			due := time.Duration(float64(i) / r.Invocations.Rate * float64(time.Second))
			select {
			case <-time.After(time.Until(begin.Add(due))):
			case <-ctx.Done():
			}
		}
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// invokeOnce makes one invocation. When the run's context ends, it goes on, within the
// function's time-out: an interrupt is no reason to abort it.
func (r *run) invokeOnce() error {
	_, err := r.pool.Invoke(r.Abort, locallambda.Request{
		Request: lambdasim.Request{Payload: r.Invocations.Payload, TenantID: r.Tenant}, Wait: true,
	})
	return err
}

// kill kills processes when their faults are due.
func (r *run) kill(ctx context.Context) {
	var kills sync.WaitGroup
	defer kills.Wait()
	for _, f := range r.Faults {
		if f.Target == fault.Kinesis {
			continue
		}
		kills.Go(func() {
			select {
			case <-time.After(time.Until(r.Started.Add(f.From))):
			case <-ctx.Done():
				return
			}
			if n := r.killNow(f); n == 0 {
				r.printer.note("--fault: after %v there is no %s to kill", f.From, f.Target)
			}
		})
	}
}

// killNow kills the processes of a fault in all environments, and returns how many.
func (r *run) killNow(f fault.Fault) (killed int) {
	for _, s := range r.pool.Sandboxes() {
		if f.Target == fault.Function {
			if s.SignalFunction(os.Kill) == nil {
				killed++
			}
			continue
		}
		for _, e := range r.Lambda.Extensions {
			name := filepath.Base(e.Path)
			if (f.Name == "" || f.Name == name) && s.SignalExtension(name, os.Kill) == nil {
				killed++
			}
		}
	}
	return killed
}

// CheckFaults refuses faults of extensions that are not there.
func (c Config) CheckFaults() error {
	for _, f := range c.Faults {
		if f.Target != fault.Extension {
			continue
		}
		if !slices.ContainsFunc(c.Lambda.Extensions, func(e lambdasim.Process) bool { return f.Name == "" || filepath.Base(e.Path) == f.Name }) {
			return fmt.Errorf("--fault: there is no extension %s to kill", f.Name)
		}
	}
	return nil
}

// IsInit reports whether an error is that of an Init that failed.
func IsInit(err error) bool {
	_, failed := errors.AsType[*lambdasim.InitError](err)
	return failed
}
