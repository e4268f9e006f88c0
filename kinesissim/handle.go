package kinesissim

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/jsontext"
)

const (
	targetPrefix = "Kinesis_20131202."

	// A request of 10 MiB is under 14 MiB in base64; the rest is for keys and
	// punctuation.
	maxBody = 16 << 20
)

// exchange is one request and its outcome. Only the request's goroutine uses it.
type exchange struct {
	Observation
	began   time.Time
	at      time.Time // by the server's clock, when the request is carried out
	http2   bool
	cbor    bool   // the request and its answer are CBOR
	sent    []byte // the body as the client signed it
	body    []byte // in JSON
	op      operation
	entries []PutEntry
	codes   []string // why each entry fails; empty if it is to be stored
	answer  *Answer
	failed  []int // entries that were not stored
	stored  int   // records
	bytes   int64 // of those
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(connectionKey{}).(*connection)
	x := &exchange{began: time.Now(), answer: &Answer{}}
	x.RequestID = newRequestID()
	s.mu.Lock()
	if s.closed || conn == nil {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.handlers.Add(1)
	conn.requests++
	x.http2 = r.ProtoMajor == 2
	x.Conn, x.ConnRequests = conn.id, conn.requests
	s.mu.Unlock()
	defer s.handlers.Done()

	out, failure := s.serve(w, r, x)
	body := x.encode(out, failure)
	if failure == nil && x.answer.edit != nil {
		body = x.answer.edit(body)
	}
	ending := x.answer.after
	switch {
	case failure == errNoAnswer:
		ending = endDrop
		if x.answer.before == endReset {
			ending = endReset
		}
	case failure != nil:
		x.Status, x.Error = failure.status, failure.kind
	default:
		x.Status = http.StatusOK
	}
	if ending == endReset || ending == endDrop {
		x.Status = 0
	}
	s.count(x)
	if sub, ok := out.(*subscription); ok && failure == nil && ending == endNone {
		sub.serve(s, w, r, x)
		return
	}
	conn.respond(w, x, failure, body, ending)
}

// serve carries a request out. The checks come in Kinesis' order: the protocol,
// the operation, JSON, the signature, the members, the stream.
//
// If an interceptor panics, the answer reports it, because http.Server would swallow the
// panic.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, x *exchange) (out any, failure *apiError) {
	defer func() {
		if p := recover(); p != nil {
			out, failure = nil, &apiError{
				status: http.StatusInternalServerError, kind: internalFailure,
				message: fmt.Sprintf("kinesissim: Intercept panicked: %v", p),
			}
		}
	}()
	if failure := s.read(w, r, x); failure != nil {
		return nil, failure
	}
	if failure := s.authenticate(r, x.sent); failure != nil {
		return nil, failure
	}
	malformed := x.decode()
	intercept, request := s.observe(r, x)
	if intercept != nil {
		if answer := intercept(request); answer != nil {
			x.answer = answer
		}
	}
	if failure := s.before(r, x.answer, request); failure != nil {
		return nil, failure
	}
	if malformed != nil {
		return nil, malformed
	}
	var wrong violations
	x.op.validate(&wrong)
	if failure := wrong.err(); failure != nil {
		return nil, failure
	}
	return s.carryOut(x)
}

// read reads the body, and checks the protocol and the operation.
func (s *Server) read(w http.ResponseWriter, r *http.Request, x *exchange) *apiError {
	target, isKinesis := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	x.Operation = shorten(target)
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), maxBody)) + bytes.MinRead)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return &apiError{
				status: http.StatusRequestEntityTooLarge, kind: "RequestEntityTooLargeException",
				message: fmt.Sprintf("Request body is over %d bytes", maxBody),
			}
		}
		return errNoAnswer // the client went away
	}
	x.sent = body.Bytes()
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	media = strings.TrimSpace(media)
	x.cbor = media == typeCBOR
	if r.Method != http.MethodPost || media != typeJSON && !x.cbor {
		return &apiError{
			status: http.StatusForbidden, kind: "AccessDeniedException", xml: true,
			message: "Unable to determine service/operation name to be authorized",
		}
	}
	empty := s.operations[target]
	if !isKinesis || empty == nil {
		return s.unknownOperation(target)
	}
	if r.URL.Path != "/" {
		return badRequest("UnknownOperationException", "The embedded Kinesis answers requests for /, not for %s.", shorten(r.URL.Path))
	}
	x.op = empty()
	if x.cbor {
		var err error
		if x.body, err = cborToJSON(x.sent); err != nil {
			return serialization("%s", err.Error())
		}
		return nil
	}
	if x.body = x.sent; !valid(x.body) {
		return serialization("")
	}
	return nil
}

// decode reads the members. If one is malformed, interceptors and figures see the
// members before it.
func (x *exchange) decode() *apiError {
	start := jsontext.SkipSpace(x.body, 0)
	err := value(x.body[start:endOfValue(x.body, start)]).fields(x.op.field)
	x.Stream = shorten(x.op.streamName())
	if puts, ok := x.op.(interface{ puts() []PutEntry }); ok && err == nil {
		x.entries = puts.puts()
		x.Records = len(x.entries)
		for i := range x.entries {
			x.Bytes += x.entries[i].size()
		}
	}
	failure, _ := err.(*apiError) // the only type of error that field returns
	return failure
}

// observe counts the request, and returns the interceptor and its argument.
func (s *Server) observe(r *http.Request, x *exchange) (Interceptor, *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[x.Operation]++
	return s.intercept, &Request{
		Operation:    x.Operation,
		Number:       s.seen[x.Operation],
		Header:       r.Header,
		Body:         x.body,
		Stream:       x.Stream,
		Entries:      x.entries,
		Conn:         x.Conn,
		ConnRequests: x.ConnRequests,
	}
}

// before does the parts of an answer that come before its request is carried out.
func (s *Server) before(r *http.Request, a *Answer, request *Request) *apiError {
	if a.delay > 0 {
		timer := time.NewTimer(a.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.done:
			return errNoAnswer
		}
	}
	switch a.before {
	case endHang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		return errNoAnswer
	case endReset:
		return errNoAnswer
	}
	if a.reject != nil {
		return a.reject(s, request)
	}
	return nil
}

// errNoAnswer ends a request without an answer.
var errNoAnswer = &apiError{}
