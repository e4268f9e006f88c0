// Package script plays scripts of a Lambda to the extension's process: what Lambda
// sends and answers, step by step, in an order that no local Lambda would produce
// by itself. A script is a file of testdata, a JSON object a line:
//
//	{"env": {…}}         the extension's environment, before its first step
//	{"refuse": "INVOKE"} register with this event is answered 403 Extension.InvalidEventType
//	{"start": true}      starts a process; the first one starts by itself
//	{"next": true}       waits for the extension's next call of next
//	{"invoke": "r1", "trace": "…", "timeout": 15000}  answers it with INVOKE; the deadline in ms
//	{"shutdown": "spindown", "timeout": 2000}         answers it with SHUTDOWN, and waits for the exit
//	{"post": […]}        posts telemetry; "@NOW±ms" in a string is a time
//	{"sleep": 300}       waits, in ms
//	{"kinesis": "up"}    or down, denied, throttle, slow
//	{"forge": […]}       posts what another process of the sandbox might: to the port, on any path
//	{"sh": "…"}          runs a command; $SPOOL is the spool's folder
//	{"kill": true}       SIGKILL to the extension
//	{"want": {…}}        an event of the stream has these members; null: it lacks the member
//	{"never": {…}}       no event of the stream has these members
//	{"log": "…"}         the extension's log matches the regular expression
//	{"silent": "…"}      and this one not
//	{"environments": 2}  so many execution environments are in the stream
//
// Lines that begin with # are comments. At the end of each script, every event that
// was acknowledged is in the stream or reported as lost.
package script

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/testkit"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

var binaries sandbox.Binaries // set once by TestMain

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m, &binaries)) }

// step is a line of a script. One member of it is set, besides those that go with
// another one.
type step struct {
	Env      map[string]string
	Refuse   string
	Start    bool
	Next     bool
	Invoke   string
	Trace    string
	Timeout  int64
	Shutdown string
	Post     json.RawMessage
	Forge    json.RawMessage
	Sleep    int64
	Kinesis  string
	Sh       string
	Kill     bool
	Want     map[string]any
	Never    map[string]any
	Log      string
	Silent   string

	Environments int
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			t.Parallel()
			play(t, file)
		})
	}
}

// play runs a script.
func play(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newStage(t)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 8<<20)
	for number := 1; lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		var one step
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&one); err != nil {
			t.Fatalf("%s:%d: %v", file, number, err)
		}
		s.line = fmt.Sprintf("%s:%d", file, number)
		s.do(one)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if v := audit.Check(s.acknowledged, s.events()); v.LostSilently > 0 {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
	if t.Failed() {
		t.Logf("the extension's log:\n%s", s.stderr.String())
	}
}

// stage is what a script plays on.
type stage struct {
	t       *testing.T
	line    string // where the script is
	lambda  *testkit.Lambda
	kinesis *kinesissim.Server
	records *sandbox.Records
	spool   string
	env     map[string]string
	stderr  testkit.Log

	acknowledged []audit.Emitted

	process *exec.Cmd
	exited  chan error
	at      *url.URL      // where telemetry goes
	next    chan<- []byte // answers the call of next that waits; nil: none is known to
}

func newStage(t *testing.T) *stage {
	kinesis, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: sandbox.Stream, Shards: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kinesis.Close() })
	lambda := testkit.NewLambda()
	t.Cleanup(lambda.Close)
	s := &stage{t: t, lambda: lambda, kinesis: kinesis, records: sandbox.NewRecords(t, kinesis), spool: t.TempDir()}
	s.env = map[string]string{
		"AWS_LAMBDA_RUNTIME_API":      s.lambda.Address(),
		"AWS_LAMBDA_FUNCTION_NAME":    "orders",
		"AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_REGION":                  "eu-west-1",
		"AWS_ACCESS_KEY_ID":           "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY":       "not-a-secret",
		"AWS_ENDPOINT_URL_KINESIS":    kinesis.URL(),
		"KINETEL_STREAM_NAME":         sandbox.Stream,
		"KINETEL_SPOOL_DIR":           s.spool,
	}
	return s
}

