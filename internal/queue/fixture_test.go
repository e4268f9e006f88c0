package queue_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
	"github.com/kinetel/kinetel/internal/spool"
	"github.com/kinetel/kinetel/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "k"

// lineOf is the line of an event, droppable or not, padded by so many bytes.
func lineOf(seq uint64, droppable bool, padding int) string {
	kind := "platform.report"
	if droppable {
		kind = "function"
	}
	return fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":"2026-11-22T20:15:00.123Z","type":"%s","body":"%s","resource":{}}`+"\n",
		seq, kind, strings.Repeat("x", padding))
}

// recordOf is a record of lines whose numbers begin with first: one for each
// letter of kinds: o is a droppable event, p is a platform event.
func recordOf(o *environment.Environment, first uint64, kinds string, padding int) *pack.Record {
	r := &pack.Record{PartitionKey: key, Environment: o, First: first, Last: first + uint64(len(kinds)) - 1, Events: len(kinds)}
	for i, kind := range kinds {
		r.Data = append(r.Data, lineOf(first+uint64(i), kind == 'o', padding)...)
		if kind == 'o' {
			r.Droppable++
		}
	}
	r.Lines = int64(len(r.Data))
	return r
}

// fixture is a queue, and what it dropped.
type fixture struct {
	*queue.Queue
	env     *environment.Environment
	account *ledger.Account
	batch   []*pack.Record // the last one
	lost    []ledger.Loss  // each as it was reported
	onLost  func(ledger.Loss)
}

func newFixture(opt queue.Options) *fixture {
	r := &fixture{account: &ledger.Account{}, env: &environment.Environment{ID: "e1"}}
	r.env.Ledger = ledger.New(r.account, func(loss ledger.Loss) {
		r.lost = append(r.lost, loss)
		if r.onLost != nil {
			r.onLost(loss)
		}
	})
	opt.LogDropper = pack.NewLogDropper(format.Uncompressed)
	r.Queue = queue.New(opt)
	return r
}

// Batch is the Queue's; Ack acknowledges the batch that it returned last.
func (r *fixture) Batch(records, bytes int) []*pack.Record {
	r.batch = r.Queue.Batch(records, bytes)
	return r.batch
}

func (r *fixture) Ack(done func(i int) bool) { r.Queue.Ack(r.batch, outcomes(r.batch, done)) }

// outcomes returns the outcomes of a batch whose records are done or stay.
func outcomes(batch []*pack.Record, done func(i int) bool) []queue.Outcome {
	all := make([]queue.Outcome, len(batch))
	for i := range all {
		all[i].Done = done(i)
	}
	return all
}

// inMemory is a fixture without a store that has room for so many records of push.
func inMemory(records int64) *fixture { return newFixture(queue.Options{Max: room(records)}) }

// rec is a record of one droppable event and so many bytes, its partition key
// included.
func (r *fixture) rec(seq uint64, size int) *pack.Record {
	return &pack.Record{
		Data: make([]byte, size-len(key)), PartitionKey: key, Environment: r.env,
		First: seq, Last: seq, Events: 1, Droppable: 1, Lines: int64(size),
	}
}

// push pushes records of one droppable event.
func (r *fixture) push(seqs ...uint64) {
	for _, seq := range seqs {
		r.Push(r.rec(seq, 100))
	}
}

// room is the space of so many records that push pushes.
func room(records int64) int64 { return records * (100 + queue.Overhead) }

