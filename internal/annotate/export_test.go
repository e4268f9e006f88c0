package annotate

import "kinetel/internal/event"

// Held returns how many requests and invocations are held.
func (a *Annotator) Held() int {
	t := &a.invocations
	return len(t.known) + len(t.begun) + len(t.told) + len(t.ends)
}

// LambdaTime returns what is read by hand, and what the calendar says.
func LambdaTime(text []byte) (ms int64, ok bool) { return lambdaTime(text) }

// Millis returns an event's time.
func Millis(ev *event.Event) int64 { return millis(ev) }
