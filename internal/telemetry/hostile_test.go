package telemetry

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Another process of the sandbox can connect to the listener as Lambda does.

func TestTheDestinationIsASecretOfEachListener(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		l := newListener(slog.New(slog.DiscardHandler), &pipeline{})
		if !regexp.MustCompile(`^/[0-9a-f]{32}$`).MatchString(l.path) || seen[l.path] {
			t.Errorf("the path is %q", l.path)
		}
		seen[l.path] = true
	}
	l := listenTo(t, &pipeline{})
	if want := fmt.Sprintf("http://sandbox.localdomain:%d%s", l.Port(), l.path); l.Destination() != want {
		t.Errorf("the destination is %s, want %s", l.Destination(), want)
	}
}

func TestOnlyThePathOfTheSubscriptionIsServed(t *testing.T) {
	var log bytes.Buffer
	p := &pipeline{}
	l, err := Listen(t.Context(), nowhere, false, slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), p)
	if err != nil {
		t.Fatal(err)
	}
	l.Serve()
	t.Cleanup(func() { closeNow(l) })
	for _, path := range []string{
		"/", "/telemetry", "/" + strings.Repeat("0", 32), l.path + "/", l.path + "/x", "/x" + l.path, "/" + l.path, l.path[:32], l.path + "0",
		strings.ToUpper(l.path) + "F", "/?" + l.path[1:], "/%2F" + l.path[1:], l.path + "%00", "/." + l.path + "/..",
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodHead, http.MethodOptions} {
			resp, _ := request(t, l, method, path, strings.NewReader("["+helloEvent+"]"))
			if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Allow") != "" {
				t.Errorf("%s %s: %d", method, path, resp.StatusCode)
			}
		}
	}
	wantIngested(t, p)
	wantCommits(t, p)
	for _, path := range []string{l.path, l.path + "?x=y"} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			if resp, answer := request(t, l, method, path, strings.NewReader("["+helloEvent+"]")); resp.StatusCode != http.StatusOK || answer != "" {
				t.Errorf("%s %s: %d with %q", method, path, resp.StatusCode, answer)
			}
		}
	}
	wantIngested(t, p, helloLine, helloLine, helloLine, helloLine)
	l.Close(t.Context())
	if text := log.String(); strings.Contains(strings.ToLower(text), l.path[1:]) || strings.Count(text, "\n") != 1 || !strings.Contains(text, `"WARN"`) {
		t.Errorf("the log: %s", text)
	}
}

// A client without the path costs no memory, and no connection for long.
func TestAnotherPathIsRefusedBeforeItsBodyIsRead(t *testing.T) {
	for _, head := range []string{"Content-Length: 4000000", "Content-Length: 20", "Transfer-Encoding: chunked", "Content-Length: 4000000\r\nExpect: 100-continue"} {
		l := listenTo(t, &pipeline{})
		c := connect(t, l)
		c.send("POST / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", head)
		if status := c.answer(); status != http.StatusNotFound {
			t.Errorf("%q: %d", head, status)
		}
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("%q: the connection goes on: %v", head, err)
		}
	}
}

// AWS's emulator of Managed Instances drops the path, and says what it posts.
func TestPostsOfTheEmulatorAreAcceptedOutsideOfLambda(t *testing.T) {
	body := "[" + helloEvent + "]"
	sum := sha256.Sum256([]byte(body))
	right := base64.StdEncoding.EncodeToString(sum[:])
	sum[0]++
	wrong := base64.StdEncoding.EncodeToString(sum[:])
	sandbox := resolver{addrs: []string{"127.0.0.1"}}
	for _, tt := range []struct {
		name     string
		resolver Resolver
		managed  bool
		path     string
		sequence string
		want     int
	}{
		{"the emulator", nowhere, true, "/", right, 200},
		{"a body that is another", nowhere, true, "/", wrong, 404},
		{"no sequence id", nowhere, true, "/", "", 404},
		{"a sequence id that is none", nowhere, true, "/", "1", 404},
		{"another path", nowhere, true, "/telemetry", right, 404},
		{"in Lambda", sandbox, true, "/", right, 404},
		{"in Lambda, at an address that is not used", resolver{addrs: []string{"203.0.113.7"}}, true, "/", right, 404},
		{"no managed instance", nowhere, false, "/", right, 404},
		{"neither", sandbox, false, "/", right, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &pipeline{}
			l, err := Listen(t.Context(), tt.resolver, tt.managed, slog.New(slog.DiscardHandler), p)
			if err != nil {
				t.Fatal(err)
			}
			l.Serve()
			t.Cleanup(func() { closeNow(l) })
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, tt.path, strings.NewReader(body))
			if tt.sequence != "" {
				req.Header.Set("Sequence-Id", tt.sequence)
			}
			w := httptest.NewRecorder()
			l.ServeHTTP(w, req)
			if w.Code != tt.want || len(p.events()) != tt.want/200%2 {
				t.Errorf("the answer is %d, ingested are %q", w.Code, p.show())
			}
		})
	}
}

