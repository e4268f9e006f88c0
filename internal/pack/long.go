package pack

import (
	"unicode/utf8"

	"kinetel/internal/event"
	"kinetel/internal/ledger"
)

// maxEnvelope bounds what a line has besides its body, if the body is to be cut
// into parts. Lambda's own envelopes take some hundred bytes.
const maxEnvelope = 64 << 10

// cutLong closes the open record, which is one line that is longer than a
// record before compression. Where it is too long afterwards as well, its event
// goes in parts, each an event of its own by number.
func (p *Packer) cutLong(ev *event.Event) {
	data, key := p.compress(p.lines), p.key()
	if len(data)+len(key) <= MaxRecord {
		p.push(data, key)
		return
	}
	line := int64(len(p.lines))
	p.seq--
	p.lines, p.events, p.ordinary = p.lines[:0], 0, 0
	envelope := len(appendLine(nil, p.seq+1, &event.Event{Time: ev.Time, Type: ev.Type, Extra: ev.Extra}, part{part: 1, parts: 1}, p.opt.Origin.Resource)) + 64
	if envelope > maxEnvelope {
		p.seq++
		p.opt.Log.Error("an event is larger than a Kinesis record can be, and not for its body, so that it cannot go in parts; it was given up",
			"seq", p.seq, "bytes", line, "compressed_bytes", len(data), "limit_bytes", MaxRecord)
		p.opt.Origin.Ledger.Lost(ledger.Loss{First: p.seq, Last: p.seq, Count: 1, Bytes: line, Reason: ledger.Oversize})
		p.begin()
		return
	}
	pieces := split(appendOneLine(nil, ev.Record), maxLines-envelope)
	for i, piece := range pieces {
		p.append(ev, part{part: i + 1, parts: len(pieces), body: piece}, nil)
	}
	p.received.Parts += int64(len(pieces) - 1)
	p.cut()
}

// split cuts text into pieces that take at most so many bytes each as a JSON
// string, and where it can be done not inside of a character.
func split(text []byte, most int) (pieces [][]byte) {
	for len(text) > 0 {
		n, size := 0, len(`""`)
		for n < len(text) {
			if size += quotedSize(text[n]); size > most {
				break
			}
			n++
		}
		if n < len(text) {
			for back := n; back > n-utf8.UTFMax && back > 0; back-- {
				if utf8.RuneStart(text[back]) {
					n = back
					break
				}
			}
		}
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	return pieces
}

// quotedSize is how many bytes event.AppendQuoted makes of c.
func quotedSize(c byte) int {
	switch {
	case c == '"' || c == '\\' || c == '\n' || c == '\t':
		return 2
	case c < ' ':
		return 6
	}
	return 1
}
