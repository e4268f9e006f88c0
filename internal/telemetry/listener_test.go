package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/event"
)

// pipeline is a Sink that records its calls and can block them.
type pipeline struct {
	acknowledge func()                // runs inside Acknowledged; may be nil
	ingesting   func()                // runs inside Ingest; may be nil
	committing  func(fragment []byte) // runs inside Commit; may be nil

	mu           sync.Mutex // guards all below
	sink         sink
	inside       int // calls of Ingest and Commit at this moment
	overlapped   bool
	acknowledged int
	commits      []commit
}

// commit is a call of Commit: the events that were ingested before, and the
// fragment.
type commit struct {
	events   int
	fragment string
}

func (p *pipeline) Ingest(ev *event.Event) {
	p.mu.Lock()
	p.inside++
	p.overlapped = p.overlapped || p.inside > 1
	p.mu.Unlock()
	if p.ingesting != nil {
		p.ingesting()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sink.ingest(ev)
	p.inside--
}

func (p *pipeline) Unparsed(text []byte) []byte { return text }

func (p *pipeline) Commit(fragment []byte) {
	p.mu.Lock()
	p.inside++
	p.overlapped = p.overlapped || p.inside > 1
	p.mu.Unlock()
	if p.committing != nil {
		p.committing(fragment)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commits = append(p.commits, commit{len(p.sink.events), string(fragment)})
	p.inside--
}

// wantCommits checks the calls of Commit.
func wantCommits(t *testing.T, p *pipeline, want ...commit) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.commits, want) {
		t.Errorf("committed: %+v\nwant: %+v", p.commits, want)
	}
}

func (p *pipeline) Acknowledged() {
	if p.acknowledge != nil {
		p.acknowledge()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acknowledged++
}

func (p *pipeline) show() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sink.show()
}

func (p *pipeline) events() []ingested {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sink.events
}

func (p *pipeline) acknowledgements() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acknowledged
}

// resolver is a Resolver with one answer.
type resolver struct {
	addrs []string
	err   error
	asked *[]string
}

func (r resolver) LookupHost(_ context.Context, host string) ([]string, error) {
	if r.asked != nil {
		*r.asked = append(*r.asked, host)
	}
	return r.addrs, r.err
}

var nowhere = resolver{err: &net.DNSError{Err: "no such host", IsNotFound: true}}

// listenTo opens a listener on loopback that ends with the test.
func listenTo(t *testing.T, p *pipeline) *Listener {
	t.Helper()
	l, err := Listen(t.Context(), nowhere, false, slog.New(slog.DiscardHandler), p)
	if err != nil {
		t.Fatal(err)
	}
	l.Serve()
	t.Cleanup(func() { closeNow(l) })
	return l
}

// closeNow closes a listener without waiting for clients.
func closeNow(l *Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.Close(ctx)
}

// request sends one request on a connection of its own.
func request(t *testing.T, l *Listener, method, path string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", l.Port(), path), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	transport := &http.Transport{Proxy: nil}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

// post posts a body and fails the test if it is not accepted.
func post(t *testing.T, l *Listener, body string) {
	t.Helper()
	if resp, answer := request(t, l, http.MethodPost, l.path, strings.NewReader(body)); resp.StatusCode != http.StatusOK || answer != "" {
		t.Errorf("the answer is %d with %q, want 200 and nothing", resp.StatusCode, answer)
	}
}

func wantIngested(t *testing.T, p *pipeline, want ...string) {
	t.Helper()
	if got := p.show(); !slices.Equal(got, want) {
		t.Errorf("ingested: %q\nwant: %q", got, want)
	}
}

func TestListenerRefusesOtherMethods(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions} {
		resp, _ := request(t, l, method, l.path, nil)
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "POST, PUT" {
			t.Errorf("%s: %d, Allow %q", method, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	wantIngested(t, p)
	if n := p.acknowledgements(); n != 0 {
		t.Errorf("%d acknowledgements", n)
	}
}

func TestListenerAcceptsBodiesOfEveryKind(t *testing.T) {
	whole := "[" + helloEvent + "," + doneEvent + "]"
	scenarios := []struct {
		name string
		body io.Reader
		want []string
	}{
		{"of known length", strings.NewReader(whole), []string{helloLine, doneLine}},
		{"in chunks", io.MultiReader(strings.NewReader(whole[:20]), strings.NewReader(whole[20:])), []string{helloLine, doneLine}},
		{"empty", http.NoBody, nil},
		{"empty, in chunks", io.MultiReader(), nil},
		{"that cannot be parsed", strings.NewReader("not JSON"), []string{"unparsed: not JSON"}},
		{"that begins in the middle", strings.NewReader(`lo"},` + doneEvent + "]"), []string{`unparsed: lo"}`, doneLine}},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			p := &pipeline{}
			l := listenTo(t, p)
			resp, answer := request(t, l, http.MethodPost, l.path, scenario.body)
			if resp.StatusCode != http.StatusOK || answer != "" {
				t.Errorf("the answer is %d with %q, want 200 and nothing", resp.StatusCode, answer)
			}
			wantIngested(t, p, scenario.want...)
		})
	}
}

func TestListenerServesOneConnectionManyTimes(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	c := connect(t, l)
	for i := range 3 {
		c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(helloEvent), helloEvent)
		if status := c.answer(); status != http.StatusOK {
			t.Errorf("answer %d is %d", i, status)
		}
	}
	wantIngested(t, p, helloLine, helloLine, helloLine)
}

