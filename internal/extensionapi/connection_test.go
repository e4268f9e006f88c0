package extensionapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/kinetel/kinetel/internal/extensionapi"
)

// rawLambda answers the requests of its nth connection with the nth list of texts, one
// after the other. Then it closes the connection. An empty text closes it at once.
type rawLambda struct {
	api      string
	done     sync.WaitGroup
	mu       sync.Mutex
	requests []string // "connection path"
}

func newRawLambda(t *testing.T, connections ...[]string) *rawLambda {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &rawLambda{api: listener.Addr().String()}
	l.done.Go(func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n == len(connections) {
				t.Errorf("%d connections", n+1)
				n--
			}
			l.done.Go(func() { l.play(conn, n, connections[n]) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.done.Wait()
	})
	return l
}

func (l *rawLambda) play(conn net.Conn, n int, answers []string) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for _, answer := range answers {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		l.mu.Lock()
		l.requests = append(l.requests, fmt.Sprintf("%d %s", n+1, request.URL.Path[len("/2020-01-01/extension"):]))
		l.mu.Unlock()
		if _, err := io.WriteString(conn, answer); answer == "" || err != nil {
			return
		}
	}
}

// event is an event that has a name for a request id, and withLength an answer with it.
func event(name string) string {
	return fmt.Sprintf(`{"eventType":"INVOKE","requestId":%q}`, name)
}

func withLength(name string, headers ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(event(name)), strings.Join(headers, ""), event(name))
}

func TestConnections(t *testing.T) {
	const next = "/event/next"
	split := event("a")
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name        string
		connections [][]string
		want        string // the request ids of the events of one next after the other; "!": an error
		requests    []string
	}{
		{
			name:        "an answer in chunks",
			connections: [][]string{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n%x;extension\r\n%s\r\n0\r\nTrailer: x\r\n\r\n", 9, split[:9], len(split)-9, split[9:]), withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "1 " + next},
		},
		{
			name:        "an answer until the end of the connection",
			connections: [][]string{{"HTTP/1.1 200 OK\r\n\r\n" + split}, {withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "HTTP/1.0",
			connections: [][]string{{strings.Replace(withLength("a"), "1.1", "1.0", 1)}, {withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "an answer after which Lambda closes the connection, and says so",
			connections: [][]string{{withLength("a", "Connection: close\r\n"), withLength("too late")}, {withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "Lambda closes the connection after an answer",
			connections: [][]string{{withLength("a")}, {withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "Lambda closes the connection after a request, once",
			connections: [][]string{{withLength("a"), ""}, {withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "1 " + next, "2 " + next},
		},
		{
			name:        "and again",
			connections: [][]string{{withLength("a"), ""}, {""}, {withLength("b")}},
			want:        "a ! b", requests: []string{"1 " + next, "1 " + next, "2 " + next, "3 " + next},
		},
		{
			name:        "Lambda closes the connection in an answer",
			connections: [][]string{{withLength("a"), withLength("b")[:70]}, {withLength("c")}},
			want:        "a ! c", requests: []string{"1 " + next, "1 " + next, "2 " + next},
		},
		{
			name:        "information before the answer",
			connections: [][]string{{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + withLength("a"), withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "1 " + next},
		},
		{
			name:        "information without end",
			connections: [][]string{{strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000) + withLength("a")}, {withLength("b")}},
			want:        "! b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "a second answer that nobody asked for",
			connections: [][]string{{withLength("a") + withLength("forged")}, {withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "a long header",
			connections: [][]string{{withLength("a", "X-Long: "+long[:200<<10]+"\r\n"), withLength("b")}},
			want:        "a b", requests: []string{"1 " + next, "1 " + next},
		},
		{
			name:        "a header that is far too long",
			connections: [][]string{{withLength("a", "X-Long: "+long+long+"\r\n")}, {withLength("b")}},
			want:        "! b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "an answer that is far too long",
			connections: [][]string{{withLength(long + long), withLength("a")}, {withLength("b")}},
			want:        "! b", requests: []string{"1 " + next, "2 " + next},
		},
		{
			name:        "something that is not HTTP",
			connections: [][]string{{"SSH-2.0-OpenSSH_9.2\r\n"}, {withLength("b")}},
			want:        "! b", requests: []string{"1 " + next, "2 " + next},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newRawLambda(t, tt.connections...)
			c := extensionapi.New(l.api)
			defer c.Close()
			for i, want := range strings.Fields(tt.want) {
				ev, err := c.Next(t.Context(), nil)
				if want == "!" {
					if err == nil {
						t.Errorf("next %d: no error, event %+v", i+1, ev)
					}
				} else if err != nil || ev.RequestID != want {
					t.Errorf("next %d: event %+v, error %v, want %s", i+1, ev, err, want)
				}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if got, want := strings.Join(l.requests, ", "), strings.Join(tt.requests, ", "); got != want {
				t.Errorf("the requests are\n%s, want\n%s", got, want)
			}
		})
	}
}

// A file name is the only text of a request that neither Kinetel nor Lambda chooses.
func TestNoHeaderCanBeAddedToARequest(t *testing.T) {
	l := newLambda(t)
	c := l.client(t)
	for _, name := range []string{"kinetel\r\nX-Forged: 1", "kinetel\nX-Forged: 1", "kinetel\x00"} {
		if _, err := c.Register(t.Context(), nil, name); err == nil || !strings.Contains(err.Error(), "Lambda-Extension-Name") {
			t.Errorf("%q: error %v", name, err)
		}
	}
	if len(l.calls) != 0 {
		t.Errorf("Lambda saw %+v", l.calls)
	}
}

func TestSentIsCalledOnceAndBeforeTheAnswerIsRead(t *testing.T) {
	began := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-began // this answer does not leave before sent was called
		_, _ = io.WriteString(w, event("a"))
	}))
	defer server.Close()
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no connection") }
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		dial func(context.Context, string, string) (net.Conn, error)
		ok   bool
	}{
		{name: "after a request", ctx: t.Context(), ok: true},
		{name: "without a connection", ctx: t.Context(), dial: refuse},
		{name: "after the end of its context", ctx: canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := extensionapi.New(strings.TrimPrefix(server.URL, "http://"))
			defer c.Close()
			if tt.dial != nil {
				c.SetDial(tt.dial)
			}
			calls := 0
			_, err := c.Next(tt.ctx, func() {
				if calls++; tt.ok {
					close(began)
				}
			})
			if calls != 1 || (err == nil) != tt.ok {
				t.Errorf("sent was called %d times, error %v", calls, err)
			}
		})
	}
}

// A call that is interrupted leaves no answer behind that the next call would read.
func TestACallAfterAnInterruptedOne(t *testing.T) {
	waiting, interrupted := make(chan struct{}), make(chan struct{})
	first := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if first {
			first = false
			close(waiting)
			<-interrupted
			_, _ = io.WriteString(w, event("late"))
			return
		}
		_, _ = io.WriteString(w, event("b"))
	}))
	defer server.Close()
	c := extensionapi.New(strings.TrimPrefix(server.URL, "http://"))
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-waiting
		cancel()
	}()
	if _, err := c.Next(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(interrupted)
	if ev, err := c.Next(t.Context(), nil); err != nil || ev.RequestID != "b" {
		t.Errorf("event %+v, error %v", ev, err)
	}
}
