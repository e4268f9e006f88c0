package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/extensionapi"
)

// subscription is a request as Lambda saw it.
type subscription struct {
	Method, URI string
	Header      http.Header
	Body        map[string]any
}

// fakeLambda answers subscriptions, one after the other, and notes them.
type fakeLambda struct {
	api     string // host:port
	managed bool   // it is a managed instance

	mu   sync.Mutex
	seen []subscription
}

type answer struct {
	status int
	body   string
}

func newLambda(t *testing.T, answers ...answer) *fakeLambda {
	t.Helper()
	lambda := &fakeLambda{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(r.URL.Path, "/register") {
			w.Header().Set("Lambda-Extension-Identifier", "id-7")
			return
		}
		s := subscription{Method: r.Method, URI: r.RequestURI, Header: r.Header}
		if err := json.Unmarshal(text, &s.Body); err != nil {
			t.Errorf("the body %q: %v", text, err)
		}
		lambda.mu.Lock()
		lambda.seen = append(lambda.seen, s)
		n := len(lambda.seen)
		lambda.mu.Unlock()
		if n > len(answers) {
			t.Errorf("%d subscriptions", n)
			n = len(answers)
		}
		w.WriteHeader(answers[n-1].status)
		_, _ = io.WriteString(w, answers[n-1].body)
	}))
	t.Cleanup(server.Close)
	lambda.api = strings.TrimPrefix(server.URL, "http://")
	return lambda
}

func (l *fakeLambda) subscribe(t *testing.T) (string, error) {
	t.Helper()
	api := extensionapi.New(l.api)
	if _, err := api.Register(t.Context(), nil, "kinetel"); err != nil {
		t.Fatal(err)
	}
	return Subscribe(t.Context(), api, "http://sandbox.localdomain:4243/0123", l.managed, []string{"platform", "function"})
}

// schemas gives the schema of each subscription.
func (l *fakeLambda) schemas() []string {
	var all []string
	for _, s := range l.seen {
		text, _ := s.Body["schemaVersion"].(string)
		all = append(all, text)
	}
	return all
}

func TestSubscribeAsksAsLambdaDemands(t *testing.T) {
	lambda := newLambda(t, answer{200, `"OK"`})
	schema, err := lambda.subscribe(t)
	if err != nil || schema != "2025-01-29" {
		t.Fatalf("schema %q, error %v", schema, err)
	}
	got := lambda.seen[0]
	if got.Method != http.MethodPut || got.URI != "/2022-07-01/telemetry" {
		t.Errorf("%s %s", got.Method, got.URI)
	}
	if id, kind := got.Header.Get("Lambda-Extension-Identifier"), got.Header.Get("Content-Type"); id != "id-7" || kind != "application/json" {
		t.Errorf("identifier %q, content type %q", id, kind)
	}
	want := map[string]any{
		"schemaVersion": "2025-01-29",
		"types":         []any{"platform", "function"},
		"buffering":     map[string]any{"maxItems": 1000.0, "maxBytes": 1048576.0, "timeoutMs": 25.0},
		"destination":   map[string]any{"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/0123"},
	}
	if diff := cmp.Diff(want, got.Body); diff != "" {
		t.Errorf("the body (- want, + got):\n%s", diff)
	}
}

// A batch that is ready while the answer to the one before is outstanding can be
// dropped whole on Managed Instances (AWS's emulator), and no invocation is held there.
func TestSubscribeAsksForFewAndLargeBatchesOnManagedInstances(t *testing.T) {
	lambda := newLambda(t, answer{200, `"OK"`})
	lambda.managed = true
	if _, err := lambda.subscribe(t); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"maxItems": 10000.0, "maxBytes": 1048576.0, "timeoutMs": 100.0}
	if diff := cmp.Diff(want, lambda.seen[0].Body["buffering"]); diff != "" {
		t.Errorf("buffering (- want, + got):\n%s", diff)
	}
}

// Lambda refuses values out of range with 400 (AWS documentation, Telemetry
// API reference).
func TestSubscriptionLimitsAreAllowed(t *testing.T) {
	for _, limit := range []struct {
		name            string
		is, least, most int
	}{
		{"maxItems", maxItems, 1000, 10000},
		{"maxItems of Managed Instances", managedItems, 1000, 10000},
		{"maxBytes", maxBytes, 262144, 1048576},
		{"timeoutMs", timeoutMs, 25, 30000},
		{"timeoutMs of Managed Instances", managedTimeoutMs, 100, 30000},
	} {
		if limit.is < limit.least || limit.is > limit.most {
			t.Errorf("%s is %d, allowed are %d to %d", limit.name, limit.is, limit.least, limit.most)
		}
	}
	if maxBody < 4<<20 || maxBody < 2*maxBytes+managedItems*200 {
		t.Errorf("a body may be %d bytes: Lambda sends up to twice maxBytes and metadata", maxBody)
	}
}

