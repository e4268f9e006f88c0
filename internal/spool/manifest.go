package spool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"kinetel/internal/environment"
	"kinetel/internal/ledger"
	"kinetel/internal/order"
)

// manifestName is the file in which a process that shuts down cleanly lists what
// the next one should find. Without it, a file that was truncated afterwards
// would look like one that was being written.
const manifestName = "left"

// maxManifest bounds the bytes that are read of it: some 10,000 ranges.
const maxManifest = 1 << 20

// manifest is the JSON in that file. Its checksum precedes it.
type manifest struct {
	Version int           `json:"version"`
	Last    uint64        `json:"last"` // the highest number ever assigned
	Left    []ledger.Loss `json:"left"` // records; adjacent ranges are joined

	until []uint64 // for each range, the highest number of those up to it
}

// WriteManifest writes, at the end of the process, what the next one should find
// of an environment: the records of refs, and last, the highest number ever
// assigned in it. It does nothing if the environment has no folder.
func (s *Spool) WriteManifest(o *environment.Environment, last uint64, refs []*Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.envs[o.ID]
	if s.closed || e == nil || e.meta.file == nil {
		return
	}
	m := manifest{Version: 1, Last: last}
	for _, ref := range refs {
		if ref.seg.env == e {
			m.Left = append(m.Left, ledger.Loss{First: ref.First, Last: ref.Last, Count: ref.Events, Bytes: ref.Lines, Reason: ledger.SpoolCorrupt})
		}
	}
	order.By(m.Left, func(a, b ledger.Loss) int { return cmp.Compare(a.First, b.First) })
	m.Left = joinAdjacent(m.Left)
	text, _ := json.Marshal(m) // cannot fail: numbers and strings only
	text = fmt.Appendf(nil, "%08x %s\n", checksum(text), text)
	f, err := makeFile(s.disk, filepath.Join(e.dir, manifestName))
	if err != nil {
		return // the manifest only detects what should not happen
	}
	_, _ = f.WriteAt(text, 0)
	_ = f.Close()
}

// joinAdjacent joins ranges of which one begins right after the other ends.
func joinAdjacent(ranges []ledger.Loss) (joined []ledger.Loss) {
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

// readManifest reads the manifest of the previous process and removes it: from
// here on records leave the spool, and the manifest would be wrong.
func (s *Spool) readManifest(e *folder) *manifest {
	path := filepath.Join(e.dir, manifestName)
	f, err := s.disk.open(path, toRead)
	if permanent(err) {
		_ = clearPath(s.disk, path) // it is not a regular file
	}
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxManifest))
	_ = f.Close()
	if s.disk.remove(path) != nil || err != nil {
		return nil
	}
	// With a corrupt manifest, records would be lost.
	crc, text, _ := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte(" "))
	var m manifest
	if string(crc) != fmt.Sprintf("%08x", checksum(text)) || json.Unmarshal(text, &m) != nil || m.Version != 1 {
		return nil
	}
	last := uint64(0)
	for i := range m.Left {
		m.Left[i].Reason = ledger.SpoolCorrupt
		if !valid(m.Left[i]) || i > 0 && m.Left[i].First < m.Left[i-1].First {
			return nil
		}
		last = max(last, m.Left[i].Last)
		m.until = append(m.until, last)
	}
	return &m
}

// has reports whether the manifest lists a record.
func (m *manifest) has(ref *Ref) bool {
	i, _ := slices.BinarySearchFunc(m.Left, ref.First+1, func(l ledger.Loss, n uint64) int { return cmp.Compare(l.First, n) })
	return i > 0 && ref.Last <= m.until[i-1]
}

// missing returns, as losses, what the manifest lists and in does not have.
func (m *manifest) missing(in known) (losses []ledger.Loss) {
	for _, loss := range m.Left {
		if loss, ok := in.without(loss); ok {
			losses = append(losses, loss)
		}
	}
	return losses
}
