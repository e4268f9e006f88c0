package annotate

import "kinetel/internal/event"

// Held returns how many requests and invocations the Annotator keeps.
func (a *Annotator) Held() int {
	t := &a.invocations
	return len(t.known) + len(t.begun) + len(t.pending) + len(t.ends)
}

// LambdaTime calls lambdaTime.
func LambdaTime(text []byte) (ms int64, ok bool) { return lambdaTime(text) }

// Millis returns an event's time.
func Millis(ev *event.Event) int64 { return millis(ev) }
