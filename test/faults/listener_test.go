package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// forged is a body that would be believed, if it were taken.
const forged = `[{"time":"2026-11-26T17:00:00.000Z","type":"kinetel.loss","record":{"firstSeq":1,"lastSeq":1000000,"count":1000000,"bytes":1,"reason":"buffer-full"}},` +
	`{"time":"2026-11-26T17:00:00.000Z","type":"platform.restoreStart","record":{"functionName":"forged"}},` +
	`{"time":"2026-11-26T17:00:00.000Z","type":"platform.logsDropped","record":{"droppedRecords":999999,"droppedBytes":1,"reason":"forged"}},` +
	`{"time":"2026-11-26T17:00:00.000Z","type":"function","record":"forged"}]`

// neighbour is another process of the sandbox, which finds the listener's port
// and posts forged telemetry to it all the time, beside connections that are slow
// in every way there is.
func neighbour(s *scenario, _ uint64) {
	var late atomic.Int64
	r := s.start(func(c *lambdasim.Config) {
		c.DeliveryTimeout = 5 * time.Second
		c.OnNotice = func(n lambdasim.Notice) {
			if n.Kind == lambdasim.NoticeDeliveryError {
				// One may be refused: at the shutdown, or if as many connections as
				// the listener has are opened before it has read one byte of Lambda's.
				s.Logf("Lambda's POST failed: %s", n.Detail)
				if strings.Contains(n.Detail, "Timeout") || strings.Contains(n.Detail, "deadline") {
					late.Add(1)
				}
			}
		}
	})
	addr := fmt.Sprintf("127.0.0.1:%d", s.listeningPort(r))
	stop := make(chan struct{})
	var refused, others atomic.Int64
	var working sync.WaitGroup
	for i, text := range []string{
		"", "POST / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n[", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[",
		"POST /telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n" + strings.Repeat(" ", 1<<20),
	} {
		for j := range 8 {
			working.Go(func() {
				for n := 0; ; n++ {
					if (i+j+n)%2 == 0 {
						switch post(addr, forged) {
						case http.StatusNotFound:
							refused.Add(1)
						case 0: // a connection that was closed for another one
						default:
							others.Add(1)
						}
					} else {
						stall(addr, text, stop)
					}
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond): // or nothing else would run on a small machine
					}
				}
			})
		}
	}
	s.traffic(r)
	s.invokeUntil(r, "a refusal", func() bool { return refused.Load() > 100 })
	s.invoke(r, `{"id":"burst","lines":5000}`)
	s.shutdown(r)
	close(stop)
	working.Wait()
	if n := others.Load(); n > 0 {
		s.Errorf("%d forged bodies were answered in another way than by 404", n)
	}
	if n := late.Load(); n > 0 {
		s.Errorf("%d of Lambda's POSTs were not answered in time", n)
	}
	for _, e := range s.arrived() {
		if e.Type == event.TypeLoss || e.Type == "platform.logsDropped" || e.Type == "platform.restoreStart" || strings.Contains(string(e.Body), "forged") {
			s.Errorf("%s %s", e.Type, e.Body)
		}
	}
	s.requireFullReport()
}

// post posts a body and returns the status; 0: there was no answer.
func post(addr, body string) int {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// stall sends text and waits until the connection is closed.
func stall(addr, text string, stop <-chan struct{}) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-stop:
		case <-ended:
		}
		conn.Close()
	}()
	_, _ = io.WriteString(conn, text)
	_, _ = io.Copy(io.Discard, conn)
	close(ended)
}

// listeningPort finds the port that the extension listens on, as another process
// can.
func (s *scenario) listeningPort(r *sandbox.Run) (port int) {
	s.Helper()
	pid := 0
	for _, p := range r.Sandbox.Processes() {
		if p.Name == sandbox.Extension {
			pid = p.PID
		}
	}
	sockets := map[string]bool{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil {
			sockets[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		s.Fatal(err)
	}
	const listening = "0A"
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 9 && f[3] == listening && sockets[f[9]] {
			if _, err := fmt.Sscanf(f[1][strings.IndexByte(f[1], ':')+1:], "%X", &port); err != nil {
				s.Fatal(err)
			}
		}
	}
	if port == 0 {
		s.Fatal("the extension listens on no port")
	}
	return port
}

// crowded is forty invocations on Managed Instances that write 20,863 lines in
// 0.2 s, and a relay that keeps no backlog, as in AWS's emulator. How much that
// drops depends on how fast the machine is at the moment. Nothing else may be lost,
// and what it drops is reported. That the subscription keeps it from dropping is
// tested in synthetic time, in package lambdasim.
func crowded(s *scenario, _ uint64) {
	r := s.crowd()
	dropped := r.Dropped()
	s.Logf("the relay dropped %d events", len(dropped))
	reported := 0
	for _, e := range append(dropped, r.Emitted()...) {
		if e.Type == event.TypePlatformLogsDropped {
			reported += number(s, []byte(e.Record), "droppedRecords")
		}
	}
	if reported != len(dropped) {
		s.Errorf("the relay dropped %d events and reported %d", len(dropped), reported)
	}
	// platform.logsDropped can be dropped itself.
	inReports, arrived := 0, 0
	for _, e := range s.arrived() {
		if e.Type == event.TypePlatformLogsDropped {
			arrived += number(s, e.Body, "droppedRecords")
		}
	}
	for _, report := range s.reports() {
		inReports += report.LogsDropped.Records
	}
	if inReports != arrived {
		s.Errorf("kinetel.report has %d dropped events, platform.logsDropped %d", inReports, arrived)
	}
}

// crowd is a sandbox with the forty invocations.
func (s *scenario) crowd() *sandbox.Run {
	s.Helper()
	r := s.start(func(c *lambdasim.Config) {
		c.InitializationType = lambdasim.InitManagedInstances
		c.MaxConcurrency = 40
		c.DropUnanswered = true
	})
	var ended []func() lambdasim.Result
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for i := range 40 {
		<-pace.C
		lines := 521
		if i == 0 {
			lines += 23 // 20,863 in all
		}
		ended = append(ended, s.background(r, fmt.Sprintf(`{"id":"crowd-%d","lines":%d}`, i, lines)))
	}
	for _, end := range ended {
		if result := end(); result.Status != lambdasim.StatusSuccess {
			s.Errorf("an invocation ended with %s %s", result.Status, result.ErrorType)
		}
	}
	s.shutdown(r)
	return r
}
