package pack

import (
	"unicode/utf8"

	"kinetel/internal/config"
	"kinetel/internal/event"
	"kinetel/internal/format"
	"kinetel/internal/ledger"
)

// maxEnvelope bounds what a line has besides its body, if the body is to be cut
// into parts. Lambda's own envelopes take some hundred bytes.
const maxEnvelope = 64 << 10

// cutLong closes the open record, which is one line that is longer than a
// record before compression. Where it is too long afterwards as well, its event
// goes in parts, each an event of its own by number.
func (p *Packer) cutLong(ev *event.Event) {
	size, line := p.sizeOfOne(), len(p.lines)
	if size <= MaxRecord {
		p.cut()
		return
	}
	p.seq--
	p.lines, p.events, p.ordinary = p.lines[:0], 0, 0
	first := *ev
	first.Record = nil
	envelope := len(format.AppendLine(nil, p.seq+1, &first, format.Part{Part: 1, Parts: 1}, p.opt.Origin.Resource)) + 64
	if envelope > maxEnvelope {
		p.seq++
		p.opt.Log.Error("an event is larger than a Kinesis record can be, and not for its body, so that it cannot go in parts; it was given up",
			"seq", p.seq, "bytes", line, "record_bytes", size, "limit_bytes", MaxRecord)
		p.lost(p.seq, p.seq, 1, line, ledger.Oversize)
		p.begin()
		return
	}
	pieces := split(format.AppendOneLine(nil, ev.Record), p.maxLines()-envelope)
	for i, piece := range pieces {
		p.append(ev, format.Part{Part: i + 1, Parts: len(pieces), Body: piece}, nil)
	}
	p.received.Parts += int64(len(pieces) - 1)
	p.cut()
}

// sizeOfOne returns what Kinesis would count of the open record, which has one
// line.
func (p *Packer) sizeOfOne() int {
	l, ok := format.ReadLine(p.lines)
	if !ok {
		return len(p.lines) // which is more than fits
	}
	src := format.Source{EnvironmentID: p.opt.Origin.EnvironmentID, Resource: p.opt.Origin.Resource, Details: p.opt.Origin.Details()}
	key := p.key(&l)
	return len(p.data(&src, group{key: key, spans: string(l.Type) == event.TypeSpan && p.opt.Format == config.FormatOTLP, lines: []format.Line{l}})) + len(key)
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
