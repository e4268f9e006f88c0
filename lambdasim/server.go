package lambdasim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// serve is the front of the three APIs. Paths match exactly, as in the
// aws-lambda-runtime-interface-emulator: a trailing slash is another path.
func (s *Sandbox) serve(w http.ResponseWriter, r *http.Request) {
	// Everything that is measured counts from here.
	now := time.Now()
	s.mu.Lock()
	if s.closed || s.gen == nil {
		s.mu.Unlock()
		http.Error(w, "the sandbox runs no processes", http.StatusServiceUnavailable)
		return
	}
	g := s.gen
	if made, ok := r.Context().Value(madeIn{}).(int); ok && made != g.number {
		s.mu.Unlock()
		http.Error(w, "the process is none of this environment's", http.StatusServiceUnavailable)
		return
	}
	// Under mu, because close waits only for requests that came before it.
	s.wait.Add(1)
	s.mu.Unlock()
	defer s.wait.Done()

	switch r.Method + " " + r.URL.Path {
	case "POST /2020-01-01/extension/register":
		s.serveRegister(w, r, g, now)
	case "GET /2020-01-01/extension/event/next":
		defer s.conns.keep(r)()
		s.serveExtensionNext(w, r, g, now)
	case "POST /2020-01-01/extension/init/error":
		s.serveExtensionError(w, r, g, stateInitError)
	case "POST /2020-01-01/extension/exit/error":
		s.serveExtensionError(w, r, g, stateExitError)
	case "PUT /2022-07-01/telemetry":
		s.serveTelemetry(w, r, g, now)
	case "GET /2018-06-01/runtime/invocation/next":
		defer s.conns.keep(r)()
		s.serveRuntimeNext(w, r, g, now)
	case "POST /2018-06-01/runtime/init/error":
		s.serveRuntimeInitError(w, r, g)
	case "GET " + credentialsPath:
		if s.credentials == nil {
			s.unknown(w, r)
			return
		}
		s.serveCredentials(w, r)
	default:
		const prefix = "/2018-06-01/runtime/invocation/"
		if id, isResponse := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, prefix), "/response"); isResponse && r.Method == http.MethodPost {
			s.serveResponse(w, r, g, id, now, false)
			return
		}
		if id, isError := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, prefix), "/error"); isError && r.Method == http.MethodPost {
			s.serveResponse(w, r, g, id, now, true)
			return
		}
		s.unknown(w, r)
	}
}

func (s *Sandbox) unknown(w http.ResponseWriter, r *http.Request) {
	s.notice(Notice{Kind: NoticeRefused, Detail: r.Method + " " + r.URL.Path + ": 404"})
	http.NotFound(w, r)
}

// madeIn is the key of the generation's number in which a connection was made,
// madeBy that of the connection.
type (
	madeIn struct{}
	madeBy struct{}
)

// accepted notes in which generation a connection was made. A process that was
// killed may have left a request in it, which is not to be taken for one of its
// successor's.
func (s *Sandbox) accepted(ctx context.Context, c net.Conn) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialled != nil {
		s.dialled[c.RemoteAddr().String()] = true
		s.broadcast()
	}
	return context.WithValue(context.WithValue(ctx, madeIn{}, s.number), madeBy{}, c)
}

// expelStrangers returns when all connections that dead processes have made are
// accepted, and so are known as theirs: the kernel hands connections out in
// order, and the last one is our own.
func (s *Sandbox) expelStrangers(ctx context.Context, deadline time.Time) {
	s.mu.Lock()
	s.dialled = make(map[string]bool)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dialled = nil
	}()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return // no other process gets through either
	}
	defer conn.Close()
	own := conn.LocalAddr().String()
	_ = s.await(ctx, deadline, func() bool { return s.dialled[own] }) // at the deadline, Init ends anyway
}

// maxAPIBody bounds the bodies of everything but responses.
const maxAPIBody = 1 << 20

var errTooLarge = errors.New("the body is too large")

func readBody(r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLarge
	}
	return body, err
}

// refuse answers with the error body that all APIs share.
func (s *Sandbox) refuse(w http.ResponseWriter, r *http.Request, status int, errorType, message string) {
	s.notice(Notice{Kind: NoticeRefused, Detail: r.Method + " " + r.URL.Path + ": " + errorType + ": " + message})
	answer(w, status, errorBody(errorType, message))
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the client is gone, which it may.
	_, _ = w.Write(body)
}

func errorBody(errorType, message string) []byte {
	body, err := json.Marshal(struct {
		ErrorMessage string `json:"errorMessage"`
		ErrorType    string `json:"errorType"`
	}{message, errorType})
	if err != nil {
		// Two strings: they encode.
		panic("lambdasim: " + err.Error())
	}
	return body
}

var statusOK = []byte(`{"status":"OK"}` + "\n")
