package redact

// Found returns which parts of a text Text replaces.
func (r *Redactor) Found(text []byte) (parts [][2]int) {
	r.text(text, 0)
	r.join(0)
	for _, s := range r.spans {
		parts = append(parts, [2]int{s.start, s.end})
	}
	r.spans = r.spans[:0]
	return parts
}

// Buffers returns how many bytes the buffers have that are kept for the next call.
func (r *Redactor) Buffers() (size int) {
	for _, b := range r.plain {
		size += cap(b)
	}
	return size + cap(r.out) + 32*cap(r.spans)
}
