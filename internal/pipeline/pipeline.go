// Package pipeline carries events from Lambda's Telemetry API to Kinesis: it numbers
// and packs them, queues the records, and has them sent. What it drops on the way it
// reports in the stream.
package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/invocation"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/resource"
	"github.com/kinetel/kinetel/internal/selection"
	"github.com/kinetel/kinetel/internal/ship"
	"github.com/kinetel/kinetel/internal/spool"
)

// Pipeline is everything between Lambda's Telemetry API and Kinesis. The loop calls it
// through lifecycle.Pipeline.
//
//	Lambda's Telemetry API
//	      | POST
//	   listener
//	      |
//	   Ingester --> source (selection) --> packer --> queue --> shipper --> Kinesis
//	      |                      |         ^  |       ^ |         ^
//	      | platform   undecided |         |  | lines | | records | wake, flush
//	      | events         lines v         |  v       | v         |
//	      |                  (spool, on disk)                     |
//	      +------> loop (next, hold, shut down)
//
// Events that are dropped on the way are counted in the ledger of their environment.
// The packer adds those counts to the stream.
type Pipeline struct {
	cfg      config.Config
	function extensionapi.Function
	stdout   io.Writer
	log      logging.Logger
	intake   Intake
	queue    *queue.Queue
	shipper  *ship.Shipper
	spool    *spool.Spool // nil: nothing is kept on disk
	account  *ledger.Account

	annotator   *annotate.Annotator
	invocations invocation.Tracker
	restored    sync.Once
	metrics     metrics
	redactor    *redact.Redactor // nil: nothing is redacted

	stopShipping context.CancelFunc
	shipped      chan struct{} // closed when the shipper has ended
	recovery     recovery

	// ingesting makes it atomic to choose an event's environment and to give the
	// event its sequence number: a restore cannot come in between.
	ingesting sync.Mutex // guards the next two
	current   *source
	snapshot  *source // from before the restore; nil: none

	mu           sync.Mutex // guards all below
	began        time.Time
	packers      []*pack.Packer // the one of current, then those of earlier environments
	recovered    int64          // events recovered from earlier processes
	dropped      ledger.Dropped
	reported     time.Time // when the last report was made
	since        int64     // events received up to then
	lostLogged   int64     // lost events that were logged
	lostLoggedAt time.Time // when they were logged
}

// Intake stops ingesting telemetry; *telemetry.Listener is one.
type Intake interface{ Close(ctx context.Context) }

// New returns a Pipeline that sends with putter, and writes metrics to stdout. redactor may
// be nil.
func New(function extensionapi.Function, cfg config.Config, redactor *redact.Redactor, putter ship.Putter, stdout io.Writer, log logging.Logger) *Pipeline {
	now := time.Now()
	p := &Pipeline{
		cfg: cfg, function: function, redactor: redactor, stdout: stdout, log: log, began: now, reported: now, metrics: metrics{writtenAt: now},
		account: &ledger.Account{}, annotator: annotate.New(cfg.Lambda.Initialization, cfg.RequestIDKeys...),
		shipped: make(chan struct{}), recovery: recovery{done: make(chan struct{})},
	}
	if formats.Named(cfg.Format).Details {
		p.annotator.OTLP(cfg.OTLPSpans)
	}
	p.invocations.SetSelected(p.selected)
	p.invocations.SetInitType(string(cfg.Lambda.Initialization))
	if redactor != nil {
		p.cfg.Attributes = redactAttributes(redactor, cfg.Attributes)
		p.cfg.LogGroups = slices.Clone(cfg.LogGroups)
		for i, name := range cfg.LogGroups {
			p.cfg.LogGroups[i] = string(redactor.Text([]byte(name)))
		}
	}
	queued := queue.Options{
		Max:        cfg.BufferBytes - p.maxUndecided(),
		Always:     cfg.Spool == config.SpoolAlways,
		LogDropper: pack.NewLogDropper(cfg.Compression),
	}
	if cfg.Spool != config.SpoolOff {
		opt := spool.Options{Dir: spoolDir(cfg.SpoolDir, function.Name), Max: cfg.SpoolBytes, Log: log, Check: pack.Checker{}}
		if queued.Always {
			opt.Reserve = pack.MaxRecord + 256<<10 + p.maxJournal() // the open record, as lines
		}
		p.spool = spool.New(opt)
		queued.Store = p.spool
		p.recovery.read = p.spool.Recover
	}
	p.queue = queue.New(queued)
	p.shipper = ship.New(p.queue, putter, cfg.PartitionKey.Colocated(), p.account.Total, logging.With(log, "stream", cfg.StreamName, "region", cfg.AWS.Region))
	p.shipper.AfterBurst(p.giveBack)
	p.current = p.newSource()
	p.packers = []*pack.Packer{p.current.packer}
	return p
}

