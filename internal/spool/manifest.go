package spool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"kinetel/internal/ledger"
	"kinetel/internal/order"
	"kinetel/internal/pack"
)

// promiseName is the file in which a process that ends in order says what the
// next one should find. Without it, a file that was cut short afterwards would
// look like one that was being written.
const manifestName = "left"

// maxPromise bounds the bytes that are read of it: some 10,000 ranges.
const maxManifest = 1 << 20

// promise is the text of that file, behind its sum.
type manifest struct {
	Version int           `json:"version"`
	Last    uint64        `json:"last"` // the highest number ever given
	Left    []ledger.Loss `json:"left"` // records; ranges that touch are one

	until []uint64 // the highest number of those up to each
}

// Promise notes, at the end of the process, what of an environment is left for
// the next one: the records that refs name, and that last is the highest number
// ever given in it. It does nothing where there is none.
func (s *Spool) WriteManifest(o *pack.Origin, last uint64, refs []*Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.envs[o.EnvironmentID]
	if s.closed || e == nil || e.meta.file == nil {
		return
	}
	p := manifest{Version: 1, Last: last}
	for _, ref := range refs {
		if ref.seg.env == e {
			p.Left = append(p.Left, ledger.Loss{First: ref.First, Last: ref.Last, Count: ref.Events, Bytes: ref.Lines, Reason: ledger.SpoolCorrupt})
		}
	}
	order.By(p.Left, func(a, b ledger.Loss) int { return cmp.Compare(a.First, b.First) })
	p.Left = touching(p.Left)
	text, _ := json.Marshal(p) // numbers only
	text = fmt.Appendf(nil, "%08x %s\n", checksum(text), text)
	f, err := makeFile(s.disk, filepath.Join(e.dir, manifestName))
	if err != nil {
		return // it is a guard against what should not happen
	}
	_, _ = f.WriteAt(text, 0)
	_ = f.Close()
}

// touching puts ranges together of which one begins where the other ends.
func touching(ranges []ledger.Loss) (joined []ledger.Loss) {
	for _, r := range ranges {
		if n := len(joined) - 1; n >= 0 && joined[n].Last+1 == r.First {
			joined[n].Last = r.Last
			joined[n].Count += r.Count
			joined[n].Bytes += r.Bytes
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// readPromise reads what the process before has promised, once: from here on
// records go, and it would not be true any more.
func (s *Spool) readManifest(e *environment) *manifest {
	path := filepath.Join(e.dir, manifestName)
	f, err := s.disk.open(path, toRead)
	if permanent(err) {
		_ = makeWay(s.disk, path) // something that is no file
	}
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxManifest))
	_ = f.Close()
	if s.disk.remove(path) != nil || err != nil {
		return nil
	}
	// A promise that is spoiled would have records be lost.
	sum, text, _ := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte(" "))
	var p manifest
	if string(sum) != fmt.Sprintf("%08x", checksum(text)) || json.Unmarshal(text, &p) != nil || p.Version != 1 {
		return nil
	}
	last := uint64(0)
	for i := range p.Left {
		p.Left[i].Reason = ledger.SpoolCorrupt
		if !valid(p.Left[i]) || i > 0 && p.Left[i].First < p.Left[i-1].First {
			return nil
		}
		last = max(last, p.Left[i].Last)
		p.until = append(p.until, last)
	}
	return &p
}

// has reports whether a record is among what was left.
func (p *manifest) has(ref *Ref) bool {
	i, _ := slices.BinarySearchFunc(p.Left, ref.First+1, func(l ledger.Loss, n uint64) int { return cmp.Compare(l.First, n) })
	return i > 0 && ref.Last <= p.until[i-1]
}

// broken returns what was promised and is not known.
func (p *manifest) missing(in known) (losses []ledger.Loss) {
	for _, loss := range p.Left {
		if loss, ok := in.without(loss); ok {
			losses = append(losses, loss)
		}
	}
	return losses
}
