package lambdasim

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Where an Init runs, as the events' phase.
const (
	phaseInit   = "init"
	phaseInvoke = "invoke" // a "suppressed init", inside an invocation
)

// initialize starts a generation: the extensions, then the runtime, and waits
// until all have called next. On failure everything of the generation is ended
// before it returns.
//
// The order of the events, initStart, telemetrySubscription, initRuntimeDone,
// extension, initReport, is that of the aws-lambda-runtime-interface-emulator.
func (s *Sandbox) initialize(ctx context.Context, phase string, deadline time.Time) *InitError {
	start := time.Now()
	s.mu.Lock()
	first := s.number == 0
	s.mu.Unlock()
	if !first {
		s.expelStrangers(ctx, deadline)
	}
	s.mu.Lock()
	s.number++
	g := &generation{
		number: s.number, done: make(chan struct{}), runtimeInbox: make(chan *invocation, 1),
		workers: workers{active: make(map[string]*invocation), late: make(map[string]int)},
	}
	s.gen = g
	s.mu.Unlock()
	s.relay.begin()
	s.notice(Notice{Time: start, Kind: NoticeInitStart, Detail: "phase " + phase})
	s.relay.platform(typeInitStart, initStartRecord{
		InitializationType: s.cfg.InitializationType, Phase: phase, instanceRecord: s.instance(),
	})

	failed := s.startProcesses(ctx, g, deadline)
	s.relay.closeSubscriptions()
	if runtime := g.runtime; runtime != nil {
		runtime.drain()
	}

	done := initDoneRecord{InitializationType: s.cfg.InitializationType, Phase: phase, Status: StatusSuccess}
	if failed != nil {
		done.ErrorType = failed.errorType
		switch {
		case failed == initTimedOut:
			done.Status = StatusTimeout
		case failed.reported:
			done.Status = StatusError
		default:
			done.Status = StatusFailure
		}
	}
	s.relay.platform(typeInitRuntimeDone, done)
	s.reportExtensions(g)
	took := time.Since(start)
	report := done
	report.Metrics = &durationMetrics{DurationMs: toMillis(took)}
	if failed == nil && phase == phaseInit && s.cfg.delaysInitReport() {
		s.initReport = &report
	} else {
		s.relay.platform(typeInitReport, report)
	}

	if failed == nil {
		s.cold, s.initDuration = true, took
		s.samplePeaks()
		s.notice(Notice{Kind: NoticeInitDone, Detail: took.String()})
		return nil
	}
	s.notice(Notice{Kind: NoticeInitFailed, Detail: failed.errorType + ": " + failed.detail})
	reason := reasonFailure
	if failed == initTimedOut {
		reason = reasonTimeout
	}
	s.stopGeneration(ctx, g, reason)
	return &InitError{
		Phase: phase, Type: failed.errorType, Timeout: failed == initTimedOut, Detail: failed.detail,
		payload: failed.clientError(""),
	}
}

// initTimedOut is the failure of an Init that took too long. The emulator, too,
// calls it Runtime.Unknown on the events.
var initTimedOut = &failure{errorType: "Runtime.Unknown", message: "Init timed out", detail: "init timed out"}

func (s *Sandbox) startProcesses(ctx context.Context, g *generation, deadline time.Time) *failure {
	var starting sync.WaitGroup
	errs := make([]error, len(s.cfg.Extensions))
	for i, cfg := range s.cfg.Extensions {
		ext := newExtension(cfg)
		s.mu.Lock()
		g.extensions = append(g.extensions, ext)
		s.mu.Unlock()
		starting.Go(func() { errs[i] = s.exec(g, KindExtension, cfg, func(p *process) { ext.proc = p }) })
	}
	starting.Wait()
	for i, err := range errs {
		if err != nil {
			s.mu.Lock()
			name := g.extensions[i].name
			g.extensions[i].state = stateLaunchError
			g.extensions[i].errorType = launchErrorType(err)
			s.mu.Unlock()
			return &failure{errorType: "Extension.LaunchError", message: "extension " + name + " could not be launched", detail: err.Error()}
		}
	}

	if failed := s.awaitInit(ctx, g, deadline, func() bool {
		for _, ext := range g.extensions {
			if ext.state == stateStarted {
				return false
			}
		}
		return true
	}); failed != nil {
		return failed
	}
	if err := s.exec(g, KindFunction, s.cfg.Function, func(p *process) { g.runtime = p }); err != nil {
		return &failure{errorType: "Runtime.InvalidEntrypoint", message: "the function could not be launched", detail: err.Error()}
	}
	return s.awaitInit(ctx, g, deadline, func() bool {
		if !g.runtimeReady {
			return false
		}
		for _, ext := range g.extensions {
			if ext.state != stateReady {
				return false
			}
		}
		return true
	})
}

// instance describes the environment.
func (s *Sandbox) instance() instanceRecord {
	return instanceRecord{
		FunctionName: s.cfg.FunctionName, FunctionVersion: s.cfg.FunctionVersion,
		InstanceID: s.InstanceID(), InstanceMaxMemory: int64(s.cfg.MemoryMB) << 20,
		RuntimeVersion:    "provided:al2023.v1",
		RuntimeVersionARN: "arn:aws:lambda:" + s.cfg.Region + "::runtime:0000000000000000000000000000000000000000000000000000000000000000",
	}
}

// emitInitReport emits the platform.initReport that waited for the first
// invocation.
func (s *Sandbox) emitInitReport() {
	if s.initReport != nil {
		s.relay.platform(typeInitReport, *s.initReport)
		s.initReport = nil
	}
}

// awaitInit waits for a condition of Init, or its failure.
func (s *Sandbox) awaitInit(ctx context.Context, g *generation, deadline time.Time, done func() bool) *failure {
	var failed *failure
	err := s.await(ctx, deadline, func() bool {
		failed = g.fatal
		return failed != nil || done()
	})
	switch {
	case failed != nil:
		return failed
	case errors.Is(err, errDeadline):
		return initTimedOut
	case err != nil:
		return &failure{errorType: "Sandbox.Failure", message: "Init was cancelled", detail: err.Error()}
	}
	return nil
}

// reportExtensions emits platform.extension for each that was launched or
// registered itself.
func (s *Sandbox) reportExtensions(g *generation) {
	s.mu.Lock()
	var records []extensionRecord
	for _, ext := range g.extensions {
		records = append(records, extensionRecord{
			Name: ext.name, State: string(ext.state), Events: ext.eventNames(), ErrorType: ext.errorType,
		})
	}
	s.mu.Unlock()
	for _, record := range records {
		s.relay.platform(typeExtension, record)
	}
}
