// Package pack turns events into Kinesis records: it numbers them, writes each
// as a line of kinetel/1, and makes of runs of lines compressed records, in the
// format that is asked for, that are within every limit of Kinesis and Firehose.
package pack

import (
	"bytes"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/event"
	"kinetel/internal/format"
	"kinetel/internal/ledger"
)

const (
	// MaxEvents is how many events a record carries. Firehose's
	// deaggregation takes no more (AWS documentation, dynamic partitioning).
	MaxEvents = 500
	// MaxRecord is the size of a record, its data and its partition key, that
	// every stream takes (Kinesis API reference, PutRecords).
	MaxRecord = 1 << 20
)

// Origin is an execution environment, as what its records have in common. It
// is another one than this process's own for what an earlier process left.
type Origin struct {
	EnvironmentID string
	Resource      []byte // of its lines, as JSON
	Ledger        *ledger.Ledger

	details atomic.Pointer[format.Details]
}

// Describe says more about the environment than its lines do.
func (o *Origin) Describe(d format.Details) { o.details.Store(&d) }

// Details returns what Describe was told last.
func (o *Origin) Details() format.Details {
	if d := o.details.Load(); d != nil {
		return *d
	}
	return format.Details{}
}

// Record is a Kinesis record, ready to be sent.
type Record struct {
	Data         []byte
	PartitionKey string
	Origin       *Origin
	// First and Last are the sequence numbers of its events, of which some
	// between may be missing: what was taken out to save the others.
	First, Last uint64
	Events      int
	Droppable    int           // events that are given up before the others: lines
	Lines       int64         // bytes before compression
	Losses      []ledger.Loss // that its lines tell of
	Throttled   int           // times that Kinesis did not take it; the shipper's
}

// GiveUp has the record told of as lost.
func (r *Record) Drop(reason ledger.Reason) {
	r.Origin.Ledger.Lost(r.Loss(reason))
	r.Origin.Ledger.Requeue(r.Losses)
}

// Bound reports whether the record's data is bound to its partition key, so that
// it must not get another one.
func (r *Record) Bound() bool { return format.IsKPL(r.Data) }

// Size is what Kinesis counts of the record.
func (r *Record) Size() int { return len(r.Data) + len(r.PartitionKey) }

// Loss is the record as a loss.
func (r *Record) Loss(reason ledger.Reason) ledger.Loss {
	return ledger.Loss{First: r.First, Last: r.Last, Count: r.Events, Bytes: r.Lines, Reason: reason}
}

// Journal makes what was acknowledged outlive the process; *spool.Spool is one.
type Journal interface {
	// Journal keeps the lines of events first to last, which follow those of
	// earlier calls, and text that is no event yet, which takes the place of
	// an earlier call's. It reports whether they are kept.
	Journal(o *Origin, first, last uint64, lines, fragment []byte) bool
	// ForgetJournal forgets the lines: they are in records that were pushed.
	ForgetJournal(o *Origin)
	// JournalLost reports, once, that what was kept since ForgetJournal was
	// deleted by somebody else.
	JournalLost(o *Origin) bool
}

// Options are what a Packer needs to know; all but Journal and Next are
// required.
type Options struct {
	Origin       *Origin
	FunctionName string
	Format       config.Format      // empty: ndjson
	Compression  config.Compression // that the format allows
	PartitionKey config.PartitionKey
	Next         uint64  // the first sequence number to give; 0 means 1
	Journal      Journal // nil: what is not pushed is only in memory
	// Runs: the numbers of each record have no gaps, though it takes more
	// records. What is in a record, and not in the journal alone, is known by
	// its first and last number after a kill.
	Runs bool
	// Push takes each record, in order. It must not call the Packer.
	Push func(*Record)
	Log  *slog.Logger
}

