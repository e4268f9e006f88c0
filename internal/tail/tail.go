// Package tail prints the events of a stream or of files: for a person, or for programs.
package tail

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"text/template"
	"time"

	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/record"
)

// The outputs.
const (
	Text = "text" // a line for a person
	JSON = "json" // an object with the event and its place
	Raw  = "raw"  // the event's line of kinetel/1
	OTLP = "otlp" // a payload of OTLP/JSON
)

// Options are what to print, and how.
type Options struct {
	Filter   Filter
	Output   string
	Template *template.Template // of ParseTemplate; in place of the text
	Location *time.Location     // of the times in the text
	Color    bool
	// Terminal means that the output is a terminal: no output may have control
	// characters. The text never has any.
	Terminal  bool
	MaxEvents int64 // 0: no limit
}

// ErrEnough means that Options.MaxEvents events are printed.
var ErrEnough = errors.New("the events that were asked for are printed")

// Counts are what happened.
type Counts struct {
	Events     int64 // read
	Printed    int64
	Duplicates int64
	Parts      int64 // of events that are not complete
	Unreadable int64 // records that are not Kinetel's, or damaged
}

// Tail prints events. It is for one goroutine at a time.
type Tail struct {
	o      Options
	out    io.Writer
	notes  io.Writer
	buffer []byte
	print  func(dst []byte, e *record.Event, from *place) ([]byte, error)
	seen   seen
	joiner record.Joiner
	counts Counts
}

// place is where an event was.
type place struct {
	file     string
	shard    string
	sequence string
	arrival  time.Time
}

const (
	flushBytes  = 64 << 10
	joinerBytes = 32 << 20
	hexBytes    = 24 // of a record that cannot be read
	maxNotes    = 20 // about a file: one of a few kilobytes can have millions of bad lines
)

// New returns a Tail that prints to out, and writes notes about records that it cannot
// read to notes.
func New(out, notes io.Writer, o Options) *Tail {
	t := &Tail{o: o, out: out, notes: notes, joiner: record.Joiner{MaxBytes: joinerBytes}}
	switch {
	case o.Output == JSON:
		t.print = appendPlaced
	case o.Output == Raw:
		t.print = appendRaw
	case o.Output == OTLP:
		t.print = appendOTLP
	case o.Template != nil:
		t.print = t.appendTemplate
	default:
		t.print = (&textPrinter{location: o.Location, color: o.Color, seen: &t.seen, prices: lambdaPrices()}).append
	}
	return t
}

// Counts returns what happened so far.
func (t *Tail) Counts() Counts { return t.counts }

// Record prints the events of a record of a stream. The error is ErrEnough, or that of a
// writer.
func (t *Tail) Record(r streamreader.Record) error {
	events, failure := record.Decode(r.Data)
	from := &place{shard: r.Shard, sequence: r.SequenceNumber, arrival: r.Arrival}
	for i := range events {
		if err := t.add(events[i], from); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil || failure == nil {
		return err
	}
	t.counts.Unreadable++
	_, err := fmt.Fprintf(t.notes, "kinetel: %s, record %s (partition key %s, %d bytes): %s; it begins with %s\n", r.Shard, r.SequenceNumber,
		quoted(r.PartitionKey), len(r.Data), escaped(failure.Error()), hex.EncodeToString(r.Data[:min(len(r.Data), hexBytes)]))
	return err
}

// Event prints an event that is in no record. The error is ErrEnough, or that of a writer.
func (t *Tail) Event(e record.Event) error {
	if err := t.add(e, &place{}); err != nil {
		return err
	}
	return t.flush()
}

// Line prints a line of the caller's, in the output's own format.
func (t *Tail) Line(line []byte) error {
	t.buffer = append(append(t.buffer, line...), '\n')
	return t.flush()
}

// File prints the events of a file, such as Firehose writes to S3. The error is
// ErrEnough, that of a writer, or that of in.
func (t *Tail) File(name string, in io.Reader) error {
	from := &place{file: name}
	head := &headReader{in: in, flush: t.flush}
	notes := 0
	for e, err := range record.Events(head) {
		bad, unreadable := errors.AsType[*record.Error](err)
		switch {
		case unreadable:
			t.counts.Unreadable++
			note := escaped(bad.Error()) + head.hex(bad)
			if notes++; notes > maxNotes+1 {
				continue
			} else if notes > maxNotes {
				note = "more of it cannot be read; only the end counts how much"
			}
			if _, err := fmt.Fprintf(t.notes, "kinetel: %s: %s\n", quoted(name), note); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("%s: %w", quoted(name), err)
		default:
			if err := t.add(e, from); err != nil {
				return err
			}
		}
	}
	return t.flush()
}

// headReader prints the events so far before it reads more, which may take time. It keeps
// the first bytes.
type headReader struct {
	in    io.Reader
	flush func() error
	head  []byte
}

func (h *headReader) Read(b []byte) (int, error) {
	if err := h.flush(); err != nil {
		return 0, err
	}
	n, err := h.in.Read(b)
	if rest := hexBytes - len(h.head); rest > 0 {
		h.head = append(h.head, b[:min(n, rest)]...)
	}
	return n, err
}

// hex describes the first bytes of a file of which nothing could be read.
func (h *headReader) hex(err *record.Error) string {
	if err.Events > 0 || err.Offset > 0 {
		return ""
	}
	return "; it begins with " + hex.EncodeToString(h.head)
}

// Close prints the parts of events that are not complete, as they are.
func (t *Tail) Close() error {
	for _, e := range t.joiner.Flush() {
		if err := t.ready(&e, &place{}); err != nil {
			return err
		}
	}
	return t.flush()
}

// add prints an event, if it is new and complete.
func (t *Tail) add(e record.Event, from *place) error {
	t.counts.Events++
	if !t.seen.add(&e) {
		t.counts.Duplicates++
		return nil
	}
	if e.Parts == 0 {
		return t.ready(&e, from)
	}
	for _, joined := range t.joiner.Add(e) {
		if err := t.ready(&joined, from); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tail) ready(e *record.Event, from *place) (err error) {
	if e.Parts > 0 {
		t.counts.Parts++
	}
	t.seen.learn(e)
	if !t.o.Filter.match(e) {
		return nil
	}
	if t.buffer, err = t.print(t.buffer, e, from); err != nil {
		return err
	}
	t.counts.Printed++
	switch {
	case t.counts.Printed == t.o.MaxEvents:
		if err := t.flush(); err != nil {
			return err
		}
		return ErrEnough
	case len(t.buffer) >= flushBytes:
		return t.flush()
	}
	return nil
}

func (t *Tail) flush() error {
	if len(t.buffer) == 0 {
		return nil
	}
	text := t.buffer
	if t.o.Terminal && t.o.Output != Text && t.o.Output != "" {
		text = appendSafeJSON(nil, text)
	}
	t.buffer = t.buffer[:0]
	_, err := t.out.Write(text)
	return err
}