func TestListenerAcceptsFourMebibytes(t *testing.T) {
	var body bytes.Buffer
	count := 0
	for body.Len() < 4<<20 {
		fmt.Fprintf(&body, `,{"time":%q,"type":"function","record":"line %d %s"}`, at, count, strings.Repeat("x", 200))
		count++
	}
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked=%v", chunked), func(t *testing.T) {
			p := &pipeline{}
			l := listenTo(t, p)
			b := append([]byte("["), body.Bytes()[1:]...)
			b = append(b, ']')
			var r io.Reader = bytes.NewReader(b)
			if chunked {
				r = io.MultiReader(r)
			}
			if resp, _ := request(t, l, http.MethodPost, l.path, r); resp.StatusCode != http.StatusOK {
				t.Fatalf("the answer is %d", resp.StatusCode)
			}
			events := p.events()
			if len(events) != count {
				t.Fatalf("%d events of %d", len(events), count)
			}
			for i, ev := range events {
				if !strings.HasPrefix(ev.Record, fmt.Sprintf(`"line %d x`, i)) {
					t.Fatalf("event %d is %.40s", i, ev.Record)
				}
			}
		})
	}
}

func TestListenerBoundsBodies(t *testing.T) {
	line := helloEvent + strings.Repeat(" ", maxBody-len(helloEvent))
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked=%v", chunked), func(t *testing.T) {
			reader := func(n int) io.Reader {
				if chunked {
					return io.MultiReader(strings.NewReader(line[:n/2]), strings.NewReader(line[n/2:n]))
				}
				return strings.NewReader(line[:n])
			}
			p := &pipeline{}
			l := listenTo(t, p)
			if resp, _ := request(t, l, http.MethodPost, l.path, reader(maxBody)); resp.StatusCode != http.StatusOK {
				t.Errorf("the largest body: %d", resp.StatusCode)
			}
			wantIngested(t, p, helloLine)

			c := connect(t, l)
			if chunked {
				c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n1\r\n \r\n0\r\n\r\n", maxBody, line)
			} else {
				c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", maxBody+1) // the listener does not wait for it
			}
			if status := c.answer(); status != http.StatusRequestEntityTooLarge {
				t.Errorf("one byte more: %d, want 413", status)
			}
			wantIngested(t, p, helloLine)
			l.Close(t.Context())
			if n := p.acknowledgements(); n != 1 {
				t.Errorf("%d acknowledgements, want 1", n)
			}
		})
	}
}

// conn is a client that writes raw requests.
type conn struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, l *Listener) *conn {
	t.Helper()
	var dialer net.Dialer
	c, err := dialer.DialContext(t.Context(), "tcp", l.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &conn{t, c, bufio.NewReader(c)}
}

func (c *conn) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one answer, whose body has to be whole, and returns its status.
func (c *conn) answer() int {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.t.Fatalf("half an answer: %v", err)
	}
	return resp.StatusCode
}

