package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/testkit"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

// scripted is a process of the extension with a fake Lambda.
type scripted struct {
	t       *testing.T
	kinesis *kinesissim.Server
	cmd     *exec.Cmd
	log     *testkit.Log
	port    string
	path    string        // of the destination: a secret
	next    chan<- []byte // answers the call of next
}

func script(t *testing.T, env map[string]string) *scripted {
	t.Helper()
	kinesis, err := kinesissim.Start(t.Context(), kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: sandbox.Stream, Shards: 2}}, Credentials: map[string]string{accessKey: secretKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kinesis.Close() })
	s := &scripted{t: t, kinesis: kinesis, log: &testkit.Log{}}
	lambda := testkit.NewLambda()
	t.Cleanup(lambda.Close)
	s.cmd = exec.Command(binaries.Path(sandbox.Extension))
	s.cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + lambda.Address(), "AWS_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_NAME=orders",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey,
		"KINETEL_STREAM_NAME=" + sandbox.Stream, "AWS_ENDPOINT_URL_KINESIS=" + kinesis.URL(), "KINETEL_SPOOL_DIR=" + t.TempDir(),
	}
	for name, value := range env {
		s.cmd.Env = append(s.cmd.Env, name+"="+value)
	}
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	destination := <-lambda.Subscribed
	s.port, s.path = destination.Port(), destination.Path
	s.next = <-lambda.Next
	return s
}

// post posts a body and returns the status.
func (s *scripted) post(path string, body io.Reader) int {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://127.0.0.1:"+s.port+path, body)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1 // the connection was closed
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// slow opens a connection, sends text, and leaves the connection open.
func (s *scripted) slow(text string) net.Conn {
	var dialer net.Dialer
	conn, err := dialer.DialContext(s.t.Context(), "tcp", "127.0.0.1:"+s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	_, _ = io.WriteString(conn, text)
	return conn
}

// shutdown ends the process in order and returns what is in the stream.
func (s *scripted) shutdown() []record.Event {
	s.t.Helper()
	s.next <- fmt.Appendf(nil, `{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":%d}`, time.Now().Add(20*time.Second).UnixMilli())
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("%v\n%s", err, s.log)
	}
	return sandbox.NewRecords(s.t, s.kinesis).Events()
}

// peak returns the most resident memory that the process had, in bytes.
func (s *scripted) peak() int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	kib := 0
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &kib)
	}
	return kib << 10
}

