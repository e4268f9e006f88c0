package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	cloudwatch "github.com/kinetel/kinetel/internal/format/cloudwatch/decode"
	"github.com/kinetel/kinetel/internal/format/decoding"
	kpl "github.com/kinetel/kinetel/internal/format/kpl/decode"
	ndjson "github.com/kinetel/kinetel/internal/format/ndjson/decode"
	otlp "github.com/kinetel/kinetel/internal/format/otlp/decode"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// How lines begin that are not of kinetel/1. A record of the format cloudwatch is a
// JSON object without a line feed; here it counts as a line.
const (
	cloudwatchStart = `{"messageType"`
	otlpLogsStart   = `{"resourceLogs"`
	otlpSpansStart  = `{"resourceSpans"`
)

// firstBuffer is the size of the first buffer for text, and minRead the least room for
// a read.
const (
	firstBuffer = 4 << 10
	minRead     = 512
)

// moreMembers is how many members extras and resources may have in addition to
// MaxEvents.
const moreMembers = 10_000

// errStopped means that the caller wants no more events.
var errStopped = errors.New("stopped")

var errUnended = fmt.Errorf("the last line does not end: %w", io.ErrUnexpectedEOF)

// stream reads concatenated records.
type stream struct {
	limits Decoder
	whole  bool // the limits are for all of the data, not for each line
	yield  func(Event, error) bool

	source       source
	in           *bufio.Reader // of the source
	decompressed decompressors
	lines        ndjson.Decoder
	out          decoding.Output

	start  string // of the current record; empty: it is plain text
	text   []byte // of the current line, and of what follows; in buffer
	buffer []byte
	offset int64 // of text
	events int   // that were yielded

	from     int64 // the offset from which on MaxBytes counts
	scanned  int   // so many bytes of text have no line feed
	tryAgain int   // the length that text must have for another look for the end of a cloudwatch record
	inside   bool  // a line of the current record has ended
	trim     bool  // white space may come before the next line
	skip     bool  // the rest of the current line was too long
}

// source reads from a reader, and no more after an error.
type source struct {
	from io.Reader
	err  error
}

func (s *source) Read(b []byte) (n int, err error) {
	if s.err == nil {
		n, s.err = s.from.Read(b)
	}
	return n, s.err
}

func newStream(d Decoder, r io.Reader, yield func(Event, error) bool) *stream {
	if d.MaxBytes <= 0 {
		d.MaxBytes = DefaultMaxBytes
	}
	if d.MaxEvents <= 0 {
		d.MaxEvents = DefaultMaxEvents
	}
	s := &stream{limits: d, yield: yield, source: source{from: r}}
	s.in = bufio.NewReader(&s.source)
	s.lines.Output = &s.out
	s.out = decoding.Output{MaxEvents: d.MaxEvents, MaxMembers: d.MaxEvents + moreMembers, Add: s.add}
	return s
}

func (s *stream) add(e decoding.Event) error {
	if !s.yield(Event(e), nil) {
		return errStopped
	}
	s.events++
	return nil
}

// run reads all records.
func (s *stream) run() {
	defer s.decompressed.close()
	for {
		head, err := s.in.Peek(len(zstdStart))
		next := startOf(head)
		if len(head) == 0 || next != s.start {
			if s.end() != nil {
				return
			}
		}
		if len(head) == 0 {
			if err != io.EOF {
				s.yield(Event{}, err)
			}
			return
		}
		s.start = next
		if s.record() != nil {
			return
		}
	}
}

// end ends the text of records that belong together, as the members of a gzip file do.
func (s *stream) end() error {
	err := s.split(true)
	if err != nil || len(s.text) == 0 {
		return err
	}
	err = s.fail(errUnended)
	s.advance(len(s.text))
	return err
}

// record reads the next record. If it is damaged, record reports that and looks for the
// next one.
func (s *stream) record() error {
	s.inside, s.skip = false, false
	text, err := s.decompressed.open(s.start, s.in)
	if err == nil {
		err = s.read(text)
	}
	if err == nil || err == errStopped {
		return err
	}
	if s.source.err != nil && s.source.err != io.EOF {
		err = s.source.err
		s.yield(Event{}, err)
		return errStopped
	}
	stopped := s.split(true) // what ended before the damage
	if stopped == nil {
		stopped = s.fail(noEOF(err))
	}
	if stopped != nil {
		return stopped
	}
	s.advance(len(s.text))
	_, _ = io.Copy(io.Discard, plain{s.in})
	return nil
}

