package lambdasim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// The Runtime API, version 2018-06-01.

const (
	headerFunctionErrorType = "Lambda-Runtime-Function-Error-Type"
	headerFunctionErrorBody = "Lambda-Runtime-Function-Error-Body"
	headerResponseMode      = "Lambda-Runtime-Function-Response-Mode"
)

// serveRuntimeNext ends the invocation that the runtime works on, if any, and
// blocks until there is another.
func (s *Sandbox) serveRuntimeNext(w http.ResponseWriter, r *http.Request, g *generation, now time.Time) {
	if s.cfg.managed() {
		s.serveWorkerNext(w, r, g, now)
		return
	}
	s.mu.Lock()
	inv := g.inv
	if g.runtimeWaiting || inv != nil && inv.delivered && !inv.responded {
		s.mu.Unlock()
		s.refuse(w, r, http.StatusForbidden, "InvalidStateTransition", "next is not allowed now")
		return
	}
	if inv != nil && inv.delivered && inv.runtimeDoneAt.IsZero() {
		inv.runtimeDoneAt = now
	}
	if !g.runtimeReady && g.runtime != nil {
		g.runtime.firstNextAt = now
	}
	g.runtimeReady, g.runtimeWaiting = true, true
	s.broadcast()
	s.mu.Unlock()

	select {
	case inv = <-g.runtimeInbox:
	case <-r.Context().Done():
		inv = nil
	case <-g.done:
		inv = nil
	}
	s.mu.Lock()
	g.runtimeWaiting = false
	s.mu.Unlock()
	if inv != nil {
		s.give(w, inv)
	}
}

// give answers a next with an invocation.
func (s *Sandbox) give(w http.ResponseWriter, inv *invocation) {
	s.mu.Lock()
	inv.delivered = true
	s.mu.Unlock()
	header := w.Header()
	header.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	header.Set("Lambda-Runtime-Invoked-Function-Arn", inv.arn)
	for name, value := range map[string]string{
		"Lambda-Runtime-Trace-Id":       inv.trace,
		"Lambda-Runtime-Client-Context": inv.clientContext,
		"Lambda-Runtime-Aws-Tenant-Id":  inv.tenantID,
	} {
		if value != "" {
			header.Set(name, value)
		}
	}
	answer(w, http.StatusOK, inv.payload)
}

// serveResponse takes the answer of the function, or its error.
func (s *Sandbox) serveResponse(w http.ResponseWriter, r *http.Request, g *generation, id string, now time.Time, isError bool) {
	s.mu.Lock()
	inv, late := g.expected(id)
	switch {
	case late:
		s.mu.Unlock()
		serveLateResponse(w, r)
		return
	case inv == nil:
		s.mu.Unlock()
		s.refuse(w, r, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	case !inv.delivered || inv.responding:
		s.mu.Unlock()
		s.refuse(w, r, http.StatusForbidden, "InvalidStateTransition", "a response is not expected now")
		return
	}
	inv.responding = true
	s.mu.Unlock()

	mode, known := responseMode(r.Header.Get(headerResponseMode))
	if inv.stream != nil && known && !isError {
		mode = mode.streamed(inv.stream)
	}
	got := receive(r, mode, known, isError, now)
	s.mu.Lock()
	inv.responseStart, inv.responseEnd = got.firstByte, time.Now()
	inv.response, inv.produced, inv.responded = got.body, got.size, true
	inv.functionError, inv.errorType = got.errorType != "", got.errorType
	s.broadcast()
	s.mu.Unlock()
	switch {
	case !known:
		s.refuse(w, r, http.StatusBadRequest, "InvalidFunctionResponseMode", "Invalid function response mode")
	case got.err == errTooLarge:
		s.refuse(w, r, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", mode.limit))
	default:
		answer(w, http.StatusAccepted, statusOK)
	}
}

// serveRuntimeInitError fails Init.
func (s *Sandbox) serveRuntimeInitError(w http.ResponseWriter, r *http.Request, g *generation) {
	body, err := readBody(r, maxAPIBody)
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, "InvalidRequestFormat", err.Error())
		return
	}
	failed := &failure{
		errorType: functionErrorType(r.Header.Get(headerFunctionErrorType)), reported: true, detail: "the runtime reported an init error",
	}
	if json.Valid(body) {
		failed.payload = body
	}
	s.mu.Lock()
	if g.runtimeReady {
		s.mu.Unlock()
		s.refuse(w, r, http.StatusForbidden, "InvalidStateTransition", "init is over")
		return
	}
	if g.fatal == nil {
		g.fatal = failed
	}
	s.broadcast()
	s.mu.Unlock()
	answer(w, http.StatusAccepted, statusOK)
}

var validErrorType = regexp.MustCompile(`^(Runtime|Function)\.[A-Z][A-Za-z]+$`)

// functionErrorType keeps a runtime's own error type where it is one, as the
// aws-lambda-runtime-interface-emulator does. aws-lambda-go sends none.
func functionErrorType(header string) string {
	if validErrorType.MatchString(header) {
		return header
	}
	return "Function.Unknown"
}