func TestLambdasAnswerIsShownWithoutTheDestination(t *testing.T) {
	lambda := newLambda(t, answer{403, `{"errorMessage":"http://sandbox.localdomain:4243/0123 is not allowed: \/0123"}`})
	_, err := lambda.subscribe(t)
	if err == nil || strings.Contains(err.Error(), "0123") || !strings.Contains(err.Error(), "is not allowed") {
		t.Errorf("error %v", err)
	}
}

func TestSubscribeAnswers(t *testing.T) {
	const both = "2025-01-29 2022-12-13"
	scenarios := []struct {
		name    string
		answers []answer
		schema  string   // agreed on
		asked   string   // schemas, in order
		is      error    // in the error's chain
		text    []string // in the error's text
	}{
		{name: "the schema is not known: the older one is asked for", answers: []answer{{400, `{"errorType":"ValidationError"}`}, {200, `"OK"`}}, schema: "2022-12-13", asked: both},
		{name: "no schema is accepted", answers: []answer{{400, `{"errorMessage":"first"}`}, {400, `{"errorMessage":"second"}`}}, asked: both, text: []string{"400", "2022-12-13", "second"}},
		{name: "an emulator without the Telemetry API", answers: []answer{{202, `{"errorType":"Telemetry.NotSupported","errorMessage":"Telemetry API is not supported"}`}}, asked: "2025-01-29", is: ErrNotSupported, text: []string{"202"}},
		{name: "an old emulator without the path", answers: []answer{{404, "404 page not found"}}, asked: "2025-01-29", is: ErrNotSupported, text: []string{"404"}},
		{name: "an emulator that is only found out at the second try", answers: []answer{{400, ""}, {202, ""}}, asked: both, is: ErrNotSupported},
		{name: "too late", answers: []answer{{403, `{"errorType":"Telemetry.SubscriptionClosed","errorMessage":"Subscription is closed already"}`}}, asked: "2025-01-29", text: []string{"403", "Telemetry.SubscriptionClosed"}},
		{name: "a fault of Lambda's", answers: []answer{{500, `{"errorType":"Fault"}`}}, asked: "2025-01-29", text: []string{"500", "Fault"}},
		{name: "an answer that is not escaped", answers: []answer{{400, ""}, {400, "{\"errorMessage\":\"got \"x\"\n\xff\"}\n"}}, asked: both, text: []string{`got "x"`}},
		{name: "other success is none", answers: []answer{{204, ""}}, asked: "2025-01-29", text: []string{"204"}},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			lambda := newLambda(t, scenario.answers...)
			schema, err := lambda.subscribe(t)
			if schema != scenario.schema || (err == nil) != (scenario.schema != "") {
				t.Errorf("schema %q, error %v", schema, err)
			}
			if asked := lambda.schemas(); !slices.Equal(asked, strings.Fields(scenario.asked)) {
				t.Errorf("asked for %q, want %q", asked, scenario.asked)
			}
			if scenario.is != nil && !errors.Is(err, scenario.is) {
				t.Errorf("error %v, want %v", err, scenario.is)
			}
			if scenario.is == nil && errors.Is(err, ErrNotSupported) {
				t.Errorf("error %v is mistaken for a missing Telemetry API", err)
			}
			for _, text := range scenario.text {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("error %v does not contain %q", err, text)
				}
			}
		})
	}
}

func TestSubscribeReadsOnlyTheBeginningOfTheAnswer(t *testing.T) {
	lambda := newLambda(t, answer{500, strings.Repeat("long ", 1<<20)})
	_, err := lambda.subscribe(t)
	if err == nil || len(err.Error()) > 4<<10 || !strings.Contains(err.Error(), "long long") {
		t.Errorf("error %.100v", err)
	}
}

func TestSubscribeWithoutLambda(t *testing.T) {
	var lc net.ListenConfig
	closed, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if schema, err := Subscribe(t.Context(), extensionapi.New(closed.Addr().String()), "http://sandbox.localdomain:1/0123", false, []string{"platform"}); err == nil || errors.Is(err, ErrNotSupported) || schema != "" {
		t.Errorf("schema %q, error %v", schema, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lambda := newLambda(t)
	if _, err := Subscribe(ctx, extensionapi.New(lambda.api), "http://sandbox.localdomain:1/0123", false, []string{"platform"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
