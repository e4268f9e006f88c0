package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kinetel/internal/annotate"
	"kinetel/internal/config"
	"kinetel/internal/environment"
	"kinetel/internal/event"
	"kinetel/internal/extensionapi"
	"kinetel/internal/flush"
	"kinetel/internal/guard"
	"kinetel/internal/invocation"
	"kinetel/internal/ledger"
	"kinetel/internal/pack"
	"kinetel/internal/queue"
	"kinetel/internal/resource"
	"kinetel/internal/ship"
	"kinetel/internal/spool"
	"kinetel/internal/telemetry"
)

// finalBatchTime is the end of the shutdown's time that is reserved to write unsent
// records to disk, and to report them in a last small request.
const finalBatchTime = 200 * time.Millisecond

// finalWriteTime replaces finalBatchTime if Kinesis takes longer than finalBatchTime to
// answer: a last request would get no answer in time.
const finalWriteTime = 100 * time.Millisecond

// pipeline is everything between Lambda's Telemetry API and Kinesis. The loop calls
// it through lifecycle.Pipeline.
//
//	Lambda's Telemetry API
//	      | POST
//	   listener --> packer --> queue --> shipper --> Kinesis
//	      |           ^  |       ^ |         ^
//	      | platform  |  | lines | | records | wake, flush
//	      | events    |  v       | v         |
//	      |           |  (spool, on disk)    |
//	      +------> loop (next, hold, shut down)
//
// Events that are dropped on the way are counted in the ledger of their environment.
// The packer adds those counts to the stream.
type pipeline struct {
	cfg      config.Config
	function extensionapi.Function
	stdout   io.Writer
	log      *slog.Logger
	listener intakeCloser
	queue    *queue.Queue
	shipper  *ship.Shipper
	spool    *spool.Spool // nil: nothing is kept on disk
	account  *ledger.Account

	annotator   *annotate.Annotator
	invocations invocation.Tracker
	restored    sync.Once
	ownLog      atomic.Int64 // events that are Kinetel's own log
	metrics     metrics

	stopShipping  context.CancelFunc
	shipped       chan struct{}            // closed when the shipper has ended
	recover       func() []spool.Recovered // nil: there is no spool
	recoveryState atomic.Int32             // of the telemetry of earlier processes: resumed, abandoned, or neither yet
	recoveryDone  chan struct{}            // closed when the recovery is over

	// ingesting makes it atomic to choose an event's environment and to give the
	// event its sequence number: a restore cannot come in between.
	ingesting   sync.Mutex         // guards the next four
	environment *resource.Resource // the one of packers[0]
	before      *pack.Packer       // the packer from before the restore; nil: none
	snapshot    *resource.Resource // the one of before
	described   []*pack.Packer     // their kinetel.environment was emitted

	mu           sync.Mutex // guards all below
	began        time.Time
	packers      []*pack.Packer
	recovered    int64 // events recovered from earlier processes
	dropped      ledger.Dropped
	reported     time.Time // when the last report was made
	since        int64     // events received up to then
	lostLogged   int64     // lost events that were logged
	lostLoggedAt time.Time // when they were logged
	ending       bool      // records go into finalBatch
	finalBatch   []*pack.Record
}

func newPipeline(function extensionapi.Function, cfg config.Config, putter ship.Putter, stdout io.Writer, log *slog.Logger) *pipeline {
	now := time.Now()
	p := &pipeline{
		cfg: cfg, function: function, stdout: stdout, log: log, began: now, reported: now, metrics: metrics{writtenAt: now},
		account: &ledger.Account{}, annotator: annotate.New(cfg.Lambda.Initialization, cfg.RequestIDKeys...),
		shipped: make(chan struct{}), recoveryDone: make(chan struct{}),
	}
	p.invocations.SetInitType(string(cfg.Lambda.Initialization))
	queued := queue.Options{
		Max:        cfg.BufferBytes,
		Always:     cfg.Spool == config.SpoolAlways,
		LogDropper: pack.NewLogDropper(cfg.Compression),
	}
	if cfg.Spool != config.SpoolOff {
		opt := spool.Options{Dir: spoolDir(cfg.SpoolDir, function.Name), Max: cfg.SpoolBytes, Log: log, Check: pack.Checker{}}
		if queued.Always {
			opt.Reserve = pack.MaxRecord + 256<<10 // the open record, as lines
		}
		p.spool = spool.New(opt)
		queued.Store = p.spool
		p.recover = p.spool.Recover
	}
	p.queue = queue.New(queued)
	p.shipper = ship.New(p.queue, putter, p.account.Total, log.With("stream", cfg.StreamName, "region", cfg.AWS.Region))

	packer, environment := p.newEnvironment()
	p.packers, p.environment = []*pack.Packer{packer}, environment
	return p
}

