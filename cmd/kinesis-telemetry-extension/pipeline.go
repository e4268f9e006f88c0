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

// lastWords is the end of the shutdown's time in which what could not be sent is
// written to disk, and a last small request tells of it.
const finalBatchTime = 200 * time.Millisecond

// lastWrite is that end where Kinesis takes longer than lastWords to answer.
const lastWrite = 100 * time.Millisecond

// pipeline is everything between Lambda's Telemetry API and Kinesis, as the loop
// sees it.
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
// What is given up on the way goes into the ledger of its environment, and from
// there through the packer into the stream.
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
	shipped       chan struct{}           // closed when the shipper has ended
	recover       func() []spool.Recovered // nil: there is no spool
	recoveryState atomic.Int32            // of what earlier processes left: resumed, abandoned, or neither yet
	recoveryDone  chan struct{}           // closed when it is over

	// taking makes one of giving an event its number and of knowing in which
	// environment, against a restore.
	ingesting      sync.Mutex            // guards the next four
	environment *resource.Environment // what is known of the packer's
	before      *pack.Packer          // that of before the restore
	snapshot    *resource.Environment // what is known of before's
	described   []*pack.Packer        // whose kinetel.environment was emitted

	mu        sync.Mutex // guards all below
	began     time.Time
	packers   []*pack.Packer
	recovered int64 // events that earlier processes left
	dropped   ledger.Dropped
	reported  time.Time // when the last report was made
	since     int64     // events received up to then
	lost      int64     // events given up that the log has told of
	lostTold  time.Time // when it did
	ending    bool      // records go into words
	finalBatch     []*pack.Record
}