// dropped returns the numbers of the dropped events, in the order of dropping.
func (r *fixture) dropped() (seqs []uint64) {
	for _, loss := range r.lost {
		for seq := loss.First; seq <= loss.Last; seq++ {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

// reasons returns the losses, as "first-last count reason".
func (r *fixture) reasons() (all []string) {
	for _, l := range r.lost {
		all = append(all, fmt.Sprintf("%d-%d %d %s", l.First, l.Last, l.Count, l.Reason))
	}
	return all
}

// rest returns the numbers of all waiting records, which leave the queue.
func (r *fixture) rest() []uint64 {
	batch := r.Batch(500, 1<<30)
	r.Ack(all)
	return numbers(batch)
}

// numbers are the records by their first sequence numbers.
func numbers(records []*pack.Record) []uint64 {
	var n []uint64
	for _, r := range records {
		n = append(n, r.First)
	}
	return n
}

// events are the numbers of the events in a record's lines.
func events(t interface{ Fatalf(string, ...any) }, r *pack.Record) (seqs []uint64) {
	lines, err := record.Decode(r.Data)
	if err != nil {
		t.Fatalf("a record cannot be read: %v", err)
	}
	for _, line := range lines {
		seqs = append(seqs, line.Seq)
	}
	return seqs
}

func all(int) bool  { return true }
func none(int) bool { return false }

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

var errDisk = errors.New("the disk fails")

// store is a spool in memory: records are in segments, and room is made only when
// all of a segment is done.
type store struct {
	max, segment int64 // bytes of all segments, and at which a new one begins

	segments []*segment
	sealed   bool // the last segment is not written any more
	failing  bool // Append and Read fail
	corrupt  map[*spool.Ref]bool
	unread   map[*spool.Ref]bool // cannot be read just now
	gone     map[*spool.Ref]bool // deleted by another process
	sent     []uint64            // by first number
	calls    int                 // of Append since it was set to 0
}

type segment struct {
	size  int64
	slots []*slot
}

type slot struct {
	ref    *spool.Ref
	record pack.Record
	data   []byte
	done   bool
}

func (s *segment) live() bool {
	for _, slot := range s.slots {
		if !slot.done {
			return true
		}
	}
	return false
}

// bound returns the bytes of room in the store; 0 without a store.
func (s *store) bound() int64 {
	if s == nil {
		return 0
	}
	return s.max
}

func (s *store) fails() bool { return s != nil && s.failing }

func (s *store) bytes() (n int64) {
	for _, segment := range s.segments {
		n += segment.size
	}
	return n
}

func (s *store) Append(r *pack.Record) (*spool.Ref, error) {
	if s.calls++; s.calls > 2000 {
		panic("Append does not end")
	}
	if s.failing {
		return nil, errDisk
	}
	size := int64(r.Size())
	if s.bytes()+size > s.max {
		return nil, fmt.Errorf("%w: really", spool.ErrFull)
	}
	ref := &spool.Ref{
		Environment: r.Environment, First: r.First, Last: r.Last, Losses: r.Losses, Lines: r.Lines,
		Events: r.Events, Droppable: r.Droppable, DataSize: r.Size(),
	}
	if n := len(s.segments); n == 0 || s.sealed || s.segments[n-1].size >= s.segment {
		s.segments, s.sealed = append(s.segments, &segment{}), false
	}
	last := s.segments[len(s.segments)-1]
	last.size += size
	last.slots = append(last.slots, &slot{ref: ref, record: *r, data: bytes.Clone(r.Data)})
	return ref, nil
}

// find returns the place of a record; nil if it was removed.
func (s *store) find(ref *spool.Ref) (*segment, *slot) {
	for _, segment := range s.segments {
		for _, slot := range segment.slots {
			if slot.ref == ref {
				return segment, slot
			}
		}
	}
	return nil, nil
}

func (s *store) Read(ref *spool.Ref) (*pack.Record, error) {
	_, slot := s.find(ref)
	s.calls++
	switch {
	case s.failing:
		return nil, errDisk
	case s.unread[ref]:
		return nil, errDisk
	case s.corrupt[ref], s.gone[ref]:
		return nil, fmt.Errorf("%w: really", spool.ErrCorrupt)
	case slot == nil || slot.done:
		panic("a record that is done is read")
	}
	r := slot.record
	r.Data = bytes.Clone(slot.data)
	return &r, nil
}

func (s *store) Done(ref *spool.Ref) {
	segment, slot := s.find(ref)
	if slot == nil || slot.done {
		return
	}
	slot.done = true
	if segment.live() {
		return
	}
	if segment == s.segments[len(s.segments)-1] {
		s.sealed = false
	}
	kept := s.segments[:0]
	for _, other := range s.segments {
		if other != segment {
			kept = append(kept, other)
		}
	}
	s.segments = kept
}

// Check returns false if a record was deleted.
func (s *store) Check() bool { return len(s.gone) == 0 }

func (s *store) Sent(r *pack.Record) { s.sent = append(s.sent, r.First) }

func (s *store) Gone(ref *spool.Ref) bool { return s.gone[ref] }

func (s *store) SameSegment(a, b *spool.Ref) bool {
	in, _ := s.find(a)
	other, _ := s.find(b)
	return in != nil && in == other
}

func (s *store) Seal(ref *spool.Ref) {
	if in, _ := s.find(ref); in != nil && in == s.segments[len(s.segments)-1] {
		s.sealed = true
	}
}

// refs returns the refs of the stored records, oldest first.
func (s *store) refs() (refs []*spool.Ref) {
	for _, segment := range s.segments {
		for _, slot := range segment.slots {
			if !slot.done {
				refs = append(refs, slot.ref)
			}
		}
	}
	return refs
}

// stored returns the numbers of the stored records, oldest first.
func (s *store) stored() (seqs []uint64) {
	for _, ref := range s.refs() {
		seqs = append(seqs, ref.First)
	}
	return seqs
}
