package record

import (
	"cmp"
	"slices"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// joinKey is what the parts of an event have in common.
type joinKey struct {
	instanceID     string
	first          uint64 // seq of the first part
	parts          int
	timeText, kind string
}

// joinKeyOf returns the key of a part, and false for a whole event and numbers that
// cannot be those of a part.
func joinKeyOf(e Event) (joinKey, bool) {
	if e.Part < 1 || e.Part > e.Parts || e.Seq < uint64(e.Part) {
		return joinKey{}, false
	}
	return joinKey{e.InstanceID(), e.Seq - uint64(e.Part) + 1, e.Parts, e.TimeText, e.Type}, true
}

// Join joins the parts of events that arrived in parts. Other events stay unchanged, and
// so do parts if some parts of their event are missing or invalid. The whole event
// takes the place of the part that is first in events. It has the Seq of part 1. Parts
// may be in any order, from several environments, and repeated. A
// [Joiner] does this for events that do not fit into memory.
func Join(events []Event) []Event {
	// The indices of the parts in events. Missing parts take no memory, however many
	// Parts says there are.
	pieces := map[joinKey][]int{}
	for i, e := range events {
		if k, ok := joinKeyOf(e); ok {
			pieces[k] = append(pieces[k], i)
		}
	}
	if len(pieces) == 0 {
		return slices.Clone(events)
	}
	joined := map[joinKey]bool{} // false: cannot be joined
	var out []Event
	for _, e := range events {
		k, ok := joinKeyOf(e)
		if !ok {
			out = append(out, e)
			continue
		}
		done, seen := joined[k]
		if seen && done {
			continue // the whole event is in out already
		}
		if !seen {
			if whole, ok := join(events, pieces[k], k.parts); ok {
				joined[k] = true
				out = append(out, whole)
				continue
			}
			joined[k] = false
		}
		out = append(out, e)
	}
	return out
}

// join joins the parts at the indices to one event. If a part is repeated, its first
// copy counts.
func join(events []Event, at []int, parts int) (Event, bool) {
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(events[a].Part, events[b].Part) })
	at = slices.CompactFunc(at, func(a, b int) bool { return events[a].Part == events[b].Part })
	if len(at) != parts {
		return Event{}, false
	}
	whole := events[at[0]]
	whole.Part, whole.Parts = 0, 0
	var body []byte
	for _, i := range at {
		var ok bool
		if body, ok = jsontext.AppendUnquote(body, events[i].Body); !ok {
			return Event{}, false
		}
		if extra := events[i].Extra; len(whole.Extra) == 0 && len(extra) > 0 {
			whole.Extra = extra // any part can have it
		}
	}
	whole.Body = body
	return whole, true
}
