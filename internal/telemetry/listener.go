// Package telemetry receives telemetry from Lambda's Telemetry API and decodes it.
package telemetry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/logging"
)

// sandboxHost is the name that Lambda delivers telemetry to (AWS
// documentation, Telemetry API). The shorter "sandbox" can mean another host
// in a VPC with search domains.
const sandboxHost = "sandbox.localdomain"

// LookupName is the name that Listen looks up with its Resolver. The dot at the end
// prevents the use of search domains.
const LookupName = sandboxHost + "."

const (
	// maxBody bounds a POST. Lambda sends up to twice the subscription's
	// maxBytes, which is 2 MiB, and metadata (AWS documentation).
	maxBody = 4<<20 + 64<<10
	// maxKept bounds the memory that is kept for the next body: the usual maximum
	// of what Lambda sends, which is the subscription's maxBytes.
	maxKept = maxBytes + 64<<10
	// The connection of a slow or silent client is closed after these. Frozen
	// time counts: after a thaw Lambda sends again what was not acknowledged.
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	// refusalTimeout is how long the sender of a refused request has to read the
	// answer.
	refusalTimeout = 500 * time.Millisecond
	// idleTimeout is long: closing Lambda's idle connection has no benefit, and
	// could happen while Lambda sends its next POST.
	idleTimeout = 15 * time.Minute
	// resolveTimeout bounds the look-up of the sandbox's name if the name does
	// not exist, as on a developer's machine with a slow name server.
	resolveTimeout = 300 * time.Millisecond
)

// Listener receives telemetry from Lambda. It answers 200 as soon as the pipeline
// has ingested a body.
type Listener struct {
	log      logging.Logger
	listener net.Listener
	server   *http.Server
	serving  sync.Once
	done     chan struct{} // closed when the server has ended
	conns    connections
	bodies   *bodies

	// path is "/" and 128 random bits. Only Lambda knows it, from the
	// subscription: every process of the sandbox can connect to the port.
	path string
	// emulated accepts POSTs of AWS's emulator, which drops the path.
	emulated bool
	refused  sync.Once // logs the first request to another path

	sink Sink

	mu      sync.Mutex // bodies enter the pipeline one at a time
	decoder *Decoder   // guarded by mu
}

// Sink is where telemetry goes.
type Sink interface {
	// Ingest receives an event, which it must not keep. Calls come one at a time,
	// in the order of the bodies.
	Ingest(*event.Event)
	// Commit is called when a whole body is ingested and about to be
	// acknowledged. fragment is the part of it that is not an event yet; it does
	// not change until the next call.
	Commit(fragment []byte)
	// Unparsed returns what may be ingested of text that is no event.
	Unparsed(text []byte) []byte
	// Acknowledged is called when a whole body is ingested and acknowledged to
	// Lambda.
	Acknowledged()
}

// Resolver looks up a host's addresses; *net.Resolver is one.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// Listen opens the listener on an ephemeral port: on the address of Lambda's
// sandbox name, or on loopback if the name has none. managed means that this is a
// managed instance, or AWS's emulator of one.
func Listen(ctx context.Context, resolver Resolver, managed bool, log logging.Logger, sink Sink) (*Listener, error) {
	l := newListener(log, sink)
	address, inSandbox := sandboxAddress(ctx, resolver)
	// The name exists in Lambda, but not on a machine that runs the emulator.
	l.emulated = managed && !inSandbox
	var err error
	if l.listener, err = listen(ctx, address); err != nil {
		return nil, fmt.Errorf("open the telemetry listener: %w", err)
	}
	return l, nil
}

// OnLargeBody sets a function that is called before a body gets more memory than Lambda's
// usual bodies need. Call it before Serve.
func (l *Listener) OnLargeBody(f func()) { l.bodies.large = f }

// Serve begins to accept connections, in the background. What Lambda has sent since
// Listen waits in the kernel.
func (l *Listener) Serve() { l.serving.Do(func() { go l.serve(l.listener) }) }

// newListener returns a listener that is not open.
func newListener(logger logging.Logger, sink Sink) *Listener {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails: it ends the process instead (crypto/rand)
	l := &Listener{
		log:     logger,
		done:    make(chan struct{}),
		conns:   connections{open: map[*connection]bool{}},
		bodies:  newBodies(),
		path:    "/" + hex.EncodeToString(secret[:]),
		sink:    sink,
		decoder: NewDecoder(sink.Ingest, sink.Unparsed),
	}
	l.server = &http.Server{
		Handler:           l,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(debugWriter{logger}, "", 0),
		ConnContext:       withConn,
	}
	return l
}

// debugWriter writes what net/http logs as lines of level debug.
type debugWriter struct{ logging.Logger }