func TestListenerIngestsNothingOfHalfABody(t *testing.T) {
	for _, head := range []string{
		"Content-Length: 4000000\r\n\r\n",
		"Content-Length: 4000\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\nfff\r\n",
	} {
		p := &pipeline{}
		l := listenTo(t, p)
		c := connect(t, l)
		c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\n%s[%s,", head, helloEvent)
		// It hangs up, but for reading.
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if status := c.answer(); status != http.StatusBadRequest {
			t.Errorf("%q: the answer is %d, want 400", head, status)
		}
		wantIngested(t, p)
		if n := p.acknowledgements(); n != 0 {
			t.Errorf("%q: %d acknowledgements", head, n)
		}
		// The next one is served as if nothing had been.
		post(t, l, "["+doneEvent+"]")
		wantIngested(t, p, doneLine)
	}
}

func TestListenerSurvivesAnythingThatIsNotHTTP(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	for _, text := range []string{"\x16\x03\x01\x02\x00\x01\x00", "GET\r\n\r\n", "POST / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n"} {
		c := connect(t, l)
		c.send("%s", text)
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c.r); err != nil {
			t.Fatal(err)
		}
	}
	post(t, l, "["+helloEvent+"]")
	wantIngested(t, p, helloLine)
}

func TestListenerSurvivesBodiesThatOnlyLookSplit(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	c := connect(t, l)
	const body = `"record":}]`
	c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if status := c.answer(); status != http.StatusOK {
		t.Errorf("the answer is %d", status)
	}
}

func TestAcknowledgedComesAfterTheWholeAnswer(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	p := &pipeline{acknowledge: func() { close(entered); <-release }}
	l := listenTo(t, p)
	defer close(release)

	c := connect(t, l)
	c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n[%s]", len(helloEvent)+2, helloEvent)
	// The handler stays in Acknowledged; everything that Lambda needs to know
	// that the body was accepted must be here all the same. A deadline stands
	// for what never comes.
	<-entered
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatalf("no answer before Acknowledged: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the answer is %d", resp.StatusCode)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the answer's end is not sent before Acknowledged: %v", err)
	}
	wantIngested(t, p, helloLine)
}

// answers is an answer that notes when it is begun.
type answers struct {
	http.ResponseWriter
	note func(what string)
}

func (a answers) WriteHeader(status int) {
	a.note(fmt.Sprint("answered ", status))
	a.ResponseWriter.WriteHeader(status)
}

func (a answers) Write(b []byte) (int, error) {
	a.note("answered")
	return a.ResponseWriter.Write(b)
}

func (a answers) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func TestABodyIsCommittedBeforeItIsAcknowledged(t *testing.T) {
	var order []string
	note := func(what string) { order = append(order, what) }
	p := &pipeline{
		ingesting:   func() { note("ingested") },
		committing:  func(fragment []byte) { note(fmt.Sprintf("committed %q", fragment)) },
		acknowledge: func() { note("acknowledged") },
	}
	l := listenTo(t, p)
	for _, body := range []string{before(helloEvent, pieces(`"hello, world"`, 6)[0]), after(pieces(`"hello, world"`, 6)[1], doneEvent), ""} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, l.path, strings.NewReader(body))
		l.ServeHTTP(answers{httptest.NewRecorder(), note}, req)
	}
	want := []string{
		"ingested", fmt.Sprintf("committed %q", envelope+`"hello`), "answered 200", "acknowledged",
		"ingested", "ingested", `committed ""`, "answered 200", "acknowledged",
		`committed ""`, "answered 200", "acknowledged",
	}
	if !slices.Equal(order, want) {
		t.Errorf("order: %q\nwant: %q", order, want)
	}
}

