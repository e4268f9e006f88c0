package extensionapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/extensionapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call is a request as Lambda saw it.
type call struct {
	Method, URI, Body string
	Header            http.Header
}

// answer is what Lambda answers.
type answer struct {
	status int
	header map[string]string
	body   string
}

// lambda answers calls one after the other, and records them.
type lambda struct {
	api     string // host:port
	answers []answer
	calls   []call // written before the answer leaves
}

func newLambda(t *testing.T, answers ...answer) *lambda {
	t.Helper()
	l := &lambda{answers: answers}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l.calls = append(l.calls, call{r.Method, r.RequestURI, string(body), r.Header})
		if len(l.calls) > len(l.answers) {
			t.Errorf("call %d was not expected", len(l.calls))
			w.WriteHeader(http.StatusTeapot)
			return
		}
		a := l.answers[len(l.calls)-1]
		for name, value := range a.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(server.Close)
	l.api = strings.TrimPrefix(server.URL, "http://")
	return l
}

// client returns a client whose connections end with the test.
func (l *lambda) client(t *testing.T) *extensionapi.Client {
	t.Helper()
	c := extensionapi.New(l.api)
	t.Cleanup(c.Close)
	return c
}

// registered returns a client that has registered; its call is not among calls.
func (l *lambda) registered(t *testing.T) *extensionapi.Client {
	t.Helper()
	answers := l.answers
	l.answers = []answer{ok}
	c := l.client(t)
	if _, err := c.Register(t.Context(), nil, "kinetel", extensionapi.Invoke); err != nil {
		t.Fatal(err)
	}
	l.answers, l.calls = answers, nil
	return c
}

const identifier = "9f2a1c7e-0000-4000-8000-5f6e7d8c9b0a"

var ok = answer{200, map[string]string{"Lambda-Extension-Identifier": identifier}, `{"functionName":"orders","functionVersion":"$LATEST","handler":"index.handler","accountId":"123456789012"}`}

func TestRegister(t *testing.T) {
	l := newLambda(t, ok)
	c := l.client(t)
	if c.ID() != "" {
		t.Errorf("before register the identifier is %q", c.ID())
	}
	f, err := c.Register(t.Context(), nil, "kinesis-telemetry-extension", extensionapi.Invoke, extensionapi.Shutdown)
	if err != nil {
		t.Fatal(err)
	}
	want := extensionapi.Function{Name: "orders", Version: "$LATEST", Handler: "index.handler", AccountID: "123456789012"}
	if f != want || c.ID() != identifier {
		t.Errorf("function %+v, identifier %q", f, c.ID())
	}
	got := l.calls[0]
	if got.Method != http.MethodPost || got.URI != "/2020-01-01/extension/register" {
		t.Errorf("%s %s", got.Method, got.URI)
	}
	for name, value := range map[string]string{
		"Lambda-Extension-Name":           "kinesis-telemetry-extension",
		"Lambda-Extension-Accept-Feature": "accountId",
		"Content-Type":                    "application/json",
		"Lambda-Extension-Identifier":     "",
	} {
		if got.Header.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), value)
		}
	}
	var body map[string][]string
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"events": {"INVOKE", "SHUTDOWN"}}, body); diff != "" {
		t.Errorf("the body (- want, + got):\n%s", diff)
	}
}

func TestRegisterForShutdownOnly(t *testing.T) {
	l := newLambda(t, ok)
	if _, err := l.client(t).Register(t.Context(), nil, "kinetel", extensionapi.Shutdown); err != nil {
		t.Fatal(err)
	}
	if l.calls[0].Body != `{"events":["SHUTDOWN"]}` {
		t.Errorf("the body is %s", l.calls[0].Body)
	}
}

