package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/lifecycle"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/testkit"
)

var function = extensionapi.Function{Name: "orders", Version: "$LATEST", AccountID: "123456789012"}

// process is a process of the extension, from its start to its end.
type process struct {
	*Pipeline
	intake   *Ingester
	log      *testkit.Entries
	fragment string

	intakeClose func(ctx context.Context) // called first; nil: nothing
}

func newProcess(cfg config.Config, s *stream) *process {
	p := &process{log: &testkit.Entries{}}
	p.begin(cfg, s)
	p.Start(p)
	return p
}

func (p *process) begin(cfg config.Config, s *stream) {
	p.Pipeline = New(function, cfg, nil, s, io.Discard, slog.New(p.log))
	p.intake = p.NewIngester(lifecycle.New(nil, p.Pipeline, cfg, nil, slog.New(p.log)))
}

// Close does what the listener does at its end: it ingests the fragment as text.
func (p *process) Close(ctx context.Context) {
	if p.intakeClose != nil {
		p.intakeClose(ctx)
	}
	if p.fragment != "" {
		p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte(event.TypeUnparsed), Record: jsontext.AppendQuote(nil, p.fragment)})
		p.fragment = ""
	}
	p.intake.Commit(nil)
}

// finishFragment ingests the rest of a record that was cut.
func (p *process) finishFragment() {
	if p.fragment == "" {
		return
	}
	i := strings.Index(p.fragment, "id-")
	p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: jsontext.AppendQuote(nil, p.fragment[i:])})
	p.fragment = ""
}

// end is the state of a process when it has ended.
type end struct {
	given      map[string]uint64 // sequence numbers assigned, by environment
	unreported map[string][]ledger.Loss
}

// ended returns what an ended process has in memory.
func (p *process) ended() end {
	e := end{given: map[string]uint64{}, unreported: map[string][]ledger.Loss{}}
	for _, packer := range p.all() {
		id, r := packer.Environment().ID, packer.Added()
		e.given[id] += uint64(r.Events + r.Own + r.Parts)
		packer.SealTo(func(r *pack.Record) { e.unreported[id] = append(e.unreported[id], r.Losses...) })
	}
	return e
}

// sandbox is a function's execution environment, in which processes of the extension run
// one after the other.
type sandbox struct {
	cfg        config.Config
	stream     *stream
	process    *process
	next       int                        // id of the next event
	added      map[string]map[string]bool // ids of events, by environment
	huge       map[string]string          // records of huge events, by id
	given      map[string]uint64          // numbers, by environment
	leftOut    map[string]int64           // events that have no number, by environment
	unreported map[string][]ledger.Loss   // losses that are reported only in the log
	memory     map[string]bool            // environments that were killed with something only in memory
	problems   []string
	dirs       int
	root       string
	texts      *rand.Rand
	poisoned   bool
	killed     bool
	corrupted  bool
	tally      map[string]int64 // what happened, for the reader
}

func newSandbox(cfg config.Config, seed uint64, root string, tally map[string]int64) *sandbox {
	box := &sandbox{
		cfg: cfg, stream: &stream{rng: rand.New(rand.NewPCG(seed, 1))}, root: root, texts: rand.New(rand.NewPCG(seed, 2)),
		added: map[string]map[string]bool{}, huge: map[string]string{}, given: map[string]uint64{}, leftOut: map[string]int64{},
		unreported: map[string][]ledger.Loss{}, memory: map[string]bool{}, tally: tally,
	}
	box.cfg.SpoolDir = filepath.Join(root, "dir0")
	box.begin()
	return box
}

// inSandbox runs a test in fake time, and then checks it like a schedule. All sleeps of
// this file are in a synctest bubble.
func inSandbox(t *testing.T, play func(t *testing.T, box *sandbox), change ...func(*config.Config)) {
	t.Helper()
	cfg := config.Config{
		StreamName: "telemetry", Types: []string{"platform", "function"}, Format: ndjson.Name, Flush: flush.ModeEnd, FlushInterval: 10 * time.Second, MaxHold: 500 * time.Millisecond,
		Compression: format.Gzip, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOverflow,
		BufferBytes: 16 << 20, SpoolBytes: 64 << 20, Report: config.Report{Events: true}, Lambda: config.Lambda{Region: "eu-west-1"},
	}
	for _, f := range change {
		f(&cfg)
	}
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		box := newSandbox(cfg, 1, root, map[string]int64{})
		play(t, box)
		box.rest()
		for _, problem := range append(box.problems, box.stream.problems...) {
			t.Error(problem)
		}
	})
}

