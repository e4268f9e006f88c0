package kinesis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/kinesissim"
)

// refusals are the errors with which Kinesis refuses a request, and what to do about
// them (Kinesis API reference, PutRecords and common errors; AWS general reference).
var refusals = []struct {
	status int
	code   string
	class  kinesis.Class
	fix    string // part of the text that Fix returns; empty: it returns ""
}{
	{400, "ProvisionedThroughputExceededException", kinesis.Throttled, ""},
	{400, "LimitExceededException", kinesis.Throttled, ""},
	{400, "KMSThrottlingException", kinesis.Throttled, ""},
	{400, "ThrottlingException", kinesis.Throttled, ""},
	{400, "Throttling", kinesis.Throttled, ""},
	{503, "RequestLimitExceeded", kinesis.Throttled, ""},
	{503, "SlowDown", kinesis.Throttled, ""},
	{429, "TooManyRequestsException", kinesis.Throttled, ""},
	{400, "ExpiredTokenException", kinesis.Credentials, "credentials"},
	{403, "ExpiredToken", kinesis.Credentials, "credentials"},
	{400, "RequestExpired", kinesis.Credentials, "clock"},
	{400, "InvalidSignatureException", kinesis.Credentials, "clock"},
	{403, "SignatureDoesNotMatch", kinesis.Credentials, "credentials"},
	{403, "RequestTimeTooSkewed", kinesis.Credentials, "clock"},
	{400, "UnrecognizedClientException", kinesis.Credentials, "credentials"},
	{403, "InvalidClientTokenId", kinesis.Credentials, "credentials"},
	{400, "IncompleteSignature", kinesis.Credentials, "credentials"},
	{400, "IncompleteSignatureException", kinesis.Credentials, "credentials"},
	{400, "MissingAuthenticationTokenException", kinesis.Credentials, "credentials"},
	{403, "MissingAuthenticationToken", kinesis.Credentials, "credentials"},
	{400, "AccessDeniedException", kinesis.Denied, "kinesis:PutRecords"},
	{403, "AccessDenied", kinesis.Denied, "kinesis:PutRecords"},
	{400, "KMSAccessDeniedException", kinesis.Denied, "kms:GenerateDataKey"},
	{400, "KMSDisabledException", kinesis.Denied, "KMS key"},
	{400, "KMSInvalidStateException", kinesis.Denied, "KMS key"},
	{400, "KMSNotFoundException", kinesis.Denied, "KMS key"},
	{400, "KMSOptInRequired", kinesis.Denied, "KMS key"},
	{400, "ResourceNotFoundException", kinesis.Denied, "KINETEL_STREAM_NAME"},
	{403, "OptInRequired", kinesis.Denied, "role"},
	{400, "NotAuthorized", kinesis.Denied, "role"},
	{400, "UnknownOperationException", kinesis.Denied, "endpoint"},
	{404, "UnknownEndpoint", kinesis.Denied, "endpoint"},
	{400, "InvalidArgumentException", kinesis.Invalid, ""},
	{400, "ValidationException", kinesis.Invalid, ""},
	{400, "SerializationException", kinesis.Invalid, ""},
	{413, "RequestEntityTooLarge", kinesis.Invalid, ""},
	{500, "InternalFailure", kinesis.Transient, ""},
	{500, "InternalFailureException", kinesis.Transient, ""},
	{400, "InternalFailure", kinesis.Transient, ""},
	{500, "InternalServerError", kinesis.Transient, ""},
	{503, "ServiceUnavailable", kinesis.Transient, ""},
	{503, "ServiceUnavailableException", kinesis.Transient, ""},
	{400, "RequestTimeoutException", kinesis.Transient, ""},
	{500, "Novelty", kinesis.Transient, ""},
	{502, "Novelty", kinesis.Transient, ""},
	{504, "Novelty", kinesis.Transient, ""},
	{408, "Novelty", kinesis.Transient, ""},
	{429, "Novelty", kinesis.Throttled, ""},
	{400, "Novelty", kinesis.Denied, "endpoint"},
}

