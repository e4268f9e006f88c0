package flush

// The constants, for tests that count with them.
const (
	Forget       = forget
	MostLate     = mostLate
	OverdueAfter = overdueAfter
)
