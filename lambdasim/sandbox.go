package lambdasim

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Sandbox is a running execution environment. You may call its methods from any goroutine.
// Start, Invoke and Shutdown run one after another.
type Sandbox struct {
	// Ownership: the goroutine that holds turn runs a phase (init, invoke, shutdown, with
	// the resets that these need). Only phases start and stop processes, freeze and thaw.
	// Invocations of a managed instance are not phases: any number of them runs while no
	// goroutine holds turn. The HTTP handlers and the goroutines that wait for processes
	// write what they saw under mu and call broadcast. Phases wait for that in await. So a
	// handler never starts a phase's step, and a phase never misses a change.

	cfg     Config
	addr    string // the APIs' host:port
	server  *http.Server
	relay   *relay
	spawner spawner
	stdout  *lockedWriter
	stderr  *lockedWriter
	wait    sync.WaitGroup // goroutines and requests
	turn    chan struct{}  // one slot: the right to run a phase
	leaving chan struct{}  // closed when Shutdown began
	// For SnapStart:
	credentials *credentials
	conns       *connections

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when what mu guards changed
	gen     *generation   // nil between a reset and the next Init
	number  int           // of the last generation
	all     []*process
	closed  bool
	dialled map[string]bool // connections accepted during expelStrangers, by their other end
	crowd   crowd           // Managed Instances
	// instanceID changes at a restore.
	instanceID string

	// Owned by the phase that runs:
	frozen       bool
	cold         bool // no invocation since the last Init
	initDuration time.Duration
	initReport   *initDoneRecord // waits for the first invocation
	snapshot     bool            // waits to be restored
	report       *ShutdownReport // of Shutdown, when it ran

	noticeMu sync.Mutex // one notice at a time
}

// generation is one set of processes, from an Init to its end. Guarded by
// Sandbox.mu, except what never changes.
type generation struct {
	number     int
	done       chan struct{} // closed at its end
	processes  []*process
	extensions []*extension // launched ones, in the order of Config, then internal ones
	runtime    *process
	workers    // Managed Instances; the next five fields are of the other modes
	// runtimeInbox has the invocation for the runtime's pending next.
	runtimeInbox   chan *invocation
	runtimeWaiting bool
	runtimeReady   bool // called its first next
	inv            *invocation
	fatal          *failure // the first thing that went wrong
	stopping       bool     // processes may exit now
}

// failure is what ends an Init or an invocation.
type failure struct {
	errorType string
	message   string // for the client
	detail    string // for people
	payload   []byte // the runtime's own error object, on init/error
	reported  bool   // by a process itself, which is status "error"
}

// ErrClosed is the error of [Sandbox.Invoke] after [Sandbox.Shutdown].
var ErrClosed = errors.New("lambdasim: the sandbox is shut down")

// errDeadline ends a wait.
var errDeadline = errors.New("deadline exceeded")

// Start checks the configuration, starts the extensions and the function, and returns when
// Init has ended. Then the sandbox is frozen until the first invocation. Call
// [Sandbox.Shutdown] to end it.
//
// ctx bounds Init only. The sandbox keeps running when ctx ends later.
//
// If Init fails, the error is an [*InitError], and no process is left running, unless
// Config.RetryFailedInit is set. If ctx ends during Init, Init fails in any case.
func Start(ctx context.Context, cfg Config) (*Sandbox, error) {
	if err := checkPlatform(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambdasim: %w", err)
	}
	s := &Sandbox{
		cfg: cfg, addr: listener.Addr().String(), instanceID: newInstanceID(cfg.FunctionVersion),
		turn: make(chan struct{}, 1), leaving: make(chan struct{}), changed: make(chan struct{}),
		stdout: newLockedWriter(cfg.Stdout), stderr: newLockedWriter(cfg.Stderr),
	}
	s.relay = &relay{cfg: &s.cfg}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ConnContext: s.accepted}
	if cfg.snapStart() {
		s.credentials = newCredentials(&s.cfg)
		s.conns = newConnections()
		s.server.ConnState = s.conns.note
	}
	s.wait.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.notice(Notice{Kind: NoticeRefused, Detail: "the APIs' listener failed: " + err.Error()})
		}
	})
	s.spawner.run()

	failed := s.initialize(ctx, phaseInit, time.Now().Add(cfg.InitTimeout))
	switch {
	case failed == nil:
		s.freeze()
		s.snapshot = cfg.snapStart()
		if cfg.managed() {
			g := s.gen
			s.wait.Go(func() { s.watch(g) })
		}
		return s, nil
	case cfg.RetryFailedInit && ctx.Err() == nil:
		return s, nil
	default:
		failed.Processes = s.Processes()
		s.close()
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w (%w)", failed, err)
		}
		return nil, failed
	}
}

// APIAddress returns the host and port of the APIs, which processes get as
// AWS_LAMBDA_RUNTIME_API.
func (s *Sandbox) APIAddress() string { return s.addr }

// InstanceID returns the environment's instance id, which is also the name of its log
// stream. With SnapStart the id changes at the restore.
func (s *Sandbox) InstanceID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instanceID
}

