package kinesissim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// headerTimeout is for a client that connects and sends nothing.
const headerTimeout = 10 * time.Second

// Server is a running Kinesis. You may call its methods at any time and from any goroutine.
type Server struct {
	// The server has all state that changes, and mu guards it. Functions of the Config and
	// of an Answer, and the clock, run without mu, on the goroutine of their request. So
	// they may call the server, except Close, which waits for them.

	// Set by Start and never changed.
	cfg        Config
	url        string
	caPEM      []byte
	http       *http.Server
	operations map[string]func() operation // by name
	done       chan struct{}               // closed by Close: ends delays and requests that hang
	served     chan error                  // the end of the accepting goroutine
	journal    *journal                    // nil without Config.Dir

	handlers sync.WaitGroup // requests; grows under mu while not closed
	conns    sync.WaitGroup // connections; grows under mu while not closed

	mu          sync.Mutex // guards everything below
	closed      bool
	streams     map[string]*stream
	lastStream  uint64
	intercept   Interceptor
	credentials map[string]string
	expired     map[string]bool
	seen        map[string]int // requests by operation that interceptors saw
	stats       Stats
	open        map[net.Conn]*connection
	changed     chan struct{} // closed and replaced after each request
}

// Start starts a server, which serves until you call [Server.Close]. It fails if the
// address is not on the loopback or in use, or if CreateStream refuses a stream.
//
// ctx bounds the start only, as that of lambdasim.Start does. The server keeps running when
// ctx ends, so you can read what a test with its own context has stored.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	addr, err := loopback(cfg.Addr)
	if err != nil {
		return nil, err
	}
	s := newServer(cfg)
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.journal.close())
	}
	if cfg.TLS {
		if s.http.TLSConfig, s.caPEM, err = newTLS(time.Now()); err != nil {
			return nil, errors.Join(fmt.Errorf("kinesissim: certificate: %w", err), s.journal.close())
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kinesissim: %w", err), s.journal.close())
	}
	s.url = "http://" + ln.Addr().String()
	serve := func() error { return s.http.Serve(ln) }
	if cfg.TLS {
		s.url = "https://" + ln.Addr().String()
		serve = func() error { return s.http.ServeTLS(ln, "", "") }
	}
	go func() { s.served <- serve() }()
	return s, nil
}

// prepare makes the streams: those of the folder, and new ones.
func (s *Server) prepare() error {
	if s.cfg.Dir != "" {
		// What was stored was within the rates.
		enforce := s.cfg.EnforceRate
		s.cfg.EnforceRate = false
		if err := s.openJournal(s.cfg.Dir); err != nil {
			return fmt.Errorf("kinesissim: %w", err)
		}
		s.cfg.EnforceRate = enforce
	}
	old := maps.Clone(s.streams)
	for _, spec := range s.cfg.Streams {
		if old[spec.Name] != nil {
			continue
		}
		if err := s.CreateStream(spec); err != nil {
			return fmt.Errorf("kinesissim: stream %q: %w", spec.Name, err)
		}
	}
	return nil
}

func newServer(cfg Config) *Server {
	s := &Server{
		cfg:         cfg,
		operations:  operations(),
		done:        make(chan struct{}),
		served:      make(chan error, 1),
		streams:     map[string]*stream{},
		intercept:   cfg.Intercept,
		credentials: maps.Clone(cfg.Credentials),
		expired:     map[string]bool{},
		seen:        map[string]int{},
		stats:       Stats{Requests: map[string]int{}, Errors: map[string]int{}},
		open:        map[net.Conn]*connection{},
		changed:     make(chan struct{}),
	}
	for _, token := range cfg.ExpiredTokens {
		s.expired[token] = true
	}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		ReadHeaderTimeout: headerTimeout,
		ConnContext:       s.opened,
		ConnState:         s.stateChanged,
		// Errors of clients are part of tests.
		ErrorLog:  log.New(io.Discard, "", 0),
		Protocols: new(http.Protocols),
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// URL returns the endpoint, such as "http://127.0.0.1:40123".
func (s *Server) URL() string { return s.url }

// CertificatePEM returns the certificate of the authority that a client has to trust, in
// PEM, or nil without Config.TLS.
func (s *Server) CertificatePEM() []byte { return s.caPEM }

// Close ends all connections, also those whose requests hang or are delayed,
// and returns when no goroutine of the server is left. Calling it again does nothing.
// Do not call it in Config.Intercept, Config.OnRequest or [FailRecords]: it waits for
// them.
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
	// Connections that http.Server accepted while it closed the others.
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.handlers.Wait()
	s.conns.Wait()
	return errors.Join(err, s.journal.close())
}
