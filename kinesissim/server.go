package kinesissim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	contentType  = "application/x-amz-json-1.1"
	targetPrefix = "Kinesis_20131202."

	// A request of 10 MiB is under 14 MiB in base64; the rest is for keys and
	// punctuation.
	maxBody = 16 << 20

	headerTimeout = 10 * time.Second // for a client that connects and is silent
)

// Config is how a server behaves. Its zero value is a server without streams
// that accepts every signature and has no rates.
type Config struct {
	// Addr is where to listen; empty means "127.0.0.1:0", a port that is
	// free. Anything but an address of the loopback is refused, since the
	// server keeps no secret and bounds no memory.
	Addr string
	// Region and AccountID are those of the ARNs and of the signatures;
	// empty means "eu-west-1" and "123456789012".
	Region, AccountID string
	// Streams are made at the start.
	Streams []Stream
	// ShardLimit is how many shards all streams together may have before
	// CreateStream fails with LimitExceededException; zero means 20,000.
	ShardLimit int
	// EnforceRate makes a shard refuse more than 1,000 records or 1 MiB in a
	// second. A shard may take one second's worth at once.
	EnforceRate bool
	// Now is the clock for rates, arrivals, signatures, and the age of
	// iterators and records; nil means time.Now. [Delay] does not follow it.
	Now func() time.Time
	// Credentials holds the secret of every access key that exists. When it
	// is not nil, each request's signature is verified: version 4, for the
	// service "kinesis", in the Authorization header. When it is nil, the
	// header only has to be there.
	Credentials map[string]string
	// ExpiredTokens are session tokens to refuse with ExpiredTokenException.
	ExpiredTokens []string
	// TLS serves HTTPS with a certificate by an authority that is made at the
	// start, see [Server.CertificatePEM].
	TLS bool
	// Intercept decides the fate of each request before it is carried out;
	// nil, or a nil Answer, lets it be carried out. It is called at the same
	// time for requests that come at the same time.
	Intercept func(*Request) *Answer
	// OnRequest is called for every request when its outcome is known, before its
	// answer is sent: a client that has an answer knows that it was observed. It is
	// called at the same time for requests that end at the same time.
	OnRequest func(Observation)
}

// Observation is one request as the server saw it.
type Observation struct {
	Operation string // as asked for; empty where the request did not say
	Stream    string
	// Records and Bytes are those of a put, stored or not, or those that
	// GetRecords found. Bytes are of data and partition keys.
	Records, Bytes int
	// Failed is how many of a put's records were not stored, whether the
	// answer says so or not.
	Failed int
	// Status is the answer's, or zero where none was given.
	Status int
	// Error is the type of the exception answered, or empty.
	Error        string
	RequestID    string        // as in the x-amzn-RequestId header
	Duration     time.Duration // from the request's header to its fate
	Conn         uint64        // numbers the connection, from 1
	ConnRequests int           // counts the requests on it, from 1
}

// Stats are figures since the start.
type Stats struct {
	Requests    map[string]int // by operation, "" for those that named none
	Errors      map[string]int // refused requests, by the exception's type
	Unanswered  int            // requests that got no answer
	Records     int            // records stored
	Bytes       int64          // data and partition keys stored
	Rejected    int            // records of puts that were not stored
	Connections int            // accepted
}

// Server is a running Kinesis. All of its methods may be called at any time
// and from any goroutine.
type Server struct {
	// Set by Start and never changed.
	cfg    Config
	url    string
	caPEM  []byte
	http   *http.Server
	signer *v4.Signer
	done   chan struct{} // closed by Close: ends what waits
	served chan error    // the end of the accepting goroutine

	handlers sync.WaitGroup // requests; grows under mu while not closed
	conns    sync.WaitGroup // connections; grows under mu while not closed

	mu          sync.Mutex // guards everything below
	closed      bool
	streams     map[string]*stream
	lastStream  uint64
	intercept   func(*Request) *Answer
	credentials map[string]string
	expired     map[string]bool
	seen        map[string]int // requests by operation that a hook could see
	stats       Stats
	open        map[net.Conn]*connection
}

// connection is one client's connection. The server's mutex guards requests.
type connection struct {
	id       uint64
	requests int
}

