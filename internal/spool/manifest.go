package spool

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/seqrange"
)

// manifestName is the file in which a process that shuts down cleanly lists the
// records that the next one should find. Without it, a file that was truncated
// afterwards would look like one that was being written.
const manifestName = "manifest"

// maxManifest bounds the bytes that are read of it: some 30,000 ranges.
const maxManifest = 1 << 20

// manifest is the JSON in that file. Its checksum precedes it.
type manifest struct {
	Last    uint64       // the highest number ever assigned
	Numbers seqrange.Set // from the first to the last of each record
	Events  int64        // in the records
	Bytes   int64        // of their lines
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
	m := manifest{Last: last}
	for _, ref := range refs {
		if ref.seg.env == e {
			m.Numbers = append(m.Numbers, ref.numbers())
			m.Events += int64(ref.Events)
			m.Bytes += ref.Lines
		}
	}
	m.Numbers = seqrange.New(m.Numbers...)
	text := m.json()
	if f, err := makeFile(s.disk, filepath.Join(e.dir, manifestName)); err == nil {
		// If this fails, there is no manifest: it only detects what should not happen.
		_, _ = f.WriteAt(fmt.Appendf(nil, "%08x %s\n", checksum(text), text), 0)
		_ = f.Close()
	}
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
	if string(crc) != fmt.Sprintf("%08x", checksum(text)) || !m.read(text) {
		return nil
	}
	m.Numbers = seqrange.New(m.Numbers...)
	return &m
}

// json returns the manifest as JSON.
func (m *manifest) json() []byte {
	var numbers [][]byte
	for _, r := range m.Numbers {
		var o jsontext.Object
		o.Uint("First", r.First)
		o.Uint("Last", r.Last)
		numbers = append(numbers, o.JSON())
	}
	var o jsontext.Object
	o.Int("Version", 1)
	o.Uint("Last", m.Last)
	o.Array("Numbers", numbers)
	o.Int("Events", m.Events)
	o.Int("Bytes", m.Bytes)
	return o.JSON()
}

// read reads what json has written.
func (m *manifest) read(text []byte) (ok bool) {
	ok = jsontext.IsObject(text) && string(jsontext.Member(text, "Version")) == "1"
	for member := jsontext.Members(text); ok && member.Next(); {
		switch string(member.Name) {
		case "Last":
			ok = jsontext.ReadUint(member.Value, &m.Last)
		case "Numbers":
			m.Numbers = nil
			e := jsontext.Elements(member.Value)
			for ok && e.Next() {
				var r seqrange.Range
				ok = jsontext.ReadUint(jsontext.Member(e.Value, "First"), &r.First) && jsontext.ReadUint(jsontext.Member(e.Value, "Last"), &r.Last)
				m.Numbers = append(m.Numbers, r)
			}
			ok = ok && e.Err == nil
		case "Events":
			ok = jsontext.ReadInt(member.Value, &m.Events)
		case "Bytes":
			ok = jsontext.ReadInt(member.Value, &m.Bytes)
		}
	}
	return ok
}

// missing returns the loss of the listed records that are neither in found nor in
// the journal's lines, and false if there is none.
func (m *manifest) missing(found []*Ref, journalled seqrange.Set) (ledger.Loss, bool) {
	var have seqrange.Set
	for _, ref := range found {
		have = have.Add(ref.numbers())
		m.Events -= int64(ref.Events)
		m.Bytes -= ref.Lines
	}
	inNoRecord := m.Numbers.Subtract(have)
	lost := inNoRecord.Subtract(journalled)
	m.Events -= int64(inNoRecord.Len() - lost.Len())
	// The numbers of records may interleave. What is lost may then lie between the
	// numbers of what is found.
	for _, in := range []seqrange.Set{lost, m.Numbers} {
		if n := len(in) - 1; n >= 0 {
			loss := ledger.Loss{First: in[0].First, Last: in[n].Last, Count: int(m.Events), Bytes: max(m.Bytes, 0), Reason: ledger.SpoolCorrupt}
			if valid(loss) {
				return loss, true
			}
		}
	}
	return ledger.Loss{}, false
}
