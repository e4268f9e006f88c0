package locallambda

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/lambdasim"
)

// attempts makes an invoke function that answers each attempt in turn: with a function
// error, with "ok", or with an error of the pool. It records when they came.
func attempts(log *[]string, answers ...string) func(context.Context, Request) (Result, error) {
	start := time.Now()
	ids := map[string]bool{}
	return func(_ context.Context, req Request) (Result, error) {
		ids[req.RequestID] = true
		*log = append(*log, fmt.Sprintf("%v %s", time.Since(start), req.Payload))
		if len(ids) > 1 {
			*log = append(*log, "a retry has another request id")
		}
		answer := answers[0]
		answers = answers[1:]
		switch answer {
		case "ok":
			return respond(req, lambdasim.Response{Payload: []byte("1")}), nil
		case "error":
			return respond(req, lambdasim.Response{FunctionError: "Unhandled"}), nil
		case "wait":
			<-req.StopWaiting
			return Result{}, ErrThrottled
		}
		return Result{}, errors.New(answer)
	}
}

func TestEvents(t *testing.T) {
	const minute = time.Minute
	for name, test := range map[string]struct {
		answers   []string
		delays    []time.Duration
		maxAge    time.Duration
		closeAt   time.Duration
		log       []string
		condition EventCondition
		attempts  int
		age       time.Duration
	}{
		"success":                  {answers: []string{"ok"}, log: []string{"0s x"}, condition: EventSucceeded, attempts: 1},
		"success at the retry":     {answers: []string{"error", "ok"}, log: []string{"0s x", "1s x"}, condition: EventSucceeded, attempts: 2, age: time.Second},
		"two retries":              {answers: []string{"error", "error", "error"}, log: []string{"0s x", "1s x", "3s x"}, condition: EventRetriesExhausted, attempts: 3, age: 3 * time.Second},
		"a problem of the sandbox": {answers: []string{"no such file", "error", "ok"}, log: []string{"0s x", "1s x", "3s x"}, condition: EventSucceeded, attempts: 3, age: 3 * time.Second},
		"delays of AWS": {
			answers: []string{"error", "error", "error"}, delays: []time.Duration{minute, 2 * minute},
			log: []string{"0s x", "1m0s x", "3m0s x"}, condition: EventRetriesExhausted, attempts: 3, age: 3 * minute,
		},
		"no retries": {answers: []string{"error"}, delays: []time.Duration{}, log: []string{"0s x"}, condition: EventRetriesExhausted, attempts: 1},
		"too old for a retry": {
			answers: []string{"error"}, delays: []time.Duration{minute, minute}, maxAge: 30 * time.Second,
			log: []string{"0s x"}, condition: EventAgeExceeded, attempts: 1, age: 30 * time.Second,
		},
		"too old before the first attempt": {answers: []string{"wait"}, log: []string{"0s x"}, condition: EventAgeExceeded, age: 6 * time.Hour},
		"closed while it waits for a place": {
			answers: []string{"wait"}, closeAt: time.Minute, log: []string{"0s x"}, condition: EventDiscarded, age: time.Minute,
		},
		"closed while it waits for a retry": {
			answers: []string{"error"}, closeAt: 500 * time.Millisecond, log: []string{"0s x"}, condition: EventDiscarded, attempts: 1, age: 500 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log []string
				var outcomes []EventOutcome
				h := newTestHandler(t, &fake{invoke: attempts(&log, test.answers...)}, HandlerConfig{
					RetryDelays: test.delays, MaxEventAge: test.maxAge,
					OnEventDone: func(o EventOutcome) { outcomes = append(outcomes, o) },
				})
				start := time.Now()
				if err := h.events.add(Request{Request: lambdasim.Request{Payload: []byte("x"), RequestID: "id"}}); err != nil {
					t.Fatal(err)
				}
				if test.closeAt > 0 {
					time.Sleep(test.closeAt)
				} else {
					time.Sleep(12 * time.Hour)
				}
				if err := h.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(test.log, log); diff != "" {
					t.Errorf("attempts (-want +got)\n%s", diff)
				}
				if len(outcomes) != 1 {
					t.Fatalf("outcomes: %+v", outcomes)
				}
				if o := outcomes[0]; o.Condition != test.condition || o.Attempts != test.attempts || o.Age != test.age || o.RequestID != "id" {
					t.Errorf("after %v: %+v", time.Since(start), o)
				}
			})
		})
	}
}

// An event is accepted at once, and gets the request id of the answer.
func TestEventOverHTTP(t *testing.T) {
	got := make(chan Request, 1)
	h := newTestHandler(t, &fake{invoke: func(ctx context.Context, req Request) (Result, error) {
		got <- req
		return echo(ctx, req)
	}}, HandlerConfig{})
	w := call(h, invokePath, `{"a":1}`, "X-Amz-Invocation-Type: Event", "X-Amz-Log-Type: Tail", "X-Amz-Client-Context: not checked")
	if w.Code != 202 || w.Body.Len() != 0 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	req := <-got
	if string(req.Payload) != `{"a":1}` || req.RequestID != w.Header().Get("X-Amzn-RequestId") || !req.Wait || req.TailLog || req.ClientContext != "" {
		t.Errorf("request: %+v, answer: %v", req, w.Header())
	}
}

func TestEventsAreBounded(t *testing.T) {
	end := make(chan struct{})
	h := newTestHandler(t, &fake{invoke: func(ctx context.Context, req Request) (Result, error) {
		<-end
		return echo(ctx, req)
	}}, HandlerConfig{MaxEvents: 3})
	send := func(payload string) int {
		return call(h, invokePath, payload, "X-Amz-Invocation-Type: Event").Code
	}
	for range 3 {
		if status := send("1"); status != 202 {
			t.Fatalf("status %d", status)
		}
	}
	if status := send("1"); status != 429 {
		t.Errorf("event 4 of 3: status %d", status)
	}
	close(end)
	h.events.running.Wait()
	if status := send("1"); status != 202 {
		t.Errorf("status %d after the others were done", status)
	}
}

func TestEventBytesAreBounded(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	q := newEventQueue(&fake{invoke: func(ctx context.Context, req Request) (Result, error) {
		<-end
		return echo(ctx, req)
	}}, HandlerConfig{MaxEvents: 1000, MaxEventAge: time.Hour})
	payload := make([]byte, 1<<20)
	for i := range 65 {
		err := q.add(Request{Request: lambdasim.Request{Payload: payload}})
		if want := i == 64; (err == ErrThrottled) != want {
			t.Errorf("event %d of 1 MiB: %v", i+1, err)
		}
	}
}

// Close waits for attempts that run, but not for ever, and no event comes later.
func TestCloseWaitsForAttempts(t *testing.T) {
	end := make(chan struct{})
	h, err := NewHandler(&fake{invoke: func(ctx context.Context, req Request) (Result, error) {
		<-end
		return echo(ctx, req)
	}}, HandlerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.events.add(Request{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); err != context.Canceled {
		t.Errorf("error: %v", err)
	}
	close(end)
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.events.add(Request{}); err != ErrClosed {
		t.Errorf("an event after Close: %v", err)
	}
}
