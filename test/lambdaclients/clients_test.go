// Package lambdaclients tries clients of Lambda in other languages, with their defaults,
// against the local Lambda.
package lambdaclients

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/locallambda"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// programs is where TestMain builds the sample function. It is written before any test
// runs.
var programs sandbox.Binaries

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m, &programs)) }

// conversation is what each client prints.
const conversation = `invoked: 200 $LATEST {"id":"x","lines":1,"bytes":16}
log: START x END REPORT XRAY, true
function error: Unhandled {"errorMessage":"out of beans","errorType":"errorString"}
event: 202
dry run: 204
chunk: x chunk 1
chunk: x chunk 2
complete: Unhandled {"errorMessage":"out of beans","errorType":"errorString"}
ResourceNotFoundException: 404 Function not found: arn:aws:lambda:eu-west-1:123456789012:function:corn. The function that runs here is named beans.
InvalidRequestContentException: 400 Could not parse request body into json: Could not parse payload into json: unexpected end of JSON input at byte 1
RequestTooLargeException: 413 7340034 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)
InvalidParameterValueException: 400 The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again.
TooManyRequestsException: 429 Rate Exceeded. ReservedFunctionConcurrentInvocationLimitExceeded
`

const cliConversation = `START
x
END
REPORT
XRAY
{"id":"x","lines":1,"bytes":16}
Unhandled
{"errorMessage":"out of beans","errorType":"errorString"}
202
204

An error occurred (ResourceNotFoundException) when calling the Invoke operation: Function not found: arn:aws:lambda:eu-west-1:123456789012:function:corn. The function that runs here is named beans.
status 255
`

const curlConversation = `{"id":"x","lines":1,"bytes":16}
{"errorMessage":"out of beans","errorType":"errorString"}
X-Amz-Function-Error: Unhandled
202
{"Type":"User","message":"Could not parse request body into json: Could not parse payload into json: unexpected end of JSON input at byte 1"}
`

// service serves the sample function, named beans.
type service struct {
	url      string
	pool     *locallambda.Pool
	begun    chan struct{} // has an element when an invocation has begun
	outcomes chan locallambda.EventOutcome
}

func serve(t *testing.T, concurrency int) service {
	t.Helper()
	s := service{begun: make(chan struct{}, 100), outcomes: make(chan locallambda.EventOutcome, 10)}
	pool, err := locallambda.NewPool(locallambda.PoolConfig{
		Concurrency: concurrency,
		Environment: func(int) lambdasim.Config {
			return lambdasim.Config{
				FunctionName: "beans", Function: lambdasim.Process{Path: programs.Path("function")}, Timeout: time.Minute,
				OnNotice: func(n lambdasim.Notice) {
					if n.Kind == lambdasim.NoticeInvokeStart {
						s.begun <- struct{}{}
					}
				},
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := locallambda.NewHandler(pool, locallambda.HandlerConfig{
		FunctionName: "beans", OnEventDone: func(o locallambda.EventOutcome) { s.outcomes <- o },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := locallambda.NewServer(handler)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ErrServerClosed
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
		if err := handler.Close(context.Background()); err != nil {
			t.Error(err)
		}
		pool.Close(context.Background())
	})
	s.url, s.pool = "http://"+listener.Addr().String(), pool
	return s
}

// hold runs an invocation until the test ends.
func (s service) hold(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.pool.Invoke(ctx, locallambda.Request{Request: lambdasim.Request{Payload: []byte(`{"hang":true}`)}})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	<-s.begun
}

// try runs a client, and checks what it printed, and that its event was processed.
func try(t *testing.T, variable, want string, command ...string) {
	t.Helper()
	t.Parallel()
	folder := os.Getenv(variable)
	if variable != "" && folder == "" {
		t.Skipf("%s is not set: `make integration` sets it", variable)
	}
	free, busy := serve(t, 10), serve(t, 1)
	busy.hold(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer("FOLDER", folder, "HERE", here)
	for i, word := range command {
		command[i] = replace.Replace(word)
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") }),
		"AWS_ENDPOINT_URL_LAMBDA="+free.url, "BUSY_URL="+busy.url, "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret",
		"AWS="+filepath.Join(folder, "aws"), "PYTHONIOENCODING=utf-8", "NODE_NO_WARNINGS=1", "LC_ALL=C.UTF-8")
	var log strings.Builder
	cmd.Stderr = &log
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, got, log.String())
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, log.String())
	}
	if o := <-free.outcomes; o.Condition != locallambda.EventSucceeded || !strings.Contains(string(o.Result.Payload), `"id":"event"`) {
		t.Errorf("the event: %+v", o)
	}
}

func TestJavaScript(t *testing.T) {
	try(t, "KINETEL_KINESIS_CLIENTS", conversation, "node", "HERE/client.mjs")
}

func TestPython(t *testing.T) {
	try(t, "KINETEL_DOCS_PYTHON", conversation, "FOLDER/python", "HERE/client.py")
}

func TestTheAWSCLI(t *testing.T) {
	try(t, "KINETEL_DOCS_PYTHON", cliConversation, "sh", "HERE/client.sh")
}

func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	try(t, "", curlConversation, "sh", "HERE/curl.sh")
}