// Events returns all events so far if Config.KeepEvents is set, otherwise nil.
func (s *Sandbox) Events() []Event { return s.relay.events() }

// Processes describes every process that was started, in the order of their start.
func (s *Sandbox) Processes() []ProcessReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := make([]ProcessReport, len(s.all))
	for i, p := range s.all {
		reports[i] = p.report()
	}
	return reports
}

// SignalFunction sends a signal to the function's process. [os.Kill] stands for the
// kernel's out-of-memory killer: the invocation fails with Runtime.OutOfMemory.
func (s *Sandbox) SignalFunction(sig os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == nil || s.gen.runtime == nil || s.gen.runtime.pid == 0 || s.gen.runtime.gone {
		return errNoProcess
	}
	if sig == os.Kill {
		s.gen.runtime.outOfMemory = true
	}
	return s.gen.runtime.cmd.Process.Signal(sig)
}

// SignalExtension sends a signal to the process of an extension, which is named by the base
// name of its file. [os.Kill] fails the invocation with Extension.Crash. AWS Lambda never
// sends SIGTERM to an extension; a container would. In a frozen environment the process
// handles the signal when it is thawed.
func (s *Sandbox) SignalExtension(name string, sig os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen != nil {
		for _, p := range s.gen.processes {
			if p.kind == KindExtension && p.name == name && !p.gone {
				return p.cmd.Process.Signal(sig)
			}
		}
	}
	return errNoProcess
}

// begin waits for the right to run a phase.
func (s *Sandbox) begin(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.closed {
		<-s.turn
		return ErrClosed
	}
	return nil
}

func (s *Sandbox) end() { <-s.turn }

// broadcast wakes the goroutines in await. s.mu is held.
func (s *Sandbox) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until done, which is called with s.mu held, returns true. A zero
// deadline is none.
func (s *Sandbox) await(ctx context.Context, deadline time.Time, done func() bool) error {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	for {
		s.mu.Lock()
		ok, changed := done(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-expired:
			return errDeadline
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Sandbox) notice(n Notice) {
	if s.cfg.OnNotice == nil {
		return
	}
	s.noticeMu.Lock()
	defer s.noticeMu.Unlock()
	if n.Time.IsZero() {
		n.Time = time.Now()
	}
	s.cfg.OnNotice(n)
}

// freeze stops the environment: first the deliveries, then the processes. It
// returns when they have stopped.
func (s *Sandbox) freeze() {
	if s.cfg.DisableFreeze || s.frozen {
		return
	}
	s.relay.setPaused(true)
	living := s.living()
	for _, p := range living {
		p.signalGroup(signalStop)
	}
	for _, p := range living {
		awaitStop(p.pid)
	}
	s.frozen = true
	s.notice(Notice{Kind: NoticeFreeze})
}

func (s *Sandbox) thaw() {
	if !s.frozen {
		return
	}
	for _, p := range s.living() {
		p.signalGroup(signalContinue)
	}
	s.frozen = false
	s.relay.setPaused(false)
	s.notice(Notice{Kind: NoticeThaw})
}

// living returns the processes that were not seen to exit.
func (s *Sandbox) living() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var living []*process
	if s.gen != nil {
		for _, p := range s.gen.processes {
			if !p.gone {
				living = append(living, p)
			}
		}
	}
	return living
}

// samplePeaks notes the processes' memory and returns the sum in MB.
func (s *Sandbox) samplePeaks() int {
	living := s.living()
	peaks := make([]int64, len(living))
	var sum int64
	for i, p := range living {
		peaks[i] = p.samplePeak()
		sum += peaks[i]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range living {
		p.peakKiB = max(p.peakKiB, peaks[i])
	}
	return int((sum + 1023) / 1024)
}

// close ends everything but processes, which are gone already.
func (s *Sandbox) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.server.Close()
	s.spawner.stop()
	s.wait.Wait()
}

// functionARN is the unqualified ARN of the function.
func (s *Sandbox) functionARN() string {
	return "arn:aws:lambda:" + s.cfg.Region + ":" + s.cfg.AccountID + ":function:" + s.cfg.FunctionName
}

// newInstanceID makes a log stream's name.
func newInstanceID(version string) string {
	return time.Now().UTC().Format("2006/01/02/") + "[" + version + "]" + randomHex(16)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// newUUID makes a version 4 UUID.
func newUUID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// lockedWriter lets several processes' pipes write to one writer.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func newLockedWriter(to io.Writer) *lockedWriter {
	if to == nil {
		return nil
	}
	return &lockedWriter{to: to}
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// writer returns w as an interface that is nil where w is.
func (w *lockedWriter) writer() io.Writer {
	if w == nil {
		return nil
	}
	return w
}

// isLaunched reports whether a name is that of a configured extension.
func (s *Sandbox) isLaunched(name string) bool {
	for _, ext := range s.cfg.Extensions {
		if filepath.Base(ext.Path) == name {
			return true
		}
	}
	return false
}
