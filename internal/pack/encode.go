package pack

import (
	"bytes"
	"crypto/rand"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
)

// group holds the lines of one record.
type group struct {
	key   string
	lines []format.Line
}

// encode closes the open record: it pushes one Kinesis record in the format for each
// group of lines.
func (p *Packer) encode() {
	losses := p.losses
	for _, g := range p.groups() {
		p.pushGroup(g, &losses)
	}
	clear(p.read) // the elements point into lines, whose memory may be released
}

// groups divides the lines of the open record into groups that must not share a
// record, in the order of their first lines.
func (p *Packer) groups() (groups []group) {
	p.read = p.read[:0]
	first := p.seq + 1 - uint64(p.events)
	for text := range bytes.Lines(p.lines) {
		l, ok := p.readLine(text, int(first+uint64(p.events)-1-p.seq))
		if !ok {
			// Only lines that an earlier process wrote to disk can be malformed.
			p.lost(first, first, 1, len(text), ledger.SpoolCorrupt)
		} else {
			p.read = append(p.read, l)
		}
		first++
	}
	var index map[string]int // in groups, by the key and whether the lines go apart
	for i := range p.read {
		l := &p.read[i]
		key := p.key(l)
		if p.format.OneLine {
			groups = append(groups, group{key: key, lines: p.read[i : i+1]})
			continue
		}
		name := key
		if p.opt.PartitionKey == config.PartitionRandom {
			name = "" // all lines share a record with any key
		}
		if p.format.Apart != nil && p.format.Apart(l.Type) {
			name += "\x00"
		}
		at, ok := index[name]
		if ok && p.opt.Runs {
			lines := groups[at].lines
			ok = lines[len(lines)-1].Seq+1 == l.Seq
		}
		if !ok {
			if index == nil {
				index = map[string]int{}
			}
			at = len(groups)
			index[name] = at
			groups = append(groups, group{key: key})
		}
		groups[at].lines = append(groups[at].lines, *l)
	}
	return groups
}

// readLine parses the line with an index in the open record.
func (p *Packer) readLine(text []byte, i int) (l format.Line, ok bool) {
	if l, ok = format.ReadLine(text); ok && p.format.Details {
		l.Details = p.details[i]
	}
	return l, ok
}

// pushGroup pushes a group as one record, or as two or more if it is too large.
func (p *Packer) pushGroup(g group, losses *[]ledger.Loss) {
	data := p.data(g)
	if len(data)+len(g.key) <= MaxRecord {
		p.push(recordOf(data, g, losses))
		return
	}
	if n := len(g.lines); n > 1 {
		// The size of the lines in this format was not predictable.
		p.pushGroup(group{g.key, g.lines[:n/2]}, losses)
		p.pushGroup(group{g.key, g.lines[n/2:]}, losses)
		return
	}
	l := &g.lines[0]
	p.opt.Log.Error("an event is larger than a Kinesis record can be in this format, and was dropped",
		"seq", l.Seq, "bytes", len(l.Text), "encoded_bytes", len(data), "limit_bytes", MaxRecord)
	p.lost(l.Seq, l.Seq, 1, len(l.Text), ledger.Oversize)
	p.opt.Environment.Ledger.Requeue(takeLosses(g.lines, losses))
}

// recordOf returns the record of a group, with the group's data.
func recordOf(data []byte, g group, losses *[]ledger.Loss) *Record {
	r := &Record{
		Data: data, PartitionKey: g.key,
		First: g.lines[0].Seq, Last: g.lines[len(g.lines)-1].Seq, Events: len(g.lines),
		Losses: takeLosses(g.lines, losses),
	}
	for i := range g.lines {
		r.Lines += int64(len(g.lines[i].Text))
		if event.Droppable(g.lines[i].Type) {
			r.Droppable++
		}
	}
	return r
}

// data encodes a group as the data of a record.
func (p *Packer) data(g group) []byte {
	dst := p.payload[:0]
	if p.format.Append != nil {
		dst = p.format.Append(dst, p.opt.Environment, g.key, g.lines)
	} else {
		for i := range g.lines {
			dst = append(dst, g.lines[i].Text...)
		}
	}
	if p.payload = dst; cap(dst) > 2*MaxRecord {
		p.payload = nil // release the memory of a very large event
	}
	return p.compress(dst)
}

func (p *Packer) compress(payload []byte) []byte {
	data, err := p.zip.compress(payload)
	if err != nil {
		// Compressors that write to memory do not fail. If one does, the record is
		// sent uncompressed: readers recognize that by the first bytes.
		p.opt.Log.Error("a record could not be compressed and goes uncompressed", "error", err.Error())
		return bytes.Clone(payload)
	}
	return data
}

// key returns the partition key of a line's record.
func (p *Packer) key(l *format.Line) string {
	switch p.opt.PartitionKey {
	case config.PartitionByFunction:
		if name := p.opt.FunctionName; name != "" {
			return name
		}
	case config.PartitionRandom:
		return rand.Text()
	case config.PartitionByRequest:
		if l != nil && len(l.RequestID) > 0 && len(l.RequestID) <= maxKey {
			return string(l.RequestID)
		}
	case config.PartitionByEnvironment:
	}
	return p.opt.Environment.ID
}

// maxKey is the largest size of a partition key that every request accepts (Kinesis
// API reference, PutRecords: 256 characters).
const maxKey = 256
