package deflate

import (
	"encoding/binary"
	"slices"
)

// The kinds of blocks (RFC 1951, 3.2.3).
const (
	stored  = 0
	fixed   = 1
	dynamic = 2
)

// block writes a block with the runs, which are those of a text, in the kind that takes
// least bits, and begins the next block.
func (e *Encoder) block(text []byte, last bool) {
	final := uint64(0)
	if last {
		final = 1
	}
	e.lit.counts[endBlock]++
	e.lit.make(literals, maxBits)
	e.dist.make(distances, maxBits)
	e.header.describe(&e.lit, &e.dist)
	size := e.header.size + e.lit.size(literals) + e.dist.size(distances)
	usual := fixedSize(&e.lit, &e.dist)
	most := min(size, usual) + e.extra()
	if 8*(len(text)+5*(len(text)/maxStored+1)) <= most {
		e.stored(text, final)
	} else {
		if usual <= size {
			e.lit.fix(true)
			e.dist.fix(false)
			e.lit.assign(fixedSymbols)
			e.dist.assign(distances)
			e.out.add(final|fixed<<1, 3)
		} else {
			e.out.add(final|dynamic<<1, 3)
			e.header.write(&e.out)
		}
		e.write(text, most)
	}
	e.begin()
}

// stored writes a text as it is.
func (e *Encoder) stored(text []byte, final uint64) {
	for first := true; first || len(text) > 0; first = false {
		n := min(len(text), maxStored)
		is := uint64(0)
		if n == len(text) {
			is = final
		}
		e.out.add(is|stored<<1, 3)
		out := binary.LittleEndian.AppendUint16(e.out.end(), uint16(n))
		out = binary.LittleEndian.AppendUint16(out, ^uint16(n))
		e.out.bytes = append(out, text[:n]...)
		text = text[n:]
	}
}

// extra returns how many bits follow the symbols of lengths and distances.
func (e *Encoder) extra() (n int) {
	for symbol := 265; symbol < 285; symbol++ {
		n += int(e.lit.counts[symbol]) * ((symbol - 261) / 4)
	}
	for symbol := 4; symbol < distances; symbol++ {
		n += int(e.dist.counts[symbol]) * (symbol/2 - 1)
	}
	return n
}

// fixedSize returns what code.size returns for both with the fixed codes.
func fixedSize(lit, dist *code) (size int) {
	for symbol, count := range lit.counts[:literals] {
		n := 8
		switch {
		case symbol >= 144 && symbol < 256:
			n = 9
		case symbol >= 256 && symbol < 280:
			n = 7
		}
		size += n * int(count)
	}
	for _, count := range dist.counts[:distances] {
		size += 5 * int(count)
	}
	return size
}

// write writes the runs of a text, and the end of the block. It takes size bits at most.
func (e *Encoder) write(text []byte, size int) {
	out := &e.out
	out.bytes = slices.Grow(out.bytes, size/8+16)
	// In variables of its own: this is where most bits come from.
	to, at, pending, n := out.bytes[:cap(out.bytes)], len(out.bytes), out.bits, out.n
	for _, r := range e.runs {
		literals := text[:r.literals]
		text = text[r.literals:]
		for _, c := range literals {
			s := e.lit.symbols[c]
			pending |= uint64(s&(1<<symbolBits-1)) << (n & 63)
			if n += uint(s >> symbolBits); n >= 64-maxBits {
				at, pending, n = flush(to, at, pending, n)
			}
		}
		at, pending, n = flush(to, at, pending, n)
		if r.match == 0 {
			continue
		}
		length, distance := uint32(r.match>>16), uint32(r.match&0xffff)
		text = text[length+3:]
		symbol, extra := lengthSymbol(length)
		s := e.lit.symbols[symbol]
		w := uint64(s & (1<<symbolBits - 1))
		k := uint(s >> symbolBits)
		w |= uint64(length&(1<<extra-1)) << (k & 63)
		k += uint(extra)
		symbol, extra = distanceSymbol(distance)
		s = e.dist.symbols[symbol]
		w |= uint64(s&(1<<symbolBits-1)) << (k & 63)
		k += uint(s >> symbolBits)
		w |= uint64((distance-1)&(1<<extra-1)) << (k & 63)
		k += uint(extra)
		pending |= w << (n & 63)
		n += k
		if n >= 64-maxBits { // room for a literal
			at, pending, n = flush(to, at, pending, n)
		}
	}
	at, pending, n = flush(to, at, pending, n)
	out.bytes, out.bits, out.n = to[:at], pending, n
	s := e.lit.symbols[endBlock]
	out.add(uint64(s&(1<<symbolBits-1)), uint(s>>symbolBits))
}

