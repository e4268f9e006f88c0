package localrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/localrun/report"
)

// served is a run that serves the endpoint.
type served struct {
	url    string
	stop   context.CancelFunc
	ended  chan struct{}
	report report.Summary
	err    error
	lines  chan string // of the function
}

func serve(t *testing.T, concurrency int) *served {
	t.Helper()
	s := &served{ended: make(chan struct{}), lines: make(chan string, 100)}
	url := make(chan string, 1)
	cfg := sampleRun(t, nil)
	cfg.Invocations, cfg.Concurrency = nil, concurrency
	cfg.Out = writer(func(b []byte) (int, error) {
		var line struct {
			Serving struct{ URL string }
			Event   struct{ Type, Body string }
		}
		switch _ = json.Unmarshal(b, &line); { // bodies of other types are no strings
		case line.Serving.URL != "":
			url <- line.Serving.URL
		case line.Event.Type == "function":
			s.lines <- line.Event.Body
		}
		return len(b), nil
	})
	cfg.Notes = io.Discard
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	go func() {
		defer close(s.ended)
		s.report, s.err = Run(ctx, cfg)
	}()
	t.Cleanup(func() { s.stop(); <-s.ended })
	select {
	case s.url = <-url:
	case <-s.ended:
		t.Fatal(s.err)
	}
	return s
}

// invoke invokes the function and returns the status and the answer.
func (s *served) invoke(t *testing.T, payload string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, s.url+"/2015-03-31/functions/f/invocations", strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestServe(t *testing.T) {
	s := serve(t, 2)
	if status, body := s.invoke(t, `{"id":"x","lines":1}`); status != 200 || !strings.Contains(body, `"id":"x"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := s.invoke(t, `{}`, "X-Amz-Invocation-Type", "DryRun"); status != 204 {
		t.Errorf("a dry run: %d", status)
	}
	s.stop()
	<-s.ended
	if !errors.Is(s.err, context.Canceled) || s.report.Invocations != 1 || s.report.Environments != 1 || len(s.report.Problems) > 0 {
		t.Errorf("%+v, %v", s.report, s.err)
	}
}

// An interrupt lets the running invocation end, and its caller gets the answer. What
// comes beyond the concurrency is throttled.
func TestServeIsInterrupted(t *testing.T) {
	s := serve(t, 1)
	answer := make(chan string)
	go func() {
		_, body := s.invoke(t, `{"id":"slow","lines":1,"sleep":"700ms"}`)
		answer <- body
	}()
	<-s.lines
	if status, body := s.invoke(t, `{}`); status != http.StatusTooManyRequests {
		t.Errorf("a second invocation: %d %s", status, body)
	}
	s.stop()
	if body := <-answer; !strings.Contains(body, `"id":"slow"`) {
		t.Errorf("the answer: %s", body)
	}
	<-s.ended
	if s.report.Throttled != 1 || s.report.Statuses["success"] != s.report.Invocations {
		t.Errorf("%+v, %v", s.report, s.err)
	}
}

// Asynchronous invocations that wait at the end are discarded: nobody was refused.
func TestServeDiscardsAsynchronousInvocations(t *testing.T) {
	s := serve(t, 1)
	for i, payload := range []string{`{"id":"slow","lines":1,"sleep":"700ms"}`, `{"id":"discarded"}`} {
		if status, body := s.invoke(t, payload, "X-Amz-Invocation-Type", "Event"); status != http.StatusAccepted {
			t.Errorf("an asynchronous invocation: %d %s", status, body)
		}
		if i == 0 {
			<-s.lines
		}
	}
	s.stop()
	<-s.ended
	if s.report.Throttled != 0 || s.report.Statuses["success"] != 1 || s.report.Invocations != 1 {
		t.Errorf("%+v, %v", s.report, s.err)
	}
}

func TestServePortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := sampleRun(t, &bytes.Buffer{})
	cfg.Invocations, cfg.Port = nil, taken.Addr().(*net.TCPAddr).Port
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "pass another one, or 0 for a free one") {
		t.Errorf("error: %v", err)
	}
}
