package pack

// Details returns of how many lines of the open record the Packer keeps details.
func (p *Packer) Details() int { return len(p.details) }
