// Package pack turns events into Kinesis records. It numbers the events, writes each
// as a line of kinetel/1, and packs runs of lines into compressed records in the
// configured format. The records are within every limit of Kinesis and Firehose.
package pack

import (
	"bytes"
	"strconv"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/wallclock"
)

const (
	// MaxEvents is how many events a record holds at most. Firehose's deaggregation
	// accepts no more (AWS documentation, dynamic partitioning).
	MaxEvents = 500
	// MaxRecord is the largest size of a record, data and partition key.
	MaxRecord = format.MaxRecord
)

// Record is a Kinesis record, ready to be sent.
type Record struct {
	Data         []byte
	PartitionKey string
	Environment  *environment.Environment
	// First and Last are the first and the last sequence number of its events.
	// Numbers between them can be missing: those of events that were dropped so that
	// the others could stay.
	First, Last uint64
	Events      int
	Droppable   int           // events that may be dropped before the others: log lines
	Lines       int64         // bytes before compression
	Losses      []ledger.Loss // that its lines report
	Throttled   int           // how often Kinesis did not accept it; the shipper sets it
}

// Drop reports the record lost.
func (r *Record) Drop(reason ledger.Reason) {
	r.Environment.Ledger.Lost(r.Loss(reason))
	r.Environment.Ledger.Requeue(r.Losses)
}

// Bound reports whether the record's data depends on its partition key, which must
// not change then.
func (r *Record) Bound() bool {
	f, ok := formats.Of(r.Data)
	return ok && f.HasKey
}

// Size returns the size of the record as Kinesis counts it.
func (r *Record) Size() int { return len(r.Data) + len(r.PartitionKey) }

// Loss returns the loss of all of the record's events.
func (r *Record) Loss(reason ledger.Reason) ledger.Loss {
	return ledger.Loss{First: r.First, Last: r.Last, Count: r.Events, Bytes: r.Lines, Reason: reason}
}

// Journal stores acknowledged events so that they survive a kill of the process.
// *spool.Spool is a Journal.
type Journal interface {
	// Journal appends the lines of the events first to last, which follow those of
	// earlier calls. fragment is text that is not an event yet; it replaces that of
	// an earlier call. Journal reports whether both are stored.
	Journal(o *environment.Environment, first, last uint64, lines, fragment []byte) bool
	// ForgetJournal deletes the lines, because they are in records that were pushed.
	ForgetJournal(o *environment.Environment)
	// JournalLost reports, once, that another process deleted what was stored since
	// ForgetJournal.
	JournalLost(o *environment.Environment) bool
}

// Options configure a Packer.
type Options struct {
	Environment  *environment.Environment
	FunctionName string
	Format       format.Name        // empty: the default
	Compression  format.Compression // one that the format allows
	PartitionKey config.PartitionKey
	Next         uint64  // the first sequence number to assign; 0 means 1
	Journal      Journal // nil: events that are not pushed are only in memory
	// Runs makes the sequence numbers of each record contiguous, at the cost of more
	// records. After a kill, the first and last number of a record then show which
	// events of the journal are also in a record.
	Runs bool
	// Push receives each record, in order. It must not call the Packer.
	Push func(*Record)
	Log  logging.Logger
}

// Packer fills the open record with events. It is safe for concurrent use. Numbers
// and records are in the order of the calls.
type Packer struct {
	opt    Options
	format format.Format

	mu        sync.Mutex // guards all below
	seq       uint64     // of the last event
	lines     []byte     // of the open record
	events    int        // of the open record
	droppable int        // of these
	opened    time.Time  // when the first line was added to the open record
	losses    []ledger.Loss
	zip       compressor
	payload   []byte        // buffer of a record before compression
	read      []format.Line // buffer of the open record's parsed lines
	// details are those of the open record's lines, if the format needs them.
	details []format.Details

	journaled     int    // bytes of lines that are in the journal
	journaledLast uint64 // the last of their events
	fragment      []byte // acknowledged text that is not an event yet
	stale         bool   // the journal does not have the current fragment

	added Added
}

// Added counts what was added.
type Added struct {
	Events int64 // from Lambda
	Own    int64 // Kinetel's own events
	Parts  int64 // sequence numbers of parts beyond the first of each event
}

