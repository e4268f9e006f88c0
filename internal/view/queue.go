package view

// queue is a list of events from the oldest, of which the oldest can be dropped.
type queue struct {
	events []*event // from head
	head   int
}

func (q *queue) push(e *event)  { q.events = append(q.events, e) }
func (q *queue) list() []*event { return q.events[q.head:] }

// drop drops the oldest event.
func (q *queue) drop() {
	q.events[q.head] = nil
	q.head++
	if q.head > 32 && q.head > len(q.events)/2 {
		n := copy(q.events, q.list())
		clear(q.events[n:])
		q.events, q.head = q.events[:n], 0
	}
}

// after returns the events with a number larger than n. Numbers grow along a queue.
func (q *queue) after(n uint64) []*event {
	all := q.list()
	low, high := 0, len(all)
	for low < high {
		if middle := (low + high) / 2; all[middle].number > n {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return all[low:]
}
