package flush

// The constants, for tests that calculate with them.
const (
	Forget       = forget
	MostLate     = mostLate
	OverdueAfter = overdueAfter
)