// New returns a Packer.
func New(opt Options) *Packer {
	return &Packer{
		opt:    opt,
		format: formats.Named(opt.Format),
		seq:    max(opt.Next, 1) - 1,
		zip:    compressor{kind: opt.Compression},
	}
}

// Add numbers an event and adds it to the open record. It keeps no reference to the
// event. It returns the first and last number of the event, which differ if the event
// goes in parts.
func (p *Packer) Add(ev *event.Event) (first, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.added.Events++
	first = p.seq + 1
	p.add(ev)
	return first, p.seq
}

// AddLines is Add for events that format.AppendLine wrote with the number 0. Each line
// must be within format.ShortLine. details are those of the lines; nil if they are not known.
// before, if it is not nil, is called with the first number before any line has one. It
// must not call the Packer.
func (p *Packer) AddLines(lines []byte, details []format.Details, before func(first uint64)) (first, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = p.seq + 1
	if before != nil {
		before(first)
	}
	received := format.Details{Received: time.Now().UnixNano()}
	for line := range bytes.Lines(lines) {
		p.added.Events++
		p.makeRoom()
		at := len(p.lines)
		p.lines = strconv.AppendUint(append(p.lines, format.Start...), p.seq+1, 10)
		p.lines = append(p.lines, line[len(format.Start)+len("0"):]...)
		p.sealBefore(at)
		p.count(format.TypeOf(line))
		switch {
		case !p.format.Details:
		case details == nil:
			p.details = append(p.details, received)
		default:
			p.details = append(p.details, details[0])
			details = details[1:]
		}
	}
	return first, p.seq
}

// AddOwn is Add for one of Kinetel's own events.
func (p *Packer) AddOwn(ev *event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.added.Own++
	p.add(ev)
}

// Environment returns the environment whose events the Packer numbers.
func (p *Packer) Environment() *environment.Environment { return p.opt.Environment }

// Last returns the highest sequence number that was assigned.
func (p *Packer) Last() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

// Added returns the counts of what was added so far.
func (p *Packer) Added() Added {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.added
}

// add adds an event, which reports the losses, if there are any.
func (p *Packer) add(ev *event.Event, losses ...ledger.Loss) {
	if size := p.replacedTooLong(ev.Record); size > 0 {
		p.seal()
		p.addParts(ev, size, size)
		return
	}
	p.append(ev, format.Part{}, losses)
	if p.events == 1 && len(p.lines) > p.format.MaxLines {
		p.sealLong(ev)
	} else if len(p.lines) >= p.format.MaxLines {
		p.seal()
	}
}

// append adds a line to the open record, or to the next one if it does not fit.
func (p *Packer) append(ev *event.Event, part format.Part, losses []ledger.Loss) {
	p.makeRoom()
	before := len(p.lines)
	p.lines = format.AppendLine(p.lines, p.seq+1, ev, part, p.opt.Environment.Details().Resource)
	p.sealBefore(before)
	p.count(ev.Type)
	if p.format.Details {
		p.details = append(p.details, format.DetailsOf(ev))
	}
	p.losses = append(p.losses, losses...)
}

// makeRoom closes the open record if it has no room for another event.
func (p *Packer) makeRoom() {
	if p.events == MaxEvents {
		p.seal()
	}
	if p.events == 0 {
		p.opened = time.Now()
	}
}

// sealBefore closes the record of the lines before the last one, which begins at an
// offset, if that one does not fit.
func (p *Packer) sealBefore(offset int) {
	if p.events == 0 || len(p.lines) <= p.format.MaxLines {
		return
	}
	line := p.lines[offset:]
	p.lines = p.lines[:offset]
	p.seal()
	p.opened = time.Now()
	p.lines = append(p.lines, line...) // moves the line to the front of the same memory
}

// count gives the last line its number.
func (p *Packer) count(kind []byte) {
	p.seq++
	p.events++
	if event.Droppable(kind) {
		p.droppable++
	}
}

// Seal closes the open record, if there is one, and reports the pending losses in a
// record of their own.
func (p *Packer) Seal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seal()
	p.addLosses()
}

// SealTo is Seal, but push receives the records.
func (p *Packer) SealTo(push func(*Record)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	usual := p.opt.Push
	defer func() { p.opt.Push = usual }()
	p.opt.Push = push
	p.seal()
	p.addLosses()
}

