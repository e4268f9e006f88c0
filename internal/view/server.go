package view

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"io/fs"
	"log"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

//go:embed page
var pageFiles embed.FS

// The limits of the server. Every process and every page on this machine can reach its port.
const (
	headerTimeout = 5 * time.Second
	writeTimeout  = 10 * time.Second // of one answer, or of one message of updates
	idleTimeout   = time.Minute
	headerBytes   = 16 << 10
	maxConns      = 128
	stopTimeout   = time.Second
)

// policy lets the page load its own files, and nothing from elsewhere. It forbids scripts and
// styles in the text of a page, and to make HTML of text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Server serves a View.
type Server struct {
	view     *View
	token    string
	host     string // with the port
	files    map[string][]byte
	mux      http.ServeMux
	ended    chan struct{} // closed when updates have to end
	updating chan struct{} // one for each client that gets updates

	once     string // a path that leads to the page once
	onceUsed atomic.Bool
}

// NewServer returns a Server for a listener's address.
func NewServer(v *View, address net.Addr) *Server {
	s := &Server{view: v, token: rand.Text(), once: rand.Text(), host: address.String(), files: map[string][]byte{}, ended: make(chan struct{}), updating: make(chan struct{}, maxUpdates)}
	entries, _ := fs.ReadDir(pageFiles, "page") // it is in the binary
	for _, entry := range entries {
		s.files["/"+entry.Name()], _ = pageFiles.ReadFile("page/" + entry.Name())
	}
	s.routes()
	return s
}

// URL returns the page's address, with the token.
func (s *Server) URL() string { return "http://" + s.host + "/" + s.token + "/" }

// OneTimeURL returns an address that leads to the page once. Other users of the machine can
// read the arguments of a browser, so these must not have the token.
func (s *Server) OneTimeURL() string { return "http://" + s.host + "/" + s.once }

// Serve serves until the context ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		ErrorLog: log.New(discard{}, "", 0), // errors of clients do not matter to the user
	}
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(&limitedListener{Listener: listener, free: make(chan struct{}, maxConns)})
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	close(s.ended)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		_ = server.Close() // a client that does not read
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// ServeHTTP answers a request that has the token and a name of this server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // a recorder in a test has none
	token, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case !s.isOwnHost(r.Host):
		http.Error(w, "this server answers to "+s.host+" only", http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "only GET is allowed", http.StatusMethodNotAllowed)
	case s.useOnce(token):
		http.Redirect(w, r, "/"+s.token+"/", http.StatusSeeOther)
	case subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1:
		http.Error(w, "the address needs the token that kinetel view printed", http.StatusForbidden)
	case !strings.HasPrefix(r.URL.Path, "/"+s.token+"/"):
		http.Redirect(w, r, "/"+s.token+"/", http.StatusSeeOther)
	default:
		r.URL.Path = "/" + rest
		s.mux.ServeHTTP(w, r)
	}
}

// isOwnHost refuses the names of other hosts: a page on the internet can make its name lead
// to this machine.
func (s *Server) isOwnHost(host string) bool {
	_, port, err := net.SplitHostPort(s.host)
	return host == s.host || err == nil && host == "localhost:"+port
}

// useOnce reports whether this is the first use of the one-time path.
func (s *Server) useOnce(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.once)) == 1 && s.onceUsed.CompareAndSwap(false, true)
}

// serveFile serves a file of the page.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if name == "/" {
		name = "/index.html"
	}
	content, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	types := map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
	w.Header().Set("Content-Type", types[path.Ext(name)]+"; charset=utf-8")
	_, _ = w.Write(content) // the browser may have gone
}

// limitedListener accepts so many connections at the same time.
type limitedListener struct {
	net.Listener
	free chan struct{}
}

// Accept waits until there is room for a connection. Connections in the backlog of the
// listener cost no memory here.
func (l *limitedListener) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
