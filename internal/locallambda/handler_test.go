package locallambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

const invokePath = "/2015-03-31/functions/beans/invocations"

func newTestHandler(t *testing.T, function Invoker, cfg HandlerConfig) *Handler {
	t.Helper()
	cfg.FunctionName = "beans"
	h, err := NewHandler(function, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// call sends a request with header fields, "Name: value".
func call(h http.Handler, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://127.0.0.1:9000"+path, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestNames(t *testing.T) {
	var qualifier string
	h := newTestHandler(t, &fake{invoke: func(ctx context.Context, req Request) (Result, error) {
		qualifier = req.Qualifier
		return echo(ctx, req)
	}}, HandlerConfig{FunctionVersion: "7"})
	for _, test := range []struct {
		name, query string
		status      int
		want        string // the qualifier, or a part of the error
	}{
		{"beans", "", 200, ""},
		{"beans:live", "", 200, "live"},
		{"beans", "?Qualifier=live", 200, "live"},
		{"beans:live", "?Qualifier=live", 200, "live"},
		{"beans:7", "", 200, "7"},
		{"beans:%24LATEST", "", 200, "$LATEST"},
		{"beans", "?Qualifier=%24LATEST", 200, "$LATEST"},
		{"123456789012:function:beans", "", 200, ""},
		{"123456789012:beans:live", "", 200, "live"},
		{"function:beans", "", 200, ""},
		{"arn:aws:lambda:us-east-1:999999999999:function:beans", "", 200, ""},
		{"arn%3Aaws-us-gov%3Alambda%3Aus-gov-west-1%3A999999999999%3Afunction%3Abeans%3A7", "", 200, "7"},

		{"corn", "", 404, "Function not found: arn:aws:lambda:eu-west-1:123456789012:function:corn. The function that runs here is named beans."},
		{"corn:live", "", 404, "Function not found: arn:aws:lambda:eu-west-1:123456789012:function:corn:live."},
		{"beans:8", "", 404, "function:beans:8. The version that runs here is 7."},
		{"beans:live", "?Qualifier=test", 400, "The derived qualifier from the function name does not match"},
		{"beans", "?Qualifier=a%20b", 400, "Value 'a b' at 'qualifier'"},
		{"be%20ans", "", 400, "Value 'be ans' at 'functionName'"},
		{"arn:aws:s3:::beans", "", 400, "at 'functionName'"},
		{strings.Repeat("x", 300), "", 400, "at 'functionName'"},
	} {
		qualifier = "not invoked"
		w := call(h, "/2015-03-31/functions/"+test.name+"/invocations"+test.query, "{}")
		got := qualifier
		if test.status != 200 {
			got = w.Body.String()
		}
		if w.Code != test.status || !strings.Contains(got, test.want) || test.status == 200 && got != test.want {
			t.Errorf("%s%s: status %d, %s; want %d, %s", test.name, test.query, w.Code, got, test.status, test.want)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	context3k := base64.StdEncoding.EncodeToString([]byte(`{"a":"` + strings.Repeat("x", 2700) + `"}`))
	h := newTestHandler(t, &fake{invoke: func(context.Context, Request) (Result, error) {
		t.Error("it was invoked")
		return Result{}, nil
	}}, HandlerConfig{})
	mib := strings.Repeat(" ", 1<<20)
	for name, test := range map[string]struct {
		path    string
		body    string
		headers []string
		status  int
		code    string
		message string
	}{
		"a body that is no JSON":      {body: `{"a":}`, status: 400, code: "InvalidRequestContentException", message: "invalid character '}' looking for beginning of value at byte 6"},
		"a body that is not UTF-8":    {body: "\"\xff\"", status: 400, code: "InvalidRequestContentException", message: "it is not UTF-8"},
		"a body that ends early":      {body: `[1`, status: 400, code: "InvalidRequestContentException", message: "unexpected end of JSON input"},
		"a payload above 6 MiB":       {body: strings.Repeat(mib, 6) + "1", status: 413, code: "RequestTooLargeException", message: "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"},
		"an event above 1 MiB":        {body: mib + "12", headers: []string{"X-Amz-Invocation-Type: Event"}, status: 413, code: "RequestTooLargeException", message: "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)"},
		"an unknown invocation type":  {headers: []string{"X-Amz-Invocation-Type: Async"}, status: 400, code: "ValidationException", message: "Value 'Async' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"},
		"an unknown log type":         {headers: []string{"X-Amz-Log-Type: Head"}, status: 400, code: "ValidationException", message: "[None, Tail]"},
		"a client context without {}": {headers: []string{"X-Amz-Client-Context: W10="}, status: 400, code: "InvalidRequestContentException", message: "Client context must be a valid Base64-encoded JSON object."},
		"a client context in plain":   {headers: []string{`X-Amz-Client-Context: {"a":1}`}, status: 400, code: "InvalidRequestContentException", message: "Client context must be"},
		"a long client context":       {headers: []string{"X-Amz-Client-Context: " + context3k}, status: 400, code: "InvalidRequestContentException", message: "The limit is 3583 bytes"},
		"a tenant with a line feed":   {headers: []string{"X-Amz-Tenant-Id: a\nb"}, status: 400, code: "ValidationException", message: "at 'tenantId'"},
		"another operation":           {path: "/2015-03-31/functions/", status: 404, code: "UnknownOperationException", message: "The operations are Invoke"},
		"a streamed event": {
			path: "/2021-11-15/functions/beans/response-streaming-invocations", headers: []string{"X-Amz-Invocation-Type: Event"},
			status: 400, code: "ValidationException", message: "enum value set: [RequestResponse, DryRun]",
		},
		"a page of another origin": {headers: []string{"Origin: https://example.com"}, status: 403, code: "AccessDeniedException", message: "another origin"},
		"a name of somebody else":  {headers: []string{"Host: rebound.example.com:9000"}, status: 403, code: "AccessDeniedException", message: "use 127.0.0.1 or localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.path == "" {
				test.path = invokePath
			}
			w := call(h, test.path, test.body, test.headers...)
			var body struct{ Type, Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != test.status || w.Header().Get("X-Amzn-ErrorType") != test.code || body.Type != "User" || !strings.Contains(body.Message, test.message) {
				t.Errorf("status %d, %v: %s", w.Code, w.Header(), w.Body)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:9000": true, "127.0.0.1": true, "localhost:1": true, "lambda.localhost": true, "[::1]:9000": true, "[::1]": true,
		"example.com": false, "localhost.example.com:80": false, "": false, "127.0.0.1.example.com": false,
	} {
		if got := isLocal(host); got != want {
			t.Errorf("isLocal(%q) = %v", host, got)
		}
	}
}

func TestWhatTheFunctionGets(t *testing.T) {
	var got Request
	h := newTestHandler(t, &fake{invoke: func(ctx context.Context, req Request) (Result, error) {
		got = req
		return echo(ctx, req)
	}}, HandlerConfig{})
	const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
	clientContext := base64.StdEncoding.EncodeToString([]byte("{\n  \"custom\": {\"a\": \"ü\"}\n}"))
	w := call(h, invokePath, `{"a":1}`, "X-Amz-Client-Context: "+clientContext, "X-Amz-Tenant-Id: blue", "X-Amzn-Trace-Id: "+trace)
	if got.ClientContext != `{"custom":{"a":"ü"}}` || got.TenantID != "blue" || got.Trace != trace || string(got.Payload) != `{"a":1}` || got.Wait || got.TailLog {
		t.Errorf("got %+v", got)
	}
	if id := w.Header().Get("X-Amzn-RequestId"); id == "" || id != got.RequestID {
		t.Errorf("the client's request id is %q, the function's %q", id, got.RequestID)
	}
	if w.Code != 200 || w.Body.String() != `{"a":1}` || w.Header().Get("X-Amz-Executed-Version") != "$LATEST" || w.Header().Get("X-Amz-Function-Error") != "" || w.Header().Get("X-Amz-Log-Result") != "" {
		t.Errorf("status %d, %v: %s", w.Code, w.Header(), w.Body)
	}
	for _, other := range []string{"Root=x", trace + ";A=\x01", trace + strings.Repeat("x", 300)} {
		if call(h, invokePath, "", "X-Amzn-Trace-Id: "+other); got.Trace != "" {
			t.Errorf("the trace header %q was taken", other)
		}
	}
}

func TestAnswers(t *testing.T) {
	log := []byte("START\nEND\n")
	for name, test := range map[string]struct {
		invoke  func(context.Context, Request) (Result, error)
		headers []string
		status  int
		header  string
		value   string
		body    string
	}{
		"a function error": {
			invoke: func(_ context.Context, req Request) (Result, error) {
				return respond(req, lambdasim.Response{Payload: []byte(`{"errorType":"x"}`), FunctionError: "Unhandled"}), nil
			},
			status: 200, header: "X-Amz-Function-Error", value: "Unhandled", body: `{"errorType":"x"}`,
		},
		"the log": {
			invoke: func(ctx context.Context, req Request) (Result, error) {
				result, err := echo(ctx, req)
				if req.TailLog {
					result.Log = log
				}
				return result, err
			},
			headers: []string{"X-Amz-Log-Type: Tail"},
			status:  200, header: "X-Amz-Log-Result", value: base64.StdEncoding.EncodeToString(log), body: "{}",
		},
		"a streamed response that is too long": {
			invoke: func(_ context.Context, req Request) (Result, error) {
				return respond(req, lambdasim.Response{Payload: make([]byte, 6<<20+101)}), nil
			},
			status: 200, header: "X-Amz-Function-Error", value: "Unhandled", body: "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
		},
		"a failed init": {
			invoke: func(context.Context, Request) (Result, error) {
				return Result{}, &lambdasim.InitError{Type: "Extension.Crash", Detail: "it crashed"}
			},
			status: 200, header: "X-Amz-Function-Error", value: "Unhandled", body: `{"errorMessage":"it crashed","errorType":"Extension.Crash"}`,
		},
		"no capacity": {
			invoke: func(context.Context, Request) (Result, error) { return Result{}, ErrThrottled },
			status: 429, header: "X-Amzn-ErrorType", value: "TooManyRequestsException",
			body: `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}`,
		},
		"another problem": {
			invoke: func(context.Context, Request) (Result, error) { return Result{}, errors.New("no such file") },
			status: 500, header: "X-Amzn-ErrorType", value: "ServiceException", body: `{"Message":"no such file","Type":"Service"}`,
		},
		"a dry run": {
			invoke:  func(context.Context, Request) (Result, error) { panic("it was invoked") },
			headers: []string{"X-Amz-Invocation-Type: DryRun"},
			status:  204,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(newTestHandler(t, &fake{invoke: test.invoke}, HandlerConfig{}), invokePath, "{}", test.headers...)
			if w.Code != test.status || w.Header().Get(test.header) != test.value || !strings.Contains(w.Body.String(), test.body) {
				t.Errorf("status %d, %v: %.300s", w.Code, w.Header(), w.Body)
			}
		})
	}
}

func TestTenants(t *testing.T) {
	for err, message := range map[error]string{ErrNoTenant: "Add a valid tenant ID", ErrTenant: "Remove the tenant ID"} {
		h := newTestHandler(t, &fake{check: err}, HandlerConfig{})
		for _, invocationType := range []string{"RequestResponse", "Event", "DryRun"} {
			w := call(h, invokePath, "{}", "X-Amz-Invocation-Type: "+invocationType)
			if w.Code != 400 || w.Header().Get("X-Amzn-ErrorType") != "InvalidParameterValueException" || !strings.Contains(w.Body.String(), message) {
				t.Errorf("%s: status %d: %s", invocationType, w.Code, w.Body)
			}
		}
	}
}

// The client has its answer before the invocation ends, unless it wants the log.
func TestAnswerComesBeforeTheEnd(t *testing.T) {
	end := make(chan struct{})
	h := newTestHandler(t, &fake{invoke: func(_ context.Context, req Request) (Result, error) {
		result := respond(req, lambdasim.Response{Payload: []byte("1")})
		<-end
		result.Log = []byte("REPORT")
		return result, nil
	}}, HandlerConfig{})
	if w := call(h, invokePath, "{}"); w.Body.String() != "1" {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	withLog := make(chan *httptest.ResponseRecorder)
	go func() { withLog <- call(h, invokePath, "{}", "X-Amz-Log-Type: Tail") }()
	select {
	case w := <-withLog:
		t.Errorf("the answer with a log came before the end: %v", w.Header())
	case end <- struct{}{}: // the first invocation, or this one
		close(end)
		if w := <-withLog; w.Header().Get("X-Amz-Log-Result") != base64.StdEncoding.EncodeToString([]byte("REPORT")) {
			t.Errorf("%v", w.Header())
		}
	}
}

// slowBody does not end before release is closed.
type slowBody struct {
	reading *atomic.Int32
	release chan struct{}
}

func (b slowBody) Read([]byte) (int, error) {
	b.reading.Add(1)
	<-b.release
	return 0, io.EOF
}

// However many clients there are, few payloads are in memory before the pool throttles.
func TestPayloadsInMemoryAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHandler(t, &fake{invoke: echo}, HandlerConfig{})
		body := slowBody{new(atomic.Int32), make(chan struct{})}
		var clients sync.WaitGroup
		for range maxReading + 10 {
			clients.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1"+invokePath, body))
				if w.Code != 200 {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
			})
		}
		synctest.Wait()
		if n := body.reading.Load(); n != maxReading {
			t.Errorf("%d payloads are read at once, want %d", n, maxReading)
		}
		close(body.release)
		clients.Wait()
		if n := body.reading.Load(); n != maxReading+10 {
			t.Errorf("%d payloads were read", n)
		}
	})
}

// An invocation goes on when its client is gone.
func TestClientThatIsGone(t *testing.T) {
	began := make(chan context.Context)
	end := make(chan struct{})
	h := newTestHandler(t, &fake{invoke: func(ctx context.Context, req Request) (Result, error) {
		began <- ctx
		<-end
		return echo(ctx, req)
	}}, HandlerConfig{})
	server := httptest.NewServer(h)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", server.URL+invokePath, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	invocation := <-began
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	server.Close() // returns when the handler has seen it
	if invocation.Err() != nil {
		t.Error("the invocation was aborted")
	}
	close(end)
}

func TestServerHasLimits(t *testing.T) {
	s := NewServer(nil)
	if s.ReadHeaderTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 {
		t.Errorf("%+v", s)
	}
}

func TestHandlerConfig(t *testing.T) {
	for want, cfg := range map[string]HandlerConfig{
		"at most twice":     {RetryDelays: make([]time.Duration, 3)},
		"negative":          {MaxEvents: -1},
		"must not be negat": {MaxEventAge: -1},
	} {
		if _, err := NewHandler(&fake{}, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v", cfg, err)
		}
	}
}

// A client that sends too much gets its answer, although it looks for it at the end only.
func TestTooLargeOverTheNetwork(t *testing.T) {
	server := httptest.NewServer(newTestHandler(t, &fake{invoke: echo}, HandlerConfig{}))
	defer server.Close()
	res, err := http.Post(server.URL+invokePath, "application/json", io.MultiReader(strings.NewReader(strings.Repeat(" ", 20<<20))))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); res.StatusCode != 413 || !strings.Contains(string(body), "20971520 byte payload") {
		t.Errorf("status %d: %s, %v", res.StatusCode, body, err)
	}
}
