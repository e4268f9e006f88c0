package lambdasim

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"
)

// Request is an invocation, with what a client can send besides the payload.
// Only Payload is usual: the zero value of any other field means that the client
// did not send it.
type Request struct {
	// Payload is the event, in JSON. An empty one is sent as {}.
	Payload []byte
	// RequestID is a UUID that no other running invocation has. By default it is a
	// new one. AWS Lambda uses the same one again when it retries an asynchronous
	// invocation.
	RequestID string
	// Qualifier is the version or alias that the client named. It is part of the
	// ARN that the function and the extensions get.
	Qualifier string
	// ClientContext is JSON about the client, which the function gets in its
	// context object.
	ClientContext string
	// TenantID is the tenant for which the function is invoked, if the function
	// has tenant isolation.
	TenantID string
	// Trace is the X-Ray trace header of the client. By default there is a new,
	// sampled one, unless Config.DisableTracing is set.
	Trace string

	// Stream, if set, makes this an invocation with a streamed response: Stream
	// gets the function's response as it comes, up to 200 MiB, and Result.Payload
	// contains only an error. Errors of Write are ignored, because AWS Lambda runs
	// the invocation to its end if the client is gone. Write delays the function,
	// and the end of the invocation. It is not called any more when OnResponse is.
	Stream io.Writer
	// OnResponse, if set, is called once, when the client has its answer. That is
	// earlier than the end of the invocation, for which Invoke waits. It must
	// return soon. It is not called if the invocation did not begin.
	OnResponse func(Response)
}

// Response is what the client of an invocation gets. The fields are those of
// Result.
type Response struct {
	Payload       []byte
	FunctionError string
	ErrorType     string
}

var (
	validRequestID   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	controlCharacter = regexp.MustCompile(`[\x00-\x1f\x7f]`)
)

// check reports what the APIs could not pass on.
func (r *Request) check() error {
	if r.RequestID != "" && !validRequestID.MatchString(r.RequestID) {
		return fmt.Errorf("lambdasim: RequestID is %q, want a UUID in lower case", r.RequestID)
	}
	for _, field := range []struct{ name, value string }{
		{"Qualifier", r.Qualifier}, {"ClientContext", r.ClientContext}, {"TenantID", r.TenantID}, {"Trace", r.Trace},
	} {
		if controlCharacter.MatchString(field.value) {
			return fmt.Errorf("lambdasim: %s has a control character, which the header for the function cannot have: %q", field.name, field.value)
		}
	}
	return nil
}

func (s *Sandbox) newInvocation(req Request) *invocation {
	inv := &invocation{
		id: req.RequestID, payload: req.Payload, arn: s.functionARN(),
		clientContext: req.ClientContext, tenantID: req.TenantID, onResponse: req.OnResponse,
		pending: make(map[*extension]bool), extensionsDone: make(map[*extension]time.Time),
	}
	if inv.id == "" {
		inv.id = newUUID()
	}
	if len(inv.payload) == 0 {
		inv.payload = []byte("{}")
	}
	if req.Qualifier != "" {
		inv.arn += ":" + req.Qualifier
	}
	if req.Stream != nil {
		inv.stream = &responseStream{to: req.Stream}
	}
	switch {
	case req.Trace != "":
		inv.spanID, inv.trace = randomHex(8), req.Trace
	case !s.cfg.DisableTracing:
		inv.spanID = randomHex(8)
		inv.trace = fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=1", time.Now().Unix(), randomHex(12), randomHex(8))
	}
	return inv
}

// responseStream passes a response on to Request.Stream, until it is closed.
type responseStream struct {
	mu sync.Mutex // held while Write runs
	to io.Writer  // nil when closed
}

var errStreamClosed = errors.New("the client has its answer already")

func (s *responseStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to == nil {
		return 0, errStreamClosed
	}
	_, _ = s.to.Write(p) // a client that is gone does not end the invocation
	return len(p), nil
}

// close returns when no Write runs. No other begins later.
func (s *responseStream) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = nil
}

// answer calls OnResponse, if it was not called before. Only the goroutine of
// the invocation calls it.
func (inv *invocation) answer(r Response) {
	if inv.answered {
		return
	}
	inv.answered = true
	inv.stream.close()
	if inv.onResponse != nil {
		inv.onResponse(r)
	}
}

// clientResponse returns what the function has answered. Sandbox.mu is held.
func (inv *invocation) clientResponse() Response {
	r := Response{Payload: inv.response}
	if inv.functionError {
		r.FunctionError, r.ErrorType = "Unhandled", inv.errorType
	}
	return r
}