// flush writes the whole bytes of n pending bits, at most 63, and returns what is left.
func flush(to []byte, at int, pending uint64, n uint) (int, uint64, uint) {
	binary.LittleEndian.PutUint64(to[at:], pending)
	return at + int(n/8), pending >> (n &^ 7 & 63), n & 7
}

// writer writes bits, the lowest first.
type writer struct {
	bytes []byte
	bits  uint64 // not yet in bytes
	n     uint   // how many; less than 8 between calls
}

// add writes the lowest n bits of w, at most 48.
func (w *writer) add(bits uint64, n uint) {
	w.bits |= bits << w.n
	w.n += n
	w.bytes = binary.LittleEndian.AppendUint64(w.bytes, w.bits)
	w.bytes = w.bytes[:len(w.bytes)-8+int(w.n/8)]
	w.bits >>= w.n &^ 7
	w.n &= 7
}

// end fills the last byte with zeros, and returns the bytes.
func (w *writer) end() []byte {
	if w.n > 0 {
		w.bytes = append(w.bytes, byte(w.bits))
	}
	w.bits, w.n = 0, 0
	return w.bytes
}

// header describes two codes at the beginning of a block (RFC 1951, 3.2.7).
type header struct {
	literals, distances int      // how many lengths there are of each
	lengths             []uint16 // a symbol of the code of lengths, and above it the bits that follow
	code                code
	used                int // how many lengths of that code there are
	size                int // in bits
}

// order is the order of the lengths of the code of lengths.
const order = "\x10\x11\x12\x00\x08\x07\x09\x06\x0a\x05\x0b\x04\x0c\x03\x0d\x02\x0e\x01\x0f"

// describe makes the header of a block.
func (h *header) describe(lit, dist *code) {
	h.literals, h.distances, h.lengths = literals, distances, h.lengths[:0]
	clear(h.code.counts[:])
	for h.literals > 257 && lit.lengths[h.literals-1] == 0 {
		h.literals--
	}
	for h.distances > 1 && dist.lengths[h.distances-1] == 0 {
		h.distances--
	}
	var all [literals + distances]uint8
	lengths := append(append(all[:0], lit.lengths[:h.literals]...), dist.lengths[:h.distances]...)
	for i := 0; i < len(lengths); {
		n := 1 // how often the length is repeated
		for i+n < len(lengths) && lengths[i+n] == lengths[i] {
			n++
		}
		i += h.repeat(uint16(lengths[i]), n)
	}
	h.code.make(len(order), 7)
	for h.used = len(order); h.used > 4 && h.code.lengths[order[h.used-1]] == 0; {
		h.used--
	}
	h.size = 5 + 5 + 4 + 3*h.used + h.code.size(len(order)) + 2*int(h.code.counts[16]) + 3*int(h.code.counts[17]) + 7*int(h.code.counts[18])
}

// repeat adds a length that occurs n times, and returns how many of these it has added.
func (h *header) repeat(length uint16, n int) int {
	switch {
	case length == 0 && n >= 11:
		n = min(n, 138)
		h.add(18, n-11)
	case length == 0 && n >= 3:
		h.add(17, n-3)
	case n >= 4:
		n = min(n, 7)
		h.add(length, 0)
		h.add(16, n-4)
	default:
		n = 1
		h.add(length, 0)
	}
	return n
}

// add adds a symbol of the code of lengths, and the bits that follow it.
func (h *header) add(symbol uint16, bits int) {
	h.lengths = append(h.lengths, symbol|uint16(bits)<<8)
	h.code.counts[symbol]++
}

func (h *header) write(out *writer) {
	out.add(uint64(h.literals-257), 5)
	out.add(uint64(h.distances-1), 5)
	out.add(uint64(h.used-4), 4)
	for i := range h.used {
		out.add(uint64(h.code.lengths[order[i]]), 3)
	}
	for _, l := range h.lengths {
		s := h.code.symbols[l&0xff]
		out.add(uint64(s&(1<<symbolBits-1)), uint(s>>symbolBits))
		switch l & 0xff {
		case 16:
			out.add(uint64(l>>8), 2)
		case 17:
			out.add(uint64(l>>8), 3)
		case 18:
			out.add(uint64(l>>8), 7)
		}
	}
}
