package deflate

import (
	"math/bits"
	"slices"
)

const (
	literals     = 286 // symbols of literals, the end of a block, and lengths
	fixedSymbols = 288 // the same with two that the fixed code has and no text
	distances    = 30  // symbols of distances
	endBlock     = 256 // the symbol that ends a block
	maxBits      = 15  // of a symbol
)

// code is a Huffman code: a canonical one, as RFC 1951 (3.2.2) wants it.
type code struct {
	counts  [fixedSymbols]uint32 // how often each symbol occurs
	lengths [fixedSymbols]uint8  // in bits; 0: it does not occur
	symbols [fixedSymbols]uint32 // its bits in the order in which they are written, and its length above them
	sorted  [fixedSymbols]uint32 // buffer
}

// symbolBits is where the length begins in an element of code.symbols.
const symbolBits = 16

// make makes the code of n symbols from their counts, with at most most bits a symbol.
func (c *code) make(n, most int) {
	sorted := c.sorted[:0]
	for symbol, count := range c.counts[:n] {
		c.lengths[symbol] = 0
		if count > 0 {
			sorted = append(sorted, count<<9|uint32(symbol))
		}
	}
	for symbol := 0; len(sorted) < 2; symbol++ { // a code has two symbols
		if c.counts[symbol] == 0 {
			sorted = append(sorted, uint32(symbol))
		}
	}
	slices.Sort(sorted)
	var ofLength [32]int // how many symbols have a length
	minimum(sorted, &ofLength)
	limit(&ofLength, most)
	i := 0
	for length := most; length > 0; length-- {
		for range ofLength[length] {
			c.lengths[c.sorted[i]] = uint8(length)
			i++
		}
	}
	c.assign(n)
}

// minimum counts the lengths of a code of the least total length, for the counts of its
// symbols in ascending order. It leaves the symbols (A. Moffat and J. Katajainen, In-place
// calculation of minimum-redundancy codes, 1995).
func minimum(sorted []uint32, ofLength *[32]int) {
	n := len(sorted)
	var weights [fixedSymbols]uint32 // first counts, then parents, then depths
	w := weights[:n]
	for i, s := range sorted {
		w[i] = s >> 9
		sorted[i] = s & (1<<9 - 1)
	}
	root, leaf := 0, 0
	for next := range n - 1 {
		take := func() (weight uint32) {
			if leaf == n || root < next && w[root] < w[leaf] {
				weight = w[root]
				w[root] = uint32(next)
				root++
				return weight
			}
			leaf++
			return w[leaf-1]
		}
		first := take()
		w[next] = first + take()
	}
	w[n-2] = 0
	for i := n - 3; i >= 0; i-- {
		w[i] = w[w[i]] + 1
	}
	available, used, depth := 1, 0, 0
	for i := n - 2; available > 0; depth++ {
		for i >= 0 && w[i] == uint32(depth) {
			used++
			i--
		}
		ofLength[min(depth, len(ofLength)-1)] += available - used
		available, used = 2*used, 0
	}
}

// limit shortens the lengths that are greater than most, and makes others longer for it.
func limit(ofLength *[32]int, most int) {
	total := 0 // in units of the longest length
	for length := len(ofLength) - 1; length > 0; length-- {
		if length > most {
			ofLength[most] += ofLength[length]
			ofLength[length] = 0
		}
	}
	for length := 1; length <= most; length++ {
		total += ofLength[length] << (most - length)
	}
	for ; total > 1<<most; total-- {
		ofLength[most]--
		for length := most - 1; ; length-- {
			if ofLength[length] > 0 {
				ofLength[length]--
				ofLength[length+1] += 2
				break
			}
		}
	}
}

// assign gives the symbols their bits, from their lengths.
func (c *code) assign(n int) {
	var ofLength, next [maxBits + 1]uint16
	for _, length := range c.lengths[:n] {
		ofLength[length]++
	}
	ofLength[0] = 0
	for length := 1; length <= maxBits; length++ {
		next[length] = (next[length-1] + ofLength[length-1]) << 1
	}
	for symbol, length := range c.lengths[:n] {
		c.symbols[symbol] = uint32(bits.Reverse16(next[length]))>>(16-length) | uint32(length)<<symbolBits
		next[length]++
	}
}

// size returns how many bits the counted symbols take, without the bits that follow them.
func (c *code) size(n int) (size int) {
	for symbol, count := range c.counts[:n] {
		size += int(count) * int(c.lengths[symbol])
	}
	return size
}

// fix makes the code of the fixed lengths (RFC 1951, 3.2.6), of literals or of distances.
func (c *code) fix(ofLiterals bool) {
	for symbol := range c.lengths {
		switch {
		case !ofLiterals:
			c.lengths[symbol] = 5
		case symbol < 144, symbol >= 280:
			c.lengths[symbol] = 8
		case symbol < 256:
			c.lengths[symbol] = 9
		default:
			c.lengths[symbol] = 7
		}
	}
}
