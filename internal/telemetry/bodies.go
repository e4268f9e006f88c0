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
	// firstRead is the memory that a body starts with. A client that sends only a
	// header costs this much.
	firstRead = 16 << 10
	// nextRead is the memory of a body of unknown length that is larger than
	// firstRead. After that the body gets the maximum.
	nextRead = 512 << 10
	// maxMemory bounds the memory of all bodies. It is enough for the largest body
	// while each other connection has a body that waits for more memory.
	maxMemory = maxBody + 1 + nextRead + maxKept + maxConnections*firstRead
	// slowBody is how long a client may take to fill the memory of its body if
	// another body needs memory.
	slowBody = 250 * time.Millisecond
)

// bodies reads bodies into a bounded amount of memory. If there is no memory left,
// a body waits until others are decoded, and bodies of slow clients are aborted,
// the slowest first. The latest body gets memory first: Lambda posts one body at a
// time and fast, so a slow client does not delay Lambda.
type bodies struct {
	mu      sync.Mutex // guards all below, and what is in each body
	free    int
	ending  int           // memory of bodies that are no longer read but not released yet
	reading []*body       // bodies that wait for their client or for memory
	changed chan struct{} // closed and replaced when a body may get memory
	spare   []byte        // memory of an earlier body, for the next one
	large   func()        // called before a body gets more memory than is kept; nil: nothing
}

// body is the memory of one body.
type body struct {
	size    int       // of its memory, in bytes
	since   time.Time // when it last got memory
	waiting bool      // it waits for memory
	stop    func()    // makes reading it fail
	aborted bool      // stop was called
	ending  bool      // it is not in bodies.reading any more
}

var errSlow = errors.New("the client was too slow, and other bodies need the memory")

func newBodies() *bodies { return &bodies{free: maxMemory, changed: make(chan struct{})} }

// read reads a request's body to its end. The caller must release what it returns, also
// after an error.
func (b *bodies) read(w http.ResponseWriter, r *http.Request) (text []byte, it *body, err error) {
	it = &body{stop: func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) }}
	if r.ContentLength > maxBody {
		return nil, it, &http.MaxBytesError{Limit: maxBody}
	}
	b.mu.Lock()
	b.reading = append(b.reading, it)
	text, b.spare = b.spare[:0], nil
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.end(it)
	}()

	reader := http.MaxBytesReader(w, r.Body, maxBody)
	first := firstRead
	if r.ContentLength >= 0 && r.ContentLength < firstRead {
		first = int(r.ContentLength) + 1 // the end is found by a read with room
	}
	if err := b.reserve(it, max(cap(text), first)); err != nil {
		return nil, it, err
	}
	if cap(text) < first {
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
			// A body of unknown length reserves the maximum at once: bodies that have
			// a part of it and wait for more could wait for each other.
			if most == 0 {
				if most = size; unknown {
					most = nextRead + maxBody + 1
				}
				if err := b.reserve(it, most); err != nil {
					return nil, it, err
				}
			}
			if size > maxKept && b.large != nil {
				b.large()
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

// failed returns the error for a body that could not be read.
func (b *bodies) failed(it *body, n int, length int64, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if it.aborted {
		err = errSlow
	}
	return fmt.Errorf("%d of %d bytes arrived: %w", n, length, err)
}

// reserve waits until n bytes are free and gives them to a body.
func (b *bodies) reserve(it *body, n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	it.waiting = true
	defer func() { it.waiting = false }()
	for !it.aborted {
		first := b.first(it)
		if first && n <= b.free {
			b.free -= n
			it.size += n
			it.since = time.Now()
			b.wake()
			return nil
		}
		wait := time.Hour
		if victim := b.slowest(); first && victim != nil && n > b.free+b.ending {
			if wait = time.Until(victim.since.Add(slowBody)); wait <= 0 {
				victim.aborted = true
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

// first reports whether a body is the latest one that waits for memory. b.mu is
// held.
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

// end notes that a body is no longer read. b.mu is held.
func (b *bodies) end(it *body) {
	if it.ending {
		return
	}
	it.ending = true
	b.ending += it.size
	b.reading = slices.DeleteFunc(b.reading, func(one *body) bool { return one == it })
	b.wake()
}

// release frees the memory of a body that is not used any more, and keeps some of it for
// the next body.
func (b *bodies) release(text []byte, it *body) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Keep no memory of a larger body for small ones.
	if n := cap(text); n > 0 && (n <= firstRead || n <= maxKept && len(text) > n/8) {
		b.spare = text
	}
	if it.ending {
		b.ending -= it.size
	}
	b.free += it.size
	it.size = 0
	b.wake()
}

// wake wakes the bodies that wait for memory. b.mu is held.
func (b *bodies) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}
