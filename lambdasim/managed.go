package lambdasim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// AWS Lambda Managed Instances: the runtime's workers wait for invocations side
// by side, and extensions receive no event but SHUTDOWN.
//
// Sources: AWS documentation ("Lambda Managed Instances"), and the
// aws-lambda-runtime-interface-emulator's tree for them.

// ErrEnvironmentEnded is the error of [Sandbox.Invoke] when a process of a managed instance
// has crashed. AWS Lambda then starts another environment; here you call Shutdown and
// Start.
var ErrEnvironmentEnded = errors.New("lambdasim: the environment has ended")

// crowd is what invocations that run at the same time share. Guarded by
// Sandbox.mu.
type crowd struct {
	running  int // Invokes between admit and leave
	closing  bool
	ended    *failure // what ended the environment, before a Shutdown
	finished bool     // an invocation was begun: the next one is no cold start
}

// workers are the runtime's side of a managed instance, and part of a generation.
// Guarded by Sandbox.mu.
type workers struct {
	// idle are the pending nexts, longest waiting first. Code that takes one
	// must give it an invocation.
	idle []chan *invocation
	// active are the invocations that wait for a response.
	active map[string]*invocation
	// late counts those that were abandoned: the function does not know that, and
	// may still answer. A retry has the id of its predecessors.
	late map[string]int
}

// invokeManaged is InvokeRequest, for a managed instance.
func (s *Sandbox) invokeManaged(ctx context.Context, req Request) (Result, error) {
	g, worker, err := s.admit(ctx)
	if err != nil {
		return Result{}, err
	}
	defer s.leave()
	inv := s.newInvocation(req)
	result := Result{RequestID: inv.id, Start: time.Now()}
	inv.deadline = result.Start.Add(s.cfg.Timeout)
	result.Deadline = inv.deadline
	s.mu.Lock()
	result.ColdStart = !s.crowd.finished
	s.crowd.finished = true
	s.mu.Unlock()
	if result.ColdStart {
		result.InitDuration = s.initDuration
	}
	s.notice(Notice{Time: result.Start, Kind: NoticeInvokeStart, RequestID: inv.id})
	s.relay.platformOf(inv.id, typeStart, startRecord{
		RequestID: inv.id, Version: s.cfg.FunctionVersion, FunctionARN: inv.arn, TenantID: inv.tenantID, Tracing: inv.tracing(inv.spanID),
	})

	s.mu.Lock()
	g.active[inv.id] = inv
	worker <- inv // has room: it is ours
	s.mu.Unlock()
	var failed *failure
	err = s.await(ctx, inv.deadline, func() bool {
		failed = g.fatal
		return inv.responded || failed != nil
	})
	s.mu.Lock()
	delete(g.active, inv.id)
	switch {
	case inv.responded:
		failed = nil
	case failed != nil:
	case err == errDeadline:
		failed = timedOut(s.cfg.Timeout)
	default:
		failed = &failure{errorType: errorTypeCancelled, message: "the invocation was cancelled", detail: err.Error()}
	}
	if failed != nil {
		g.late[inv.id]++
	}
	s.mu.Unlock()
	s.finishManaged(g, inv, &result, failed)
	if failed != nil && failed.errorType == errorTypeCancelled {
		return result, ctx.Err()
	}
	return result, nil
}

// finishManaged emits platform.report and fills the result. It does not wait for the
// worker's next: the report is sent when the client has its answer.
func (s *Sandbox) finishManaged(g *generation, inv *invocation, result *Result, failed *failure) {
	inv.stream.close()
	ended := time.Now()
	s.mu.Lock()
	result.Status, result.Payload = StatusSuccess, inv.response
	var spans []span
	if inv.responded {
		ended = inv.responseEnd
		spans = []span{
			newSpan("responseLatency", result.Start, inv.responseStart),
			newSpan("responseDuration", inv.responseStart, inv.responseEnd),
		}
		result.FirstByte = inv.responseStart.Sub(result.Start)
	}
	if inv.functionError {
		result.Status, result.FunctionError, result.ErrorType = StatusError, "Unhandled", inv.errorType
	}
	s.mu.Unlock()
	if failed != nil {
		// A crash is an error here, not a failure, as in the emulator.
		result.Status = StatusError
		if failed.errorType == errorTypeTimeout {
			result.Status = StatusTimeout
		}
		result.ErrorType = failed.errorType
		result.FunctionError, result.Payload = "Unhandled", failed.clientError(inv.id)
	}
	inv.answer(Response{Payload: result.Payload, FunctionError: result.FunctionError, ErrorType: result.ErrorType})
	result.Duration, result.ResponseLatency = ended.Sub(result.Start), ended.Sub(result.Start)
	result.RuntimeDone, result.ExtensionsDone = ended, ended
	result.MaxMemoryMB = s.samplePeaks()
	s.notice(Notice{Time: ended, Kind: NoticeResponse, RequestID: inv.id})
	// Lines that were written before the answer come before the report, best
	// effort. Those of other invocations are in between.
	g.runtime.drain()
	s.relay.reportAllDropped()
	s.relay.platformOf(inv.id, typeReport, managedReportRecord{
		RequestID: inv.id, Status: result.Status, ErrorType: result.ErrorType, Spans: spans,
		Metrics: durationMetrics{DurationMs: toMillis(result.Duration)}, TenantID: inv.tenantID, Tracing: inv.tracing(inv.spanID),
	})
	detail := ""
	if failed != nil {
		detail = failed.detail
	}
	s.notice(Notice{Kind: NoticeInvokeDone, RequestID: inv.id, Detail: detail})
}