// newEnvironment returns the packer of an environment that begins now, and what is
// known of the environment.
func (p *pipeline) newEnvironment() (*pack.Packer, *resource.Resource) {
	id := resource.Identity{
		Region:          p.cfg.Lambda.Region,
		AccountID:       p.function.AccountID,
		FunctionName:    p.function.Name,
		FunctionVersion: p.function.Version,
		EnvironmentID:   newEnvironmentID(),
		Attributes:      p.cfg.Attributes,
	}
	res := resource.New(p.cfg, id, p.function.Handler)
	env := &environment.Environment{ID: id.EnvironmentID, Resource: id.JSON()}
	env.Describe(res.Details())
	env.Ledger = p.ledger(env)
	var journal pack.Journal // stays nil: with a nil *spool.Spool in it, it would not be nil
	if p.cfg.Spool == config.SpoolAlways {
		journal = p.spool
	}
	return p.packer(env, 1, journal), res
}

// spoolDir returns the directory of a function's spool. In Lambda no two functions
// share a /tmp; on other machines a function must not recover another one's telemetry.
func spoolDir(dir, function string) string {
	notAllowed := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if function == "" || len(function) > 140 || strings.ContainsFunc(function, notAllowed) {
		function = "function"
	}
	return filepath.Join(dir, function)
}

// ledger returns a new ledger for an environment.
func (p *pipeline) ledger(env *environment.Environment) *ledger.Ledger {
	if p.cfg.Spool != config.SpoolAlways {
		return ledger.New(p.account, nil)
	}
	return ledger.New(p.account, func(loss ledger.Loss) { p.spool.Lost(env, loss) })
}

// packer returns a new packer for an environment. next is its first sequence number.
func (p *pipeline) packer(env *environment.Environment, next uint64, journal pack.Journal) *pack.Packer {
	return pack.New(pack.Options{
		Environment:  env,
		FunctionName: p.function.Name,
		Format:       p.cfg.Format,
		Compression:  p.cfg.Compression,
		PartitionKey: p.cfg.PartitionKey,
		Next:         next,
		Journal:      journal,
		Runs:         p.cfg.Spool == config.SpoolAlways,
		Push:         p.push,
		Log:          p.log,
	})
}

// push puts a closed record into the queue, or into finalBatch at the end.
func (p *pipeline) push(r *pack.Record) {
	p.mu.Lock()
	ending := p.ending
	if ending {
		p.finalBatch = append(p.finalBatch, r)
	}
	p.mu.Unlock()
	if !ending {
		p.queue.Push(r)
		p.shipper.Wake()
	}
}

// The values of recoveryState; 0 is neither.
const (
	resumed = 1 + iota
	abandoned
)

// recoveryTime is how long new lines wait for the telemetry of earlier processes,
// which goes first. A disk that takes longer to read must not delay them more.
const recoveryTime = 200 * time.Millisecond

// start begins to ship. The telemetry of earlier processes of the environment goes
// first.
func (p *pipeline) start(listener intakeCloser) {
	p.listener = listener
	ctx, cancel := context.WithCancel(context.Background())
	p.stopShipping = cancel
	go func() {
		defer close(p.recoveryDone)
		if p.recover == nil {
			return
		}
		guard.Run(p.log, "resume what an earlier process left", func() {
			if recovered := p.recover(); p.recoveryState.CompareAndSwap(0, resumed) {
				p.resume(recovered)
			}
		})
	}()
	go func() {
		defer close(p.shipped)
		p.awaitRecovery(ctx, recoveryTime)
		p.shipper.Run(ctx)
	}()
}