func TestRefusalsAreClassified(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	c := client(t, sim)
	for _, r := range refusals {
		t.Run(fmt.Sprintf("%s with %d", r.code, r.status), func(t *testing.T) {
			const text = "a message of Kinesis"
			sim.SetIntercept(kinesissim.AnswerAll(kinesissim.Refuse(r.status, r.code, text)))
			results, err := c.PutRecords(t.Context(), records("a"))
			if results != nil {
				t.Errorf("%d results", len(results))
			}
			e := refused(t, err, r.class)
			if e.Status != r.status || e.Code != r.code || e.Message != text || e.Reused {
				t.Errorf("error %+v", e)
			}
			if want := fmt.Sprintf("%s (HTTP %d): %s", r.code, r.status, text); e.Error() != want {
				t.Errorf("error %q, want %q", e, want)
			}
			if fix := kinesis.Fix(err); !strings.Contains(fix, r.fix) || (fix == "") != (r.fix == "") {
				t.Errorf("Fix is %q, want it to contain %q", fix, r.fix)
			}
		})
	}
	if n := sim.Stats().Records; n != 0 {
		t.Errorf("%d records stored", n)
	}
}

func TestRefusalsOfTheEmbeddedKinesisAreClassified(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	named := func(name string) *kinesis.Client {
		return client(t, sim, func(cfg *kinesis.Config) { cfg.StreamName = name })
	}
	_, err := named("another").PutRecords(t.Context(), records("a"))
	if e := refused(t, err, kinesis.Denied); e.Code != "ResourceNotFoundException" || !strings.Contains(e.Message, "another") {
		t.Errorf("error %q", e)
	}
	_, err = named("no name!").PutRecords(t.Context(), records("a"))
	refused(t, err, kinesis.Invalid)
	_, err = client(t, sim).PutRecords(t.Context(), records(strings.Repeat("x", 1<<20)))
	refused(t, err, kinesis.Invalid) // with its key it is too large

	c := client(t, sim)
	sim.SetIntercept(kinesissim.AnswerInOrder(kinesissim.Throttle(), kinesissim.DenyAccess(), kinesissim.RefuseExpiredToken()))
	for _, class := range []kinesis.Class{kinesis.Throttled, kinesis.Denied, kinesis.Credentials} {
		_, err := c.PutRecords(t.Context(), records("a"))
		refused(t, err, class)
	}
	sim.ExpireToken(token)
	_, err = c.PutRecords(t.Context(), records("a"))
	if e := refused(t, err, kinesis.Credentials); e.Code != "ExpiredTokenException" {
		t.Errorf("error %q", e)
	}
	other := start(t, kinesissim.Config{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	_, err = client(t, other).PutRecords(t.Context(), records("a"))
	if e := refused(t, err, kinesis.Credentials); e.Code != "InvalidSignatureException" || !strings.Contains(kinesis.Fix(err), "clock") {
		t.Errorf("a clock an hour behind: %q", e)
	}
}

func TestTheCodeOfAnErrorIsFoundInAnyForm(t *testing.T) {
	header := func(value string) http.Header { return http.Header{"X-Amzn-Errortype": {value}} }
	scenarios := []struct {
		name    string
		header  http.Header
		body    string
		code    string
		message string
	}{
		{name: "in the type", body: `{"__type":"LimitExceededException","message":"m"}`, code: "LimitExceededException", message: "m"},
		{name: "in the type behind a name space", body: `{"__type":"com.amazonaws.kinesis.v20131202#LimitExceededException","Message":"m"}`, code: "LimitExceededException", message: "m"},
		{name: "in the type before an address", body: `{"__type":"LimitExceededException:http://internal.amazon.com/coral/com.amazonaws.kinesis/","message":"m"}`, code: "LimitExceededException", message: "m"},
		{name: "in the type between both", body: `{"__type":"com.amazonaws.kinesis#LimitExceededException:http://internal.amazon.com/coral/","message":"m"}`, code: "LimitExceededException", message: "m"},
		{name: "in the header", header: header("LimitExceededException"), body: `{"message":"m"}`, code: "LimitExceededException", message: "m"},
		{name: "in the header before an address", header: header("LimitExceededException:http://internal.amazon.com/coral/com.amazonaws.kinesis/"), body: "", code: "LimitExceededException"},
		{name: "in the header, with a page", header: header("com.amazonaws.kinesis#LimitExceededException"), body: "<html>", code: "LimitExceededException"},
		{name: "in the code", body: `{"code":"com.amazonaws.kinesis#LimitExceededException","message":"m"}`, code: "LimitExceededException", message: "m"},
		{name: "in the type rather than in the header", header: header("AccessDeniedException"), body: `{"__type":"LimitExceededException"}`, code: "LimitExceededException"},
		{name: "with white space", header: header("  LimitExceededException : x"), code: "LimitExceededException"},
		{name: "with unknown members", body: `{"a":[1],"__type":"LimitExceededException","message":"m","b":null}`, code: "LimitExceededException", message: "m"},
		{name: "next to a message that is no text", body: `{"__type":"LimitExceededException","message":{"a":1}}`, code: "LimitExceededException"},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			p := answerWith(t, 400, scenario.header, scenario.body)
			_, err := open(t, at(p)).PutRecords(t.Context(), records("a"))
			e := refused(t, err, kinesis.Throttled)
			if e.Code != scenario.code || e.Message != scenario.message || e.Status != 400 {
				t.Errorf("error %+v", e)
			}
		})
	}
}