// admit waits until the environment takes one more invocation, and returns the
// worker that gets it. On AWS Lambda there is no such wait: an environment
// without an idle worker is not chosen.
func (s *Sandbox) admit(ctx context.Context) (*generation, chan *invocation, error) {
	var g *generation
	var worker chan *invocation
	var refused error
	err := s.await(ctx, time.Time{}, func() bool {
		g = s.gen
		ended := s.crowd.ended
		if g != nil && ended == nil {
			ended = g.fatal // and watch is about to see it
		}
		switch {
		case s.closed:
			refused = ErrClosed
			return true
		case ended != nil:
			refused = fmt.Errorf("%w: %s: %s", ErrEnvironmentEnded, ended.errorType, ended.detail)
			return true
		case s.crowd.closing:
			refused = ErrClosed
			return true
		case s.crowd.running >= s.cfg.MaxConcurrency || len(g.idle) == 0:
			return false
		}
		worker, g.idle = g.idle[0], g.idle[1:]
		s.crowd.running++
		return true
	})
	if err == nil {
		err = refused
	}
	return g, worker, err
}

// Abandoned counts, with Managed Instances, the invocations on which the function still
// works although their callers have an answer, because of a time-out or because ctx ended.
// Each occupies a worker until the function answers.
func (s *Sandbox) Abandoned() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == nil {
		return 0
	}
	n := 0
	for _, late := range s.gen.late {
		n += late
	}
	return n
}

func (s *Sandbox) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crowd.running--
	s.broadcast()
}

// closeDoors lets no further invocation in, and returns when the last one has
// ended: each is bounded by its time-out. ctx does not end that.
func (s *Sandbox) closeDoors() {
	s.mu.Lock()
	s.crowd.closing = true
	s.broadcast()
	s.mu.Unlock()
	// Without a deadline and with such a context there is no error.
	_ = s.await(context.Background(), time.Time{}, func() bool { return s.crowd.running == 0 })
}

// watch ends the environment when one of its processes has crashed.
func (s *Sandbox) watch(g *generation) {
	crashed := false
	// As in closeDoors, there is no error.
	_ = s.await(context.Background(), time.Time{}, func() bool {
		crashed = g.fatal != nil
		return crashed || s.crowd.closing
	})
	if !crashed {
		return // a shutdown, which ends everything itself
	}
	select {
	case s.turn <- struct{}{}:
	case <-s.leaving:
		return
	}
	defer s.end()
	s.mu.Lock()
	over := s.gen != g
	if !over {
		s.crowd.ended = g.fatal
		s.broadcast()
	}
	s.mu.Unlock()
	if over {
		return
	}
	s.closeDoors()
	s.notice(Notice{Kind: NoticeEnvironmentEnded, Detail: g.fatal.errorType + ": " + g.fatal.detail})
	s.stopGeneration(context.Background(), g, reasonFailure)
}

// serveWorkerNext is the Runtime API's next where several workers call it, each
// for itself.
func (s *Sandbox) serveWorkerNext(w http.ResponseWriter, r *http.Request, g *generation, now time.Time) {
	worker := make(chan *invocation, 1)
	s.mu.Lock()
	if !g.runtimeReady && g.runtime != nil {
		g.runtime.firstNextAt = now
	}
	g.runtimeReady = true
	g.idle = append(g.idle, worker)
	s.broadcast()
	s.mu.Unlock()

	select {
	case inv := <-worker:
		s.give(w, inv)
	case <-r.Context().Done():
		s.mu.Lock()
		for i, other := range g.idle {
			if other == worker {
				g.idle = append(g.idle[:i:i], g.idle[i+1:]...)
			}
		}
		s.mu.Unlock()
		// An invocation that was given to it at this moment times out.
	case <-g.done:
	}
}

// expected finds the invocation that a response is for. late is set for one that
// was abandoned. If it was retried meanwhile, the first response is taken for that
// of the retry. s.mu is held.
func (g *generation) expected(id string) (inv *invocation, late bool) {
	if g.inv != nil && g.inv.id == id {
		return g.inv, false
	}
	inv = g.active[id]
	if g.late[id] == 0 || inv != nil && !inv.responding {
		return inv, false
	}
	if g.late[id]--; g.late[id] == 0 {
		delete(g.late, id)
	}
	return nil, true
}

// serveLateResponse accepts the answer to an invocation that was abandoned. The
// emulator answers 410 here, which ends runtimes such as aws-lambda-go's with the
// whole environment; AWS documents that the environment goes on.
func serveLateResponse(w http.ResponseWriter, r *http.Request) {
	// Discard it, and ignore its errors.
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxStreamed))
	answer(w, http.StatusAccepted, statusOK)
}

func (s *Sandbox) crashed(g *generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.fatal != nil
}
