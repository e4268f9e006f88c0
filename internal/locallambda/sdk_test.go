package locallambda

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/kinetel/kinetel/lambdasim"
)

// serve serves a function, named beans, and returns a client.
func serve(t *testing.T, function Invoker, cfg HandlerConfig) *lambda.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(newTestHandler(t, function, cfg))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ErrServerClosed
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return lambda.New(lambda.Options{
		BaseEndpoint: aws.String("http://" + listener.Addr().String()), Region: "eu-west-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""), RetryMaxAttempts: 1,
	})
}

// newPoolFor returns a pool of the sample function whose time-out is short if the payload
// exceeds it.
func newPoolFor(t *testing.T, payload string) *Pool {
	t.Helper()
	p, _ := newPool(t, PoolConfig{}, func(_ int, c *lambdasim.Config) {
		c.Timeout = time.Minute
		if strings.Contains(payload, "hang") {
			c.Timeout = time.Second
		}
	})
	return p
}

func TestInvokeBySDK(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		payload       string
		functionError string
		want          string
		log           string
	}{
		"success":       {`{"id":"x","lines":1,"bytes":20}`, "", `{"id":"x","lines":1,"bytes":21}`, "x line 1 hello the q\nEND RequestId: "},
		"an error":      {`{"error":"out of beans"}`, "Unhandled", `{"errorMessage":"out of beans","errorType":"errorString"}`, "Status: error\tError Type: Function.Unknown"},
		"a time-out":    {`{"hang":true}`, "Unhandled", `Error: Task timed out after 1.00 seconds","errorType":"Sandbox.Timedout"}`, "Status: timeout"},
		"a crash":       {`{"exit":3}`, "Unhandled", `Error: Runtime exited with error: exit status 3","errorType":"Runtime.ExitError"}`, "Error Type: Runtime.ExitError"},
		"a long stream": {`{"id":"` + strings.Repeat("x", 1<<20) + `","chunks":7}`, "Unhandled", "Function.ResponseSizeTooLarge", "REPORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, newPoolFor(t, test.payload), HandlerConfig{})
			out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("beans"), Payload: []byte(test.payload), LogType: types.LogTypeTail})
			if err != nil {
				t.Fatal(err)
			}
			if aws.ToString(out.FunctionError) != test.functionError || !strings.Contains(string(out.Payload), test.want) || out.StatusCode != 200 || *out.ExecutedVersion != "$LATEST" {
				t.Errorf("error %q, status %d, version %s, payload %.300s", aws.ToString(out.FunctionError), out.StatusCode, *out.ExecutedVersion, out.Payload)
			}
			log, err := base64.StdEncoding.DecodeString(*out.LogResult)
			if err != nil || !strings.Contains(string(log), test.log) || len(log) > 4096 {
				t.Errorf("%d bytes of log, %v:\n%s", len(log), err, log)
			}
		})
	}
}

// The SDK makes its own exceptions of the errors.
func TestExceptionsBySDK(t *testing.T) {
	t.Parallel()
	p, o := newPool(t, PoolConfig{Concurrency: 1}, nil)
	client := serve(t, p, HandlerConfig{})
	invoke := func(change func(*lambda.InvokeInput)) error {
		in := &lambda.InvokeInput{FunctionName: aws.String("beans")}
		change(in)
		_, err := client.Invoke(t.Context(), in)
		return err
	}
	release := hold(t, p, o, 1)
	var throttled *types.TooManyRequestsException
	if err := invoke(func(*lambda.InvokeInput) {}); !errors.As(err, &throttled) || throttled.Reason != types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded || throttled.ErrorMessage() != "Rate Exceeded." {
		t.Errorf("a second invocation at once: %v", err)
	}
	release()
	var notFound *types.ResourceNotFoundException
	if err := invoke(func(in *lambda.InvokeInput) { in.FunctionName = aws.String("corn") }); !errors.As(err, &notFound) || !strings.Contains(notFound.ErrorMessage(), "named beans") {
		t.Errorf("another name: %v", err)
	}
	var tooLarge *types.RequestTooLargeException
	if err := invoke(func(in *lambda.InvokeInput) { in.Payload = make([]byte, 7<<20) }); !errors.As(err, &tooLarge) {
		t.Errorf("a payload of 7 MiB: %v", err)
	}
	var invalid *types.InvalidRequestContentException
	if err := invoke(func(in *lambda.InvokeInput) { in.Payload = []byte("{") }); !errors.As(err, &invalid) {
		t.Errorf("a payload that is no JSON: %v", err)
	}
	var parameter *types.InvalidParameterValueException
	if err := invoke(func(in *lambda.InvokeInput) { in.TenantId = aws.String("blue") }); !errors.As(err, &parameter) {
		t.Errorf("a tenant: %v", err)
	}
	if err := invoke(func(in *lambda.InvokeInput) {
		in.InvocationType = types.InvocationTypeDryRun
		in.Qualifier = aws.String("live")
	}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
}

func TestEventsBySDK(t *testing.T) {
	t.Parallel()
	outcomes := make(chan EventOutcome, 1)
	p, o := newPool(t, PoolConfig{Concurrency: 1}, nil)
	client := serve(t, p, HandlerConfig{
		RetryDelays: []time.Duration{time.Millisecond, time.Millisecond}, OnEventDone: func(o EventOutcome) { outcomes <- o },
	})
	for payload, want := range map[string]EventOutcome{
		`{"error":"out of beans"}`: {Condition: EventRetriesExhausted, Attempts: 3},
		`{}`:                       {Condition: EventSucceeded, Attempts: 1},
	} {
		running := together(t, p, Request{Wait: true}) // events wait for it
		out, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("beans"), Payload: []byte(payload), InvocationType: types.InvocationTypeEvent})
		if err != nil || out.StatusCode != 202 || len(out.Payload) != 0 {
			t.Fatalf("%v: %+v", err, out)
		}
		if got := <-outcomes; got.Condition != want.Condition || got.Attempts != want.Attempts || got.Err != nil {
			t.Errorf("%s: %+v", payload, got)
		}
		running()
	}
	if got := len(o.results); got != 6 {
		t.Errorf("%d invocations", got)
	}
}

