package lambdasim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// invocation is what the phase and the handlers share of one. Guarded by
// Sandbox.mu, except what never changes.
type invocation struct {
	id            string
	payload       []byte
	deadline      time.Time
	arn           string // as the client named the function
	trace         string // the header's value, or empty
	spanID        string
	clientContext string
	tenantID      string
	stream        *responseStream // nil if the response is not streamed to the client
	onResponse    func(Response)
	answered      bool // onResponse was called; of the invocation's goroutine

	delivered      bool // the runtime has it
	responding     bool
	responded      bool
	responseStart  time.Time // first byte
	responseEnd    time.Time
	response       []byte
	produced       int // bytes of the function's response
	functionError  bool
	errorType      string
	runtimeDoneAt  time.Time
	pending        map[*extension]bool
	extensionsDone map[*extension]time.Time
}

// Invoke sends the function an event, and returns when the invocation has ended. It is
// InvokeRequest with a payload only.
func (s *Sandbox) Invoke(ctx context.Context, payload []byte) (Result, error) {
	return s.InvokeRequest(ctx, Request{Payload: payload})
}

// InvokeRequest invokes the function, and returns when the invocation has ended: the
// runtime and all extensions that registered for INVOKE have called next, and the
// environment is frozen again. After a time-out or a crash it is reset instead. The Result
// contains the function's errors. InvokeRequest returns an error if there was no complete
// invocation.
//
// If ctx ends before the invocation begins, nothing happens. If it ends later, the
// invocation is aborted, and the environment is reset.
//
// With Managed Instances up to Config.MaxConcurrency calls run at the same time, but not
// more than the function has workers; the others wait. An invocation ends when the client
// has its answer. After a time-out, or if ctx ends, the function continues to run.
func (s *Sandbox) InvokeRequest(ctx context.Context, req Request) (Result, error) {
	if err := req.check(); err != nil {
		return Result{}, err
	}
	if s.cfg.managed() {
		return s.invokeManaged(ctx, req)
	}
	if err := s.begin(ctx); err != nil {
		return Result{}, err
	}
	defer s.end()
	inv := s.newInvocation(req)
	result := Result{RequestID: inv.id, HeldBy: make(map[string]time.Duration)}

	result.RestoreDuration = s.restore()
	s.thaw()
	s.emitInitReport()
	s.relay.releaseLate()
	result.Start = time.Now()
	inv.deadline = result.Start.Add(s.cfg.Timeout)
	result.Deadline = inv.deadline
	s.relay.setRequest(inv.id)
	s.notice(Notice{Time: result.Start, Kind: NoticeInvokeStart, RequestID: inv.id})

	var initFailed *InitError
	if s.gen == nil {
		result.SuppressedInit = true
		initFailed = s.initialize(ctx, phaseInvoke, inv.deadline)
	}
	if s.cold {
		result.ColdStart, result.InitDuration, s.cold = true, s.initDuration, false
	}
	s.relay.platform(typeStart, startRecord{
		RequestID: inv.id, Version: s.cfg.FunctionVersion, TenantID: inv.tenantID, Tracing: inv.tracing(inv.spanID),
	})

	var failed *failure
	if initFailed != nil {
		// The environment is reset already; only the report is missing.
		failed = &failure{errorType: initFailed.Type, detail: initFailed.Detail, payload: initFailed.payload}
		if initFailed.Timeout {
			failed = timedOut(s.cfg.Timeout)
		}
		s.emitRuntimeDone(inv, &result, failed)
	} else {
		failed = s.runInvocation(ctx, inv, &result)
	}
	s.finishInvocation(ctx, inv, &result, failed)
	if err := ctx.Err(); err != nil && failed != nil && failed.errorType == errorTypeCancelled {
		return result, err
	}
	return result, nil
}

const (
	errorTypeTimeout   = "Sandbox.Timedout"
	errorTypeCancelled = "Sandbox.Failure"
)

func timedOut(limit time.Duration) *failure {
	text := fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())
	return &failure{errorType: errorTypeTimeout, message: text, detail: text}
}