type connectionKey struct{}

// Start listens and serves until Close. It fails for an address that is not of
// the loopback or not free, and for a stream that CreateStream would refuse.
func Start(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Region == "" {
		cfg.Region = "eu-west-1"
	}
	if cfg.AccountID == "" {
		cfg.AccountID = "123456789012"
	}
	if cfg.ShardLimit == 0 {
		cfg.ShardLimit = 20000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	addr, err := loopback(cfg.Addr)
	if err != nil {
		return nil, err
	}

	s := &Server{
		cfg:         cfg,
		signer:      v4.NewSigner(),
		done:        make(chan struct{}),
		served:      make(chan error, 1),
		streams:     map[string]*stream{},
		intercept:   cfg.Intercept,
		credentials: maps.Clone(cfg.Credentials),
		expired:     map[string]bool{},
		seen:        map[string]int{},
		stats:       Stats{Requests: map[string]int{}, Errors: map[string]int{}},
		open:        map[net.Conn]*connection{},
	}
	for _, token := range cfg.ExpiredTokens {
		s.expired[token] = true
	}
	for _, spec := range cfg.Streams {
		if err := s.CreateStream(spec); err != nil {
			return nil, fmt.Errorf("kinesissim: stream %q: %w", spec.Name, err)
		}
	}

	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		ReadHeaderTimeout: headerTimeout,
		ConnContext:       s.opened,
		ConnState:         s.stateChanged,
		// What clients do wrong is part of a test, not news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	scheme := "http"
	if cfg.TLS {
		scheme = "https"
		if s.http.TLSConfig, s.caPEM, err = newTLS(time.Now()); err != nil {
			return nil, fmt.Errorf("kinesissim: certificate: %w", err)
		}
	}
	// HTTP/1.1 only: a fate such as a reset needs a connection of its own.
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true)

	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("kinesissim: %w", err)
	}
	s.url = scheme + "://" + ln.Addr().String()
	go func() {
		if cfg.TLS {
			s.served <- s.http.ServeTLS(ln, "", "")
		} else {
			s.served <- s.http.Serve(ln)
		}
	}()
	return s, nil
}

// loopback checks an address and spares "localhost" the resolver.
func loopback(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("kinesissim: address %q: %w", addr, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("kinesissim: address %q is not of the loopback", addr)
	}
	return net.JoinHostPort(host, port), nil
}

// URL is the endpoint, such as "http://127.0.0.1:40123".
func (s *Server) URL() string { return s.url }

// CertificatePEM is the certificate of the authority to trust, in PEM, or nil
// without [Config.TLS].
func (s *Server) CertificatePEM() []byte { return s.caPEM }

// Close ends all connections, also those whose requests hang or are delayed,
// and returns when no goroutine of the server is left. It must not be called
// from a hook, which it would wait for. Calling it again does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()

	close(s.done)
	err := s.http.Close()
	if e := <-s.served; !errors.Is(e, http.ErrServerClosed) && err == nil {
		err = e
	}
	// A connection accepted while the list of http.Server was walked.
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.handlers.Wait()
	s.conns.Wait()
	return err
}

// ResetConnections resets every connection that is open now, with TCP resets,
// busy or idle: what a long freeze of the client does to its pool.
func (s *Server) ResetConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		reset(c)
	}
}

// Stats gives the figures so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Requests = maps.Clone(stats.Requests)
	stats.Errors = maps.Clone(stats.Errors)
	return stats
}

// opened takes a new connection into the books. http.Server calls it on the
// accepting goroutine, which Close waits for before it waits for conns.
func (s *Server) opened(ctx context.Context, c net.Conn) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return ctx
	}
	s.stats.Connections++
	conn := &connection{id: uint64(s.stats.Connections)}
	s.open[c] = conn
	s.conns.Add(1)
	return context.WithValue(ctx, connectionKey{}, conn)
}

func (s *Server) stateChanged(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[c] != nil {
		delete(s.open, c)
		s.conns.Done()
	}
}

// exchange is one request on its way through handle. One goroutine has it.
type exchange struct {
	Observation
	began   time.Time
	body    []byte
	op      operation
	entries []PutEntry
	answer  *Answer
	stored  int   // records
	bytes   int64 // of those
}

