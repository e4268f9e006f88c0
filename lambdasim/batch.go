package lambdasim

import "time"

// item is an event that waits. Where sent is not 0, the event was cut and that
// much of it was sent.
type item struct {
	number   uint64
	raw      []byte
	envelope int
	sent     int
}

// length is how much of a body the item needs.
func (it *item) length() int {
	if it.sent == 0 {
		return len(it.raw)
	}
	return it.envelope + len(it.raw) - it.sent
}

// take moves the next batch from the queue to body, and returns the numbers of
// the events that it completes, appended to taken, and their size.
//
// A batch is at most maxBytes long. An event that is larger than that by itself
// is cut, as AWS Lambda was seen to do: the first body ends in the middle of the
// record, with a forged "}]"; the next begins with "[", the same envelope up to
// `"record":`, and the bytes that follow. The cut is at the byte that fills
// maxBytes, wherever that is: in an escape sequence, or in a character. At least
// the last two bytes of the event are left for the next body, so that no part
// is complete by chance.
func (s *subscriber) take(body []byte, taken []uint64) (_ []byte, _ []uint64, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := 0
	if s.tcp {
		for events < len(s.queue) && events < s.maxItems && (events == 0 || len(body)+len(s.queue[events].raw) < s.maxBytes) {
			body = append(body, s.queue[events].raw...)
			body = append(body, '\n')
			size += len(s.queue[events].raw)
			events++
		}
		return body, s.pop(events, taken), size
	}
	body = append(body, '[')
	for events < len(s.queue) && events < s.maxItems {
		it := &s.queue[events]
		comma := 0
		if events > 0 {
			comma = 1
		}
		if len(body)+comma+it.length()+1 <= s.maxBytes {
			if comma > 0 {
				body = append(body, ',')
			}
			body = it.append(body, len(it.raw))
			size += len(it.raw)
			events++
			continue
		}
		if it.length()+2 <= s.maxBytes {
			break // it fits into the next batch
		}
		fits := s.maxBytes - len(body) - comma - it.envelope - len("}]")
		if fits < 1 {
			break
		}
		if comma > 0 {
			body = append(body, ',')
		}
		from := max(it.sent, it.envelope)
		to := min(from+fits, len(it.raw)-2)
		body = it.append(body, to)
		it.sent = to
		body = append(body, '}')
		// The rest is to follow at once, with what else waits.
		s.due = len(s.queue)
		break
	}
	return append(body, ']'), s.pop(events, taken), size
}

// append appends the envelope and the unsent part of the record up to the end.
func (it *item) append(body []byte, end int) []byte {
	body = append(body, it.raw[:it.envelope]...)
	return append(body, it.raw[max(it.sent, it.envelope):end]...)
}

// pop removes n items from the queue's head and appends their numbers to taken.
// s.mu is held.
func (s *subscriber) pop(n int, taken []uint64) []uint64 {
	for _, it := range s.queue[:n] {
		taken = append(taken, it.number)
	}
	clear(s.queue[:n]) // lets the events go
	s.queue = s.queue[n:]
	s.due = max(s.due-n, 0)
	s.oldest = time.Now()
	return taken
}
