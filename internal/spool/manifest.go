package spool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"kinetel/internal/environment"
	"kinetel/internal/ledger"
	"kinetel/internal/order"
	"kinetel/internal/seqrange"
)

// manifestName is the file in which a process that shuts down cleanly lists what
// the next one should find. Without it, a file that was truncated afterwards
// would look like one that was being written.
const manifestName = "manifest"

// maxManifest bounds the bytes that are read of it: some 10,000 ranges.
const maxManifest = 1 << 20

// manifest is the JSON in that file. Its checksum precedes it.
type manifest struct {
	Version int           `json:"version"`
	Last    uint64        `json:"last"`    // the highest number ever assigned
	Records []ledger.Loss `json:"records"` // the loss of each; ranges that touch or overlap are joined
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
			m.Records = append(m.Records, ref.loss())
		}
	}
	order.By(m.Records, func(a, b ledger.Loss) int { return cmp.Compare(a.First, b.First) })
	m.Records = joinRanges(m.Records)
	text, _ := json.Marshal(m) // cannot fail: numbers and strings only
	text = fmt.Appendf(nil, "%08x %s\n", checksum(text), text)
	f, err := makeFile(s.disk, filepath.Join(e.dir, manifestName))
	if err != nil {
		return // the manifest only detects what should not happen
	}
	_, _ = f.WriteAt(text, 0)
	_ = f.Close()
}

// loss returns the loss of the record.
func (ref *Ref) loss() ledger.Loss {
	return ledger.Loss{First: ref.First, Last: ref.Last, Count: ref.Events, Bytes: ref.Lines, Reason: ledger.SpoolCorrupt}
}

// joinRanges joins sorted ranges that touch or overlap.
func joinRanges(ranges []ledger.Loss) []ledger.Loss {
	joined := ranges[:0]
	for _, r := range ranges {
		n := len(joined) - 1
		if n < 0 || joined[n].Last+1 < r.First {
			joined = append(joined, r)
			continue
		}
		last := &joined[n]
		last.Last = max(last.Last, r.Last)
		last.Count += r.Count
		last.Bytes += r.Bytes
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
	for i, r := range m.Records {
		if !valid(r) || i > 0 && r.First <= m.Records[i-1].Last {
			return nil
		}
	}
	return &m
}

// numbers returns the numbers of the listed records.
func (m *manifest) numbers() (set seqrange.Set) {
	for _, r := range m.Records {
		set = set.Add(seqrange.Range{First: r.First, Last: r.Last})
	}
	return set
}

// missing returns the loss of the listed records that are not among those found,
// which are sorted by First.
func (m *manifest) missing(found []*Ref) (losses []ledger.Loss) {
	for _, loss := range m.Records {
		var have seqrange.Set
		for ; len(found) > 0 && found[0].First <= loss.Last; found = found[1:] {
			have = have.Add(seqrange.Range{First: found[0].First, Last: found[0].Last})
			loss.Count -= found[0].Events
			loss.Bytes -= found[0].Lines
		}
		if loss.Count > 0 {
			loss.Bytes = max(loss.Bytes, 0)
			losses = append(losses, trim(loss, have))
		}
	}
	return losses
}

// trim returns the loss without the numbers of a set at both of its ends. It leaves
// the range as it is if the count shows that lost events are among these numbers.
func trim(loss ledger.Loss, set seqrange.Set) ledger.Loss {
	gaps := set.Gaps(seqrange.Range{First: loss.First, Last: loss.Last})
	if n := len(gaps) - 1; n >= 0 && gaps[n].Last-gaps[0].First >= uint64(loss.Count-1) {
		loss.First, loss.Last = gaps[0].First, gaps[n].Last
	}
	return loss
}