// Packer fills the open record with events. It is safe for concurrent use;
// numbers and records are in the order of the calls.
type Packer struct {
	opt Options

	mu       sync.Mutex // guards all below
	seq      uint64     // of the last event
	lines    []byte     // of the open record
	events   int        // of the open record
	ordinary int        // of these
	opened   time.Time  // when the open record got its first line
	losses   []ledger.Loss
	zip      compressor
	payload  []byte        // memory of a record before compression
	read     []format.Line // memory of the open record's lines, taken apart

	kept     int    // bytes of lines that are in the journal
	keptLast uint64 // the last of their events
	fragment []byte // acknowledged, and no event yet
	stale    bool   // the journal does not have the fragment as it is

	received Received
}

// Received counts what was taken in.
type Received struct {
	Events int64 // of Lambda's
	Bytes  int64 // of their records
	Own    int64 // events of Kinetel's own
	Parts  int64 // numbers that events in parts took beyond their first
}

// New returns a Packer.
func New(opt Options) *Packer {
	if opt.Format == "" {
		opt.Format = config.FormatNDJSON
	}
	return &Packer{
		opt: opt,
		seq: max(opt.Next, 1) - 1,
		zip: compressor{kind: opt.Compression},
	}
}

// Add numbers an event and puts it into the open record. It keeps nothing of
// the event, and returns the numbers that it took: more than one where it goes in
// parts.
func (p *Packer) Add(ev *event.Event) (first, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received.Events++
	p.received.Bytes += int64(len(ev.Record))
	first = p.seq + 1
	p.add(ev)
	return first, p.seq
}

// AddOwn is Add for an event of Kinetel's own.
func (p *Packer) AddOwn(ev *event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received.Own++
	p.add(ev)
}

// Origin returns the environment that the Packer numbers events of.
func (p *Packer) Origin() *Origin { return p.opt.Origin }

// Last returns the highest sequence number that was given.
func (p *Packer) Last() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

// Received returns what was taken in so far.
func (p *Packer) Received() Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.received
}

// add adds an event, which may tell of losses.
func (p *Packer) add(ev *event.Event, tells ...ledger.Loss) {
	if size := p.replacedTooLong(ev.Record); size > 0 {
		p.seal()
		p.addParts(ev, size, size)
		return
	}
	p.append(ev, format.Part{}, tells)
	if p.events == 1 && len(p.lines) > p.maxLines() {
		p.cutLong(ev)
	} else if len(p.lines) >= p.maxLines() {
		p.seal()
	}
}

// append puts a line into the open record, or into the next one where it does
// not fit.
func (p *Packer) append(ev *event.Event, part format.Part, tells []ledger.Loss) {
	if p.events == MaxEvents {
		p.seal()
	}
	if p.events == 0 {
		p.opened = time.Now()
	}
	before := len(p.lines)
	p.lines = format.AppendLine(p.lines, p.seq+1, ev, part, p.opt.Origin.Resource)
	if p.events > 0 && len(p.lines) > p.maxLines() {
		// It does not fit with the others: they go first.
		line := p.lines[before:]
		p.lines = p.lines[:before]
		p.seal()
		p.opened = time.Now()
		p.lines = append(p.lines, line...) // within the same memory, towards its front
	}
	p.seq++
	p.events++
	if event.Droppable(ev.Type) {
		p.ordinary++
	}
	p.losses = append(p.losses, tells...)
}

// maxLines bounds the lines of a record, so that it is within Kinesis' limit even
// where nothing can be compressed, whatever its partition key and with what a
// compressed format adds. A single line may be longer.
func (p *Packer) maxLines() int {
	switch p.opt.Format {
	case config.FormatOTLP, config.FormatCloudWatch:
		// A line takes up to twice its size there, and some more.
		return MaxRecord/2 - 16<<10
	case config.FormatKPL:
		return MaxRecord - 16<<10 // up to 16 bytes a line, and a table
	case config.FormatNDJSON, config.FormatJSON:
	}
	return MaxRecord - 4<<10
}

