package view

// StopAudit does what an error of the auditor does.
func (v *View) StopAudit(err error) { v.stopped = err }