func TestTheFragmentDoesNotChangeUntilTheNextCommit(t *testing.T) {
	var last, copied []byte
	check := func() {
		if !bytes.Equal(last, copied) {
			t.Errorf("the fragment has become %q, it was %q", last, copied)
		}
	}
	p := &pipeline{
		ingesting:  check,
		committing: func(fragment []byte) { check(); last, copied = fragment, bytes.Clone(fragment) },
	}
	l := listenTo(t, p)
	bodies := pieces(`"hello, wide world"`, 6, 12)
	for _, body := range []string{bodies[0], "[" + doneEvent + "]", bodies[1], after(bodies[2], helloEvent), bodies[0]} {
		post(t, l, body)
	}
	l.Close(t.Context())
	check()
	wantCommits(
		t, p,
		commit{0, envelope + `"hello`}, commit{1, envelope + `"hello`}, commit{1, envelope + `"hello, wide`}, commit{3, ""},
		commit{3, envelope + `"hello`}, commit{4, ""},
	)
}

// Bodies are read into the memory of earlier ones.
func TestABodyContainsNothingOfThePreviousOne(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	var want []string
	send := func(body io.Reader, lines ...string) {
		t.Helper()
		if resp, _ := request(t, l, http.MethodPost, l.path, body); resp.StatusCode != http.StatusOK {
			t.Errorf("the answer is %d", resp.StatusCode)
		}
		want = append(want, lines...)
		wantIngested(t, p, want...)
	}
	long := func(n int) (body, line string) {
		text := `"` + strings.Repeat("x", n) + `"`
		return "[" + function(text) + "]", functionLine(text)
	}
	for _, n := range []int{1000, 10, 0, 5000, 100_000, 3} {
		body, line := long(n)
		send(strings.NewReader(body), line)
	}
	send(http.NoBody)
	send(strings.NewReader("["+helloEvent), helloLine) // the end is missing, and must not be another client's
	send(io.MultiReader(strings.NewReader("["+doneEvent+"]")), doneLine)
	body, line := long(maxKept)
	send(strings.NewReader(body), line)
	c := connect(t, l)
	c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n[%s", helloEvent)
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status := c.answer(); status != http.StatusBadRequest {
		t.Errorf("half a body is answered %d", status)
	}
	send(strings.NewReader("["+doneEvent+"]"), doneLine)
}

func TestTheMemoryOfALargeBodyIsNotKept(t *testing.T) {
	for _, tt := range []struct {
		name string
		body io.Reader
		kept bool
	}{
		{"an ordinary one", strings.NewReader("[" + helloEvent + "]"), true},
		{"a large one", strings.NewReader(strings.Repeat(" ", maxKept+1)), false},
		{"a large one in chunks", io.MultiReader(strings.NewReader(strings.Repeat(" ", maxKept+1))), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := listenTo(t, &pipeline{})
			request(t, l, http.MethodPost, l.path, tt.body)
			l.Close(t.Context()) // the memory is kept after the answer; it waits for it
			l.bodies.mu.Lock()
			defer l.bodies.mu.Unlock()
			if n := cap(l.bodies.spare); n > 0 != tt.kept || n > maxKept {
				t.Errorf("%d bytes are kept", n)
			}
		})
	}
}

