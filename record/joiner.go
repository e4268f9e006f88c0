package record

import (
	"container/list"
)

// DefaultJoinerBytes is the default of a [Joiner]'s MaxBytes.
const DefaultJoinerBytes = 64 << 20

// Joiner joins the parts of events as they come, in bounded memory. The zero value is
// ready for use. It is for one goroutine at a time.
//
// Remove duplicates before, by [Event.Key]: a part that comes again after its event is
// complete would wait for others that never come.
type Joiner struct {
	// MaxBytes is how much memory the parts of events that are not complete yet may
	// take, approximately; 0 means DefaultJoinerBytes.
	MaxBytes int

	waiting map[joinKey]*list.Element // of oldest
	oldest  list.List                 // of *incomplete, by their first arrivals
	bytes   int
}

// incomplete is an event of which parts are missing.
type incomplete struct {
	key   joinKey
	parts []Event
	have  map[int]bool // numbers of parts
	bytes int
}

// Add adds an event and returns those that are ready: the event itself if it is whole; the
// joined event if this was its last missing part, with the Seq of part 1; or nothing.
//
// If the parts take more memory than MaxBytes, Add also returns the parts of the events
// that have waited longest, unchanged. You recognize them by Parts > 0. Parts that cannot
// be joined, because they are invalid, come back the same way.
func (j *Joiner) Add(e Event) (ready []Event) {
	key, ok := joinKeyOf(e)
	if !ok {
		return []Event{e}
	}
	if j.waiting == nil {
		j.waiting = map[joinKey]*list.Element{}
	}
	if j.waiting[key] == nil {
		j.waiting[key] = j.oldest.PushBack(&incomplete{key: key, have: map[int]bool{}})
	}
	element := j.waiting[key]
	of := element.Value.(*incomplete)
	if of.have[e.Part] {
		return nil // the first copy counts
	}
	of.have[e.Part] = true
	of.parts = append(of.parts, e)
	size := memoryOf(e)
	of.bytes += size
	j.bytes += size
	if len(of.parts) == of.key.parts {
		return joinParts(j.remove(element))
	}
	limit := j.MaxBytes
	if limit <= 0 {
		limit = DefaultJoinerBytes
	}
	for j.bytes > limit {
		ready = append(ready, j.remove(j.oldest.Front())...)
	}
	return ready
}

// Flush returns the parts that still wait for others, unchanged, and forgets them.
func (j *Joiner) Flush() (parts []Event) {
	for j.oldest.Len() > 0 {
		parts = append(parts, j.remove(j.oldest.Front())...)
	}
	return parts
}

func (j *Joiner) remove(element *list.Element) []Event {
	of := j.oldest.Remove(element).(*incomplete)
	delete(j.waiting, of.key)
	j.bytes -= of.bytes
	return of.parts
}

// joinParts returns the event that the parts are, or the parts if they cannot be joined.
func joinParts(parts []Event) []Event {
	at := make([]int, len(parts))
	for i := range at {
		at[i] = i
	}
	if e, ok := join(parts, at, len(parts)); ok {
		return []Event{e}
	}
	return parts
}

// memoryOf returns about how much memory an event takes. Its resource may count although
// other events share it.
func memoryOf(e Event) int {
	const each = 64 // for a member of a map, and more than the rest takes
	size := 10*each + len(e.Schema) + len(e.TimeText) + len(e.Type) + len(e.Severity) + len(e.RequestID) + len(e.TraceID) + len(e.Body)
	for name, value := range e.Extra {
		size += each + len(name) + len(value)
	}
	for name, value := range e.Resource {
		size += each + len(name) + len(value)
	}
	return size
}
