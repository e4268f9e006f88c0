package selection

import (
	"bytes"
	"compress/gzip"
	"unsafe"

	"github.com/kinetel/kinetel/internal/deflate"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
)

// maxOpen is how many bytes of lines wait before they are compressed. Most invocations
// have fewer.
const maxOpen = 32 << 10

// lines are lines of kinetel/1 without their numbers, compressed if they are many.
type lines struct {
	chunks  []chunk // compressed, the oldest first
	open    []byte  // not compressed yet
	n       int64   // lines
	records int64   // bytes of their records
	details []format.Details

	stored  uint64 // how many are in the Journal; they have the indexes from 0 on
	written int    // bytes of open that are in the Journal
}

// chunk is a run of lines.
type chunk struct {
	data []byte // gzip
	n    int64  // lines
	raw  int64  // bytes before compression
}

// appendLine appends an event's line, with the number 0.
func (s *Selector) appendLine(dst []byte, ev *event.Event) []byte {
	return format.AppendLine(dst, 0, ev, format.Part{}, s.opt.Environment.Details().Resource)
}

// addWaiting adds s.line, the line of an event, to an invocation's waiting lines.
func (s *Selector) addWaiting(in *invocation, ev *event.Event) {
	w := &in.waiting
	if len(w.open)+len(s.line) > maxOpen && len(w.open) > 0 {
		s.compress(in)
	}
	w.open = append(w.open, s.line...)
	w.n++
	w.records += int64(len(ev.Record))
	if s.opt.Details {
		w.details = append(w.details, format.DetailsOf(ev))
	}
	s.note(in)
	s.count(1, int64(len(s.line)), int64(len(s.line)))
}

// count counts lines without a number: how many, and their bytes before compression and
// in memory.
func (s *Selector) count(n, raw, memory int64) {
	s.undecided += n
	s.raw += raw
	s.memory += memory
	if s.opt.Details {
		s.memory += n * int64(unsafe.Sizeof(format.Details{}))
	}
}

// compress compresses an invocation's open lines.
func (s *Selector) compress(in *invocation) {
	s.journalWaiting(in)
	w := &in.waiting
	n := w.n
	for _, c := range w.chunks {
		n -= c.n
	}
	data := s.zip.compress(w.open)
	w.chunks = append(w.chunks, chunk{data, n, int64(len(w.open))})
	s.count(0, 0, int64(len(data)-len(w.open)))
	w.open, w.written = nil, 0 // most invocations have no more lines
}

// shipWaiting adds an invocation's waiting lines to the sink.
func (s *Selector) shipWaiting(in *invocation) {
	w := in.waiting
	s.dropWaiting(in)
	index := uint64(0) // of the next line
	add := func(text []byte, n int64) {
		if n == 0 {
			return
		}
		var details []format.Details
		if s.opt.Details {
			details, w.details = w.details[:n], w.details[n:]
		}
		stored := min(max(w.stored, index)-index, uint64(n))
		s.opt.Sink.AddLines(in.request, w.records, text, details, s.decided(in, index, stored))
		w.records = 0 // counted once
		index += uint64(n)
	}
	rest := w.n
	for _, c := range w.chunks {
		add(s.zip.decompress(c.data), c.n)
		rest -= c.n
	}
	add(w.open, rest)
}

// dropWaiting forgets an invocation's waiting lines.
func (s *Selector) dropWaiting(in *invocation) {
	w := &in.waiting
	open := int64(len(w.open))
	s.count(-w.n, -open, -open)
	for _, c := range w.chunks {
		s.count(0, -c.raw, -int64(len(c.data)))
	}
	*w = lines{}
}

// compressor compresses and decompresses. It makes what it needs at the first use.
type compressor struct {
	w      deflate.Encoder
	r      *gzip.Reader
	out    bytes.Buffer
	source bytes.Reader
}

// compress returns compressed text in memory of its own.
func (c *compressor) compress(text []byte) []byte {
	return c.w.Gzip(nil, text)
}

// decompress returns the text of compress. It is valid until the next call.
func (c *compressor) decompress(data []byte) []byte {
	c.source.Reset(data)
	if c.r == nil {
		c.r = new(gzip.Reader)
	}
	c.out.Reset()
	if c.r.Reset(&c.source) == nil {
		_, _ = c.out.ReadFrom(c.r) // from memory
	}
	return c.out.Bytes()
}