func withSpool(s config.Spool) func(*config.Config) {
	return func(cfg *config.Config) { cfg.Spool = s }
}

func (box *sandbox) problem(format string, args ...any) {
	box.problems = append(box.problems, fmt.Sprintf(format, args...))
}

func (box *sandbox) begin() {
	box.process = newProcess(box.cfg, box.stream)
}

// note records that an event was added to the process's own environment.
func (box *sandbox) note(id string) {
	environment := box.process.own().Environment().ID
	if box.added[environment] == nil {
		box.added[environment] = map[string]bool{}
	}
	box.added[environment][id] = true
}

// add adds events as a body of telemetry does.
func (box *sandbox) add(n, size int, fragment bool) {
	p := box.process
	p.finishFragment()
	for range n {
		box.next++
		id := fmt.Sprintf("id-%d-di", box.next)
		box.note(id)
		kind := []string{"function", "function", "extension", event.TypePlatformStart, event.TypePlatformReport}[box.texts.IntN(5)]
		text := box.text(size)
		if box.texts.IntN(40) == 0 {
			text, box.poisoned = poison, true
		}
		p.intake.Ingest(&event.Event{
			Received: time.Now(), Type: []byte(kind),
			Record: fmt.Appendf(nil, `{"requestId":"r%d","id":"%s","text":"%s"}`, box.next/7, id, text),
		})
	}
	if fragment {
		box.next++
		id := fmt.Sprintf("id-%d-di", box.next)
		box.note(id)
		p.fragment = `{"time":"2026-11-22T20:15:00.123Z","type":"function","record":"` + id
	}
	p.intake.Commit([]byte(p.fragment))
}

// text returns text that does not compress well.
func (box *sandbox) text(size int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, size)
	for i := range b {
		b[i] = letters[box.texts.IntN(64)]
	}
	return string(b)
}

func (box *sandbox) addHuge(size int) {
	p := box.process
	p.finishFragment()
	box.next++
	id := fmt.Sprintf("id-%d-di", box.next)
	box.note(id)
	body := fmt.Sprintf(`{"id":"%s","text":"%s"}`, id, box.text(size))
	box.huge[id] = body
	p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: []byte(body)})
	p.intake.Commit(nil)
}

// restore restores the process from a snapshot, by the event that Lambda sends.
func (box *sandbox) restore() {
	p := box.process
	before := p.own().Environment().ID
	p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte(event.TypePlatformRestoreStart), Record: []byte(`{}`)})
	p.intake.Commit([]byte(p.fragment))
	if p.fragment != "" { // the fragment gets its number when it is an event
		id := p.fragment[strings.Index(p.fragment, "id-"):]
		delete(box.added[before], id)
		box.note(id)
	}
	box.tally["restores"]++
}

// collect records the state of an ended process.
func (box *sandbox) collect(p *process) end {
	e := p.ended()
	for id, n := range e.given {
		box.given[id] += n
	}
	for _, s := range []*source{p.current, p.snapshot} {
		if s != nil {
			n := s.leftOut()
			box.leftOut[s.packer.Environment().ID] += n.Total()
			box.tally["events left out"] += n.Total()
		}
	}
	if box.cfg.Spool != config.SpoolAlways { // otherwise they are on disk, and the next process reports them
		for id, losses := range e.unreported {
			box.unreported[id] = append(box.unreported[id], losses...)
		}
	}
	return e
}

