// Package deflate compresses lines of telemetry to gzip (RFC 1951, RFC 1952). A line repeats
// most of the line before it, so the encoder looks for a repetition first at the distance of
// the last one, and has one code for most lines of a record
// (docs/adr/0017-own-deflate.md).
package deflate

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

const (
	window   = 32 << 10 // how far back a match may begin
	minMatch = 4        // shorter ones save nothing
	maxMatch = 258
	// A block ends when it has maxRuns, which is about what a full record has, or
	// maxLiterals. This is looked at after each chunk of text.
	maxRuns     = 8 << 10
	maxLiterals = 64 << 10
	chunk       = 16 << 10
	// maxStored is how many bytes a block has at most that is not compressed.
	maxStored = 65535
	// A table has from 1<<9 to 1<<14 positions.
	minTableBits, maxTableBits = 9, 14
)

// Encoder compresses one text after another. Its memory grows with the largest one, to some
// 150 kB. The zero value is ready. The same text always gives the same bytes.
type Encoder struct {
	table []int32 // the last position of each hash
	runs  []run   // of the block
	out   writer
	lit   code // of literals and lengths
	dist  code // of distances

	header header
}

// run is a number of literals and a match after them.
type run struct {
	literals uint32
	match    match // 0: none
}

// match is a length less 3, and below it a distance in 16 bits.
type match uint32

// Gzip appends a gzip member with the text to dst.
func (e *Encoder) Gzip(dst, text []byte) []byte {
	// The deflate method, no name, no time, the fastest method, an unknown system.
	e.out = writer{bytes: append(dst, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255)}
	e.encode(text)
	dst = e.out.end()
	e.out.bytes = nil
	dst = binary.LittleEndian.AppendUint32(dst, crc32.ChecksumIEEE(text))
	return binary.LittleEndian.AppendUint32(dst, uint32(len(text)))
}

// encode writes the text in blocks.
func (e *Encoder) encode(text []byte) {
	tableBits := min(max(bits.Len(uint(len(text))), minTableBits), maxTableBits)
	if len(e.table) < 1<<tableBits {
		e.table = make([]int32, 1<<tableBits)
	}
	table := e.table[:1<<tableBits]
	clear(table)
	shift := 64 - tableBits
	ignored := 64 - 8*5 // what repeats for five bytes is worth a match
	if len(text) > 64<<10 {
		ignored = 64 - 8*6 // there are better ones
	}

	e.begin()
	block := 0   // where the block begins
	pending := 0 // where the literals begin that are in no run yet
	last := 1    // distance of the last match
	s := 1       // the first byte cannot repeat anything
	for end := len(text) - 8; s < end; {
		literals := 0
		for stop := min(end, s+chunk); s < stop; {
			now := binary.LittleEndian.Uint64(text[s:])
			h := hash(now, ignored) >> shift & uint64(len(table)-1)
			other := int(table[h])
			table[h] = int32(s)
			from := s - last // where it may be a repetition of
			if uint32(now) != binary.LittleEndian.Uint32(text[from:]) {
				from = other
				if uint32(now) != binary.LittleEndian.Uint32(text[from:]) || s-from > window {
					s += 1 + (s-pending)>>5 // faster through what does not repeat
					continue
				}
			}
			for s > pending && from > 0 && text[s-1] == text[from-1] {
				s--
				from--
			}
			last = s - from
			length := minMatch + common(text[s+minMatch:], text[from+minMatch:])
			literals += s - pending
			e.add(text[pending:s], length, last)
			s += length
			pending = s
			if s < end { // what ends a match may begin the next one
				h := hash(binary.LittleEndian.Uint64(text[s-2:]), ignored) >> shift & uint64(len(table)-1)
				table[h] = int32(s - 2)
			}
		}
		if s = min(s, len(text)); len(e.runs) >= maxRuns || s-pending+literals > maxLiterals {
			e.add(text[pending:s], 0, 0)
			e.block(text[block:s], false)
			block, pending = s, s
		}
	}
	e.add(text[pending:], 0, 0)
	e.block(text[block:], true)
}

// hash returns a hash of w without its last bits, in its upper bits.
func hash(w uint64, ignored int) uint64 { return w << (ignored & 63) * 227718039650203 }

// common returns how many bytes a begins with that b begins with, too. b is longer.
func common(a, b []byte) (n int) {
	for ; len(a)-n >= 16; n += 16 {
		x, y := a[n:n+16], b[n:n+16]
		first := binary.LittleEndian.Uint64(x) ^ binary.LittleEndian.Uint64(y)
		second := binary.LittleEndian.Uint64(x[8:]) ^ binary.LittleEndian.Uint64(y[8:])
		if first != 0 {
			return n + bits.TrailingZeros64(first)/8
		}
		if second != 0 {
			return n + 8 + bits.TrailingZeros64(second)/8
		}
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}

// begin begins a block.
func (e *Encoder) begin() {
	e.runs = e.runs[:0]
	clear(e.lit.counts[:])
	clear(e.dist.counts[:])
}

// add adds literals and a match after them, which may be longer than one can be; 0: none.
func (e *Encoder) add(literals []byte, length, distance int) {
	for _, c := range literals {
		e.lit.counts[c]++
	}
	symbol, _ := distanceSymbol(uint32(distance))
	next := run{literals: uint32(len(literals))}
	for length > 0 {
		n := min(length, maxMatch)
		if rest := length - n; rest > 0 && rest < 3 {
			n -= 3 - rest // a match has at least three bytes
		}
		length -= n
		s, _ := lengthSymbol(uint32(n - 3))
		e.lit.counts[s]++
		e.dist.counts[symbol]++
		next.match = match(n-3)<<16 | match(distance)
		e.runs = append(e.runs, next)
		next.literals = 0
	}
	if next.match == 0 {
		e.runs = append(e.runs, next)
	}
}

// lengthSymbol returns the symbol of a match's length less 3, and how many bits follow it
// (RFC 1951, 3.2.5).
func lengthSymbol(length uint32) (symbol, extra uint32) {
	switch {
	case length < 8:
		return 257 + length, 0
	case length == maxMatch-3:
		return 285, 0
	}
	extra = uint32(bits.Len32(length)) - 3
	return 257 + 4*extra + length>>extra, extra
}

// distanceSymbol returns the symbol of a distance, and how many bits follow it.
func distanceSymbol(distance uint32) (symbol, extra uint32) {
	distance--
	if distance < 4 {
		return distance, 0
	}
	extra = uint32(bits.Len32(distance)) - 2
	return 2*extra + distance>>extra, extra
}
