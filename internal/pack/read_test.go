package pack_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	schematest "github.com/kinetel/kinetel/test/schema"
)

// fataler is what *testing.T, *testing.F and *rapid.T have in common here.
type fataler interface {
	Helper()
	Fatalf(string, ...any)
	Error(...any)
}

// row is a line of kinetel/1 as a reader sees it.
type row struct {
	Schema   string                     `json:"schema"`
	Seq      uint64                     `json:"seq"`
	Time     string                     `json:"time"`
	Type     string                     `json:"type"`
	Severity string                     `json:"severity"`
	Request  string                     `json:"requestId"`
	Trace    string                     `json:"traceId"`
	Part     int                        `json:"part"`
	Parts    int                        `json:"parts"`
	Body     json.RawMessage            `json:"body"`
	Original []byte                     `json:"bodyBase64"`
	Extra    map[string]json.RawMessage `json:"extra"`
	Resource map[string]string          `json:"resource"`

	text []byte // the line itself
}

// decode reads records back. It knows nothing of how they were written.
func decode(t fataler, records ...*pack.Record) (rows []row) {
	t.Helper()
	for _, r := range records {
		for text := range bytes.Lines(inflate(t, r.Data)) {
			one := row{text: text}
			dec := json.NewDecoder(bytes.NewReader(text))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&one); err != nil {
				t.Fatalf("record of events %d to %d: %v in %.300q", r.First, r.Last, err, text)
			}
			if dec.InputOffset() != int64(len(text)-1) || text[len(text)-1] != '\n' || one.Schema != "kinetel/1" {
				t.Fatalf("record of events %d to %d: no line of kinetel/1: %.300q", r.First, r.Last, text)
			}
			// Bodies of own events are invented in these tests, and so are ids that are
			// too long. Large lines have the same form, and would take long.
			if !strings.HasPrefix(one.Type, "kinetel.") && len(one.Request) <= 128 && len(text) < 16<<10 {
				schematest.Check(t, text)
			}
			if !jsontext.ValidUnicode(text) {
				t.Fatalf("record of events %d to %d: a line that is not valid: %.300q", r.First, r.Last, text)
			}
			one.restore(t)
			rows = append(rows, one)
		}
	}
	return rows
}

// restore puts the original of a body in its place: of a part, the string that
// stands for it.
func (r *row) restore(t fataler) {
	t.Helper()
	if r.Original == nil {
		return
	}
	body := r.Original
	if r.Parts > 0 {
		body = jsontext.AppendQuote(nil, r.Original)
	}
	if !jsontext.ValidUnicode(r.Body) || jsontext.ValidUnicode(r.Original) {
		t.Fatalf("event %d has the body %.100q, and the original %.100q", r.Seq, r.Body, r.Original)
	}
	r.Body = body
}

// inflate returns a record's lines.
func inflate(t fataler, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		r, err = gzip.NewReader(r)
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		t.Fatalf("a record cannot be read: %v", err)
	}
	lines, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("a record cannot be read: %v", err)
	}
	return lines
}

// deflate is the other way round, in whatever way a compression allows.
func deflate(t fataler, kind format.Compression, lines []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch kind {
	case format.Uncompressed:
		return bytes.Clone(lines)
	case format.Zstd:
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	case format.Gzip:
		w = gzip.NewWriter(&out)
	}
	if err == nil {
		_, err = w.Write(lines)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatalf("compress by %s: %v", kind, err)
	}
	return out.Bytes()
}

// unquote reads a JSON string byte for byte, valid UTF-8 or not, which
// encoding/json does not do.
func unquote(t fataler, quoted []byte) []byte {
	t.Helper()
	if len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		t.Fatalf("no JSON string: %.100q", quoted)
	}
	var b []byte
	for s := quoted[1 : len(quoted)-1]; len(s) > 0; {
		if n := bytes.IndexByte(s, '\\'); n != 0 {
			if n < 0 {
				n = len(s)
			}
			b, s = append(b, s[:n]...), s[n:]
			continue
		}
		switch s[1] {
		case 'u':
			n, err := strconv.ParseUint(string(s[2:6]), 16, 8)
			if err != nil {
				t.Fatalf("%.6q: %v", s, err)
			}
			b, s = append(b, byte(n)), s[6:]
		case 'n':
			b, s = append(b, '\n'), s[2:]
		case 't':
			b, s = append(b, '\t'), s[2:]
		default:
			b, s = append(b, s[1]), s[2:]
		}
	}
	return b
}

// whole is an event as it was before it was cut into parts.
type whole struct {
	row
	numbers []uint64
}

// join joins the parts of events. The rows are in order, and those of an event are
// adjacent.
func join(t fataler, rows []row) (events []whole) {
	t.Helper()
	for i := 0; i < len(rows); {
		first := rows[i]
		if first.Part == 0 && first.Parts == 0 {
			events = append(events, whole{first, []uint64{first.Seq}})
			i++
			continue
		}
		one := whole{row: first}
		one.Body = nil
		for part := 1; part <= max(first.Parts, 1); part++ {
			if i == len(rows) {
				t.Fatalf("event %d has %d parts, of which %d are there", first.Seq, first.Parts, part-1)
			}
			r := rows[i]
			if r.Part != part || r.Parts != first.Parts || r.Seq != first.Seq+uint64(part-1) || r.Time != first.Time || r.Type != first.Type {
				t.Fatalf("part %d of %d of event %d is followed by %.200s", part-1, first.Parts, first.Seq, r.text)
			}
			if part > 1 && r.Extra != nil {
				t.Fatalf("extra members stand again in part %d of event %d", part, first.Seq)
			}
			one.Body = append(one.Body, unquote(t, r.Body)...)
			one.numbers = append(one.numbers, r.Seq)
			i++
		}
		events = append(events, one)
	}
	return events
}

// reportedBy returns the losses that a record's lines report.
func reportedBy(t fataler, r *pack.Record) (losses []ledger.Loss) {
	t.Helper()
	for _, e := range decode(t, r) {
		if e.Type != event.TypeLoss {
			continue
		}
		var loss ledger.Loss
		if err := json.Unmarshal(e.Body, &loss); err != nil {
			t.Fatalf("event %d: %v", e.Seq, err)
		}
		losses = append(losses, loss)
	}
	return losses
}