// Age returns the age of the open record, or 0 if there is none.
func (p *Packer) Age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.events == 0 {
		return 0
	}
	return max(wallclock.Since(p.opened), 0)
}

// seal closes the open record.
func (p *Packer) seal() {
	if p.events == 0 {
		return
	}
	if p.format.Append == nil && !p.format.OneLine && p.opt.PartitionKey != config.PartitionByRequest {
		lines := int64(len(p.lines))
		p.push(&Record{ // the lines are the data
			Data:         p.linesAsData(),
			PartitionKey: p.key(nil),
			First:        p.seq + 1 - uint64(p.events),
			Last:         p.seq,
			Events:       p.events,
			Droppable:    p.droppable,
			Lines:        lines,
			Losses:       p.losses,
		})
	} else {
		p.encode()
	}
	p.begin()
}

// linesAsData returns the open record's lines as the data of a record. Uncompressed, they
// go as they are, without a copy, unless that would keep much more memory than they need.
func (p *Packer) linesAsData() []byte {
	lines := p.lines
	if p.opt.Compression != format.Uncompressed || cap(lines)-len(lines) > len(lines)/8 {
		return p.compress(lines)
	}
	p.lines = make([]byte, 0, len(lines)+len(lines)/16) // the next record is alike
	return lines
}

// push passes a record to Options.Push.
func (p *Packer) push(r *Record) {
	r.Environment = p.opt.Environment
	p.opt.Push(r)
}

// begin starts a new record, and deletes the lines of the last one from the journal.
func (p *Packer) begin() {
	p.lines, p.events, p.droppable, p.losses, p.details = p.lines[:0], 0, 0, nil, p.details[:0]
	if cap(p.lines) > 2*MaxRecord {
		p.lines = nil // release the memory of a very large line
	}
	if p.opt.Journal == nil {
		return
	}
	p.journaled, p.journaledLast = 0, p.seq
	p.opt.Journal.ForgetJournal(p.opt.Environment)
	if len(p.fragment) > 0 {
		p.stale = !p.opt.Journal.Journal(p.opt.Environment, p.seq+1, p.seq, nil, p.fragment)
	}
}

// Trim releases memory that only large records need.
func (p *Packer) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = bytes.Clone(p.lines)
	if p.events == 0 {
		p.details = nil
	}
	p.payload, p.read, p.zip = nil, nil, compressor{kind: p.zip.kind}
}

// Commit stores the events that were added since the last call in the Journal, and
// with them the fragment, text that is not an event yet. The caller must not change
// the fragment until the next call. Without a Journal, Commit does nothing. It reports
// whether all of it is stored.
func (p *Packer) Commit(fragment []byte) (stored bool) {
	if p.opt.Journal == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = p.stale || !bytes.Equal(fragment, p.fragment)
	p.fragment = fragment
	if p.opt.Journal.JournalLost(p.opt.Environment) {
		p.journaled, p.stale = 0, true
	}
	if p.journaled == len(p.lines) && !p.stale {
		return true
	}
	// If the last call could not store its lines, they are stored with the new ones.
	first := p.seq + 1 - uint64(p.events)
	if p.journaled > 0 {
		first = p.journaledLast + 1
	}
	if p.opt.Journal.Journal(p.opt.Environment, first, p.seq, p.lines[p.journaled:], fragment) {
		p.journaled, p.journaledLast, p.stale = len(p.lines), p.seq, false
	}
	return !p.stale && p.journaled == len(p.lines)
}

// Restore pushes records of recovered lines, which have their numbers already, from
// first on, in an environment that has ended. Their last number is below Next. The
// Packer must have no Journal: with the first record it would delete the lines from
// the journal. The journal has no details of lines: they count as received now.
func (p *Packer) Restore(first uint64, lines []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seal()
	last := p.seq
	p.seq = first - 1
	received := format.Details{Received: time.Now().UnixNano()}
	for line := range bytes.Lines(lines) {
		if p.events == MaxEvents || p.events > 0 && len(p.lines)+len(line) > p.format.MaxLines {
			p.seal()
		}
		p.lines = append(p.lines, line...)
		p.seq++
		p.events++
		if p.format.Details {
			p.details = append(p.details, received)
		}
		if event.Droppable(format.TypeOf(line)) {
			p.droppable++
		}
	}
	p.seal()
	p.seq = last
}
