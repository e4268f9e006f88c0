package annotate

// Held returns how many requests and invocations the Annotator keeps.
func (a *Annotator) Held() int {
	t := &a.invocations
	return len(t.known) + len(t.begun) + len(t.pending) + len(t.ends)
}

// Texts returns how many texts of severities the Annotator keeps.
func (a *Annotator) Texts() int { return len(a.texts) }
