package main

import "github.com/kinetel/kinetel/internal/queue"

// These are as in package spool, and model_test.go checks that: frame is what a
// record takes on disk beside its data, and slack what the spool leaves free.
const (
	frame      = 300
	minSegment = 256 << 10
	maxSegment = 4 << 20
	maxSlack   = 64 << 10
)

// backlog is what waits in an environment, oldest first: a model of package
// queue with package spool. Of a record it knows how large it is; that platform
// events go last it leaves out.
type backlog struct {
	records []waiting
	head    int // the first of them that is left
	flight  int // of those from there on are on their way

	buffer  int64 // KINETEL_BUFFER_BYTES
	memory  int64
	size    int64 // all
	lost    int64 // ever
	readIn  int   // of the records from here
	readTo  int   // to here some may be in memory, because they were to be sent
	kept    int   // those from here on are in memory
	spool   int64 // KINETEL_SPOOL_BYTES; 0: off
	spooled int64
	files   []file // number n is at n-1
}

// waiting is a record.
type waiting struct {
	size      uint32
	file      int32 // of the spool; 0: none
	key       uint16
	throttled uint8
	inMemory  bool
	landed    bool // though no answer came
}

// file is a segment of the spool.
type file struct {
	size int64
	live int
}

func (b *backlog) count() int { return len(b.records) - b.head }

// push adds a record, and makes room for it.
func (b *backlog) push(r waiting) {
	if b.head == len(b.records) { // the memory is used again
		b.records, b.head, b.readIn, b.readTo, b.kept = b.records[:0], 0, 0, 0, 0
	}
	r.inMemory = true
	b.records = append(b.records, r)
	b.memory += int64(r.size) + queue.Overhead
	b.size += int64(r.size)
	for b.memory > b.buffer && b.fit() {
	}
}

// fit takes the oldest record that can go out of memory. The newest stays.
func (b *backlog) fit() bool {
	first, newest := b.head+b.flight, len(b.records)-1
	for b.readIn = max(b.readIn, first); b.readIn < min(b.readTo, newest) && !b.records[b.readIn].inMemory; b.readIn++ {
	}
	i := b.readIn
	if i >= min(b.readTo, newest) {
		for b.kept = max(b.kept, first); b.kept < newest && !b.records[b.kept].inMemory; b.kept++ {
		}
		if i = b.kept; i >= newest {
			return false
		}
	}
	if r := &b.records[i]; r.file > 0 || b.write(r) {
		b.forget(r)
		return true
	}
	if b.spool > 0 && b.makeRoom() {
		return true
	}
	b.drop(i)
	return true
}

// forget lets a record be on disk only.
func (b *backlog) forget(r *waiting) {
	r.inMemory = false
	b.memory -= int64(r.size) + queue.Overhead
}

// write puts a record into the spool.
func (b *backlog) write(r *waiting) bool {
	needs := int64(r.size) + frame
	if b.spooled+needs+min(maxSlack, b.spool/16) > b.spool {
		return false
	}
	if n := len(b.files); n == 0 || b.files[n-1].size >= min(max(b.spool/16, minSegment), maxSegment) || b.files[n-1].live == 0 {
		b.files = append(b.files, file{})
	}
	f := &b.files[len(b.files)-1]
	f.size += needs
	f.live++
	b.spooled += needs
	r.file = int32(len(b.files))
	return true
}

// done lets the spool forget a record. Disk is free when all of a file is done.
func (b *backlog) done(r *waiting) {
	if r.file == 0 {
		return
	}
	f := &b.files[r.file-1]
	if f.live--; f.live == 0 {
		b.spooled -= f.size
		f.size = 0
	}
	r.file = 0
}

// makeRoom drops the records of the spool's oldest file.
func (b *backlog) makeRoom() bool {
	oldest := int32(0)
	for i := b.head; i < len(b.records); i++ {
		if r := &b.records[i]; r.file > 0 && oldest == 0 {
			oldest = r.file
		} else if oldest > 0 && r.file != oldest {
			break
		}
	}
	if oldest == 0 {
		return false
	}
	if int(oldest) == len(b.files) {
		b.files = append(b.files, file{}) // nothing more goes where it is
	}
	for i := b.head; i < len(b.records); i++ {
		switch r := &b.records[i]; {
		case r.file != oldest && r.file > 0:
			return true
		case r.file == oldest && i < b.head+b.flight:
			b.done(r) // it is in memory, and may yet arrive
		case r.file == oldest:
			b.drop(i)
		}
	}
	return true
}

// drop loses a record. What is before it moves up: what is in flight, as a
// rule.
func (b *backlog) drop(i int) {
	r := b.records[i]
	b.done(&r)
	if r.inMemory {
		b.memory -= int64(r.size) + queue.Overhead
	}
	b.size -= int64(r.size)
	if !r.landed {
		b.lost += int64(r.size)
	}
	copy(b.records[b.head+1:i+1], b.records[b.head:i])
	b.head++
	if i >= b.readTo {
		b.readTo++
	}
}

// batch takes the oldest records for a request, until ack is called.
func (b *backlog) batch(records, bytes int) []waiting {
	total := 0
	n := 0
	for ; n < b.count() && n < records; n++ {
		r := &b.records[b.head+n]
		if total += int(r.size); n > 0 && total > bytes {
			break
		}
		if !r.inMemory {
			r.inMemory = true
			b.memory += int64(r.size) + queue.Overhead
		}
	}
	b.flight = n
	b.readTo = max(b.readTo, b.head+n)
	return b.records[b.head : b.head+n]
}

// ack ends the batch: records that are gone leave, the others stay.
func (b *backlog) ack(gone []bool) {
	to := b.head + b.flight
	for i := b.flight - 1; i >= 0; i-- {
		r := &b.records[b.head+i]
		if !gone[i] {
			to--
			b.records[to] = *r
			continue
		}
		b.done(r)
		b.memory -= int64(r.size) + queue.Overhead
		b.size -= int64(r.size)
	}
	b.head, b.flight, b.readIn = to, 0, to
}
