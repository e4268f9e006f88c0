package queue

// Overhead is what a record takes besides its own size.
const Overhead = overhead

// Waiters returns how many wait for records to leave.
func (q *Queue) Waiters() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiters)
}
