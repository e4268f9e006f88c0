package annotate

// Held returns how many requests and invocations the Annotator keeps.
func (a *Annotator) Held() int {
	t := &a.invocations
	size := len(t.known) + len(t.begun) + len(t.pending)
	for _, r := range t.named {
		size += len(*r.ends)
	}
	return size
}

// Texts returns how many texts of severities the Annotator keeps.
func (a *Annotator) Texts() int { return len(a.texts) }
