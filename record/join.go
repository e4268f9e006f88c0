package record

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Join joins the parts of events that arrived in parts. Other events stay unchanged, and
// so do parts if some parts of their event are missing or invalid. The whole event
// takes the place of the part that is first in events. It has the Seq of part 1. Parts
// may be in any order, from several environments, and repeated.
func Join(events []Event) []Event {
	type key struct {
		environment string
		first       uint64 // seq of the first part
		parts       int
		time, kind  string
	}
	keyOf := func(e Event) (key, bool) {
		if e.Part < 1 || e.Part > e.Parts || e.Seq < uint64(e.Part) {
			return key{}, false
		}
		return key{e.Environment(), e.Seq - uint64(e.Part) + 1, e.Parts, e.Time, e.Type}, true
	}
	// The indices of the parts in events. Missing parts take no memory, however many
	// Parts says there are.
	pieces := map[key][]int{}
	for i, e := range events {
		if k, ok := keyOf(e); ok {
			pieces[k] = append(pieces[k], i)
		}
	}
	if len(pieces) == 0 {
		return slices.Clone(events)
	}
	joined := map[key]bool{} // false: cannot be joined
	var out []Event
	for _, e := range events {
		k, ok := keyOf(e)
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
		if body, ok = appendUnquoted(body, events[i].Body); !ok {
			return Event{}, false
		}
		if extra := events[i].Extra; len(whole.Extra) == 0 && len(extra) > 0 {
			whole.Extra = extra // any part can have it
		}
	}
	whole.Body = body
	return whole, true
}

// appendUnquoted appends the bytes that a JSON string encodes. It is the inverse of
// jsontext.AppendQuote, with which Kinetel writes strings: bytes that are not UTF-8 stay
// unchanged, while encoding/json would replace them. It reads every escape of JSON.
func appendUnquoted(dst []byte, quoted json.RawMessage) ([]byte, bool) {
	n := len(quoted)
	if n < 2 || quoted[0] != '"' || quoted[n-1] != '"' {
		return dst, false
	}
	text := quoted[1 : n-1]
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '"' || c < ' ' {
			return dst, false
		}
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		if i++; i == len(text) {
			return dst, false
		}
		switch c := text[i]; c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := hex4(text[i+1:])
			if !ok {
				return dst, false
			}
			i += 4
			if utf16.IsSurrogate(r) && i+2 < len(text) && text[i+1] == '\\' && text[i+2] == 'u' {
				if low, ok := hex4(text[i+3:]); ok {
					if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
						r = pair
						i += 6
					}
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, false
		}
	}
	return dst, true
}

// hex4 reads the four digits of a \u escape.
func hex4(text []byte) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[:4]), 16, 16)
	return rune(n), err == nil
}