// fakeListener serves a listener over pipes, in a bubble of fake time.
type fakeListener struct {
	t *testing.T
	*Listener
	pipe *pipeListener
}

func inBubble(t *testing.T, f func(t *testing.T, l *fakeListener, p *pipeline)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipeline{}
		l := newListener(slog.New(slog.DiscardHandler), p)
		l.listener = &pipeListener{make(chan net.Conn), make(chan struct{})}
		l.Serve()
		fake := &fakeListener{t, l, l.listener.(*pipeListener)}
		f(t, fake, p)
		closeNow(l)
		time.Sleep(time.Second) // fake time, in which net/http ends
	})
}

// dial opens a connection. What the listener sends on it is read.
func (l *fakeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.pipe.conns <- server
	l.t.Cleanup(func() { client.Close() })
	return client
}

// stall sends text on a connection and then nothing.
func (l *fakeListener) stall(text string) {
	client := l.dial()
	go func() {
		_, _ = io.WriteString(client, text)
		_, _ = io.Copy(io.Discard, client) // until it is closed
		client.Close()
	}()
	synctest.Wait()
}

// post posts a body as Lambda does, and returns the status.
func (l *fakeListener) post(client net.Conn, body string) int {
	l.t.Helper()
	go func() {
		_, _ = fmt.Fprintf(client, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", l.path, len(body), body)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		l.t.Errorf("no answer: %v", err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// However many clients are slow, and with what, Lambda is answered.
func TestSlowClientsDoNotStallLambda(t *testing.T) {
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s", n, strings.Repeat(" ", n)) }
	for _, tt := range []struct {
		name  string
		text  func(l *fakeListener) string
		most  time.Duration // that Lambda waits
		count int
	}{
		{"nothing", func(*fakeListener) string { return "" }, 0, 200},
		{"half a header", func(*fakeListener) string { return "POST / HTTP/1.1\r\nHo" }, 0, 200},
		{"half a header of Lambda's", func(l *fakeListener) string { return "POST " + l.path + " HTTP/1.1\r\nHo" }, 0, 200},
		{"no body", func(*fakeListener) string { return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n" }, 0, 200},
		{"half a body", func(l *fakeListener) string {
			return "POST " + l.path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n[" + helloEvent
		}, 0, 200},
		{"four with half a body", func(l *fakeListener) string {
			return "POST " + l.path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n[" + helloEvent
		}, 0, 4},
		{"half a large body", func(l *fakeListener) string {
			return "POST " + l.path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n" + strings.Repeat(" ", 2<<20)
		}, slowBody, 40},
		{"half a large body in chunks", func(l *fakeListener) string {
			return "POST " + l.path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(3<<20)
		}, slowBody, 40},
		{"slightly too much in chunks, but for the end", func(l *fakeListener) string {
			return "POST " + l.path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(maxBody)
		}, slowBody, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *fakeListener, p *pipeline) {
				lambda := l.dial()
				if status := l.post(lambda, "["+helloEvent+"]"); status != http.StatusOK {
					t.Fatalf("before, the answer is %d", status)
				}
				count := tt.count
				if testing.Short() && tt.most > 0 {
					count = min(count, 8) // with more memory than there is
				}
				for range count {
					l.stall(tt.text(l))
				}
				big := "[" + helloEvent + strings.Repeat(" ", 2<<20) + "]"
				for i, body := range []string{"[" + helloEvent + "]", big, big} {
					conn := lambda
					if i == 2 {
						conn = l.dial() // Lambda may connect anew
					}
					began := time.Now()
					if status := l.post(conn, body); status != http.StatusOK {
						t.Errorf("body %d: the answer is %d", i, status)
					}
					if took := time.Since(began); took > tt.most {
						t.Errorf("body %d waits for %v, want %v at most", i, took, tt.most)
					}
				}
				wantIngested(t, p, helloLine, helloLine, helloLine, helloLine)
			})
		})
	}
}

// As many connections as a process can open neither keep Lambda out nor close the
// one that it has.
func TestManyConnectionsDoNotCloseThatOfLambda(t *testing.T) {
	inBubble(t, func(t *testing.T, l *fakeListener, p *pipeline) {
		lambda := l.dial()
		var want []string
		for i := range 5 {
			if status := l.post(lambda, "["+helloEvent+"]"); status != http.StatusOK {
				t.Fatalf("round %d: the answer is %d", i, status)
			}
			if status := l.post(l.dial(), "["+doneEvent+"]"); status != http.StatusOK {
				t.Fatalf("round %d: on a new connection the answer is %d", i, status)
			}
			want = append(want, helloLine, doneLine)
			for range 300 {
				l.stall("")
				l.stall("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
			}
			time.Sleep(time.Second) // fake time
		}
		wantIngested(t, p, want...)
		l.conns.mu.Lock()
		defer l.conns.mu.Unlock()
		if n := len(l.conns.open); n > maxConnections {
			t.Errorf("%d connections are open", n)
		}
	})
}

// The shutdown waits for Lambda only.
func TestCloseDoesNotWaitForUnknownClients(t *testing.T) {
	inBubble(t, func(t *testing.T, l *fakeListener, _ *pipeline) {
		for _, text := range []string{"", "POST / HTTP/1.1\r\nHo", "POST " + l.path + " HTTP/1.1\r\nHo"} {
			l.stall(text)
		}
		began := time.Now()
		l.Close(t.Context())
		if took := time.Since(began); took > 10*time.Millisecond { // it polls
			t.Errorf("it took %v", took)
		}
	})
}

// memory returns what all bodies have.
func (b *bodies) memory() (used, ending, reading int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maxMemory - b.free, b.ending, len(b.reading)
}

// reader is a body that comes in pieces, and may stall or notes what it costs.
type reader struct {
	io.Reader
	read func()
}

func (r reader) Read(b []byte) (int, error) {
	r.read()
	return r.Reader.Read(b)
}

// The memory of all bodies together is bounded, whatever they are like, and all
// of it comes back.
func TestTheMemoryOfAllBodiesIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		length  int
		chunked bool
		count   int
		status  int
	}{
		{"the largest one", maxBody, false, 1, 200},
		{"the largest one in chunks", maxBody, true, 1, 200},
		{"many of the largest ones", maxBody, false, 24, 200},
		{"many of the largest ones in chunks", maxBody, true, 24, 200},
		{"many ordinary ones", 300_000, false, 24, 200},
		{"many ordinary ones in chunks", 300_000, true, 24, 200},
		{"many small ones", 100, false, 24, 200},
		{"many that are too large", maxBody + 1, false, 24, 413},
		{"many that are too large, in chunks", maxBody + 1, true, 24, 413},
		{"empty ones", 0, true, 24, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var most int
			var mu sync.Mutex
			p := &pipeline{}
			l := newListener(slog.New(slog.DiscardHandler), p)
			note := func() {
				used, _, _ := l.bodies.memory()
				mu.Lock()
				most = max(most, used)
				mu.Unlock()
			}
			p.committing = func([]byte) { note() }
			text := strings.Repeat(" ", tt.length)
			var posts sync.WaitGroup
			count := tt.count
			if testing.Short() {
				count = min(count, 6) // any two of the largest need more memory than there is
			}
			for range count {
				posts.Go(func() {
					for {
						req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, l.path, reader{strings.NewReader(text), note})
						req.ContentLength = int64(tt.length)
						if tt.chunked {
							req.ContentLength = -1
						}
						w := httptest.NewRecorder()
						l.ServeHTTP(w, req)
						if w.Code == http.StatusBadRequest {
							continue // the machine is slow, and it is sent again
						}
						if w.Code != tt.status {
							t.Errorf("the answer is %d, want %d", w.Code, tt.status)
						}
						return
					}
				})
			}
			posts.Wait()
			if most > maxMemory {
				t.Errorf("they had %d bytes at once", most)
			}
			if used, ending, reading := l.bodies.memory(); used != 0 || ending != 0 || reading != 0 {
				t.Errorf("afterwards there are %d bytes in use, %d to come back, and %d bodies", used, ending, reading)
			}
		})
	}
	if maxMemory > 7<<20 {
		t.Errorf("all bodies may have %d bytes, more than in docs/reliability.md", maxMemory)
	}
}