func TestAnswersOfOtherServersAreClassified(t *testing.T) {
	const html = "<html><head><title>Blocked</title></head><body>by your proxy</body></html>"
	scenarios := []struct {
		name   string
		status int
		header http.Header
		body   string
		class  kinesis.Class
		code   string
		fix    string
	}{
		{"a proxy forbids", 403, nil, html, kinesis.Denied, "Forbidden", "endpoint"},
		{"a proxy demands a password", 407, nil, html, kinesis.Denied, "Proxy Authentication Required", "endpoint"},
		{"a web server has no such page", 404, nil, html, kinesis.Denied, "Not Found", "endpoint"},
		{"a web server refuses POST", 405, nil, "", kinesis.Denied, "Method Not Allowed", "endpoint"},
		{"a proxy cannot reach Kinesis", 502, nil, html, kinesis.Transient, "Bad Gateway", ""},
		{"a load balancer has no servers", 503, nil, html, kinesis.Transient, "Service Unavailable", ""},
		{"a gateway times out", 504, nil, "", kinesis.Transient, "Gateway Timeout", ""},
		{"a gateway refuses large bodies", 413, nil, html, kinesis.Invalid, "Request Entity Too Large", ""},
		{"a gateway is overloaded", 429, nil, html, kinesis.Throttled, "Too Many Requests", ""},
		{"JSON of another service", 403, nil, `{"error":{"code":7}}`, kinesis.Denied, "Forbidden", "endpoint"},
		{"JSON that is no object", 500, nil, `["__type"]`, kinesis.Transient, "Internal Server Error", ""},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			p := answerWith(t, scenario.status, scenario.header, scenario.body)
			_, err := open(t, at(p)).PutRecords(t.Context(), records("a"))
			e := refused(t, err, scenario.class)
			if e.Status != scenario.status || e.Code != scenario.code {
				t.Errorf("error %+v, want code %q", e, scenario.code)
			}
			if fix := kinesis.Fix(err); !strings.Contains(fix, scenario.fix) || (fix == "") != (scenario.fix == "") {
				t.Errorf("Fix is %q, want it to contain %q", fix, scenario.fix)
			}
			if strings.Contains(e.Error(), "<html>") {
				t.Errorf("the page is repeated: %q", e)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := answerWith(t, 200, nil, `{"Records":[{"SequenceNumber":"1"}]}`)
	for _, status := range []int{301, 302, 303, 307, 308} {
		p := answerWith(t, status, http.Header{"Location": {elsewhere.url}}, "")
		_, err := open(t, at(p)).PutRecords(t.Context(), records("a"))
		if e := (*kinesis.Error)(nil); !errors.As(err, &e) || e.Status != status {
			t.Errorf("%d: error %v", status, err)
		}
		if p.requests() != 1 {
			t.Errorf("%d: %d requests", status, p.requests())
		}
	}
	if n := elsewhere.requests(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestLongMessagesAreShortened(t *testing.T) {
	p := answerWith(t, 400, nil, `{"__type":"LimitExceededException","message":"`+strings.Repeat("long ", 10_000)+`"}`)
	_, err := open(t, at(p)).PutRecords(t.Context(), records("a"))
	if e := refused(t, err, kinesis.Throttled); len(e.Error()) > 700 || !strings.Contains(e.Error(), "long long") {
		t.Errorf("an error of %d bytes", len(e.Error()))
	}
}

func TestASuccessThatCannotBeReadIsAFailure(t *testing.T) {
	scenarios := []struct {
		name   string
		answer *kinesissim.Answer
		text   string
	}{
		{"a result too few", kinesissim.OmitResults(1), "1 for 2"},
		{"no results", kinesissim.OmitResults(2), "0 for 2"},
		{"a page", kinesissim.ReplaceAnswer("<html>not Kinesis</html>"), "not JSON"},
		{"half an answer", kinesissim.TruncateAnswer(20), "read the answer"},
		{"a header without an answer", kinesissim.TruncateAnswer(0), "read the answer"},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			sim := start(t, kinesissim.Config{Intercept: kinesissim.AnswerAll(scenario.answer)})
			results, err := client(t, sim).PutRecords(t.Context(), records("a", "b"))
			e := refused(t, err, kinesis.Transient)
			if results != nil || e.Status != 200 || !strings.Contains(e.Error(), scenario.text) {
				t.Errorf("%d results, error %d %q, want it to contain %q", len(results), e.Status, e, scenario.text)
			}
			if stored(sim) != "a b" {
				t.Errorf("stored: %q", stored(sim))
			}
		})
	}
	for _, body := range []string{"", "null", "{}", `{"Records":null}`, `{"Records":[]}`, `{"Records":[{"SequenceNumber":"1"},{"SequenceNumber":"2"}]}`, `{"Records":{}}`, `{"Records":[{"SequenceNumber":"1"}]`, `{"Records":[{"SequenceNumber":1}]}`} {
		p := answerWith(t, 200, nil, body)
		results, err := open(t, at(p)).PutRecords(t.Context(), records("a"))
		if refused(t, err, kinesis.Transient); results != nil {
			t.Errorf("%s: %d results", body, len(results))
		}
	}
	// Kinesis has no other status of success.
	p := answerWith(t, 202, nil, `{"Records":[{"SequenceNumber":"1"}]}`)
	_, err := open(t, at(p)).PutRecords(t.Context(), records("a"))
	refused(t, err, kinesis.Transient)
}

func TestAHugeAnswerIsNotReadToItsEnd(t *testing.T) {
	// The server notices that the client goes away.
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		block := []byte(strings.Repeat(" ", 64<<10))
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	_, err := open(t, kinesis.Config{StreamName: stream, Region: region, Endpoint: server.URL, Credentials: always(goodCredentials)}).PutRecords(t.Context(), records("a"))
	refused(t, err, kinesis.Transient)
	<-ended
}

func TestABrokenConnectionIsTransient(t *testing.T) {
	scenarios := []struct {
		name   string
		answer *kinesissim.Answer
		stored string // what is in the stream
	}{
		{"reset before", kinesissim.ResetConnection(), ""},
		{"reset after", kinesissim.DropAnswerAndReset(), "x"},
		{"closed without an answer", kinesissim.DropAnswer(), "x"},
		{"closed in the answer", kinesissim.TruncateAnswer(5), "x"},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name+", a fresh connection", func(t *testing.T) {
			sim := start(t, kinesissim.Config{Intercept: kinesissim.AnswerInOrder(scenario.answer)})
			c := client(t, sim)
			_, err := c.PutRecords(t.Context(), records("x"))
			if e := refused(t, err, kinesis.Transient); e.Reused || e.Err == nil || e.Code != "" {
				t.Errorf("error %+v", e)
			}
			if stored(sim) != scenario.stored {
				t.Errorf("stored: %q", stored(sim))
			}
			if n := sim.Stats().Requests["PutRecords"]; n != 1 {
				t.Errorf("%d requests: the client has tried again by itself", n)
			}
			results, err := c.PutRecords(t.Context(), records("y"))
			accepted(t, results, err)
		})
		t.Run(scenario.name+", a connection used before", func(t *testing.T) {
			sim := start(t, kinesissim.Config{Intercept: kinesissim.AnswerInOrder(nil, scenario.answer)})
			c := client(t, sim)
			results, err := c.PutRecords(t.Context(), records("w"))
			accepted(t, results, err)
			_, err = c.PutRecords(t.Context(), records("x"))
			if e := refused(t, err, kinesis.Transient); !e.Reused {
				t.Errorf("Reused is not set in the error %+v", e)
			}
			if want := strings.TrimSpace("w " + scenario.stored); stored(sim) != want {
				t.Errorf("stored: %q", stored(sim))
			}
			if n := sim.Stats().Requests["PutRecords"]; n != 2 {
				t.Errorf("%d requests: the client has tried again by itself", n)
			}
			results, err = c.PutRecords(t.Context(), records("y"))
			accepted(t, results, err)
		})
	}
}

func TestAnIdleConnectionThatWasResetIsReportedAsReused(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	c := client(t, sim)
	results, err := c.PutRecords(t.Context(), records("a"))
	accepted(t, results, err)
	// A long freeze does this to a connection pool. Either the transport has noticed and
	// takes a new connection, or the error says that the broken one was used
	// before.
	sim.ResetConnections()
	results, err = c.PutRecords(t.Context(), records("b"))
	if err == nil {
		accepted(t, results, err)
	} else if e := refused(t, err, kinesis.Transient); !e.Reused {
		t.Errorf("Reused is not set in the error %+v", e)
	}
	// If idle connections are closed first, the request always succeeds.
	sim.ResetConnections()
	c.CloseIdle()
	results, err = c.PutRecords(t.Context(), records("c"))
	accepted(t, results, err)
}

func TestAClosedPortIsTransient(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := open(t, kinesis.Config{StreamName: stream, Region: region, Endpoint: server.URL, Credentials: always(goodCredentials)}).PutRecords(t.Context(), records("a"))
	e := refused(t, err, kinesis.Transient)
	if e.Status != 0 || e.Code != "" || e.Reused || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %+v", e)
	}
	if fix := kinesis.Fix(err); !strings.Contains(fix, "VPC") {
		t.Errorf("Fix is %q", fix)
	}
}