// awaitRecovery waits until the recovery is over, but no longer than atMost.
func (p *pipeline) awaitRecovery(ctx context.Context, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-p.recoveryDone:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stop ends the shipping and waits until it has ended.
func (p *pipeline) stop() {
	p.stopShipping()
	<-p.shipped
}

// resume queues the telemetry of earlier processes, the oldest first.
func (p *pipeline) resume(recovered []spool.Recovered) {
	for _, l := range slices.Backward(recovered) { // Restore puts each in front of the one before
		l.Environment.Ledger = p.ledger(l.Environment)
		events := events(l)
		p.log.Info("an earlier process left telemetry, which goes first", "environment", l.Environment.ID,
			"records", len(l.Records), "events", events)
		p.mu.Lock()
		p.recovered += events // before Restore: no report may count as shipped what it does not count as recovered
		p.mu.Unlock()
		p.queue.Restore(l.Records)
	}
	for _, l := range recovered {
		for _, loss := range l.Losses {
			l.Environment.Ledger.Lost(loss)
		}
		packer := p.packer(l.Environment, l.Next, nil)
		p.mu.Lock()
		p.packers = append(p.packers, packer)
		p.mu.Unlock()
		for _, run := range l.Lines {
			packer.Restore(run.First, run.Lines)
		}
		if len(l.Fragment) > 0 {
			telemetry.Unparsed(l.Fragment, time.Now(), func(ev *event.Event) { packer.Add(ev) })
		}
		packer.Seal()
		// Everything is in records now, the fragment too.
		if last := packer.Last(); len(l.Fragment) > 0 {
			p.spool.Journal(l.Environment, last+1, last, nil, nil)
		}
		p.spool.ForgetJournal(l.Environment)
	}
	if len(recovered) > 0 {
		p.shipper.Wake()
	}
}

// events counts the events of an earlier process: recovered ones and losses to report.
func events(l spool.Recovered) (n int64) {
	for _, ref := range l.Records {
		n += int64(ref.Events)
	}
	for _, run := range l.Lines {
		n += int64(run.Last - run.First + 1)
	}
	for _, loss := range l.Losses {
		n += int64(loss.Count)
	}
	return n
}

// intakeCloser stops ingesting telemetry; *telemetry.Listener is one.
type intakeCloser interface{ Close(ctx context.Context) }

// all returns the packers: this environment's first, then those of earlier ones.
func (p *pipeline) all() []*pack.Packer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.packers)
}

// own returns the packer of this environment.
func (p *pipeline) own() *pack.Packer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packers[0]
}

// Restored begins a new environment: the process was restored from a snapshot, and
// so may others be. Events that were ingested before keep their environment id and
// their sequence numbers. These are the same in all restored processes, so that a
// consumer sees that they are the same events.
func (p *pipeline) Restored() {
	p.restored.Do(func() {
		packer, environment := p.newEnvironment()
		now := time.Now()
		p.ingesting.Lock()
		before := p.own()
		p.snapshot, p.environment = p.environment, environment
		p.mu.Lock()
		p.packers = slices.Insert(p.packers, 0, packer)
		p.began, p.reported, p.since = now, now, 0
		p.mu.Unlock()
		p.before = before
		p.ingesting.Unlock()
		before.Seal()
		p.shipper.Restored()
	})
}

// Thawed reports that the environment may have been frozen until now, and has closed
// records sent.
func (p *pipeline) Thawed() { p.shipper.Thawed() }

// Ending reports that the environment ends, and until when records can be sent.
func (p *pipeline) Ending(deadline time.Time) { p.shipper.Ending(p.sendUntil(deadline)) }

// sendUntil returns until when records are sent; the time from then to the deadline is
// for records that could not be sent.
func (p *pipeline) sendUntil(deadline time.Time) time.Time {
	rest := finalBatchTime
	if p.shipper.Stats().Latency.P50 > ledger.Milliseconds(finalBatchTime) {
		rest = finalWriteTime // a last request would get no answer in time
	}
	return deadline.Add(-min(rest, time.Until(deadline)/3))
}

// Seal closes the open records and has them sent.
func (p *pipeline) Seal() {
	// A fault in the figures must not keep the records from being sent.
	guard.Run(p.log, "add figures to the stream", func() {
		p.report()
		p.writeMetrics(false)
		p.addLosses()
	})
	for _, packer := range p.all() {
		packer.Seal()
	}
	p.shipper.Wake()
}

// SealIfOlder does what Seal does if the open record is as old as age, or is needed to
// find out why the only record before it was rejected.
func (p *pipeline) SealIfOlder(age time.Duration) {
	if p.own().Age() >= age || p.shipper.NeedsAnother() {
		p.Seal()
	}
}

// Unavailable reports whether no invocation should be held.
func (p *pipeline) Unavailable() bool { return p.shipper.Unavailable() }

// Behind returns how long records have been waiting while Kinesis accepted none.
func (p *pipeline) Behind() time.Duration { return p.shipper.Behind() }

// PermanentError returns the error that the user has to fix before anything can be
// sent, or nil.
func (p *pipeline) PermanentError() error { return p.shipper.PermanentError() }

// Invoked records that an invocation has begun, and its trace.
func (p *pipeline) Invoked(request, trace string, at time.Time) {
	p.annotator.Invoked(request, trace, at)
}

// Released records how long an invocation was held, and why.
func (p *pipeline) Released(request string, held time.Duration, why flush.Reason) {
	p.invocations.Released(request, held, why)
}

// Flush has everything sent, and waits for that. It returns at once if Kinesis is
// unavailable.
func (p *pipeline) Flush(ctx context.Context) error {
	if p.shipper.Unavailable() {
		return ship.ErrUnavailable // without Seal: meanwhile the open record fills up
	}
	p.Seal()
	return p.shipper.Flush(ctx)
}

