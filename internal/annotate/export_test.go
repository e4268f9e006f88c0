package annotate

// Held returns how many requests and invocations the Annotator keeps.
func (a *Annotator) Held() int {
	t := &a.invocations
	return len(t.known) + len(t.begun) + len(t.pending) + len(t.ends)
}
