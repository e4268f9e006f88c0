package queue

// Credit is the memory that platform events may temporarily use beyond the bound.
const Credit = credit

// Waiters returns the number of waiters for records to leave.
func (q *Queue) Waiters() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiters)
}