// newSource returns an environment that begins now.
func (p *Pipeline) newSource() *source {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead (crypto/rand)
	res := &resource.Resource{
		Config:          p.cfg,
		AccountID:       p.function.AccountID,
		FunctionName:    p.function.Name,
		FunctionVersion: p.function.Version,
		Handler:         p.function.Handler,
		EnvironmentID:   hex.EncodeToString(id[:]),
	}
	env := environment.New(res.EnvironmentID, res.Details())
	env.Ledger = p.ledger(env)
	// They stay nil without a spool: with a nil *spool.Spool in them, they would not be.
	var journal pack.Journal
	var undecided selection.Journal
	if p.cfg.Spool == config.SpoolAlways {
		journal, undecided = p.spool, p.spool
	}
	s := &source{p: p, packer: p.packer(env, 1, journal), resource: res}
	s.selection = selection.New(selection.Options{
		Config: p.cfg.Selection, Withhold: p.cfg.Redaction.Unusable, Redact: p.redactor,
		Environment: env, Details: formats.Named(p.cfg.Format).Details, Sink: s, Cold: p.invocations.Cold,
		MaxBytes: p.maxUndecided(), Managed: p.cfg.Lambda.Initialization == config.ManagedInstances,
		Journal: undecided, MaxJournal: p.maxJournal(),
	})
	return s
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
func (p *Pipeline) ledger(env *environment.Environment) *ledger.Ledger {
	if p.cfg.Spool != config.SpoolAlways {
		return ledger.New(p.account, nil)
	}
	return ledger.New(p.account, func(loss ledger.Loss) { p.spool.Lost(env, loss) })
}

// packer returns a new packer for an environment. next is its first sequence number.
func (p *Pipeline) packer(env *environment.Environment, next uint64, journal pack.Journal) *pack.Packer {
	return pack.New(pack.Options{
		Environment:  env,
		FunctionName: p.function.Name,
		Format:       p.cfg.Format,
		Compression:  p.cfg.Compression,
		PartitionKey: p.cfg.PartitionKey,
		Next:         next,
		Journal:      journal,
		Runs:         p.cfg.Spool == config.SpoolAlways,
		Push: func(r *pack.Record) {
			p.queue.Push(r)
			p.shipper.Wake()
		},
		Log: p.log,
	})
}

// giveBack gives the memory that a burst took back to the system: the function may need it
// before the Go runtime would have found it.
func (p *Pipeline) giveBack() {
	for _, packer := range p.all() {
		packer.Trim()
	}
	runtime.GC() // sync.Pool has what it kept until a second collection
	debug.FreeOSMemory()
}

// all returns the packers: this environment's first, then those of earlier ones.
func (p *Pipeline) all() []*pack.Packer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.packers)
}

// own returns the packer of this environment.
func (p *Pipeline) own() *pack.Packer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packers[0]
}

// Start begins to ship. The telemetry of earlier processes of the environment goes
// first.
func (p *Pipeline) Start(intake Intake) {
	p.intake = intake
	ctx, cancel := context.WithCancel(context.Background())
	p.stopShipping = cancel
	go p.runRecovery()
	go func() {
		defer close(p.shipped)
		p.awaitRecovery(ctx, recoveryTime)
		p.shipper.Run(ctx)
	}()
}

// Stop ends the shipping, if Start has begun it. It does not wait for that.
func (p *Pipeline) Stop() {
	if p.stopShipping != nil {
		p.stopShipping()
	}
}

// lifecycle.Pipeline documents these.

func (p *Pipeline) Invoked(request, arn, trace string, at time.Time) {
	p.annotator.Invoked(request, trace, at)
	p.invocations.Invoked(request, arn)
}

func (p *Pipeline) Released(request string, held time.Duration, why flush.Reason) {
	p.invocations.Released(request, held, why)
}

func (p *Pipeline) Unavailable() bool { return p.shipper.Unavailable() }

func (p *Pipeline) Behind() time.Duration { return p.shipper.Behind() }

func (p *Pipeline) PermanentError() error { return p.shipper.PermanentError() }

func (p *Pipeline) Thawed(age time.Duration) {
	guard.Run(p.log, "send after a freeze", p.shipper.Thawed)
	if p.own().Age() >= age || p.shipper.NeedsAnother() {
		p.Seal()
	}
}

func (p *Pipeline) Seal() {
	// A fault in the figures must not keep the records from being sent.
	guard.Run(p.log, "add figures to the stream", func() {
		p.report()
		p.writeMetrics(false)
		p.logLosses()
	})
	for _, packer := range p.all() {
		packer.Seal()
	}
	p.shipper.Wake()
}

func (p *Pipeline) Flush(ctx context.Context) error {
	if p.shipper.Unavailable() {
		return ship.ErrUnavailable // without Seal: meanwhile the open record fills up
	}
	p.Seal()
	return p.shipper.Flush(ctx)
}