func newPipeline(function extensionapi.Function, cfg config.Config, putter ship.Putter, stdout io.Writer, log *slog.Logger) *pipeline {
	now := time.Now()
	p := &pipeline{
		cfg: cfg, function: function, stdout: stdout, log: log, began: now, reported: now, metrics: metrics{told: now},
		account: &ledger.Account{}, annotator: annotate.New(cfg.Lambda.Initialization, cfg.RequestIDKeys...),
		shipped: make(chan struct{}), recoveryDone: make(chan struct{}),
	}
	p.invocations.SetInitType(string(cfg.Lambda.Initialization))
	queued := queue.Options{
		Max:      cfg.BufferBytes,
		Always:   cfg.Spool == config.SpoolAlways,
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

// newEnvironment makes the packer of an environment that begins now.
func (p *pipeline) newEnvironment() (*pack.Packer, *resource.Environment) {
	id := resource.Identity{
		Region:          p.cfg.Lambda.Region,
		AccountID:       p.function.AccountID,
		FunctionName:    p.function.Name,
		FunctionVersion: p.function.Version,
		EnvironmentID:   newEnvironmentID(),
		Attributes:      p.cfg.Attributes,
	}
	environment := resource.New(p.cfg, id, p.function.Handler)
	origin := &pack.Origin{EnvironmentID: id.EnvironmentID, Resource: id.JSON()}
	origin.Describe(environment.Details())
	origin.Ledger = p.ledger(origin)
	var journal pack.Journal // a nil *spool.Spool in it would be none
	if p.cfg.Spool == config.SpoolAlways {
		journal = p.spool
	}
	return p.packer(origin, 1, journal), environment
}

// spoolDir is where a function's spool is. In Lambda no two functions share a
// /tmp; on other machines one must not find what another one left.
func spoolDir(dir, function string) string {
	odd := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if function == "" || len(function) > 140 || strings.ContainsFunc(function, odd) {
		function = "function"
	}
	return filepath.Join(dir, function)
}

// ledger makes the ledger of an environment.
func (p *pipeline) ledger(origin *pack.Origin) *ledger.Ledger {
	if p.cfg.Spool != config.SpoolAlways {
		return ledger.New(p.account, nil)
	}
	return ledger.New(p.account, func(loss ledger.Loss) { p.spool.Lost(origin, loss) })
}

// packer makes the packer of an environment.
func (p *pipeline) packer(origin *pack.Origin, next uint64, journal pack.Journal) *pack.Packer {
	return pack.New(pack.Options{
		Origin:       origin,
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

// push takes a closed record.
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

const (
	resumed = 1 + iota
	abandoned
)

// recoveryTime is how long what earlier processes left goes first. A disk that
// takes longer to read must not keep new lines waiting.
const recoveryTime = 200 * time.Millisecond

// start begins to ship, first of all what earlier processes of the environment
// left.
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
			if left := p.recover(); p.recoveryState.CompareAndSwap(0, resumed) {
				p.resume(left)
			}
		})
	}()
	go func() {
		defer close(p.shipped)
		p.awaitRecovery(ctx, recoveryTime)
		p.shipper.Run(ctx)
	}()
}

// awaitRecovery waits for what earlier processes left, but not for ever.
func (p *pipeline) awaitRecovery(ctx context.Context, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-p.recoveryDone:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stop ends the shipping.
func (p *pipeline) stop() {
	p.stopShipping()
	<-p.shipped
}

// takeUp queues what earlier processes left, the oldest first.
func (p *pipeline) resume(left []spool.Recovered) {
	for _, l := range slices.Backward(left) { // each goes before the one before
		l.Origin.Ledger = p.ledger(l.Origin)
		events := events(l)
		p.log.Info("an earlier process left telemetry, which goes first", "environment", l.Origin.EnvironmentID,
			"records", len(l.Records), "events", events)
		p.mu.Lock()
		p.recovered += events // first: no report may have shipped what was not recovered
		p.mu.Unlock()
		p.queue.Restore(l.Records)
	}
	for _, l := range left {
		for _, loss := range l.Losses {
			if loss.Reason == ledger.SpoolCorrupt {
				l.Origin.Ledger.Lost(loss)
			} else {
				l.Origin.Ledger.Restore([]ledger.Loss{loss})
			}
		}
		packer := p.packer(l.Origin, l.Next, nil)
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
		// All of it is in records now, the fragment too.
		if last := packer.Last(); len(l.Fragment) > 0 {
			p.spool.Journal(l.Origin, last+1, last, nil, nil)
		}
		p.spool.ForgetJournal(l.Origin)
	}
	if len(left) > 0 {
		p.shipper.Wake()
	}
}

// events counts the events that an earlier process left, or lost.
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

// intakeCloser stops taking telemetry in; *telemetry.Listener is one.
type intakeCloser interface{ Close(ctx context.Context) }

// all returns the packers: this environment's, and those of earlier ones.
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

// Restored begins a new environment: the process was brought up from a snapshot,
// and others like it were or will be. What was taken in before keeps its id and
// its numbers, which are the same in all of them, so that whoever reads them can
// tell that they are the same events.
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

// Thawed says that the environment may have been frozen until now.
func (p *pipeline) Thawed() { p.shipper.Thawed() }

// Ending says that the environment ends, and until when records can be sent.
func (p *pipeline) Ending(deadline time.Time) { p.shipper.Ending(p.sendUntil(deadline)) }

// sendUntil returns until when records are sent; the rest of the time up to the
// deadline is for what could not be.
func (p *pipeline) sendUntil(deadline time.Time) time.Time {
	rest := finalBatchTime
	if p.shipper.Stats().Latency.P50 > ledger.Milliseconds(finalBatchTime) {
		rest = lastWrite // no last request would be answered
	}
	return deadline.Add(-min(rest, time.Until(deadline)/3))
}

// Cut closes the open records and has them sent.
func (p *pipeline) Seal() {
	// Whatever is wrong with the figures, what they are about is sent.
	guard.Run(p.log, "tell figures", func() {
		p.report()
		p.writeMetrics(false)
		p.addLosses()
	})
	for _, packer := range p.all() {
		packer.Seal()
	}
	p.shipper.Wake()
}

// CutIfOlder is Cut where the open record is older than age, or is needed to find
// out why the only one before it was refused.
func (p *pipeline) SealIfOlder(age time.Duration) {
	if p.own().Age() >= age || p.shipper.NeedsAnother() {
		p.Seal()
	}
}

// Unavailable reports whether nobody should be held.
func (p *pipeline) Unavailable() bool { return p.shipper.Unavailable() }

// Behind returns how long records wait without one that went through.
func (p *pipeline) Behind() time.Duration { return p.shipper.Behind() }

// Refusal returns what somebody has to mend before anything can be sent.
func (p *pipeline) PermanentError() error { return p.shipper.PermanentError() }

// Invoked notes that an invocation has begun.
func (p *pipeline) Invoked(request, trace string, at time.Time) {
	p.annotator.Invoked(request, trace, at)
}

// Released notes how long an invocation was held.
func (p *pipeline) Released(request string, held time.Duration, why flush.Reason) {
	p.invocations.Released(request, held, why)
}

// Flush sends what there is, and waits for it.
func (p *pipeline) Flush(ctx context.Context) error {
	if p.shipper.Unavailable() {
		return ship.ErrUnavailable // and records get full meanwhile
	}
	p.Seal()
	return p.shipper.Flush(ctx)
}

// CloseIntake stops taking telemetry in.
func (p *pipeline) CloseIntake(ctx context.Context) { p.listener.Close(ctx) }

// errNotDrained stands for what a fault kept from being sent.
var errNotDrained = errors.New("not everything was sent")

// Finish sends everything for the last time, before ctx's deadline. What Kinesis does not take in time
// goes to disk, for the next process of the environment, or is told as lost.
func (p *pipeline) Finish(ctx context.Context) {
	if p.spool != nil {
		defer p.leave()
	}
	guard.Run(p.log, "tell of the last invocations", p.addEnded)
	guard.Run(p.log, "report", func() { p.addReport(true) })
	p.Seal()
	deadline, _ := ctx.Deadline()
	sending, cancel := context.WithDeadline(ctx, p.sendUntil(deadline))
	defer cancel()
	p.awaitRecovery(sending, recoveryTime)
	if !p.recoveryState.CompareAndSwap(0, abandoned) {
		p.awaitRecovery(sending, time.Minute) // it is read; the rest takes no longer than sending it
	}
	err := errNotDrained
	guard.Run(p.log, "drain", func() { err = p.drain(sending) })
	p.stop()
	if err != nil {
		guard.Run(p.log, "keep what is left", func() { p.spillOrDrop(ctx) })
	}
	guard.Run(p.log, "tell metrics", func() { p.writeMetrics(true) })
	stats := p.shipper.Stats()
	p.log.Info("shipped", "events", stats.Events, "records", stats.Records, "bytes", stats.Bytes,
		"requests", stats.Requests, "retried_records", stats.Retried, "rejected_events", stats.Rejected, "lost_events", p.account.Total())
}

// tellEnded tells of invocations that are over without a platform.report.
func (p *pipeline) addEnded() {
	p.ingesting.Lock()
	defer p.ingesting.Unlock()
	for _, told := range p.invocations.Ended() {
		at := event.Event{Received: time.Now(), RequestID: told.Request, TraceID: told.Trace}
		p.addInvocation(p.own(), told.Body, &at)
	}
}

// leave closes the spool, with word for the next process of what it should find.
func (p *pipeline) leave() {
	if refs := p.queue.Stored(); len(refs) > 0 {
		for _, packer := range p.all() {
			p.spool.WriteManifest(packer.Origin(), packer.Last(), refs)
		}
	}
	p.spool.Close()
}

// drain sends everything, and then what was given up on the way.
func (p *pipeline) drain(ctx context.Context) error {
	if err := p.shipper.Drain(ctx); err != nil {
		return err
	}
	p.Seal()
	return p.shipper.Drain(ctx)
}

// giveIn is the end where Kinesis did not take everything: what is left goes to
// disk or is given up, and a last request tells of it.
func (p *pipeline) spillOrDrop(ctx context.Context) {
	before := p.account.Total()
	if p.spool != nil {
		p.spool.RetryNow()
	}
	p.queue.Check()
	p.queue.Spill()
	p.mu.Lock()
	p.ending = true // what is packed from here on does not queue behind what is left
	p.mu.Unlock()
	p.addReport(true)
	for _, packer := range p.all() {
		packer.Seal()
	}
	p.mu.Lock()
	words := p.finalBatch
	p.ending, p.finalBatch = false, nil
	p.mu.Unlock()

	untold := words
	if len(words) > 0 {
		untold = p.shipper.Last(ctx, words)
	}
	if p.spool != nil {
		for _, r := range words {
			if !slices.Contains(untold, r) {
				p.spool.Sent(r)
			}
		}
	}
	for _, r := range untold {
		p.queue.Push(r)
	}
	p.queue.Spill()
	p.queue.Check() // or the log would say that there is on disk what is not
	lost, spooled := p.account.Total()-before, p.queue.Waiting().Spooled
	what := "the rest is lost"
	switch {
	case spooled.Events > 0 && lost > 0:
		what = "of the rest, some is on disk, where the next process of this environment finds it, and some is lost"
	case spooled.Events > 0:
		what = "the rest is on disk, where the next process of this environment finds it"
	}
	p.log.Error("the environment ends before everything was in Kinesis; "+what, "error", p.shipper.LastError(),
		"lost_events", lost, "spooled_events", spooled.Events, "spooled_records", spooled.Records, "told_in_stream", len(words) > 0 && len(untold) == 0)
}
