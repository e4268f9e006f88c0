package audit

// SetLimits sets how many environments, and how many ranges and losses, a takes.
func (a *Auditor) SetLimits(environments, ranges int) { a.limits = limits{environments, ranges} }