// CloseIntake stops ingesting telemetry.
func (p *pipeline) CloseIntake(ctx context.Context) { p.listener.Close(ctx) }

// errNotDrained is the result if a fault in Kinetel kept records from being sent.
var errNotDrained = errors.New("not everything was sent")

// Finish sends everything for the last time, before ctx's deadline. Records that
// Kinesis does not accept in time go to disk, for the next process of the environment,
// or are reported lost.
func (p *pipeline) Finish(ctx context.Context) {
	if p.spool != nil {
		defer p.closeSpool()
	}
	guard.Run(p.log, "report the last invocations", p.addEnded)
	guard.Run(p.log, "report", func() { p.addReport(true) })
	p.Seal()
	deadline, _ := ctx.Deadline()
	sending, cancel := context.WithDeadline(ctx, p.sendUntil(deadline))
	defer cancel()
	p.awaitRecovery(sending, recoveryTime)
	if !p.recoveryState.CompareAndSwap(0, abandoned) {
		p.awaitRecovery(sending, time.Minute) // resume has begun, and takes no longer than the sending
	}
	err := errNotDrained
	guard.Run(p.log, "drain", func() { err = p.drain(sending) })
	p.stop()
	if err != nil {
		guard.Run(p.log, "keep what is left", func() { p.spillOrDrop(ctx) })
	}
	guard.Run(p.log, "write metrics", func() { p.writeMetrics(true) })
	stats := p.shipper.Stats()
	p.log.Info("shipped", "events", stats.Events, "records", stats.Records, "bytes", stats.Bytes,
		"requests", stats.Requests, "retried_records", stats.Retried, "rejected_events", stats.Rejected, "lost_events", p.account.Total())
}

// addEnded adds a kinetel.invocation for each invocation that has no platform.report.
func (p *pipeline) addEnded() {
	p.ingesting.Lock()
	defer p.ingesting.Unlock()
	for _, summary := range p.invocations.Ended() {
		at := event.Event{Received: time.Now(), RequestID: summary.Request, TraceID: summary.Trace}
		p.addInvocation(p.own(), summary.Body, &at)
	}
}

// closeSpool closes the spool. It first writes a manifest of the stored records for
// each environment, so that the next process knows what it should find.
func (p *pipeline) closeSpool() {
	if refs := p.queue.Stored(); len(refs) > 0 {
		for _, packer := range p.all() {
			p.spool.WriteManifest(packer.Environment(), packer.Last(), refs)
		}
	}
	p.spool.Close()
}

// drain sends everything, and then the losses that occurred meanwhile.
func (p *pipeline) drain(ctx context.Context) error {
	if err := p.shipper.Drain(ctx); err != nil {
		return err
	}
	p.Seal()
	return p.shipper.Drain(ctx)
}

// spillOrDrop handles the records that Kinesis did not accept before the end: they go
// to disk or are dropped, and a last request reports that.
func (p *pipeline) spillOrDrop(ctx context.Context) {
	before := p.account.Total()
	if p.spool != nil {
		p.spool.RetryNow()
	}
	p.queue.Check()
	p.queue.Spill()
	p.mu.Lock()
	p.ending = true // records from here on go into finalBatch, not behind the unsent ones in the queue
	p.mu.Unlock()
	p.addReport(true)
	for _, packer := range p.all() {
		packer.Seal()
	}
	p.mu.Lock()
	final := p.finalBatch
	p.ending, p.finalBatch = false, nil
	p.mu.Unlock()

	pending := final
	if len(final) > 0 {
		pending = p.shipper.Last(ctx, final)
	}
	if p.spool != nil {
		for _, r := range final {
			if !slices.Contains(pending, r) {
				p.spool.Sent(r)
			}
		}
	}
	for _, r := range pending {
		p.queue.Push(r)
	}
	p.queue.Spill()
	p.queue.Check() // so that the log does not count records that are no longer on disk
	lost, spooled := p.account.Total()-before, p.queue.Waiting().Spooled
	what := "the rest is lost"
	switch {
	case spooled.Events > 0 && lost > 0:
		what = "of the rest, some is on disk, where the next process of this environment finds it, and some is lost"
	case spooled.Events > 0:
		what = "the rest is on disk, where the next process of this environment finds it"
	}
	p.log.Error("the environment ends before everything was in Kinesis; "+what, "error", p.shipper.LastError(),
		"lost_events", lost, "spooled_events", spooled.Events, "spooled_records", spooled.Records, "reported_in_stream", len(final) > 0 && len(pending) == 0)
}