func TestRegisterAnswers(t *testing.T) {
	id := map[string]string{"lambda-extension-identifier": "id"}
	scenarios := []struct {
		name   string
		answer answer
		want   extensionapi.Function
		status int      // of the error that Lambda answers
		text   []string // of the error; none: success
	}{
		{name: "without an account", answer: answer{200, id, `{"functionName":"f","functionVersion":"7","handler":""}`}, want: extensionapi.Function{Name: "f", Version: "7"}},
		{name: "with unknown members", answer: answer{200, id, `{"functionName":"f","novelty":{"a":[1]},"accountId":"1"}`}, want: extensionapi.Function{Name: "f", AccountID: "1"}},
		{name: "with a body that is broken", answer: answer{200, id, `{"functionName":`}},
		{name: "with no body", answer: answer{200, id, ""}},
		{name: "without an identifier", answer: answer{200, nil, `{"functionName":"f"}`}, text: []string{"register", "Lambda-Extension-Identifier"}},
		{name: "refused", answer: answer{403, nil, `{"errorMessage":"SHUTDOWN is not supported for internal extensions","errorType":"Extension.InvalidEventType"}`}, status: 403, text: []string{"register", "403", "Extension.InvalidEventType", "internal extensions"}},
		{name: "bad request", answer: answer{400, id, "{\"errorMessage\": \"a \"quoted\" word\"}\n"}, status: 400, text: []string{`a "quoted" word`}},
		{name: "a fault of the container's", answer: answer{500, nil, ""}, status: 500, text: []string{"register", "500"}},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			l := newLambda(t, scenario.answer)
			c := l.client(t)
			f, err := c.Register(t.Context(), nil, "kinetel", extensionapi.Invoke)
			wantError(t, err, scenario.status, scenario.text...)
			if f != scenario.want {
				t.Errorf("function %+v, want %+v", f, scenario.want)
			}
			if scenario.text == nil && c.ID() != "id" || scenario.text != nil && c.ID() != "" {
				t.Errorf("identifier %q", c.ID())
			}
		})
	}
}

func TestTheTypeOfAnError(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, tt := range []struct{ name, body, want string }{
		{"as documented", `{"errorMessage":"no","errorType":"Extension.InvalidEventType"}`, "Extension.InvalidEventType"},
		{"in another order, on several lines", "{\n  \"errorType\" : \"Extension.InvalidEventType\",\n  \"errorMessage\": \"no\"\n}\n", "Extension.InvalidEventType"},
		{"after a long message", `{"errorMessage":"` + long + `","errorType":"Extension.InvalidEventType"}`, "Extension.InvalidEventType"},
		{"after a message that is not escaped", `{"errorMessage":"event "INVOKE" is not supported","errorType":"Extension.InvalidEventType"}`, "Extension.InvalidEventType"},
		{"another", `{"errorMessage":"Extension.InvalidEventType","errorType":"Extension.RegistrationClosed"}`, "Extension.RegistrationClosed"},
		{"of another JSON type", `{"errorType":7}`, ""},
		{"null", `{"errorType":null,"errorMessage":"x"}`, ""},
		{"cut off", `{"errorType":"Extension.Inv`, ""},
		{"none", `{"errorMessage":"no"}`, ""},
		{"no JSON", "Forbidden", ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newLambda(t, answer{403, nil, tt.body}).client(t).Register(t.Context(), nil, "kinetel", extensionapi.Invoke)
			answered := (*extensionapi.Error)(nil)
			if !errors.As(err, &answered) || answered.Type != tt.want {
				t.Errorf("%#v, want the type %q", err, tt.want)
			}
		})
	}
}

// An extension whose registration failed may register for other events.
func TestRegisterAgainAfterAnError(t *testing.T) {
	l := newLambda(t, answer{403, nil, `{"errorType":"Extension.InvalidEventType"}`}, ok)
	c := l.client(t)
	if _, err := c.Register(t.Context(), nil, "kinetel", extensionapi.Invoke, extensionapi.Shutdown); err == nil {
		t.Fatal("no error")
	}
	f, err := c.Register(t.Context(), nil, "kinetel", extensionapi.Shutdown)
	if err != nil || f.Name != "orders" || c.ID() != identifier || l.calls[1].Body != `{"events":["SHUTDOWN"]}` {
		t.Errorf("%+v, %v, identifier %q, body %s", f, err, c.ID(), l.calls[1].Body)
	}
}

// wantError checks that err contains these texts, or is nil if there are none, and that
// it is an Error of Lambda's if there is a status.
func wantError(t *testing.T, err error, status int, texts ...string) {
	t.Helper()
	if texts == nil {
		if err != nil {
			t.Errorf("error %v", err)
		}
		return
	}
	if err == nil {
		t.Error("no error")
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not have %q", err, text)
		}
	}
	answered := (*extensionapi.Error)(nil)
	if errors.As(err, &answered) != (status != 0) || status != 0 && answered.Status != status {
		t.Errorf("error %#v, want a refusal with status %d", err, status)
	}
}

