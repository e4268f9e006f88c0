package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
	l := newLookup("", resolver, slog.New(slog.DiscardHandler))

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

func TestTheHostsFileIsReadFirst(t *testing.T) {
	for _, tt := range []struct {
		name, hosts string
		want        []string // none: the name server is asked
	}{
		{"as in a sandbox", "127.0.0.1 localhost\n169.254.100.5\tsandbox.localdomain sandbox\n", []string{"169.254.100.5"}},
		{"the last name of a line without an end", "127.0.0.1 localhost sandbox SANDBOX.localdomain", []string{"127.0.0.1"}},
		{"several lines", "::1 sandbox.localdomain\n\n127.0.0.1 sandbox.localdomain # sandbox\n", []string{"::1", "127.0.0.1"}},
		{"in a comment", "# 127.0.0.1 sandbox.localdomain\n127.0.0.1 localhost # sandbox.localdomain\n", nil},
		{"another name", "127.0.0.1 sandbox sandbox.localdomain.example my.sandbox.localdomain\n", nil},
		{"in place of an address", "sandbox.localdomain localhost\n", nil},
		{"empty", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hosts := filepath.Join(t.TempDir(), "hosts")
			if err := os.WriteFile(hosts, []byte(tt.hosts), 0o600); err != nil {
				t.Fatal(err)
			}
			resolver := &asked{}
			l := newLookup(hosts, resolver, slog.New(slog.DiscardHandler))
			l.begin()
			addrs, err := l.LookupHost(t.Context(), "any")
			want := tt.want
			if want == nil {
				want = []string{telemetry.LookupName} // what asked answers
			}
			if err != nil || !slices.Equal(addrs, want) || (resolver.times.Load() == 0) != (tt.want != nil) {
				t.Errorf("found %q, %v, want %q; %d look-ups", addrs, err, want, resolver.times.Load())
			}
		})
	}
}