// do plays one step.
func (s *stage) do(one step) {
	s.t.Helper()
	switch {
	case one.Env != nil:
		maps.Copy(s.env, one.Env)
		return
	case one.Refuse != "":
		s.lambda.Refuse(one.Refuse)
		return
	}
	if s.process == nil && one.needsProcess() {
		s.start()
	}
	switch {
	case one.Next:
		s.awaitNext()
	case one.Invoke != "":
		s.invoke(one)
	case one.Shutdown != "":
		s.shutdown(one)
	case one.Post != nil:
		s.post(one.Post)
	case one.Forge != nil:
		s.forge(one.Forge)
	case one.Sleep > 0:
		<-time.After(time.Duration(one.Sleep) * time.Millisecond) // the script's own time
	case one.Kinesis != "":
		s.setKinesis(one.Kinesis)
	case one.Sh != "":
		s.shell(one.Sh)
	case one.Kill:
		s.kill()
	case one.Want != nil:
		if !s.has(one.Want) {
			s.t.Errorf("%s: no event of the stream has %v:\n%s", s.line, one.Want, s.lines())
		}
	case one.Never != nil:
		if s.has(one.Never) {
			s.t.Errorf("%s: an event of the stream has %v:\n%s", s.line, one.Never, s.lines())
		}
	case one.Log != "":
		if !regexp.MustCompile(one.Log).MatchString(s.stderr.String()) {
			s.t.Errorf("%s: the log does not match %q:\n%s", s.line, one.Log, s.stderr.String())
		}
	case one.Silent != "":
		if regexp.MustCompile(one.Silent).MatchString(s.stderr.String()) {
			s.t.Errorf("%s: the log matches %q:\n%s", s.line, one.Silent, s.stderr.String())
		}
	case one.Environments > 0:
		ids := map[string]bool{}
		for _, ev := range s.events() {
			ids[ev.InstanceID()] = true
		}
		if len(ids) != one.Environments {
			s.t.Errorf("%s: %d environments in the stream, want %d:\n%s", s.line, len(ids), one.Environments, s.lines())
		}
	}
}

// needsProcess reports whether a step is played to a process.
func (one step) needsProcess() bool {
	return one.Start || one.Next || one.Invoke != "" || one.Shutdown != "" || one.Post != nil || one.Forge != nil || one.Kill
}

// start starts a process of the extension, and waits until it has subscribed.
func (s *stage) start() {
	s.t.Helper()
	cmd := exec.Command(binaries.Path(sandbox.Extension))
	cmd.Stderr = &s.stderr
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
	s.process, s.exited, s.next = cmd, exited, nil
	s.at = wait(s.t, s.lambda.Subscribed, s.line+": subscribe")
}

func (s *stage) awaitNext() {
	s.t.Helper()
	if s.next == nil {
		s.next = wait(s.t, s.lambda.Next, s.line+": next")
	}
}

func (s *stage) invoke(one step) {
	s.t.Helper()
	timeout := one.Timeout
	if timeout == 0 {
		timeout = 15_000
	}
	event := map[string]any{
		"eventType": "INVOKE", "requestId": one.Invoke, "deadlineMs": time.Now().UnixMilli() + timeout,
		"invokedFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
	}
	if one.Trace != "" {
		event["tracing"] = map[string]string{"type": "X-Amzn-Trace-Id", "value": one.Trace}
	}
	s.answer(event)
}

// answer answers the extension's call of next.
func (s *stage) answer(event map[string]any) {
	s.t.Helper()
	text, err := json.Marshal(event)
	if err != nil {
		s.t.Fatal(err)
	}
	s.awaitNext()
	s.next <- text
	s.next = nil
}

func (s *stage) shutdown(one step) {
	s.t.Helper()
	timeout := one.Timeout
	if timeout == 0 {
		timeout = 2000
	}
	s.answer(map[string]any{"eventType": "SHUTDOWN", "shutdownReason": one.Shutdown, "deadlineMs": time.Now().UnixMilli() + timeout})
	if err := wait(s.t, s.exited, s.line+": the extension's exit"); err != nil {
		s.t.Errorf("%s: the extension ended with %v\n%s", s.line, err, s.stderr.String())
	}
}

