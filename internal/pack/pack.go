// Package pack turns events into Kinesis records: it numbers them, writes each
// as a line of kinetel/1, and cuts runs of lines into compressed records that
// are within every limit of Kinesis and Firehose.
package pack

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/event"
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

// Record is a Kinesis record, ready to be sent.
type Record struct {
	Data         []byte
	PartitionKey string
	First, Last  uint64 // sequence numbers of its events
	Events       int
	Lines        int64         // bytes before compression
	Losses       []ledger.Loss // that its lines tell of
}

// Size is what Kinesis counts of the record.
func (r *Record) Size() int { return len(r.Data) + len(r.PartitionKey) }

// Loss is the record as a loss.
func (r *Record) Loss(reason ledger.Reason) ledger.Loss {
	return ledger.Loss{First: r.First, Last: r.Last, Count: r.Events, Bytes: r.Lines, Reason: reason}
}

// Options are what a Packer needs to know; all are required.
type Options struct {
	Identity     Identity
	Compression  config.Compression
	PartitionKey config.PartitionKey
	Ledger       *ledger.Ledger
	Push         func(*Record) // takes each record, in order
	Log          *slog.Logger
}

// Packer fills the open record with events. It is safe for concurrent use;
// numbers and records are in the order of the calls.
type Packer struct {
	opt      Options
	resource []byte

	mu      sync.Mutex // guards all below
	seq     uint64     // of the last event
	request string     // the request that was started last
	lines   []byte     // of the open record
	events  int        // of the open record
	opened  time.Time  // when the open record got its first line
	losses  []ledger.Loss
	zip     compressor
}

// New returns a Packer.
func New(opt Options) *Packer {
	return &Packer{
		opt:      opt,
		resource: opt.Identity.resource(),
		zip:      compressor{kind: opt.Compression},
	}
}

// Add numbers an event and puts it into the open record. It keeps nothing of
// the event.
func (p *Packer) Add(ev *event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opt.PartitionKey == config.PartitionByRequest && string(ev.Type) == event.TypePlatformStart {
		// One record, one key: the new request's events go into a new one.
		p.cut()
		p.request = event.RequestID(ev.Record)
	}
	p.add(ev)
}

// add adds an event, which may tell of losses.
func (p *Packer) add(ev *event.Event, tells ...ledger.Loss) {
	if p.events == MaxEvents {
		p.cut()
	}
	if p.events == 0 {
		p.opened = time.Now()
	}
	before := len(p.lines)
	p.lines = appendLine(p.lines, p.seq+1, ev, p.resource)
	if p.events > 0 && len(p.lines) > maxLines {
		// It does not fit with the others: they go first.
		line := p.lines[before:]
		p.lines = p.lines[:before]
		p.cut()
		p.opened = time.Now()
		p.lines = append(p.lines, line...) // within the same memory, towards its front
	}
	p.seq++
	p.events++
	p.losses = append(p.losses, tells...)
	if len(p.lines) >= maxLines {
		p.cut()
	}
}

// maxLines bounds a record before compression, so that it is within Kinesis'
// limit even where nothing can be compressed, whatever its partition key and
// with what a compressed format adds. A single line may be longer.
const maxLines = MaxRecord - 4<<10

// Cut closes the open record, if there is one, and tells of losses in one of
// their own.
func (p *Packer) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
	p.tell()
}

// CutIfOlder closes the open record if its first line is older than age.
func (p *Packer) CutIfOlder(age time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Round strips the monotonic reading, which may stand still while the
	// environment is frozen.
	if p.events > 0 && time.Now().Round(0).Sub(p.opened.Round(0)) >= age {
		p.cut()
		p.tell()
	}
}

// tell puts the losses that nobody was told of into a record.
func (p *Packer) tell() {
	losses := p.opt.Ledger.Take()
	if len(losses) == 0 {
		return
	}
	now := time.Now()
	for _, loss := range losses {
		p.add(&event.Event{Received: now, Type: []byte(event.TypeLoss), Record: loss.AppendJSON(nil)}, loss)
	}
	p.cut()
}

// cut closes the open record.
func (p *Packer) cut() {
	if p.events == 0 {
		return
	}
	r := &Record{
		Data:         p.compress(p.lines),
		PartitionKey: p.key(),
		First:        p.seq + 1 - uint64(p.events),
		Last:         p.seq,
		Events:       p.events,
		Lines:        int64(len(p.lines)),
		Losses:       p.losses,
	}
	if r.Size() > MaxRecord {
		// maxLines sees to it that this is one huge line.
		p.opt.Log.Error("an event is larger than a Kinesis record can be and was given up",
			"seq", r.First, "bytes", r.Lines, "compressed_bytes", r.Size(), "limit_bytes", MaxRecord)
		p.opt.Ledger.Lost(r.Loss(ledger.Oversize))
		p.opt.Ledger.Retell(r.Losses)
	} else {
		p.opt.Push(r)
	}
	p.lines, p.events, p.losses = p.lines[:0], 0, nil
	if cap(p.lines) > 2*MaxRecord {
		p.lines = nil // one line was huge; its memory is not kept
	}
}

func (p *Packer) compress(lines []byte) []byte {
	data, err := p.zip.compress(lines)
	if err != nil {
		// Compressors that write to memory do not fail. If one does, the
		// lines go as they are: readers tell by the first bytes.
		p.opt.Log.Error("a record could not be compressed and goes uncompressed", "error", err.Error())
		return bytes.Clone(lines)
	}
	return data
}

// key returns the partition key of the next record.
func (p *Packer) key() string {
	switch p.opt.PartitionKey {
	case config.PartitionByFunction:
		if name := p.opt.Identity.FunctionName; name != "" {
			return name
		}
	case config.PartitionRandom:
		return rand.Text()
	case config.PartitionByRequest:
		if p.request != "" {
			return p.request
		}
	case config.PartitionByEnvironment:
	}
	return p.opt.Identity.EnvironmentID
}
