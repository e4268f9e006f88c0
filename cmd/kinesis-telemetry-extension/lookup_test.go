package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/kinetel/kinetel/internal/telemetry"
)

// asked counts look-ups.
type asked struct{ times atomic.Int32 }

func (a *asked) LookupHost(_ context.Context, host string) ([]string, error) {
	a.times.Add(1)
	return []string{host}, nil
}

func TestTheLookUpWaitsUntilItBeginsAndIsDoneOnce(t *testing.T) {
	resolver := &asked{}
	l := newLookup(resolver, slog.New(slog.DiscardHandler))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.LookupHost(ctx, "any"); !errors.Is(err, context.Canceled) {
		t.Errorf("a look-up that was never begun ended with %v", err)
	}
	early := resolver.times.Load()
	for range 2 {
		l.begin()
		addrs, err := l.LookupHost(t.Context(), "any")
		if err != nil || len(addrs) != 1 || addrs[0] != telemetry.LookupName {
			t.Errorf("found %q, %v", addrs, err)
		}
	}
	if n := resolver.times.Load(); early != 0 || n != 1 {
		t.Errorf("%d look-ups before the request and %d in all, want 0 and 1", early, n)
	}
}