// finish ends a process as Lambda's SHUTDOWN does.
func (box *sandbox) finish(within time.Duration) {
	p := box.process
	p.Ending(time.Now().Add(within))
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	p.Finish(ctx)
	cancel()
	if took := time.Since(began); took > within {
		box.problem("Finish took %s of %s", took, within)
	}
	// The totals have to be true, not only consistent.
	received := p.recovered
	for _, packer := range p.all() {
		r := packer.Added()
		received += r.Events + r.Own + r.Parts
	}
	stats, waiting := p.shipper.Stats(), p.queue.Waiting()
	if sum := stats.Events + p.account.Total() + int64(waiting.Events); sum != received {
		box.problem("%d events received, but %d shipped + %d lost + %d waiting", received, stats.Events, p.account.Total(), waiting.Events)
	}
	if waiting.Events != waiting.Spooled.Events {
		box.problem("the process has ended, and of %d events %d are on disk", waiting.Events, waiting.Spooled.Events)
	}
	lost, reasons := p.account.Total(), p.account.Lost()
	box.tally["processes"]++
	box.tally["events recovered"] += p.recovered
	for reason, n := range reasons {
		box.tally["events lost: "+string(reason)] += n
	}
	if waiting.Events > 0 {
		box.tally["processes that left events"]++
	}
	end := box.collect(p)
	unreported := 0
	for _, losses := range end.unreported {
		unreported += len(losses)
	}
	if unreported > 0 && box.cfg.Spool != config.SpoolAlways {
		logged := p.log.Find(slog.LevelDebug, "the environment ends before everything was in Kinesis")
		if len(logged) != 1 || logged[0].Attrs["reported_in_stream"] != false || logged[0].Attrs["lost_events"].(int64) <= 0 {
			box.problem("losses are reported nowhere: %v; log: %v", end.unreported, logged)
		}
	}
	if box.cfg.Spool != config.SpoolOff && reasons[ledger.SpoolFull] == 0 && reasons[ledger.Shutdown]+reasons[ledger.BufferFull] > 0 {
		box.problem("of %d events lost there are %v, though there is a disk", lost, reasons)
	}
	if !box.corrupted && reasons[ledger.SpoolCorrupt] > 0 || !box.poisoned && reasons[ledger.Rejected] > 0 {
		box.problem("of %d events lost there are %v", lost, reasons)
	}
}

// kill ends a process without a shutdown. The next process gets its files.
func (box *sandbox) kill() {
	p := box.process
	synctest.Wait()
	box.dirs++
	dir := filepath.Join(box.root, fmt.Sprint("dir", box.dirs))
	if err := os.CopyFS(dir, os.DirFS(box.cfg.SpoolDir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		box.problem("copy the spool: %v", err)
	}
	box.tally["processes killed"]++
	box.killed = true
	logged := len(p.log.Find(slog.LevelDebug, "the spool is full")) > 0
	waiting := p.queue.Waiting()
	onlyInMemory := logged || waiting.Events > waiting.Spooled.Events
	if onlyInMemory && !logged {
		box.problem("%d events are only in memory, and not in the log", waiting.Events-waiting.Spooled.Events)
	}
	p.Stop()
	<-p.shipped
	p.spool.Close()
	box.cfg.SpoolDir = dir
	for id := range box.collect(p).given {
		box.memory[id] = box.memory[id] || onlyInMemory
	}
}

// empty deletes the spool's files, as a handler that empties /tmp does. What was only
// on disk is lost, and is reported as soon as the next body comes.
func (box *sandbox) empty() {
	synctest.Wait()
	if err := os.RemoveAll(box.cfg.SpoolDir); err != nil {
		box.problem("empty the spool: %v", err)
	}
	box.corrupted = true
	box.add(1, 10, false)
	if n, onDisk := box.process.queue.Waiting().Spooled.Records, len(box.process.queue.Stored()); n != onDisk {
		box.problem("%d records are reported on disk, and %d are there", n, onDisk)
	}
}

// rest ends every schedule: Kinesis accepts everything, and one more process sends what
// was not sent.
func (box *sandbox) rest() {
	box.stream.become(accepts)
	box.finish(time.Hour)
	box.begin()
	synctest.Wait()
	box.finish(time.Hour)
	box.check()
}