// operation is one request of one API, in a file of its own.
type operation interface {
	// field takes one member of the request; a name it does not know is
	// passed over.
	field(name string, v value) error
	// validate checks what does not depend on the state.
	validate(v *violations)
	// where is the stream that the request names, as far as it does.
	where() string
	// run carries the request out and gives the answer to encode; nil is an
	// answer without a body.
	run(s *Server, x *exchange) (any, *apiError)
}

func newOperation(name string) operation {
	switch name {
	case "CreateStream":
		return new(createStream)
	case "DeleteStream":
		return new(deleteStream)
	case "DescribeStream":
		return new(describeStream)
	case "DescribeStreamSummary":
		return new(describeStreamSummary)
	case "GetRecords":
		return new(getRecords)
	case "GetShardIterator":
		return new(getShardIterator)
	case "ListShards":
		return new(listShards)
	case "ListStreams":
		return new(listStreams)
	case "PutRecord":
		return new(putRecord)
	case "PutRecords":
		return new(putRecords)
	}
	return nil
}

// errNoAnswer ends a request whose fate is to have no answer.
var errNoAnswer = &apiError{}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(connectionKey{}).(*connection)
	x := &exchange{began: time.Now(), answer: &Answer{}}
	x.RequestID = newRequestID()
	s.mu.Lock()
	if s.closed || conn == nil {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.handlers.Add(1)
	conn.requests++
	x.Conn, x.ConnRequests = conn.id, conn.requests
	s.mu.Unlock()
	defer s.handlers.Done()

	out, failure := s.serve(w, r, x)
	body := encode(out, failure)
	if failure == nil && x.answer.edit != nil {
		body = x.answer.edit(body)
	}
	ending := x.answer.after
	switch {
	case failure == errNoAnswer:
		ending = fateDrop
		if x.answer.before == fateReset {
			ending = fateReset
		}
	case failure != nil:
		x.Status, x.Error = failure.status, failure.kind
	default:
		x.Status = http.StatusOK
	}
	if ending == fateReset || ending == fateDrop {
		x.Status = 0
	}
	s.settle(x)
	respond(w, x, failure, body, ending)
}

// settle brings a request whose fate is known into the figures.
func (s *Server) settle(x *exchange) {
	x.Duration = time.Since(x.began)
	if x.entries != nil {
		x.Failed = len(x.entries) - x.stored
	}
	s.mu.Lock()
	s.stats.Requests[x.Operation]++
	if x.Error != "" {
		s.stats.Errors[x.Error]++
	}
	if x.Status == 0 {
		s.stats.Unanswered++
	}
	s.stats.Records += x.stored
	s.stats.Bytes += x.bytes
	s.stats.Rejected += x.Failed
	s.mu.Unlock()
	if s.cfg.OnRequest != nil {
		s.cfg.OnRequest(x.Observation)
	}
}

// serve takes a request up to its result. The checks come in Kinesis' order:
// the protocol, the operation, JSON, the signature, the members, the stream.
//
// A hook that panics makes an answer that says so, since http.Server would
// swallow the panic.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, x *exchange) (out any, failure *apiError) {
	defer func() {
		if p := recover(); p != nil {
			out, failure = nil, &apiError{
				status: http.StatusInternalServerError, kind: internalFailure,
				message: fmt.Sprintf("kinesissim: a hook panicked: %v", p),
			}
		}
	}()
	target, isKinesis := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	x.Operation = shorten(target)
	var read bytes.Buffer
	read.Grow(int(min(max(r.ContentLength, 0), maxBody)) + bytes.MinRead)
	if _, err := read.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return nil, &apiError{
				status: http.StatusRequestEntityTooLarge, kind: "RequestEntityTooLargeException",
				message: fmt.Sprintf("Request body is over %d bytes", maxBody),
			}
		}
		return nil, errNoAnswer // the client went away
	}
	body := read.Bytes()
	x.body = body

	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if r.Method != http.MethodPost || strings.TrimSpace(media) != contentType {
		return nil, &apiError{
			status: http.StatusForbidden, kind: "AccessDeniedException", xml: true,
			message: "Unable to determine service/operation name to be authorized",
		}
	}
	if x.op = newOperation(target); !isKinesis || x.op == nil || r.URL.Path != "/" {
		return nil, badRequest("UnknownOperationException", "")
	}
	if !json.Valid(body) {
		return nil, serialization("")
	}
	if failure := s.authenticate(r, body); failure != nil {
		return nil, failure
	}

	malformed := decode(body, x)
	hook, request := s.observe(r, x)
	if hook != nil {
		if answer := hook(request); answer != nil {
			x.answer = answer
		}
	}
	if failure := s.before(r, x.answer, request); failure != nil {
		return nil, failure
	}
	if malformed != nil {
		return nil, malformed
	}
	var wrong violations
	x.op.validate(&wrong)
	if failure := wrong.err(); failure != nil {
		return nil, failure
	}
	return x.op.run(s, x)
}

