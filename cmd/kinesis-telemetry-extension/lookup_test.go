package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

func TestTheLookUpWaitsForTheRequestAndIsDoneOnce(t *testing.T) {
	resolver := &asked{}
	early := int32(-1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	l := newLookup(resolver, slog.New(slog.DiscardHandler))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.LookupHost(ctx, "any"); !errors.Is(err, context.Canceled) {
		t.Errorf("a look-up that was never begun ended with %v", err)
	}
	ctx = l.whileAnswered(t.Context())
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if early < 0 {
			early = resolver.times.Load()
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		addrs, err := l.LookupHost(t.Context(), "any")
		if err != nil || len(addrs) != 1 || addrs[0] != telemetry.LookupName {
			t.Errorf("found %q, %v", addrs, err)
		}
	}
	if n := resolver.times.Load(); early != 0 || n != 1 {
		t.Errorf("%d look-ups before the request and %d in all, want 0 and 1", early, n)
	}
}
