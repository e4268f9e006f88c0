package pack

import (
	"encoding/base64"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
)

// maxEnvelope bounds the bytes of a line besides its body. If a line has more, its
// body is not split into parts. Lambda's own envelopes take some hundred bytes.
const maxEnvelope = 64 << 10

// sealLong closes the open record, which is a single line that is longer than a
// record before compression. If the record is too large after compression too, the
// event goes in parts.
func (p *Packer) sealLong(ev *event.Event) {
	size, line := p.sizeOfOne(), len(p.lines)
	if size <= MaxRecord {
		p.seal()
		return
	}
	p.seq--
	p.lines, p.events, p.droppable, p.details = p.lines[:0], 0, 0, p.details[:0]
	p.addParts(ev, line, size)
}

// replacedTooLong returns the size of a body with replacements and its original, if
// both together do not fit into a record before compression; otherwise 0. Such an
// event goes in parts at once: its line could take four times as many bytes as its
// record.
func (p *Packer) replacedTooLong(record []byte) int {
	if len(record) < p.format.MaxLines/8 {
		return 0 // each byte becomes at most 3, and 4/3 more for the original
	}
	if size := format.ReplacedSize(record); size > p.format.MaxLines-maxEnvelope {
		return size
	}
	return 0
}

// addParts adds an event in parts, each with a sequence number of its own. No record
// is open. The event as one line would take line bytes, and its record size bytes.
func (p *Packer) addParts(ev *event.Event, line, size int) {
	first := *ev
	first.Record = nil
	envelope := len(format.AppendLine(nil, p.seq+1, &first, format.Part{Part: 1, Parts: 1}, p.opt.Environment.Details().Resource)) + 96
	if envelope > maxEnvelope {
		p.seq++
		p.opt.Log.Error("an event is larger than a Kinesis record can be, and not for its body, so that it cannot go in parts; it was dropped",
			"seq", p.seq, "bytes", line, "record_bytes", size, "limit_bytes", MaxRecord)
		p.lost(p.seq, p.seq, 1, line, ledger.Oversize)
		p.begin()
		return
	}
	text := ev.Record
	original := !jsontext.ValidUnicode(text)
	if !original {
		text = format.AppendOneLine(nil, text)
	}
	pieces := split(text, p.format.MaxLines-envelope, original)
	for i, piece := range pieces {
		p.append(ev, format.Part{Part: i + 1, Parts: len(pieces), Body: piece}, nil)
	}
	p.added.Parts += int64(len(pieces) - 1)
	p.seal()
}

// sizeOfOne returns the size of the open record, which has one line, as Kinesis
// counts it.
func (p *Packer) sizeOfOne() int {
	l, ok := p.readLine(p.lines, 0)
	if !ok {
		return len(p.lines) // more than the limit
	}
	key := p.key(&l)
	return len(p.data(group{key, []format.Line{l}})) + len(key)
}

// split cuts JSON text into pieces of at most most bytes each, written as a JSON
// string; if original is true, the size includes the piece in base64. It cuts
// between characters and never inside an escape.
func split(text []byte, most int, original bool) (pieces [][]byte) {
	var quoted [80]byte // room for a character in quotes
	for len(text) > 0 {
		n := 0
		for size := len(`""`); n < len(text); {
			unit, ok := jsontext.FirstChar(text[n:])
			if ok {
				size += len(jsontext.AppendQuote(quoted[:0], text[n:n+unit])) - len(`""`)
			} else {
				size += len(jsontext.Replacement)
			}
			total := size
			if original {
				total += base64.StdEncoding.EncodedLen(n + unit)
			}
			if total > most {
				break
			}
			n += unit
		}
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	return pieces
}