func TestStreamsBySDK(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		payload string
		chunks  int // at least
		want    string
		code    string
		details string
	}{
		"a stream":               {`{"id":"x","chunks":3,"chunkEvery":"50ms"}`, 1, "x chunk 1\nx chunk 2\nx chunk 3\n", "", ""},
		"a response in one part": {`{"id":"x"}`, 1, `{"id":"x","lines":0,"bytes":0}`, "", ""},
		"an error":               {`{"error":"out of beans"}`, 0, "", "Unhandled", "out of beans"},
		"an error in the middle": {`{"id":"x","chunks":2,"error":"out of beans"}`, 1, "x chunk 1\nx chunk 2\n", "Unhandled", "out of beans"},
		"a time-out":             {`{"hang":true}`, 0, "", "Unhandled", "Task timed out after 1.00 seconds"},
		"more than 6 MiB":        {`{"id":"` + strings.Repeat("x", 1<<20) + `","chunks":7}`, 7, strings.Repeat("x", 1<<20) + " chunk 7\n", "", ""},
	} {
		for _, logType := range types.LogType("").Values() {
			t.Run(name+", log type "+string(logType), func(t *testing.T) {
				t.Parallel()
				// Two streams of one client are a data race in the SDK.
				client := serve(t, newPoolFor(t, test.payload), HandlerConfig{})
				out, err := client.InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("beans"), Payload: []byte(test.payload), LogType: logType})
				if err != nil {
					t.Fatal(err)
				}
				stream := out.GetStream()
				defer stream.Close()
				var got strings.Builder
				chunks := 0
				var complete *types.InvokeWithResponseStreamCompleteEvent
				for event := range stream.Events() {
					switch event := event.(type) {
					case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
						got.Write(event.Value.Payload)
						chunks++
					case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
						complete = &event.Value
					}
				}
				if err := stream.Err(); err != nil || complete == nil {
					t.Fatalf("the stream ended with %v, %+v", err, complete)
				}
				if !strings.HasSuffix(got.String(), test.want) || test.want == "" && chunks > 0 || chunks < test.chunks {
					t.Errorf("%d chunks: %.300q", chunks, got.String())
				}
				if aws.ToString(complete.ErrorCode) != test.code || !strings.Contains(aws.ToString(complete.ErrorDetails), test.details) {
					t.Errorf("error %q: %s", aws.ToString(complete.ErrorCode), aws.ToString(complete.ErrorDetails))
				}
				log, err := base64.StdEncoding.DecodeString(aws.ToString(complete.LogResult))
				if err != nil || strings.Contains(string(log), "REPORT RequestId: ") != (logType == types.LogTypeTail) {
					t.Errorf("log %q, %v", log, err)
				}
			})
		}
	}
}

// The client gets each part as soon as the function has written it.
func TestChunksComeAtOnce(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	client := serve(t, &fake{invoke: func(_ context.Context, req Request) (Result, error) {
		for _, chunk := range []string{"a", "b", "c"} {
			if _, err := req.Stream.Write([]byte(chunk)); err != nil {
				t.Error(err)
			}
			<-read
		}
		return respond(req, lambdasim.Response{}), nil
	}}, HandlerConfig{})
	out, err := client.InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("beans")})
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	defer stream.Close()
	var got []string
	for event := range stream.Events() {
		if chunk, ok := event.(*types.InvokeWithResponseStreamResponseEventMemberPayloadChunk); ok {
			got = append(got, string(chunk.Value.Payload))
			read <- struct{}{}
		}
	}
	if strings.Join(got, " ") != "a b c" {
		t.Errorf("chunks: %q", got)
	}
}

// An invocation that does not begin has an ordinary error.
func TestStreamThatDoesNotBegin(t *testing.T) {
	t.Parallel()
	p, o := newPool(t, PoolConfig{Concurrency: 1}, nil)
	client := serve(t, p, HandlerConfig{})
	release := hold(t, p, o, 1)
	_, err := client.InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("beans")})
	var throttled *types.TooManyRequestsException
	if !errors.As(err, &throttled) {
		t.Errorf("error: %v", err)
	}
	release()
	out, err := client.InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("beans"), InvocationType: types.ResponseStreamingInvocationTypeDryRun})
	if err != nil || out.StatusCode != 204 {
		t.Errorf("a dry run: %v", err)
	}
}