// Cut closes the open record, if there is one, and tells of losses in one of
// their own.
func (p *Packer) Seal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seal()
	p.addLosses()
}

// Age returns how long ago the open record was begun; 0 where there is none.
func (p *Packer) Age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.events == 0 {
		return 0
	}
	// Round strips the monotonic reading, which may stand still while the
	// environment is frozen.
	return max(time.Now().Round(0).Sub(p.opened.Round(0)), 0)
}

// tell puts the losses that nobody was told of into a record.
func (p *Packer) addLosses() {
	losses := p.opt.Origin.Ledger.TakePending()
	if len(losses) == 0 {
		return
	}
	now := time.Now()
	for _, loss := range losses {
		p.received.Own++
		p.add(&event.Event{Received: now, Type: []byte(event.TypeLoss), Record: loss.AppendJSON(nil)}, loss)
	}
	p.seal()
}

// cut closes the open record.
func (p *Packer) seal() {
	if p.events == 0 {
		return
	}
	if p.opt.Format == config.FormatNDJSON && p.opt.PartitionKey != config.PartitionByRequest {
		p.push(&Record{ // the lines are all there is to it
			Data:         p.compress(p.lines),
			PartitionKey: p.key(nil),
			First:        p.seq + 1 - uint64(p.events),
			Last:         p.seq,
			Events:       p.events,
			Droppable:     p.ordinary,
			Lines:        int64(len(p.lines)),
			Losses:       p.losses,
		})
	} else {
		p.encode()
	}
	p.begin()
}

// push hands a record on.
func (p *Packer) push(r *Record) {
	r.Origin = p.opt.Origin
	p.opt.Push(r)
}

// begin begins a record.
func (p *Packer) begin() {
	p.lines, p.events, p.ordinary, p.losses = p.lines[:0], 0, 0, nil
	if cap(p.lines) > 2*MaxRecord {
		p.lines = nil // one line was huge; its memory is not kept
	}
	if p.opt.Journal == nil {
		return
	}
	p.kept, p.keptLast = 0, p.seq
	p.opt.Journal.ForgetJournal(p.opt.Origin)
	if len(p.fragment) > 0 {
		p.stale = !p.opt.Journal.Journal(p.opt.Origin, p.seq+1, p.seq, nil, p.fragment)
	}
}

// Commit makes what was added since the last call outlive the process, and with
// it the fragment, text that is no event yet, which must not be changed until
// the next call. Without a Journal there is nothing to do.
func (p *Packer) Commit(fragment []byte) {
	if p.opt.Journal == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = p.stale || !bytes.Equal(fragment, p.fragment)
	p.fragment = fragment
	if p.opt.Journal.JournalLost(p.opt.Origin) {
		p.kept, p.stale = 0, true
	}
	if p.kept == len(p.lines) && !p.stale {
		return
	}
	// What could not be kept the last time is tried again with the rest.
	first := p.seq + 1 - uint64(p.events)
	if p.kept > 0 {
		first = p.keptLast + 1
	}
	if p.opt.Journal.Journal(p.opt.Origin, first, p.seq, p.lines[p.kept:], fragment) {
		p.kept, p.keptLast, p.stale = len(p.lines), p.seq, false
	}
}

// Restore closes records of lines that were numbered before, from first on, in
// an environment that has ended. Its last number is below Next. The Packer must
// have no Journal: it would forget the lines with the first record of them.
func (p *Packer) Restore(first uint64, lines []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seal()
	next := p.seq
	p.seq = first - 1
	for line := range bytes.Lines(lines) {
		if p.events == MaxEvents || p.events > 0 && len(p.lines)+len(line) > p.maxLines() {
			p.seal()
		}
		p.lines = append(p.lines, line...)
		p.seq++
		p.events++
		if event.Droppable(format.TypeOf(line)) {
			p.ordinary++
		}
	}
	p.seal()
	p.seq = next
}
