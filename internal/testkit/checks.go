// Package testkit has what tests of several packages share: a fake Lambda, logs that
// they can read, and a limit for property checks.
package testkit

import (
	"flag"
	"strconv"
	"testing"
)

// Checks limits the rapid properties of t to n checks each when the test runs with
// -short. Without a call, rapid runs a fifth of -rapid.checks then: 20. A value of
// -rapid.checks other than the default stays. Rapid's count is one for the process,
// so t must not be parallel.
func Checks(t *testing.T, n int) {
	t.Helper()
	if !testing.Short() {
		return
	}
	checks := flag.Lookup("rapid.checks")
	if checks == nil {
		t.Fatal("the package of this test does not import rapid")
	}
	if checks.Value.String() != checks.DefValue {
		return
	}
	if err := checks.Value.Set(strconv.Itoa(5 * n)); err != nil { // rapid divides by five again
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
}
