package telemetry

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// After a refusal net/http lingers half a second, so that the answer
		// is not lost to a reset; it ends by itself.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