// body is a body of function lines, of about so many bytes.
func body(name string, size int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; b.Len() < size-300; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"time":"2026-11-26T17:00:00.000Z","type":"function","record":"%s %d %x %s"}`, name, i, i*104729, strings.Repeat("x", 150))
	}
	b.WriteByte(']')
	return b.String()
}

const forgedBody = `[{"time":"2026-11-26T17:00:00.000Z","type":"kinetel.loss","record":{"firstSeq":1,"lastSeq":1000000,"count":1000000,"bytes":1,"reason":"buffer-full"}},
{"time":"2026-11-26T17:00:00.000Z","type":"kinetel.report","record":{"final":true,"uptimeMs":1,"received":{"events":0,"bytes":0},"lost":{}}},
{"time":"2026-11-26T17:00:00.000Z","type":"platform.report","record":{"requestId":"bbbbbbbb-0000-0000-0000-000000000000","status":"success","metrics":{"durationMs":1}}},
{"time":"2026-11-26T17:00:00.000Z","type":"platform.logsDropped","record":{"droppedRecords":999999,"droppedBytes":1,"reason":"forged"}},
{"time":"2026-11-26T17:00:00.000Z","type":"platform.restoreStart","record":{"functionName":"forged"}}]`

// Telemetry of another process of the sandbox is not in the stream, and does not delay
// Lambda's.
func TestANeighbourOfTheListener(t *testing.T) {
	s := script(t, nil)
	for range 50 {
		s.slow("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n[")
		s.slow("POST / HT")
		s.slow("")
	}
	for range 4 { // even if it knew the path
		s.slow("POST " + s.path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n[")
	}
	for _, path := range []string{"/", "/telemetry", s.path + "/", "/" + strings.Repeat("0", 32)} {
		if status := s.post(path, strings.NewReader(forgedBody)); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	began := time.Now()
	for i := range 20 {
		if status := s.post(s.path, strings.NewReader(body(fmt.Sprint("body ", i), 100_000))); status != http.StatusOK {
			t.Errorf("body %d: %d", i, status)
		}
	}
	// No limit of time: without the bounds each waits until the listener closes a slow one.
	t.Logf("20 bodies took %v", time.Since(began))
	if status := s.post(s.path, strings.NewReader(forgedBody)); status != http.StatusOK {
		t.Errorf("with the path: %d", status)
	}
	counts := map[string]int{}
	environments := map[string]bool{}
	for _, e := range s.shutdown() {
		counts[e.Type]++
		environments[e.InstanceID()] = true
		if text := string(e.Body); strings.HasPrefix(e.Type, "kinetel.") && e.Type != event.TypeUnparsed && (strings.Contains(text, "buffer-full") || strings.Contains(text, `"uptimeMs":1,`)) {
			t.Errorf("%s %s", e.Type, text)
		}
	}
	if counts[event.TypeLoss] != 0 || counts[event.TypeReport] != 1 || counts[event.TypeUnparsed] != 2 || len(environments) != 1 {
		t.Errorf("in the stream there are %v of %d environments\n%s", counts, len(environments), s.log)
	}
	if strings.Contains(s.log.String(), s.path[1:]) {
		t.Errorf("the log has the path: %s", s.log)
	}
}

// Whatever bodies come together, the memory stays within what docs/reliability.md
// says.
func TestTheMemoryOfBodies(t *testing.T) {
	const bound = 16<<20 + 16_000_000
	each := func(n int, post func(i int)) {
		var posts sync.WaitGroup
		for i := range n {
			posts.Go(func() { post(i) })
		}
		posts.Wait()
	}
	largest := body("large", 4<<20)
	control := strings.Repeat("\x01", 4<<20)
	cut := func(i int) (first, second string) {
		const envelope = `{"time":"2026-11-26T17:00:00.000Z","type":"function","record":"`
		return "[" + envelope + strings.Repeat("y", 3<<20) + "}]", "[" + envelope[:len(envelope)-1] + strings.Repeat("z", 3<<20) + fmt.Sprintf(`%d"}]`, i)
	}
	requests := 20 // on each of 50 connections
	if testing.Short() {
		requests = 5
	}
	tiny := "[" + strings.Repeat(`{"type":"a"},`, 4<<20/13-1) + `{"type":"a"}]`
	for name, load := range map[string]func(s *scripted){
		"four of 16 MiB": func(s *scripted) {
			each(4, func(int) { s.post(s.path, strings.NewReader(strings.Repeat(" ", 16<<20))) })
		},
		"four of 16 MiB in chunks": func(s *scripted) {
			each(4, func(int) { s.post(s.path, io.MultiReader(strings.NewReader(strings.Repeat(" ", 16<<20)))) })
		},
		"lines, at once":             func(s *scripted) { each(12, func(int) { s.post(s.path, strings.NewReader(largest)) }) },
		"lines, at once, in chunks":  func(s *scripted) { each(12, func(int) { s.post(s.path, io.MultiReader(strings.NewReader(largest))) }) },
		"text that cannot be parsed": func(s *scripted) { each(8, func(int) { s.post(s.path, strings.NewReader(control)) }) },
		"many tiny events":           func(s *scripted) { each(4, func(int) { s.post(s.path, strings.NewReader(tiny)) }) },
		"one event": func(s *scripted) {
			each(4, func(int) {
				s.post(s.path, strings.NewReader(`[{"type":"function","record":"`+strings.Repeat("x", 4<<20-100)+`"}]`))
			})
		},
		"cut records": func(s *scripted) {
			for i := range 4 {
				first, second := cut(i)
				s.post(s.path, strings.NewReader(first))
				s.post(s.path, strings.NewReader(second))
			}
		},
		"slow ones": func(s *scripted) {
			for range 40 {
				s.slow("POST " + s.path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n" + strings.Repeat(" ", 100_000))
			}
			each(4, func(int) { s.post(s.path, strings.NewReader(largest)) })
		},
		"another path": func(s *scripted) {
			each(50, func(int) {
				for range requests {
					s.post("/", strings.NewReader(largest))
				}
			})
		},
		"long headers": func(s *scripted) {
			each(50, func(int) {
				for range requests {
					conn := s.slow("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 60_000))
					_, _ = bufio.NewReader(conn).ReadByte()
					conn.Close()
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, map[string]string{"KINETEL_FLUSH_INTERVAL": "1s"})
			load(s)
			if status := s.post(s.path, strings.NewReader(body("after", 1000))); status != http.StatusOK {
				t.Errorf("an ordinary body is answered %d", status)
			}
			peak := s.peak()
			t.Logf("%.1f MB", float64(peak)/1e6)
			if peak > bound {
				t.Errorf("the process had %.1f MB, of %.1f", float64(peak)/1e6, bound/1e6)
			}
			s.next <- fmt.Appendf(nil, `{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":%d}`, time.Now().Add(5*time.Second).UnixMilli())
			_ = s.cmd.Wait()
		})
	}
}