func TestNext(t *testing.T) {
	scenarios := []struct {
		name   string
		answer answer
		want   extensionapi.Event
		status int
		text   []string
	}{
		{
			name: "an invocation",
			answer: answer{200, map[string]string{"Content-Type": "application/json", "Lambda-Extension-Event-Identifier": "e"}, `{"eventType":"INVOKE","deadlineMs":1790000012345,"requestId":"6f0c0c5e-1111-4222-8333-444455556666",
				"invokedFunctionArn":"arn:aws:lambda:eu-west-1:111122223333:function:orders:live",
				"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-68d0aaaa-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"}}`},
			want: extensionapi.Event{Type: "INVOKE", DeadlineMs: 1790000012345, RequestID: "6f0c0c5e-1111-4222-8333-444455556666", FunctionARN: "arn:aws:lambda:eu-west-1:111122223333:function:orders:live", Trace: "Root=1-68d0aaaa-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"},
		},
		{
			name:   "a shutdown, as plain text",
			answer: answer{200, map[string]string{"Content-Type": "text/plain; charset=utf-8"}, `{"eventType":"SHUTDOWN","deadlineMs":1790000002000,"shutdownReason":"spindown"}`},
			want:   extensionapi.Event{Type: "SHUTDOWN", DeadlineMs: 1790000002000, ShutdownReason: "spindown"},
		},
		{
			name:   "a trace that cannot be read is none",
			answer: answer{200, nil, `{"eventType":"INVOKE","deadlineMs":1,"tracing":"Root=1"}`},
			want:   extensionapi.Event{Type: "INVOKE", DeadlineMs: 1},
		},
		{
			name:   "a trace of another shape is none",
			answer: answer{200, nil, `{"eventType":"INVOKE","deadlineMs":1,"tracing":{"type":"w3c","value":["00"]}}`},
			want:   extensionapi.Event{Type: "INVOKE", DeadlineMs: 1},
		},
		{
			name:   "an event of a new type with new members",
			answer: answer{200, nil, `{"eventType":"THAW","novelty":[{}],"deadlineMs":1}`},
			want:   extensionapi.Event{Type: "THAW", DeadlineMs: 1},
		},
		{name: "broken JSON", answer: answer{200, nil, `{"eventType":"INV`}, text: []string{"next", `INV`}},
		{name: "no JSON", answer: answer{200, nil, "<html>"}, text: []string{"next", "<html>"}},
		{name: "nothing", answer: answer{200, nil, ""}, text: []string{"next"}},
		{name: "a member of another type", answer: answer{200, nil, `{"eventType":"INVOKE","deadlineMs":"soon"}`}, text: []string{"next", "soon"}},
		{name: "an answer that is far too long", answer: answer{200, nil, `{"eventType":"INVOKE","novelty":"` + strings.Repeat("long", 1<<20) + `"}`}, text: []string{"next"}},
		{name: "refused", answer: answer{403, nil, `{"errorType":"Extension.InvalidExtensionState"}`}, status: 403, text: []string{"next", "403", "InvalidExtensionState"}},
		{name: "a fault", answer: answer{500, nil, "\n " + strings.Repeat("long ", 1000)}, status: 500, text: []string{"next", "500", "long long"}},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			l := newLambda(t, scenario.answer)
			c := l.registered(t)
			got, err := c.Next(t.Context(), nil)
			wantError(t, err, scenario.status, scenario.text...)
			if scenario.text == nil && got != scenario.want {
				t.Errorf("event %+v, want %+v", got, scenario.want)
			}
			if err != nil && len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if call := l.calls[0]; call.Method != http.MethodGet || call.URI != "/2020-01-01/extension/event/next" || call.Body != "" ||
				call.Header.Get("Lambda-Extension-Identifier") != identifier {
				t.Errorf("the call is %+v", call)
			}
		})
	}
}

func TestAnswerWithoutEndIsNotReadToItsEnd(t *testing.T) {
	hungUp := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(hungUp)
		block := []byte(strings.Repeat(" ", 64<<10))
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	c := extensionapi.New(strings.TrimPrefix(server.URL, "http://"))
	_, err := c.Next(t.Context(), nil)
	wantError(t, err, 0, "next")
	<-hungUp
}

