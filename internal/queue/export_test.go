package queue

// Overhead is what a record takes besides its own size.
const Overhead = overhead

// Credit is what platform events may take beyond the bound for a while.
const Credit = credit

// Waiters returns how many wait for records to leave.
func (q *Queue) Waiters() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiters)
}
