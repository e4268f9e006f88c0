package lifecycle

import (
	"context"
	"testing"
)

// A body may come when the time is over, and select chooses at random.
func TestAWaitSeesABodyThatComesAtItsEnd(t *testing.T) {
	for range 100 {
		r := newRequests()
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		if !r.wait(ctx, func() bool {
			if calls++; calls == 1 {
				r.publish()
				cancel()
			}
			return calls > 1
		}) {
			t.Fatal("the wait ended as if the body had not come")
		}
	}
}
