package lambdasim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// recorder keeps what a sandbox reports.
type recorder struct {
	mu      sync.Mutex
	events  []lambdasim.Event
	notices []lambdasim.Notice
	changed chan struct{}
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) event(e lambdasim.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) notice(n lambdasim.Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices = append(r.notices, n)
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until the condition holds of what was recorded.
func (r *recorder) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		r.mu.Lock()
		ok, changed := holds(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("still waiting after %s for %s; notices:\n%v", patience, what, r.notices)
		}
	}
}

// has reports whether a notice of that kind mentions the text.
func (r *recorder) has(kind lambdasim.NoticeKind, text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.notices {
		if n.Kind == kind && strings.Contains(n.String(), text) {
			return true
		}
	}
	return false
}

// count counts the events of a type. It is for await's condition.
func (r *recorder) count(eventType string) int {
	n := 0
	for _, e := range r.events {
		if e.Type == eventType {
			n++
		}
	}
	return n
}

func (r *recorder) all() []lambdasim.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]lambdasim.Event(nil), r.events...)
}

// types lists the types of the events, with runs of lines as one.
func types(events []lambdasim.Event) []string {
	var list []string
	for _, e := range events {
		if e.Type == "function" && len(list) > 0 && list[len(list)-1] == "function" {
			continue
		}
		list = append(list, e.Type)
	}
	return list
}

// records decodes the records of all events of a type.
func records(t *testing.T, events []lambdasim.Event, eventType string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for _, e := range events {
		if e.Type != eventType {
			continue
		}
		var record map[string]any
		if err := json.Unmarshal(e.Record, &record); err != nil {
			t.Fatalf("record %s: %v", e.Record, err)
		}
		list = append(list, record)
	}
	return list
}

// baseConfig has the sample function and records everything.
func baseConfig(extensions ...lambdasim.Process) (lambdasim.Config, *recorder) {
	r := newRecorder()
	return lambdasim.Config{
		Function: lambdasim.Process{Path: program("function")}, Extensions: extensions,
		Timeout: 10 * time.Second, ShutdownTimeout: 5 * time.Second, OnEvent: r.event, OnNotice: r.notice,
	}, r
}

func start(t *testing.T, cfg lambdasim.Config) *lambdasim.Sandbox {
	t.Helper()
	s, err := lambdasim.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func invoke(t *testing.T, s *lambdasim.Sandbox, payload string) lambdasim.Result {
	t.Helper()
	result, err := s.Invoke(context.Background(), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func shutdown(t *testing.T, s *lambdasim.Sandbox) lambdasim.ShutdownReport {
	t.Helper()
	report, err := s.Shutdown(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// script and request are what internal/testextension reads.
type script map[string]any

type request struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Header map[string]string `json:"header"`
	Body   string            `json:"body"`
}

type entry struct {
	Kind, Path, Host, Remote string
	Status                   int
	Header                   http.Header
	Body                     []byte
}

// scripted returns the test extension with a script, and where it dumps to.
func scripted(t *testing.T, name string, s script) (lambdasim.Process, string) {
	t.Helper()
	path := programAs(t, "testextension", name)
	dump := filepath.Join(filepath.Dir(path), "dump")
	s["dump"] = dump
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return lambdasim.Process{Path: path, Env: map[string]string{"TESTEXTENSION": string(encoded)}}, dump
}

func entries(t *testing.T, dump, kind string) []entry {
	t.Helper()
	data, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	var list []entry
	for line := range bytes.Lines(data) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// subscribeTo is a subscription's body.
func subscribeTo(schema, types string) string {
	return `{"schemaVersion":"` + schema + `","types":` + types + `,"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25},` +
		`"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:$PORT/here?x=1"}}`
}

// accepted returns the events of all accepted posts.
func accepted(t *testing.T, dump string) []json.RawMessage {
	t.Helper()
	var events []json.RawMessage
	for _, post := range entries(t, dump, "post") {
		if post.Status != http.StatusOK {
			continue
		}
		var batch []json.RawMessage
		if err := json.Unmarshal(post.Body, &batch); err != nil {
			t.Fatalf("a body is no array: %v\n%.300s", err, post.Body)
		}
		events = append(events, batch...)
	}
	return events
}

// wantDelivered checks that exactly the emitted events were delivered, in their
// order.
func wantDelivered(t *testing.T, dump string, events []lambdasim.Event) {
	t.Helper()
	got := accepted(t, dump)
	for i, e := range events {
		if i >= len(got) {
			t.Fatalf("%d events were delivered, %d emitted; the first one missing is %s", len(got), len(events), e.Raw)
		}
		if !bytes.Equal(got[i], e.Raw) {
			t.Fatalf("event %d: delivered\n%s\nemitted\n%s", i, got[i], e.Raw)
		}
	}
	if len(got) > len(events) {
		t.Fatalf("%d events were delivered, %d emitted", len(got), len(events))
	}
}
