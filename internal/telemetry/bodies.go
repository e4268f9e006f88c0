package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// firstRead is the memory that a body begins with: what a mere header costs.
	firstRead = 64 << 10
	// maxMemory bounds the memory of all bodies together: as much as the largest
	// one in chunks needs when its memory grows for the last time.
	maxMemory = maxBody + maxBody/2 + 1
	// slowBody is how long a client may take to fill the memory of its body where
	// another body needs memory.
	slowBody = 250 * time.Millisecond
)

// bodies reads bodies into a bounded amount of memory. Where there is no more, a
// body waits until others are decoded. Those whose clients are slow are broken
// off for it, the slowest first, so that a client that stalls does not stall the
// others.
type bodies struct {
	mu      sync.Mutex // guards all below, and what is in each body
	free    int
	ending  int           // memory that will be free without waiting for a client
	reading []*body       // those whose clients are waited for, or that wait for memory
	changed chan struct{} // closed, and made anew, when one of the above changes
}

// body is the memory of one body.
type body struct {
	size    int       // of its memory
	since   time.Time // when it last got some
	waiting bool      // for more
	stop    func()    // makes reading it fail
	broken  bool      // it was stopped
	ending  bool      // it is not among those that are read
}

var errSlow = errors.New("it came too slowly, and others need the memory")

func newBodies() *bodies { return &bodies{free: maxMemory, changed: make(chan struct{})} }

// read reads a request's body to its end, into memory where that is enough. What
// it returns has to be released, whether there is an error or not.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, memory []byte) ([]byte, *body, error) {
	it := &body{stop: func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) }}
	if r.ContentLength > maxBody {
		return nil, it, &http.MaxBytesError{Limit: maxBody}
	}
	b.mu.Lock()
	b.reading = append(b.reading, it)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.end(it)
	}()

	reader := http.MaxBytesReader(w, r.Body, maxBody)
	text := memory[:0]
	first := firstRead
	if r.ContentLength >= 0 && r.ContentLength < firstRead {
		first = int(r.ContentLength) + 1 // the end is found by a read with room
	}
	if err := b.reserve(it, max(cap(memory), first)); err != nil {
		return nil, it, err
	}
	if cap(memory) < first {
		text = make([]byte, 0, first)
	}
	for {
		if len(text) == cap(text) {
			size := 2 * cap(text)
			switch {
			case r.ContentLength >= 0:
				size = int(r.ContentLength) + 1
			case size > maxBody/2:
				size = maxBody + 1
			}
			if err := b.reserve(it, size); err != nil {
				return nil, it, err
			}
			old := cap(text)
			text = append(make([]byte, 0, size), text...)
			b.give(it, old)
		}
		n, err := reader.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case err == io.EOF:
			return text, it, nil
		case err != nil:
			return nil, it, b.failed(it, len(text), r.ContentLength, err)
		}
	}
}

// failed says why a body could not be read.
func (b *bodies) failed(it *body, n int, length int64, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.broken {
		err = errSlow
	}
	if length > 0 {
		return fmt.Errorf("%d of %d bytes came: %w", n, length, err)
	}
	return err
}

// reserve takes n bytes for a body, when they are there.
func (b *bodies) reserve(it *body, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	it.waiting = true
	defer func() { it.waiting = false }()
	for !it.broken {
		if n <= b.free {
			b.free -= n
			it.size += n
			it.since = time.Now()
			return nil
		}
		wait := time.Hour
		if victim := b.slowest(); victim != nil && n > b.free+b.ending {
			if wait = time.Until(victim.since.Add(slowBody)); victim.waiting || wait <= 0 {
				victim.broken = true
				b.end(victim)
				victim.stop()
				continue
			}
		}
		changed := b.changed
		b.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		b.mu.Lock()
	}
	return errSlow
}

// slowest returns the body that has waited longest for its client, or, where all
// wait for memory, the largest one. b.mu is held.
func (b *bodies) slowest() (victim *body) {
	for _, one := range b.reading {
		if one.size > 0 && !one.waiting && (victim == nil || one.since.Before(victim.since)) {
			victim = one
		}
	}
	if victim == nil {
		for _, one := range b.reading {
			if victim == nil || one.size > victim.size {
				victim = one
			}
		}
	}
	return victim
}

// end notes that nobody waits for a body's client any more. b.mu is held.
func (b *bodies) end(it *body) {
	if it.ending {
		return
	}
	it.ending = true
	b.ending += it.size
	i := slices.Index(b.reading, it)
	b.reading = slices.Delete(b.reading, i, i+1)
	b.announce()
}

// give gives n bytes of a body's memory back.
func (b *bodies) give(it *body, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.ending {
		b.ending -= n
	}
	it.size -= n
	b.free += n
	b.announce()
}

// release gives all memory of a body back.
func (b *bodies) release(it *body) { b.give(it, it.size) }

// announce wakes those that wait for memory. b.mu is held.
func (b *bodies) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}