// read reads the text of a record.
func (s *stream) read(text io.Reader) error {
	// A value that began in an earlier record is looked for in the end only: looking for
	// it at the end of each of many small records would take too long.
	fresh := len(s.text) == 0
	for {
		if n := len(s.text); cap(s.text)-n < minRead {
			if cap(s.buffer)-n < max(n, minRead) {
				s.buffer = make([]byte, 0, max(min(2*n, s.limits.MaxBytes), n+minRead, firstBuffer))
			}
			s.text = append(s.buffer[:0], s.text...)
		}
		n, err := text.Read(s.text[len(s.text):cap(s.text)])
		s.text = s.text[:len(s.text)+n]
		if stopped := s.split(err == io.EOF && (fresh || s.inside)); stopped != nil {
			return stopped
		}
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return err
		}
	}
}

// split decodes the lines of the text. What remains is the beginning of a line. last means
// that the text ends here.
func (s *stream) split(last bool) (err error) {
	for err == nil && len(s.text) > 0 {
		if s.trim {
			n := jsontext.SkipSpace(s.text, 0)
			s.trim = n == len(s.text)
			s.advance(n)
			continue
		}
		end := s.lineEnd(last)
		switch {
		case end > 0 && s.skip:
			s.skip = false
		case end > 0:
			err = s.decode(s.text[:end])
		case s.skip:
			end = len(s.text)
		case s.isTooLong(len(s.text)):
			end, s.skip = len(s.text), true
			err = s.fail(s.limits.tooLong())
		default:
			return nil
		}
		s.advance(end)
	}
	return err
}

// advance removes the first n bytes of the text, which are a line.
func (s *stream) advance(n int) {
	s.text, s.offset = s.text[n:], s.offset+int64(n)
	s.scanned, s.tryAgain, s.inside = 0, 0, true
	if !s.whole {
		s.from = s.offset
		s.out.Reset()
	}
}

// isTooLong reports whether the first n bytes of the text are more than MaxBytes allows.
func (s *stream) isTooLong(n int) bool {
	return s.offset-s.from+int64(n) > int64(s.limits.MaxBytes)
}

// lineEnd returns how long the first line of the text is; 0: its end is not here yet.
func (s *stream) lineEnd(last bool) int {
	switch {
	case s.start == kpl.Start && last:
		return len(s.text)
	case s.start == kpl.Start:
		return 0
	case bytes.HasPrefix(s.text, []byte(cloudwatchStart)):
		if len(s.text) < s.tryAgain && !last && !s.isTooLong(len(s.text)) {
			return 0
		}
		end, err := jsontext.SkipValue(s.text, 0)
		if err == nil {
			s.trim = true
			return end
		}
		s.tryAgain = 4 * len(s.text) // looking at every length would take too long
	}
	if i := bytes.IndexByte(s.text[s.scanned:], '\n'); i >= 0 {
		return s.scanned + i + 1
	}
	s.scanned = len(s.text)
	if last && !s.inside && s.text[0] == '{' && decoding.IsValue(s.text) {
		return len(s.text) // a user record of an aggregate has no line feed
	}
	return 0
}

// decode decodes a line. It returns an error only if the caller stops.
func (s *stream) decode(line []byte) (err error) {
	start := func(text string) bool { return bytes.HasPrefix(line, []byte(text)) }
	switch {
	case s.isTooLong(len(line)):
		err = s.limits.tooLong()
	case s.start == kpl.Start:
		err = kpl.Decode(line, &s.out)
	case start(cloudwatchStart):
		err = cloudwatch.Decode(line, &s.out)
	case start(otlpLogsStart), start(otlpSpansStart):
		err = otlp.Decode(line, &s.out)
	case len(bytes.TrimSpace(line)) == 0: // Firehose can add a line feed to each record
	default:
		if err = s.lines.Line(line); err != nil {
			err = fmt.Errorf("line: %w", err)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStopped):
		return errStopped
	}
	return s.fail(err)
}

// fail yields an error about the current line. It returns an error if the caller stops.
func (s *stream) fail(err error) error {
	if !s.yield(Event{}, s.errorOf(err)) {
		return errStopped
	}
	return nil
}

func (s *stream) errorOf(err error) error {
	at := fmt.Sprintf("event %d, at byte %d", s.events+1, s.offset)
	if errors.Is(err, ErrLimit) {
		err = fmt.Errorf("%s: %w", at, err)
	} else {
		err = fmt.Errorf("%w: %s: %w", ErrNotRecord, at, err)
	}
	return &Error{Offset: s.offset, Events: s.events, Err: err}
}
