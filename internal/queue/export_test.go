package queue

// Overhead is the memory that a record takes besides its own size.
const Overhead = overhead

// Credit is the memory that platform events may temporarily use beyond the bound.
const Credit = credit

// Waiters returns the number of waiters for records to leave.
func (q *Queue) Waiters() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiters)
}
