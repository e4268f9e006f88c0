package view_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/view"
	"github.com/kinetel/kinetel/record"
)

// newServer returns a server for the address 127.0.0.1:1234, and the path of its page.
func newServer(t *testing.T, v *view.View) (server *view.Server, path string) {
	t.Helper()
	server = view.NewServer(v, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234})
	u, err := url.Parse(server.URL())
	if err != nil || u.Host != "127.0.0.1:1234" {
		t.Fatalf("the address is %s: %v", server.URL(), err)
	}
	return server, u.Path
}

func get(server http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1:1234"
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w
}

func TestOnlyARequestWithTheTokenForThisHostIsServed(t *testing.T) {
	server, path := newServer(t, view.New(view.Options{}))
	if len(path) < 20 {
		t.Errorf("the token in %s is short", path)
	}
	for _, tt := range []struct {
		name, method, host, path string
		status                   int
	}{
		{"the page", "GET", "127.0.0.1:1234", path, 200},
		{"by name", "GET", "localhost:1234", path, 200},
		{"a module", "GET", "127.0.0.1:1234", path + "main.js", 200},
		{"the API", "GET", "127.0.0.1:1234", path + "api/health", 200},
		{"without the slash", "GET", "127.0.0.1:1234", strings.TrimSuffix(path, "/"), 303},
		{"no such file", "GET", "127.0.0.1:1234", path + "view.go", 404},
		{"a way out", "GET", "127.0.0.1:1234", path + "../view.go", 307}, // to /view.go, which has no token
		{"no token", "GET", "127.0.0.1:1234", "/", 403},
		{"the API without the token", "GET", "127.0.0.1:1234", "/api/health", 403},
		{"another token", "GET", "127.0.0.1:1234", "/" + strings.Repeat("A", len(path)-2) + "/", 403},
		{"the name of another host", "GET", "evil.example:1234", path, 403},
		{"another port", "GET", "127.0.0.1:80", path, 403},
		{"no port", "GET", "localhost", path, 403},
		{"another method", "POST", "127.0.0.1:1234", path + "api/health", 405},
	} {
		r := httptest.NewRequest(tt.method, "http://"+tt.host+tt.path, nil)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, w.Code, w.Body, tt.status)
		}
		h := w.Header()
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s: the policy is %q", tt.name, policy)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v", tt.name, h)
		}
		if tt.status == 403 && strings.Contains(w.Body.String(), strings.Trim(path, "/")) {
			t.Errorf("%s: the answer has the token", tt.name)
		}
	}
}

func TestTheOneTimeAddressLeadsToThePageOnce(t *testing.T) {
	server, path := newServer(t, view.New(view.Options{}))
	once := strings.TrimPrefix(server.OneTimeURL(), "http://127.0.0.1:1234")
	if strings.Contains(once, strings.Trim(path, "/")) {
		t.Fatal("the one-time address has the token")
	}
	if w := get(server, once); w.Code != http.StatusSeeOther || w.Header().Get("Location") != path {
		t.Errorf("the first use: %d to %q", w.Code, w.Header().Get("Location"))
	}
	if w := get(server, once); w.Code != http.StatusForbidden {
		t.Errorf("the second use: %d", w.Code)
	}
}