func TestADeadlineEndsARequestThatHangs(t *testing.T) {
	arrived := make(chan struct{})
	sim := start(t, kinesissim.Config{Intercept: func(*kinesissim.Request) *kinesissim.Answer {
		close(arrived)
		return kinesissim.Hang()
	}})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	go func() {
		<-arrived
		cancel(context.DeadlineExceeded) // the deadline comes when it is under way
	}()
	_, err := client(t, sim).PutRecords(ctx, records("a"))
	refused(t, err, kinesis.Transient)
	if ctx.Err() == nil {
		t.Error("it ended before its context")
	}
	if stored(sim) != "" {
		t.Errorf("stored: %q", stored(sim))
	}

	// A deadline that is over before the request begins.
	over, cancelOver := context.WithDeadline(t.Context(), time.Now())
	defer cancelOver()
	_, err = client(t, sim).PutRecords(over, records("a"))
	refused(t, err, kinesis.Transient)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestErrorsOfOtherPackagesAreTransient(t *testing.T) {
	if class := kinesis.ClassOf(errors.New("x")); class != kinesis.Transient {
		t.Errorf("an unknown error is %s", class)
	}
	if fix := kinesis.Fix(errors.New("x")); fix != "" {
		t.Errorf("Fix of an unknown error is %q", fix)
	}
	wrapped := fmt.Errorf("ship: %w", &kinesis.Error{Class: kinesis.Denied, Code: "AccessDeniedException", Status: 400})
	if kinesis.ClassOf(wrapped) != kinesis.Denied || !strings.Contains(kinesis.Fix(wrapped), "kinesis:PutRecords") {
		t.Errorf("%s, %q", kinesis.ClassOf(wrapped), kinesis.Fix(wrapped))
	}
}

func TestClassesHaveNames(t *testing.T) {
	names := map[string]bool{}
	for class := kinesis.Transient; class <= kinesis.Invalid+1; class++ {
		names[class.String()] = true
	}
	if len(names) != 6 || names[""] || !names["unknown"] {
		t.Errorf("names: %v", names)
	}
}

// A retry at once would probably run out of time as well.
func TestARequestThatRanOutOfTimeIsNotABrokenConnection(t *testing.T) {
	hanging := make(chan struct{})
	sim := start(t, kinesissim.Config{Intercept: func(r *kinesissim.Request) *kinesissim.Answer {
		if r.Number == 1 {
			return nil
		}
		close(hanging)
		return kinesissim.Hang()
	}})
	c := client(t, sim)
	results, err := c.PutRecords(t.Context(), records("x"))
	accepted(t, results, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-hanging
		cancel()
	}()
	_, err = c.PutRecords(ctx, records("y"))
	if e := refused(t, err, kinesis.Transient); e.Reused {
		t.Errorf("error %+v", e)
	}
}

// If it is unknown whether Kinesis has stored the records, they may arrive twice.
func TestUnknownReportsWhetherKinesisMayHaveStoredTheRecords(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  *kinesis.Error
		want bool
	}{
		{"a connection that broke", &kinesis.Error{Class: kinesis.Transient, Err: syscall.ECONNRESET}, true},
		{"a connection that broke while it was read", &kinesis.Error{Class: kinesis.Transient, Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, true},
		{"a connection that broke while it was written", &kinesis.Error{Class: kinesis.Transient, Err: &net.OpError{Op: "write", Err: syscall.EPIPE}}, true},
		{"no answer in time", &kinesis.Error{Class: kinesis.Transient, Err: context.DeadlineExceeded}, true},
		{"an internal failure", &kinesis.Error{Class: kinesis.Transient, Status: 500, Code: "InternalFailure"}, true},
		{"a success that cannot be read", &kinesis.Error{Class: kinesis.Transient, Status: 200, Err: errors.New("2 results for 3 records")}, true},
		{"no connection", &kinesis.Error{Class: kinesis.Transient, Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, false},
		{"no connection, further down", &kinesis.Error{Class: kinesis.Transient, Err: fmt.Errorf("send: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})}, false},
		{"throttled", &kinesis.Error{Class: kinesis.Throttled, Status: 400, Code: "ProvisionedThroughputExceededException"}, false},
		{"denied", &kinesis.Error{Class: kinesis.Denied, Status: 400, Code: "AccessDeniedException"}, false},
		{"credentials", &kinesis.Error{Class: kinesis.Credentials, Status: 400, Code: "ExpiredTokenException"}, false},
		{"invalid", &kinesis.Error{Class: kinesis.Invalid, Status: 400, Code: "ValidationException"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Unknown(); got != tt.want {
				t.Errorf("Unknown is %t, want %t", got, tt.want)
			}
		})
	}
	t.Run("no connection to a closed port", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		endpoint := "http://" + l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		c := kinesis.New(kinesis.Config{
			StreamName: "s", Region: "eu-west-1", Endpoint: endpoint,
			Credentials: always(aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}),
		})
		_, err = c.PutRecords(t.Context(), []*pack.Record{{Data: []byte("x"), PartitionKey: "k"}})
		if e := (*kinesis.Error)(nil); !errors.As(err, &e) || e.Unknown() {
			t.Errorf("error %v, and Unknown is true", err)
		}
	})
}