func (w debugWriter) Write(line []byte) (int, error) {
	w.Debug(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

// serve serves connections until Close.
func (l *Listener) serve(listener net.Listener) {
	defer close(l.done)
	l.conns.Listener = listener
	// Serve returns ErrServerClosed after Close. Any other error is logged.
	if err := l.server.Serve(&l.conns); !errors.Is(err, http.ErrServerClosed) {
		l.log.Error("the telemetry listener ended; no more telemetry will arrive", "error", err.Error())
	}
}

const loopback = "127.0.0.1"

// listen opens a port on host, or on loopback if that fails because host is not
// an address of this machine.
func listen(ctx context.Context, host string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil && host != loopback {
		return lc.Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	}
	return l, err
}

// sandboxAddress returns the address of Lambda's sandbox name, or loopback if it
// has none; found reports whether the name exists. Whatever a name server answers,
// the listener is never open to a public network.
func sandboxAddress(ctx context.Context, resolver Resolver) (address string, found bool) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := resolver.LookupHost(ctx, LookupName)
	if err != nil {
		return loopback, false
	}
	for _, addr := range addrs {
		if ip := net.ParseIP(addr); ip != nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsPrivate()) {
			return addr, true
		}
	}
	return loopback, len(addrs) > 0
}

// Port returns the port that the listener is open on.
func (l *Listener) Port() int { return l.listener.Addr().(*net.TCPAddr).Port }

// Destination returns the URI that Lambda must post to. It is a secret.
func (l *Listener) Destination() string {
	return "http://" + sandboxHost + ":" + strconv.Itoa(l.Port()) + l.path
}

// sequenceHeader is a header that AWS's emulator sends with a body: the body's
// SHA-256 in base64. Lambda does not document it.
const sequenceHeader = "Sequence-Id"

// ServeHTTP ingests one POST of telemetry. It answers 404 to a request with another
// path before it reads a byte of the body.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	addressed := subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(l.path)) == 1
	sequence := ""
	if !addressed && l.emulated && r.URL.Path == "/" {
		sequence = r.Header.Get(sequenceHeader)
	}
	if !addressed && len(sequence) != base64.StdEncoding.EncodedLen(sha256.Size) {
		l.refuse(w, r)
		return
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		w.Header().Set("Allow", "POST, PUT")
		http.Error(w, "send telemetry by POST", http.StatusMethodNotAllowed)
		return
	}
	setState(r, connReceiving)
	body, reading, err := l.bodies.read(w, r)
	defer l.bodies.release(body, reading) // nothing refers to it by then
	if err != nil {
		// The status means that nothing was ingested, so Lambda sends it again.
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		l.log.Warn("a telemetry body was refused and has to be sent again", "status", status, "error", err.Error(), "limit_bytes", maxBody)
		w.Header().Set("Connection", "close")
		http.Error(w, err.Error(), status)
		return
	}
	if !addressed {
		if sum := sha256.Sum256(body); sequence != base64.StdEncoding.EncodeToString(sum[:]) {
			l.refuse(w, r)
			return
		}
	}
	setState(r, connAnswering)
	l.ingest(body)
	w.Header().Set("Content-Length", "0") // otherwise the answer ends only when ServeHTTP returns
	w.WriteHeader(http.StatusOK)
	// Send the answer before anything acts on the body: if the sandbox froze
	// between the two, Lambda would send the body again. If Flush fails, Lambda
	// does send it again.
	_ = http.NewResponseController(w).Flush()
	setState(r, connIdle)
	guard.Run(l.log, "act on telemetry", l.sink.Acknowledged)
}

// refuse answers 404 to a request with another path and closes its connection.
func (l *Listener) refuse(w http.ResponseWriter, r *http.Request) {
	l.refused.Do(func() {
		l.log.Warn("a process of this sandbox posted to the telemetry listener under another path than the one that Lambda has; such requests are refused")
	})
	conn := connectionOf(r)
	if conn == nil {
		http.Error(w, "", http.StatusNotFound)
		return
	}
	// net/http would first read some of the body, and sleep before it closes the
	// connection. Many clients could make it do this at the same time.
	_ = conn.SetDeadline(time.Now().Add(refusalTimeout))
	_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	_ = conn.CloseWrite()
	// With unread data the connection would be reset and the answer lost.
	var discarded [1 << 10]byte
	for err := error(nil); err == nil; {
		_, err = conn.Conn.Read(discarded[:])
	}
	panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
}

// ingest passes a body through the pipeline.
func (l *Listener) ingest(body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, fragment := time.Now(), l.decoder.Fragment()
	if !guard.Run(l.log, "read telemetry", func() { l.decoder.Decode(body, now) }) {
		// Without an acknowledgement Lambda would send it again forever. Emit all of
		// it as text; events that were ingested before the fault appear twice.
		l.decoder = NewDecoder(l.sink.Ingest, l.sink.Unparsed)
		for _, text := range [][]byte{fragment, body} {
			guard.Run(l.log, "keep telemetry that cannot be read", func() { l.decoder.unparsed(text, now) })
		}
	}
	guard.Run(l.log, "commit telemetry", func() { l.sink.Commit(l.decoder.Fragment()) })
}

// Close stops accepting bodies, waits until ctx ends for those being ingested, and
// emits the fragment of a split record as text. It refuses what Lambda sends
// afterwards, so that nothing is acknowledged and then lost.
func (l *Listener) Close(ctx context.Context) {
	l.Serve()              // nothing may have called it
	l.conns.closeUnknown() // do not wait for a client that may not be Lambda
	if err := l.server.Shutdown(ctx); err != nil {
		// Abort bodies that are still arriving; they are not acknowledged.
		_ = l.server.Close()
	}
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	guard.Run(l.log, "ingest the last telemetry", func() {
		l.decoder.Close(time.Now())
		l.sink.Commit(nil)
	})
}