// runInvocation sends the event to all that wait for it, and waits for them. It emits
// runtimeDone on the way, and returns what went wrong.
func (s *Sandbox) runInvocation(ctx context.Context, inv *invocation, result *Result) *failure {
	s.mu.Lock()
	g := s.gen
	// A process that died between two invocations fails this one; the event
	// cannot be sent then.
	if g.fatal == nil {
		g.inv = inv
		event := s.invokeEvent(inv)
		for _, ext := range g.extensions {
			if ext.invoke {
				inv.pending[ext] = true
				ext.inbox <- event // has room: the extension waits in next
			}
		}
		g.runtimeInbox <- inv
	}
	s.mu.Unlock()

	var failed *failure
	var doneEmitted, responseNotified bool
	var late *time.Timer
	for {
		var response, runtimeDone, allDone bool
		var answer Response
		err := s.await(ctx, inv.deadline, func() bool {
			failed = g.fatal
			response, runtimeDone = inv.responded, !inv.runtimeDoneAt.IsZero()
			answer = inv.clientResponse()
			allDone = runtimeDone && len(inv.pending) == 0
			return failed != nil || response && !responseNotified || runtimeDone && !doneEmitted || allDone
		})
		if response && !responseNotified {
			responseNotified = true
			inv.answer(answer)
			s.notice(Notice{Time: inv.responseEnd, Kind: NoticeResponse, RequestID: inv.id})
		}
		if runtimeDone && !doneEmitted {
			doneEmitted = true
			s.emitRuntimeDone(inv, result, nil)
			late = s.scheduleLate()
		}
		switch {
		case failed != nil:
		case errors.Is(err, errDeadline):
			failed = timedOut(s.cfg.Timeout)
		case err != nil:
			failed = &failure{errorType: errorTypeCancelled, message: "the invocation was cancelled", detail: err.Error()}
		case !allDone:
			continue
		}
		break
	}
	if late != nil {
		late.Stop()
	}
	if failed != nil && !doneEmitted {
		s.emitRuntimeDone(inv, result, failed)
	}
	return failed
}

// scheduleLate emits the late lines when it is their time. The timer that it
// returns is nil where that is now.
func (s *Sandbox) scheduleLate() *time.Timer {
	if s.cfg.LateLines == 0 || s.cfg.LateBy == 0 {
		s.relay.releaseLate()
		return nil
	}
	return time.AfterFunc(s.cfg.LateBy, s.relay.releaseLate)
}

// emitRuntimeDone emits platform.runtimeDone, after the lines that the function
// has written until now.
func (s *Sandbox) emitRuntimeDone(inv *invocation, result *Result, failed *failure) {
	s.mu.Lock()
	var rt *process
	if s.gen != nil {
		rt = s.gen.runtime
	}
	done := inv.runtimeDoneAt
	if done.IsZero() {
		done = time.Now()
	}
	record := runtimeDoneRecord{
		RequestID: inv.id, Status: StatusSuccess, TenantID: inv.tenantID, Tracing: inv.tracing(inv.spanID),
		Metrics: &runtimeDoneMetrics{DurationMs: toMillis(done.Sub(result.Start))},
	}
	if inv.responded {
		size := inv.produced
		record.Metrics.ProducedBytes = &size
		record.Spans = []span{
			newSpan("responseLatency", result.Start, inv.responseStart),
			newSpan("responseDuration", inv.responseStart, inv.responseEnd),
			newSpan("runtimeOverhead", inv.responseEnd, done),
		}
	}
	if inv.functionError {
		record.Status, record.ErrorType = StatusError, inv.errorType
	}
	s.mu.Unlock()
	if failed != nil {
		record.Status, record.ErrorType = failed.status(), failed.errorType
	}
	if rt != nil {
		rt.drain()
	}
	result.RuntimeDone, result.Duration = done, done.Sub(result.Start)
	s.relay.holdLate()
	s.relay.platform(typeRuntimeDone, record)
	s.notice(Notice{Kind: NoticeRuntimeDone, RequestID: inv.id})
}