// decode reads the members. What they hold is known to the figures and hooks
// as far as it could be read.
func decode(body []byte, x *exchange) *apiError {
	start := skipSpace(body, 0)
	err := value(body[start:endOfValue(body, start)]).fields(x.op.field)
	x.Stream = shorten(x.op.where())
	if puts, ok := x.op.(interface{ puts() []PutEntry }); ok && err == nil {
		x.entries = puts.puts()
		x.Records = len(x.entries)
		for i := range x.entries {
			x.Bytes += x.entries[i].size()
		}
	}
	failure, _ := err.(*apiError) // the only kind that field gives
	return failure
}

// observe counts the request and makes what its hook sees.
func (s *Server) observe(r *http.Request, x *exchange) (func(*Request) *Answer, *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[x.Operation]++
	return s.intercept, &Request{
		Operation:    x.Operation,
		N:            s.seen[x.Operation],
		Header:       r.Header,
		Body:         x.body,
		Stream:       x.Stream,
		NumRecords:   len(x.entries),
		Entries:      x.entries,
		Conn:         x.Conn,
		ConnRequests: x.ConnRequests,
	}
}

// before does what an answer wants done before its request is carried out.
func (s *Server) before(r *http.Request, a *Answer, request *Request) *apiError {
	if a.delay > 0 {
		timer := time.NewTimer(a.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.done:
			return errNoAnswer
		}
	}
	switch a.before {
	case fateHang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		return errNoAnswer
	case fateReset:
		return errNoAnswer
	}
	if a.reject != nil {
		return a.reject(s, request)
	}
	return nil
}

func encode(out any, failure *apiError) []byte {
	switch {
	case failure == nil && out == nil, failure == errNoAnswer:
		return nil
	case failure == nil:
	case failure.xml:
		return fmt.Appendf(nil, "<%s>\n  <Message>%s</Message>\n</%[1]s>\n", failure.kind, failure.message)
	case failure.message == "":
		out = map[string]string{"__type": failure.kind}
	default:
		out = map[string]string{"__type": failure.kind, "message": failure.message}
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic(err) // an answer of this package that cannot be JSON
	}
	return body
}

// respond sends an answer, or what the request's fate leaves of it.
func respond(w http.ResponseWriter, x *exchange, failure *apiError, body []byte, ending fate) {
	if ending == fateReset || ending == fateDrop {
		end(w, ending)
		return
	}
	h := w.Header()
	// Kinesis' own spelling, for clients that compare names exactly.
	h["x-amzn-RequestId"] = []string{x.RequestID}
	h["x-amz-id-2"] = []string{base64.StdEncoding.EncodeToString([]byte(x.RequestID + x.RequestID))}
	if failure == nil || !failure.xml {
		h.Set("Content-Type", contentType)
	} else {
		h["Content-Type"] = nil
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(x.Status)
	if ending == fateCut {
		body = body[:min(x.answer.cut, len(body))]
	}
	if _, err := w.Write(body); err != nil {
		return // the client went away
	}
	if ending == fateCut || ending == fateClose {
		_ = http.NewResponseController(w).Flush()
		end(w, ending)
	}
}

// end takes the connection from http.Server and closes it.
func end(w http.ResponseWriter, ending fate) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // closes it too
	}
	if ending == fateReset {
		reset(c)
	} else {
		c.Close()
	}
}

// reset closes a connection with RST instead of FIN, below TLS where there is
// TLS.
func reset(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

// newRequestID makes a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