var nowMark = regexp.MustCompile(`@NOW([+-]\d+)?`)

// post posts telemetry as Lambda does, and waits for the answer.
func (s *stage) post(body []byte) {
	s.t.Helper()
	now := time.Now().UTC()
	body = nowMark.ReplaceAllFunc(body, func(mark []byte) []byte {
		ms, _ := strconv.Atoi(string(mark[len("@NOW"):])) // empty: 0
		return []byte(now.Add(time.Duration(ms) * time.Millisecond).Format("2006-01-02T15:04:05.000Z"))
	})
	client := http.Client{Timeout: patience}
	resp, err := client.Post(s.at.String(), "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", s.line, err, s.stderr.String())
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: the extension answered %s", s.line, resp.Status)
	}
	var events []struct {
		Time, Type string
		Record     json.RawMessage
	}
	if err := json.Unmarshal(body, &events); err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	for _, ev := range events {
		if !strings.HasPrefix(strings.ToLower(ev.Type), "kinetel.") {
			s.acknowledged = append(s.acknowledged, audit.Emitted{Time: ev.Time, Type: ev.Type, Record: string(ev.Record)})
		}
	}
}

// forge posts telemetry as another process of the sandbox can: it finds the port,
// and knows nothing else. It must be refused.
func (s *stage) forge(body []byte) {
	s.t.Helper()
	client := http.Client{Timeout: patience}
	for _, path := range []string{"/", "/telemetry", "/00000000000000000000000000000000"} {
		at := url.URL{Scheme: "http", Host: s.at.Host, Path: path}
		resp, err := client.Post(at.String(), "application/json", bytes.NewReader(body))
		if err != nil {
			s.t.Fatalf("%s: %v", s.line, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			s.t.Errorf("%s: POST %s was answered %s, want 404", s.line, path, resp.Status)
		}
	}
}

func (s *stage) setKinesis(state string) {
	s.t.Helper()
	faults := map[string]kinesissim.Interceptor{
		"up":       nil,
		"down":     kinesissim.AnswerAll(kinesissim.Refuse(503, "ServiceUnavailable", "down")),
		"denied":   kinesissim.AnswerAll(kinesissim.DenyAccess()),
		"throttle": kinesissim.AnswerAll(kinesissim.Throttle()),
		"slow":     kinesissim.AnswerAll(kinesissim.Delay(1500 * time.Millisecond)),
	}
	fault, ok := faults[state]
	if !ok {
		s.t.Fatalf("%s: kinesis cannot be %q", s.line, state)
	}
	s.kinesis.SetIntercept(fault)
}

func (s *stage) shell(command string) {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "SPOOL="+s.spool)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", s.line, err, out)
	}
}

func (s *stage) kill() {
	s.t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = wait(s.t, s.exited, s.line+": the killed process")
	s.process, s.next = nil, nil
}

// lines returns what lies in the stream, a line an event.
func (s *stage) lines() string {
	var text strings.Builder
	for _, ev := range s.events() {
		fmt.Fprintf(&text, "%.8s %3d %s %s %s %.300s\n", ev.InstanceID(), ev.Seq, ev.Type, ev.RequestID, ev.Severity, ev.Body)
	}
	return text.String()
}

// events returns the events of the stream.
func (s *stage) events() []record.Event {
	s.t.Helper()
	return s.records.Events()
}

// has reports whether an event of the stream has all members of want.
func (s *stage) has(want map[string]any) bool {
	s.t.Helper()
	for _, ev := range s.events() {
		text, err := json.Marshal(ev)
		if err != nil {
			s.t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			s.t.Fatal(err)
		}
		if contains(got, want) {
			return true
		}
	}
	return false
}

// contains reports whether got has what want has: of an object its members, and of
// anything else all of it.
func contains(got, want any) bool {
	w, ok := want.(map[string]any)
	if !ok {
		return reflect.DeepEqual(got, want)
	}
	g, ok := got.(map[string]any)
	if !ok {
		return false
	}
	for name, value := range w {
		if !contains(g[name], value) {
			return false
		}
	}
	return true
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