// finishInvocation emits platform.report, fills the result, and freezes or
// resets.
func (s *Sandbox) finishInvocation(ctx context.Context, inv *invocation, result *Result, failed *failure) {
	inv.stream.close()
	ended := time.Now()
	s.mu.Lock()
	g := s.gen
	hasExtensions := false
	if g != nil {
		g.inv = nil
		hasExtensions = len(g.extensions) > 0
		result.ExtensionsDone = result.RuntimeDone
		for _, ext := range g.extensions {
			if !ext.invoke {
				continue
			}
			at, done := inv.extensionsDone[ext]
			if !done {
				at = ended
			}
			result.HeldBy[ext.name] = max(at.Sub(result.RuntimeDone), 0)
			if at.After(result.ExtensionsDone) {
				result.ExtensionsDone = at
			}
		}
	} else {
		result.ExtensionsDone = result.RuntimeDone
	}
	result.Held = result.ExtensionsDone.Sub(result.RuntimeDone)
	result.Status, result.Payload = StatusSuccess, inv.response
	responded := inv.responded // an answer may come in this very moment
	if responded {
		result.FirstByte = inv.responseStart.Sub(result.Start)
		result.ResponseLatency = inv.responseEnd.Sub(result.Start)
	}
	if inv.functionError {
		result.Status, result.FunctionError, result.ErrorType = StatusError, "Unhandled", inv.errorType
	}
	s.mu.Unlock()
	if failed != nil {
		result.Status, result.ErrorType = failed.status(), failed.errorType
		if !responded {
			result.FunctionError, result.Payload = "Unhandled", failed.clientError(inv.id)
			result.ResponseLatency = ended.Sub(result.Start)
		}
	}
	inv.answer(Response{Payload: result.Payload, FunctionError: result.FunctionError, ErrorType: result.ErrorType})
	total := result.ExtensionsDone.Sub(result.Start)
	billed := total
	record := reportRecord{
		RequestID: inv.id, Status: result.Status, ErrorType: result.ErrorType, TenantID: inv.tenantID, Tracing: inv.tracing(""),
		Metrics: reportMetrics{DurationMs: toMillis(total), MemorySizeMB: s.cfg.MemoryMB},
	}
	if result.ColdStart && !result.SuppressedInit && !s.cfg.snapStart() {
		ms := toMillis(result.InitDuration)
		record.Metrics.InitDurationMs = &ms
		if s.cfg.InitializationType == InitOnDemand {
			// Since 2025 Init is billed for on-demand functions, too. With
			// provisioned concurrency it is billed as that.
			billed += result.InitDuration
		}
	}
	if result.RestoreDuration > 0 {
		ms := toMillis(result.RestoreDuration)
		record.Metrics.RestoreDurationMs = &ms
	}
	if hasExtensions {
		record.Spans = []span{newSpan("extensionOverhead", result.RuntimeDone, result.ExtensionsDone)}
	}
	result.Billed = (billed + time.Millisecond - 1).Truncate(time.Millisecond)
	record.Metrics.BilledDurationMs = result.Billed.Milliseconds()
	result.MaxMemoryMB = s.samplePeaks()
	record.Metrics.MaxMemoryUsedMB = result.MaxMemoryMB

	s.relay.reportAllDropped()
	if failed == nil {
		s.pauseBeforeFreeze(ctx)
		// What the function wrote since runtimeDone belongs to it still.
		g.runtime.drain()
		if !s.cfg.DisableFreeze {
			// The report exists only when everybody is done, and is delivered
			// after the next thaw.
			s.relay.setPaused(true)
		}
		s.relay.platform(typeReport, record)
		result.FunctionLines, result.FunctionBytes = s.relay.counts()
		s.notice(Notice{Kind: NoticeInvokeDone, RequestID: inv.id})
		s.freeze()
		return
	}
	s.relay.platform(typeReport, record)
	s.notice(Notice{Kind: NoticeInvokeDone, RequestID: inv.id, Detail: failed.detail})
	if g != nil {
		reason := reasonFailure
		if failed.errorType == errorTypeTimeout {
			reason = reasonTimeout
		}
		s.notice(Notice{Kind: NoticeReset, RequestID: inv.id, Detail: reason + ": " + failed.detail})
		s.stopGeneration(ctx, g, reason)
	}
	result.FunctionLines, result.FunctionBytes = s.relay.counts()
}

func (s *Sandbox) pauseBeforeFreeze(ctx context.Context) {
	if s.cfg.FreezeDelay == 0 || s.cfg.DisableFreeze {
		return
	}
	// The condition never comes: this is a wait that ctx can end.
	_ = s.await(ctx, time.Now().Add(s.cfg.FreezeDelay), func() bool { return false })
}

// invokeEvent is the INVOKE event for extensions.
func (s *Sandbox) invokeEvent(inv *invocation) []byte {
	event := struct {
		EventType          string   `json:"eventType"`
		DeadlineMs         int64    `json:"deadlineMs"`
		RequestID          string   `json:"requestId"`
		InvokedFunctionARN string   `json:"invokedFunctionArn"`
		Tracing            *tracing `json:"tracing,omitempty"`
	}{"INVOKE", inv.deadline.UnixMilli(), inv.id, inv.arn, inv.tracing("")}
	encoded, err := json.Marshal(event)
	if err != nil {
		// Strings and a number: they encode.
		panic("lambdasim: " + err.Error())
	}
	return encoded
}

// tracing is the trace context with the given span, or nil without tracing.
func (inv *invocation) tracing(spanID string) *tracing {
	if inv.trace == "" {
		return nil
	}
	return &tracing{SpanID: spanID, Type: "X-Amzn-Trace-Id", Value: inv.trace}
}

// status is how the failure is called in events.
func (f *failure) status() Status {
	switch {
	case f.errorType == errorTypeTimeout:
		return StatusTimeout
	case f.reported:
		return StatusError
	}
	return StatusFailure
}

// clientError is the error object that the client gets.
func (f *failure) clientError(requestID string) []byte {
	if f.payload != nil {
		return f.payload
	}
	text := "Error: " + f.message
	if requestID != "" {
		text = "RequestId: " + requestID + " " + text
	}
	return errorBody(f.errorType, text)
}