func TestThePageNamesFilesThatExist(t *testing.T) {
	server, path := newServer(t, view.New(view.Options{}))
	for name, kind := range map[string]string{"": "text/html", "style.css": "text/css", "main.js": "text/javascript", "theme.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		w := get(server, path+name)
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind+";") || w.Body.Len() < 100 {
			t.Errorf("%q: %d, %s, %d bytes", name, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if body := w.Body.String(); strings.Contains(body, "style=") || strings.Contains(body, "onclick") || strings.Contains(body, "innerHTML") || strings.Contains(body, "https://") {
			t.Errorf("%q has what the policy forbids", name)
		}
	}
}

func getJSON(t *testing.T, server http.Handler, path string, into any) {
	t.Helper()
	w := get(server, path)
	if w.Code != 200 {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestTheAPIHasPages(t *testing.T) {
	v := view.New(view.Options{})
	for seq := uint64(1); seq <= 5; seq++ {
		add(v, line(seq, "r1", fmt.Sprintf("line %d", seq)))
	}
	server, path := newServer(t, v)
	var c view.Changes
	getJSON(t, server, path+"api/changes?after=0&limit=1", &c)
	if !c.More || len(c.Environments) != 1 {
		t.Errorf("changes: %+v", c)
	}
	number := only(t, v).Number
	var page view.Page
	getJSON(t, server, fmt.Sprintf("%sapi/events?of=%d&limit=3", path, number), &page)
	if len(page.Lines) != 3 || !page.More || page.Invocation == nil || page.Environment.ID != "e1" {
		t.Errorf("the first page: %+v", page)
	}
	getJSON(t, server, fmt.Sprintf("%sapi/events?of=%d&after=%d&limit=3", path, number, page.Lines[2].Number), &page)
	if len(page.Lines) != 2 || page.More || page.Lines[1].Text != "line 5" {
		t.Errorf("the second page: %+v", page)
	}
	var e record.Event
	getJSON(t, server, fmt.Sprintf("%sapi/event?number=%d", path, page.Lines[1].Number), &e)
	if e.Seq != 5 || string(e.Body) != `"line 5"` || e.Resource["faas.name"] != "orders" || e.RequestID != "r1" || e.Schema != "kinetel/1" {
		t.Errorf("the event: %+v", e)
	}
	if lines := strings.Split(get(server, fmt.Sprintf("%sapi/export?of=%d", path, number)).Body.String(), "\n"); len(lines) != 6 || !strings.HasPrefix(lines[0], `{"schema":"kinetel/1","seq":1,`) {
		t.Errorf("the export: %q", lines)
	}
	var found view.Found
	getJSON(t, server, path+"api/search?text=LINE+4", &found)
	if len(found.Matches) != 1 || found.Matches[0].Text != "line 4" {
		t.Errorf("the search: %+v", found)
	}
	for name, status := range map[string]int{
		"events?of=99": 404, "events": 404, "event?number=99": 404, "event": 404, "export?of=99": 404,
		"changes?after=x": 400, "events?of=-1": 400, "event?number=99999999999999999999": 400, "export?of=z": 400, "search?after=y": 400, "search?text=" + strings.Repeat("x", 1001): 400, "updates?after=x": 400,
	} {
		if w := get(server, path+"api/"+name); w.Code != status || w.Body.Len() < 20 {
			t.Errorf("%.40s: %d %s, want %d", name, w.Code, w.Body, status)
		}
	}
}

// memoryListener accepts the connections of its dial.
type memoryListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newListener() *memoryListener { return &memoryListener{make(chan net.Conn), make(chan struct{})} }

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234} }

func (l *memoryListener) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// updates is a client of the updates.
type updates struct {
	net.Conn
	in *bufio.Reader
}

func (l *memoryListener) listen(t *testing.T, path, headers string) *updates {
	t.Helper()
	c := l.dial(t)
	_, err := fmt.Fprintf(c, "GET %sapi/updates HTTP/1.1\r\nHost: 127.0.0.1:1234\r\n%s\r\n", path, headers)
	if err != nil {
		t.Fatal(err)
	}
	return &updates{c, bufio.NewReader(c)}
}

// next returns the id and the data of the next message with a name.
func (u *updates) next(t *testing.T, name string) (id, data string) {
	t.Helper()
	event := ""
	for {
		text, err := u.in.ReadString('\n')
		if err != nil {
			t.Fatalf("no %s comes: %v", name, err)
		}
		text = strings.TrimSpace(text)
		switch {
		case strings.HasPrefix(text, "id: "):
			id = text[4:]
		case strings.HasPrefix(text, "event: "):
			event = text[7:]
		case strings.HasPrefix(text, "data: ") && event == name:
			return id, text[6:]
		}
	}
}

// serve runs a test against a server with a fake clock and a network in memory.
func serve(t *testing.T, test func(t *testing.T, v *view.View, l *memoryListener, path string)) {
	synctest.Test(t, func(t *testing.T) {
		v, l := view.New(view.Options{Live: true}), newListener()
		server := view.NewServer(v, l.Addr())
		u, _ := url.Parse(server.URL())
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- server.Serve(ctx, l) }()
		test(t, v, l, u.Path)
		stopped := time.Now()
		stop()
		if err := <-served; err != nil || time.Since(stopped) >= time.Second {
			t.Errorf("Serve: %v, after %v", err, time.Since(stopped))
		}
	})
}

