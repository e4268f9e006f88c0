package testkit

import (
	"testing"

	"pgregory.net/rapid"
)

func TestChecksLimitsRapidInAShortRun(t *testing.T) {
	count := func(t *testing.T) (n int) {
		rapid.Check(t, func(*rapid.T) { n++ })
		return n
	}
	unlimited := count(t)
	t.Run("limited", func(t *testing.T) {
		Checks(t, 3)
		want := unlimited
		if unlimited == 20 { // -short, and no -rapid.checks
			want = 3
		}
		if n := count(t); n != want {
			t.Errorf("rapid ran %d checks, want %d", n, want)
		}
	})
	if n := count(t); n != unlimited {
		t.Errorf("after the limited test, rapid ran %d checks, want %d", n, unlimited)
	}
}
