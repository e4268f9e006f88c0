package script

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// lambda is Lambda's side of the Extensions API and the Telemetry API. It answers
// what the script says, and nothing before the script says it.
type lambda struct {
	t      *testing.T
	server *httptest.Server
	ended  chan struct{} // closed at the end of the test

	subscribed chan *url.URL    // where a process wants its telemetry
	next       chan chan []byte // calls of next that wait for an event

	mu         sync.Mutex
	refuse     string     // an event that register refuses
	registered [][]string // events of each register that was accepted
	initErrors []string
}

func newLambda(t *testing.T) *lambda {
	l := &lambda{t: t, ended: make(chan struct{}), subscribed: make(chan *url.URL, 1), next: make(chan chan []byte, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2020-01-01/extension/register", l.register)
	mux.HandleFunc("PUT /2022-07-01/telemetry", l.subscribe)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", l.serveNext)
	mux.HandleFunc("POST /2020-01-01/extension/init/error", l.initError)
	l.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		close(l.ended)
		l.server.Close()
	})
	return l
}

// address is the host:port for AWS_LAMBDA_RUNTIME_API.
func (l *lambda) address() string { return strings.TrimPrefix(l.server.URL, "http://") }

func (l *lambda) register(w http.ResponseWriter, r *http.Request) {
	var body struct{ Events []string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		l.t.Errorf("register: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(body.Events, l.refuse) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errorType":"Extension.InvalidEventType","errorMessage":"event type is not supported"}`)
		return
	}
	l.registered = append(l.registered, body.Events)
	w.Header().Set("Lambda-Extension-Identifier", "8b6a2a54-0000-4000-8000-000000000001")
	_, _ = io.WriteString(w, `{"functionName":"orders","functionVersion":"$LATEST","handler":"h","accountId":"123456789012"}`)
}

func (l *lambda) subscribe(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Destination struct{ URI string }
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		l.t.Errorf("subscribe: %v", err)
	}
	at, err := url.Parse(body.Destination.URI)
	if err != nil {
		l.t.Errorf("subscribe: %v", err)
		return
	}
	_, port, _ := net.SplitHostPort(at.Host)
	at.Host = net.JoinHostPort("127.0.0.1", port)
	select {
	case <-l.subscribed: // an earlier process's
	default:
	}
	l.subscribed <- at
	_, _ = io.WriteString(w, `"OK"`)
}

func (l *lambda) serveNext(w http.ResponseWriter, r *http.Request) {
	answer := make(chan []byte)
	select {
	case l.next <- answer:
	case <-r.Context().Done():
		return
	case <-l.ended:
		return
	}
	select {
	case event := <-answer:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(event)
	case <-r.Context().Done():
	case <-l.ended:
	}
}

func (l *lambda) initError(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	l.initErrors = append(l.initErrors, r.Header.Get("Lambda-Extension-Function-Error-Type")+" "+string(body))
	l.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

// wait receives from c, and fails the test if nothing comes for long.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("%s: nothing for %s", what, patience)
		panic("unreachable")
	}
}

// patience bounds every wait. It is no measure of speed.
const patience = 20 * time.Second
