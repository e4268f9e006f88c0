package queue

import "slices"

// waiter waits for all records before a position to leave the queue.
type waiter struct {
	until   int64
	drained chan struct{}
}

// Drained returns a channel that is closed when every record that is in the queue
// now has left it. A caller that stops waiting before that must call forget.
func (q *Queue) Drained() (drained <-chan struct{}, forget func()) {
	q.mu.Lock()
	defer q.unlock()
	w := &waiter{until: q.next, drained: make(chan struct{})}
	q.retryAll = true
	q.waiters = append(q.waiters, w)
	return w.drained, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiters = slices.DeleteFunc(q.waiters, func(other *waiter) bool { return other == w })
	}
}

// release closes the channels of the waiters whose records have left.
func (q *Queue) release() {
	oldest := q.oldestPosition()
	q.waiters = slices.DeleteFunc(q.waiters, func(w *waiter) bool {
		if oldest < w.until {
			return false
		}
		close(w.drained)
		return true
	})
}

// oldestPosition returns the position of the oldest record, or that of the next one
// if there is none.
func (q *Queue) oldestPosition() int64 {
	if len(q.entries) > 0 {
		return q.entries[0].position
	}
	return q.next
}
