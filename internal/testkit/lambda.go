package testkit

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Lambda is a server with Lambda's side of the Extensions API and the Telemetry API.
// It answers next only with what the test sends.
type Lambda struct {
	// Subscribed receives where a process wants its telemetry. It has one slot, for
	// the latest subscription.
	Subscribed chan *url.URL
	// Next receives a channel for each call of next. The test sends the event there.
	Next chan chan<- []byte

	server *httptest.Server
	closed chan struct{}

	mu           sync.Mutex // guards all below
	registration []byte
	refused      string
	registered   time.Time
}

// NewLambda starts a Lambda. The caller closes it.
func NewLambda() *Lambda {
	l := &Lambda{
		Subscribed: make(chan *url.URL, 1), Next: make(chan chan<- []byte), closed: make(chan struct{}),
		registration: []byte(`{"functionName":"orders","functionVersion":"$LATEST","handler":"h","accountId":"123456789012"}`),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2020-01-01/extension/register", l.register)
	mux.HandleFunc("PUT /2022-07-01/telemetry", l.subscribe)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", l.next)
	mux.HandleFunc("POST /2020-01-01/extension/init/error", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"OK"}`)
	})
	l.server = httptest.NewServer(mux)
	return l
}

// Close ends the calls that wait, and the server.
func (l *Lambda) Close() {
	close(l.closed)
	l.server.Close()
}

// Address is the host:port for AWS_LAMBDA_RUNTIME_API.
func (l *Lambda) Address() string { return l.server.Listener.Addr().String() }

// SetRegistration sets the answer to register.
func (l *Lambda) SetRegistration(answer []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.registration = answer
}

// Refuse answers 403 to a register with this event.
func (l *Lambda) Refuse(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = event
}

// Registered returns when the last register arrived.
func (l *Lambda) Registered() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.registered
}

func (l *Lambda) register(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var body struct{ Events []string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.registered = at
	if slices.Contains(body.Events, l.refused) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errorType":"Extension.InvalidEventType","errorMessage":"event type is not supported"}`)
		return
	}
	w.Header().Set("Lambda-Extension-Identifier", "8b6a2a54-0000-4000-8000-000000000001")
	_, _ = w.Write(l.registration)
}

func (l *Lambda) subscribe(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Destination struct{ URI string }
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	at := &url.URL{}
	if err == nil {
		at, err = url.Parse(body.Destination.URI)
	}
	if err != nil || at.Port() == "" {
		http.Error(w, fmt.Sprintf("%q: %v", body.Destination.URI, err), http.StatusBadRequest)
		return
	}
	at.Host = net.JoinHostPort("127.0.0.1", at.Port()) // sandbox.localdomain
	select {
	case <-l.Subscribed: // of an earlier process
	default:
	}
	l.Subscribed <- at
	_, _ = io.WriteString(w, `"OK"`)
}

func (l *Lambda) next(w http.ResponseWriter, r *http.Request) {
	answer := make(chan []byte, 1)
	select {
	case l.Next <- answer:
	case <-r.Context().Done():
		return
	case <-l.closed:
		return
	}
	select {
	case event := <-answer:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(event)
	case <-r.Context().Done():
	case <-l.closed:
	}
}
