package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// firstRead is the memory that a body begins with: what a mere header costs.
	firstRead = 16 << 10
	// nextRead is the memory of a body of unknown length that is larger than that,
	// before it gets as much as any may have.
	nextRead = 512 << 10
	// maxMemory bounds the memory of all bodies together: it is enough for the
	// largest one while each other connection has a body that waits for more.
	maxMemory = maxBody + 1 + nextRead + maxKept + maxConnections*firstRead
	// slowBody is how long a client may take to fill the memory of its body where
	// another body needs memory.
	slowBody = 250 * time.Millisecond
)

// bodies reads bodies into a bounded amount of memory. Where there is no more, a
// body waits until others are decoded. Those whose clients are slow are broken
// off for it, the slowest first, and the latest body is served first: Lambda posts
// one at a time and fast, so a client that stalls does not stall it.
type bodies struct {
	mu      sync.Mutex // guards all below, and what is in each body
	free    int
	ending  int           // memory that will be free without waiting for a client
	reading []*body       // those whose clients are waited for, or that wait for memory
	changed chan struct{} // closed, and made anew, when somebody may get memory
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
	unknown, most := r.ContentLength < 0, 0
	for {
		if len(text) == cap(text) {
			size := int(r.ContentLength) + 1
			if unknown {
				if size = nextRead; cap(text) >= nextRead {
					size = maxBody + 1
				}
			}
			// One of unknown length gets at once what the largest one needs, because
			// bodies that have some of it and wait for more could wait for each other.
			if most == 0 {
				if most = size; unknown {
					most = nextRead + maxBody + 1
				}
				if err := b.reserve(it, most); err != nil {
					return nil, it, err
				}
			}
			text = append(make([]byte, 0, size), text...)
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
	return fmt.Errorf("%d bytes came, of %d: %w", n, length, err)
}

// reserve takes n bytes for a body, when they are there.
func (b *bodies) reserve(it *body, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	it.waiting = true
	defer func() { it.waiting = false }()
	for !it.broken {
		first := b.first(it)
		if first && n <= b.free {
			b.free -= n
			it.size += n
			it.since = time.Now()
			b.announce()
			return nil
		}
		wait := time.Hour
		if victim := b.slowest(); first && victim != nil && n > b.free+b.ending {
			if wait = time.Until(victim.since.Add(slowBody)); wait <= 0 {
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

// first reports whether a body is the latest of those that wait for memory. b.mu
// is held.
func (b *bodies) first(it *body) bool {
	var latest *body
	for _, one := range b.reading {
		if one.waiting {
			latest = one
		}
	}
	return latest == it
}

// slowest returns the body that has waited longest for its client. b.mu is held.
func (b *bodies) slowest() (victim *body) {
	for _, one := range b.reading {
		if one.size > 0 && !one.waiting && (victim == nil || one.since.Before(victim.since)) {
			victim = one
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
	var others []*body
	for _, one := range b.reading {
		if one != it {
			others = append(others, one)
		}
	}
	b.reading = others
	b.announce()
}

// release gives the memory of a body back that is not read any more.
func (b *bodies) release(it *body) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.ending {
		b.ending -= it.size
	}
	b.free += it.size
	it.size = 0
	b.announce()
}

// announce wakes those that wait for memory. b.mu is held.
func (b *bodies) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}