func TestRefusedBodiesAreNotCommitted(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	request(t, l, http.MethodGet, l.path, nil)
	c := connect(t, l)
	c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n[%s", helloEvent)
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status := c.answer(); status != http.StatusBadRequest {
		t.Errorf("half a body is answered %d", status)
	}
	wantCommits(t, p)
}

func TestBodiesEnterThePipelineOneByOne(t *testing.T) {
	elsewhere := func() {
		for range 100 {
			runtime.Gosched() // another goroutine may come in between
		}
	}
	p := &pipeline{ingesting: elsewhere, committing: func([]byte) { elsewhere() }}
	l := listenTo(t, p)
	const bodies, events = 12, 40
	var senders sync.WaitGroup
	for i := range bodies {
		senders.Go(func() {
			var body []string
			for j := range events {
				body = append(body, function(fmt.Sprintf(`"%d/%d"`, i, j)))
			}
			post(t, l, "["+strings.Join(body, ",")+"]")
		})
	}
	senders.Wait()
	if p.overlapped {
		t.Error("Ingest or Commit was called while one of them was running")
	}
	got := p.events()
	if len(got) != bodies*events {
		t.Fatalf("%d events", len(got))
	}
	for i := 0; i < len(got); i += events {
		body, _, _ := strings.Cut(got[i].Record, "/")
		for j := range events {
			if want := fmt.Sprintf(`%s/%d"`, body, j); got[i+j].Record != want {
				t.Fatalf("event %d is %s, want %s: bodies are mixed", i+j, got[i+j].Record, want)
			}
		}
	}
	for i, c := range p.commits {
		if c.events != (i+1)*events {
			t.Errorf("commit %d comes after %d events", i, c.events)
		}
	}
	l.Close(t.Context()) // Acknowledged comes after the answer; it waits for it
	if n := p.acknowledgements(); n != bodies {
		t.Errorf("%d acknowledgements, want %d", n, bodies)
	}
}

func TestListenerJoinsSplitRecords(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	bodies := pieces(`"hello, world"`, 6)
	post(t, l, bodies[0])
	wantIngested(t, p)
	post(t, l, after(bodies[1], doneEvent))
	wantIngested(t, p, functionLine(`"hello, world"`), doneLine)
}

func TestCloseEmitsTheFragmentOfASplitRecord(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	post(t, l, "["+helloEvent+","+pieces(`"hello, world"`, 6)[0][1:])
	wantIngested(t, p, helloLine)
	l.Close(t.Context())
	wantIngested(t, p, helloLine, "unparsed: "+envelope+`"hello`)
	wantCommits(t, p, commit{1, envelope + `"hello`}, commit{2, ""})
	l.Close(t.Context())
	wantIngested(t, p, helloLine, "unparsed: "+envelope+`"hello`)
}

func TestCloseRefusesWhatComesLater(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	idle := connect(t, l)
	idle.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(helloEvent), helloEvent)
	if status := idle.answer(); status != http.StatusOK {
		t.Fatalf("the answer is %d", status)
	}
	addr := l.listener.Addr().String()
	l.Close(t.Context())

	var dialer net.Dialer
	if c, err := dialer.DialContext(t.Context(), "tcp", addr); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
	// Nor is a connection that was open before.
	_, _ = fmt.Fprintf(idle, "POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(doneEvent), doneEvent)
	if resp, err := http.ReadResponse(idle.r, nil); err == nil {
		resp.Body.Close()
		t.Errorf("an old connection is answered %d", resp.StatusCode)
	}
	wantIngested(t, p, helloLine)
}

func TestCloseWaitsForABodyThatIsBeingIngested(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p := &pipeline{ingesting: func() { once.Do(func() { close(entered); <-release }) }}
	l := listenTo(t, p)
	c := connect(t, l)
	c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n[%s,%s]", len(helloEvent)+len(doneEvent)+3, helloEvent, doneEvent)
	<-entered
	closed := make(chan struct{})
	go func() { defer close(closed); l.Close(t.Context()) }()
	select {
	case <-closed:
		t.Error("Close returned while a body was being ingested")
	case <-l.done:
		// It does not accept any more, and waits.
	}
	close(release)
	<-closed
	wantIngested(t, p, helloLine, doneLine)
	if status := c.answer(); status != http.StatusOK {
		t.Errorf("the body was answered %d", status)
	}
}

func TestCloseStopsWaitingForABodyThatDoesNotArrive(t *testing.T) {
	p := &pipeline{}
	l := listenTo(t, p)
	c := connect(t, l)
	c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[%s", helloEvent)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Close(ctx)
	if _, err := io.Copy(io.Discard, c.r); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection ends with %v", err)
	}
	wantIngested(t, p)
}

func TestListenerNeverLogsAnEvent(t *testing.T) {
	var text bytes.Buffer
	p := &pipeline{}
	l, err := Listen(t.Context(), nowhere, false, slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})), p)
	if err != nil {
		t.Fatal(err)
	}
	l.Serve()
	const secret = "hunter2"
	post(t, l, "["+function(`"`+secret+`"`)+","+secret+"]")
	post(t, l, "["+envelope+`"`+secret+"}]")
	c := connect(t, l)
	c.send("POST "+l.path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n[%s", secret)
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status := c.answer(); status != http.StatusBadRequest {
		t.Errorf("the answer to half a body is %d", status)
	}
	closeNow(l)
	if strings.Contains(text.String(), secret) {
		t.Errorf("the log contains what the function printed: %s", text.String())
	}
	if !strings.Contains(text.String(), "has to be sent again") {
		t.Errorf("the log does not mention the refused body: %s", text.String())
	}
}

func TestListenerBindsWhereTheSandboxIs(t *testing.T) {
	refused := errors.New("server misbehaving")
	scenarios := []struct {
		name     string
		resolver resolver
		want     string
	}{
		{"the sandbox is loopback", resolver{addrs: []string{"127.0.0.1"}}, "127.0.0.1"},
		{"the sandbox is another loopback", resolver{addrs: []string{"127.0.0.9"}}, "127.0.0.9"},
		{"the sandbox is link-local", resolver{addrs: []string{"169.254.100.1"}}, "169.254.100.1"},
		{"the sandbox is private", resolver{addrs: []string{"192.168.1.2"}}, "192.168.1.2"},
		{"the sandbox is a foreign address", resolver{addrs: []string{"203.0.113.7"}}, loopback},
		{"the sandbox is everywhere", resolver{addrs: []string{"0.0.0.0", "::"}}, loopback},
		{"the sandbox is foreign first and link-local then", resolver{addrs: []string{"203.0.113.7", "169.254.100.1"}}, "169.254.100.1"},
		{"the sandbox is no address", resolver{addrs: []string{"here", ""}}, loopback},
		{"the sandbox has no address", resolver{}, loopback},
		{"there is no sandbox", nowhere, loopback},
		{"the name server is out of order", resolver{err: refused}, loopback},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			var asked []string
			scenario.resolver.asked = &asked
			got, found := sandboxAddress(t.Context(), scenario.resolver)
			if got != scenario.want || found != (len(scenario.resolver.addrs) > 0) {
				t.Errorf("the address is %s (found %t), want %s", got, found, scenario.want)
			}
			if !slices.Equal(asked, []string{"sandbox.localdomain."}) {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

func TestListenerOpensAnEphemeralPort(t *testing.T) {
	open := func(t *testing.T, r Resolver) netip.AddrPort {
		t.Helper()
		l, err := Listen(t.Context(), r, false, slog.New(slog.DiscardHandler), &pipeline{})
		if err != nil {
			t.Fatal(err)
		}
		l.Serve()
		t.Cleanup(func() { closeNow(l) })
		addr := netip.MustParseAddrPort(l.listener.Addr().String())
		if l.Port() != int(addr.Port()) || l.Port() == 0 {
			t.Errorf("Port is %d, the listener is at %s", l.Port(), addr)
		}
		return addr
	}
	one, other := open(t, nowhere), open(t, nowhere)
	if one.Port() == other.Port() || one.Addr().String() != loopback {
		t.Errorf("two listeners at %s and %s", one, other)
	}
	// All of 127.0.0.0/8 is loopback on Linux, and 127.0.0.1 only elsewhere.
	if addr := open(t, resolver{addrs: []string{"127.0.0.9"}}).Addr().String(); addr != "127.0.0.9" && runtime.GOOS == "linux" {
		t.Errorf("the listener is at %s, want the sandbox's address", addr)
	}
	// An address that no host has.
	if addr := open(t, resolver{addrs: []string{"169.254.0.0"}}).Addr().String(); addr != loopback {
		t.Errorf("the listener is at %s, want %s", addr, loopback)
	}
}

// slowResolver answers when its context ends.
type slowResolver struct{}

func (slowResolver) LookupHost(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestListenDoesNotWaitForASlowNameServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if got, found := sandboxAddress(t.Context(), slowResolver{}); got != loopback || found {
			t.Errorf("the address is %s (found %t)", got, found)
		}
		if took := time.Since(began); took != resolveTimeout {
			t.Errorf("it took %s, want %s", took, resolveTimeout)
		}
	})
}

// pipeListener gives out the server's ends of pipes in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// inFakeTime gives a client of a server in memory that has the handler and the
// time limits of a real listener, in a bubble of fake time.
func inFakeTime(t *testing.T, p *pipeline, f func(t *testing.T, client net.Conn, path string)) {
	listener := listenTo(t, p)
	synctest.Test(t, func(t *testing.T) {
		server := &http.Server{
			Handler:           listener,
			ReadHeaderTimeout: listener.server.ReadHeaderTimeout,
			ReadTimeout:       listener.server.ReadTimeout,
			WriteTimeout:      listener.server.WriteTimeout,
			IdleTimeout:       listener.server.IdleTimeout,
			MaxHeaderBytes:    listener.server.MaxHeaderBytes,
			ErrorLog:          listener.server.ErrorLog,
			ConnContext:       listener.server.ConnContext,
		}
		pipe := &pipeListener{make(chan net.Conn), make(chan struct{})}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = server.Serve(&connections{Listener: pipe, open: map[*connection]bool{}})
		}()
		client, conn := net.Pipe()
		pipe.conns <- conn
		f(t, client, listener.path)
		client.Close()
		_ = server.Close()
		<-ended
	})
}

func TestSilentClientIsCutOff(t *testing.T) {
	p := &pipeline{}
	inFakeTime(t, p, func(t *testing.T, client net.Conn, path string) {
		began := time.Now()
		if _, err := io.WriteString(client, "POST "+path+" HTTP/1.1\r\nHo"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(client); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != headerTimeout {
			t.Errorf("it was cut off after %s, want %s", took, headerTimeout)
		}
	})
	wantIngested(t, p)
}

func TestSlowClientIsCutOff(t *testing.T) {
	p := &pipeline{}
	inFakeTime(t, p, func(t *testing.T, client net.Conn, path string) {
		began := time.Now()
		writerEnded := make(chan struct{})
		go func() {
			defer close(writerEnded)
			if _, err := io.WriteString(client, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n["+helloEvent); err != nil {
				return
			}
			for {
				time.Sleep(time.Second) // fake time
				if _, err := io.WriteString(client, ","+helloEvent); err != nil {
					return
				}
			}
		}()
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("the answer is %d, want 400", resp.StatusCode)
		}
		if took := time.Since(began); took != bodyTimeout {
			t.Errorf("it was cut off after %s, want %s", took, bodyTimeout)
		}
		client.Close()
		<-writerEnded
	})
	wantIngested(t, p)
	if n := p.acknowledgements(); n != 0 {
		t.Errorf("%d acknowledgements", n)
	}
}

func TestIdleConnectionIsKeptForLong(t *testing.T) {
	p := &pipeline{}
	inFakeTime(t, p, func(t *testing.T, client net.Conn, path string) {
		r := bufio.NewReader(client)
		for range 2 {
			go func() {
				_, _ = fmt.Fprintf(client, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(helloEvent), helloEvent)
			}()
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			time.Sleep(idleTimeout - time.Second) // fake time
		}
	})
	wantIngested(t, p, helloLine, helloLine)
}

func TestCloseBeforeServe(t *testing.T) {
	p := &pipeline{}
	l, err := Listen(t.Context(), nowhere, false, slog.New(slog.DiscardHandler), p)
	if err != nil {
		t.Fatal(err)
	}
	l.Close(t.Context())
	l.Serve()
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

func TestOnlyLargeBodiesAreReportedBefore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		size    int
		chunked bool
		want    bool
	}{
		{name: "a small one", size: 1000},
		{name: "the largest usual one", size: maxBytes},
		{name: "a larger one", size: maxBytes + 128<<10, want: true},
		{name: "in chunks", size: nextRead / 2, chunked: true},
		{name: "a larger one in chunks", size: nextRead + 1, chunked: true, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Listen(t.Context(), nowhere, false, slog.New(slog.DiscardHandler), &pipeline{})
			if err != nil {
				t.Fatal(err)
			}
			var large atomic.Bool
			l.OnLargeBody(func() { large.Store(true) })
			l.Serve()
			t.Cleanup(func() { closeNow(l) })
			var body io.Reader = strings.NewReader(strings.Repeat(" ", tt.size-2) + "[]")
			if tt.chunked {
				body = io.MultiReader(body)
			}
			if resp, text := request(t, l, http.MethodPost, l.path, body); resp.StatusCode != http.StatusOK {
				t.Errorf("status %d: %s", resp.StatusCode, text)
			}
			if large.Load() != tt.want {
				t.Errorf("reported: %t, want %t", large.Load(), tt.want)
			}
		})
	}
}