func TestUpdatesComeInBatchesAndGoOnAfterTheLastOne(t *testing.T) {
	serve(t, func(t *testing.T, v *view.View, l *memoryListener, path string) {
		client := l.listen(t, path, "")
		client.next(t, "health")
		begin := time.Now()
		for seq := uint64(1); seq <= 1000; seq++ {
			add(v, line(seq, fmt.Sprintf("r%d", seq%10), "a"))
		}
		id, data := client.next(t, "changes")
		var c view.Changes
		if err := json.Unmarshal([]byte(data), &c); err != nil || len(c.Invocations) != 10 || len(c.Environments) != 1 {
			t.Errorf("1000 events in one message: %d invocations, %v", len(c.Invocations), err)
		}
		if took := time.Since(begin); took > 250*time.Millisecond {
			t.Errorf("the message came after %v", took)
		}
		_ = client.Close()
		add(v, line(1001, "r3", "later"))
		again := l.listen(t, path, "Last-Event-ID: "+id+"\r\n")
		_, data = again.next(t, "changes")
		c = view.Changes{}
		if err := json.Unmarshal([]byte(data), &c); err != nil || len(c.Invocations) != 1 || c.Invocations[0].RequestID != "r3" {
			t.Errorf("after %s: %s", id, data)
		}
		_ = again.Close()
	})
}

func TestUpdatesGoOnForLongerThanAnyTimeLimit(t *testing.T) {
	serve(t, func(t *testing.T, v *view.View, l *memoryListener, path string) {
		client := l.listen(t, path, "")
		for range 300 {
			client.next(t, "health")
		}
		add(v, line(1, "r1", "a"))
		client.next(t, "changes")
		_ = client.Close()
	})
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	serve(t, func(t *testing.T, v *view.View, l *memoryListener, path string) {
		client := l.listen(t, path, "")
		client.next(t, "health")
		time.Sleep(time.Minute) // it reads nothing
		if _, err := io.Copy(io.Discard, client.in); err != nil {
			t.Errorf("the connection is not closed: %v", err)
		}
	})
}

func TestOnlySoManyClientsGetUpdates(t *testing.T) {
	serve(t, func(t *testing.T, _ *view.View, l *memoryListener, path string) {
		var clients []*updates
		for range 16 {
			client := l.listen(t, path, "")
			client.next(t, "health")
			clients = append(clients, client)
		}
		more := l.listen(t, path, "")
		if answer, err := more.in.ReadString('\n'); err != nil || !strings.Contains(answer, "503") {
			t.Errorf("client 17 gets %q, %v", answer, err)
		}
		_ = more.Close()
		_ = clients[0].Close()
		synctest.Wait()
		time.Sleep(time.Second)
		again := l.listen(t, path, "")
		again.next(t, "health")
		for _, c := range append(clients[1:], again) {
			_ = c.Close()
		}
	})
}

func TestTheServerEndsWithItsClients(t *testing.T) {
	serve(t, func(t *testing.T, _ *view.View, l *memoryListener, path string) {
		client := l.listen(t, path, "")
		client.next(t, "health")
		go func() { _, _ = io.Copy(io.Discard, client) }()
		synctest.Wait()
	})
}

func TestARequestThatDoesNotEndIsAborted(t *testing.T) {
	serve(t, func(t *testing.T, _ *view.View, l *memoryListener, path string) {
		for name, text := range map[string]string{"headers": "GET " + path + " HTTP/1.1\r\nHost: x\r\n", "large": "GET " + path + " HTTP/1.1\r\nX: " + strings.Repeat("x", 100_000)} {
			c := l.dial(t)
			go func() { _, _ = io.WriteString(c, text) }()
			begin := time.Now()
			answer, err := io.ReadAll(c)
			if took := time.Since(begin); err != nil || took > 10*time.Second || name == "large" && !strings.Contains(string(answer), "431") {
				t.Errorf("%s: after %v %q, %v", name, took, answer, err)
			}
			_ = c.Close()
		}
	})
}