func TestDeadline(t *testing.T) {
	e := extensionapi.Event{DeadlineMs: 1790000012345}
	if want := time.Date(2026, 9, 21, 14, 13, 32, 345e6, time.UTC); !e.Deadline().Equal(want) {
		t.Errorf("the deadline is %s, want %s", e.Deadline().UTC(), want)
	}
}

func TestInitError(t *testing.T) {
	l := newLambda(t, answer{202, nil, `{"status":"OK"}`}, answer{403, nil, `{"errorType":"Extension.InvalidExtensionState"}`})
	c := l.registered(t)
	const message = `KINETEL_STREAM_NAME: "x" is not set`
	if err := c.InitError(t.Context(), "Extension.ConfigInvalid", message); err != nil {
		t.Fatal(err)
	}
	got := l.calls[0]
	if got.Method != http.MethodPost || got.URI != "/2020-01-01/extension/init/error" ||
		got.Header.Get("Lambda-Extension-Identifier") != identifier ||
		got.Header.Get("Lambda-Extension-Function-Error-Type") != "Extension.ConfigInvalid" ||
		got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the call is %+v", got)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"errorType": "Extension.ConfigInvalid", "errorMessage": message}, body); diff != "" {
		t.Errorf("the body (- want, + got):\n%s", diff)
	}
	wantError(t, c.InitError(t.Context(), "Extension.ConfigInvalid", message), 403, "init/error", "InvalidExtensionState")
}

func TestNoProxyIsUsed(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	dialed := ""
	refused := errors.New("dialed")
	c := extensionapi.New("lambda.invalid:9001")
	c.SetDial(func(_ context.Context, _, addr string) (net.Conn, error) {
		dialed = addr
		return nil, refused
	})
	if _, err := c.Register(t.Context(), nil, "kinetel"); !errors.Is(err, refused) {
		t.Error(err)
	}
	if dialed != "lambda.invalid:9001" {
		t.Errorf("dialed %s", dialed)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	l := newLambda(t)
	c := l.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Next(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
	if _, err := c.Register(ctx, nil, "kinetel"); !errors.Is(err, context.Canceled) {
		t.Errorf("register: %v", err)
	}
}

func TestAnAddressWithoutAListener(t *testing.T) {
	var lc net.ListenConfig
	closed, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	c := extensionapi.New(closed.Addr().String())
	_, err = c.Next(t.Context(), nil)
	wantError(t, err, 0, "next")
	_, err = c.Register(t.Context(), nil, "kinetel")
	wantError(t, err, 0, "register")
}

// Next waits through hours of freeze: in fake time, Lambda answers after a day.
func TestNextHasNoTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		c := extensionapi.New("lambda.invalid:9001")
		c.SetDial(func(context.Context, string, string) (net.Conn, error) { return client, nil })
		go func() {
			buffer := make([]byte, 4096)
			if _, err := server.Read(buffer); err != nil {
				t.Error(err)
			}
			time.Sleep(24 * time.Hour)
			_, _ = io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n")
			time.Sleep(24 * time.Hour)
			_, _ = io.WriteString(server, `{"eventType":"SHUTDOWN"}`)
		}()
		began := time.Now()
		ev, err := c.Next(t.Context(), nil)
		if err != nil || ev.Type != extensionapi.Shutdown {
			t.Errorf("event %+v, error %v", ev, err)
		}
		if took := time.Since(began); took != 48*time.Hour {
			t.Errorf("it took %s", took)
		}
		c.Close()
		server.Close()
	})
}

func TestConnectionIsKept(t *testing.T) {
	addrs := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addrs[r.RemoteAddr] = true
		w.Header().Set("Lambda-Extension-Identifier", "id")
		_, _ = io.WriteString(w, `{"eventType":"INVOKE"}`)
	}))
	defer server.Close()
	c := extensionapi.New(strings.TrimPrefix(server.URL, "http://"))
	defer c.Close()
	if _, err := c.Register(t.Context(), nil, "kinetel"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := c.Next(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(addrs) != 1 {
		t.Errorf("%d connections", len(addrs))
	}
}
