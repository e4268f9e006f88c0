package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestTheExitStatusSaysWhatHappened(t *testing.T) {
	err := errors.New("e")
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		err     error
		started bool
		want    int
	}{
		{"success", t.Context(), nil, true, 0},
		{"success, interrupted at its end", interrupted, nil, true, 0},
		{"a finding", t.Context(), fmt.Errorf("audit: %w", found(err)), true, 1},
		{"a finding, interrupted", interrupted, found(err), true, 1},
		{"a value of a flag", t.Context(), usage(err), true, 2},
		{"an unknown flag", t.Context(), err, false, 2},
		{"a failure", t.Context(), err, true, 3},
		{"a failure by an interrupt", interrupted, err, true, 130},
	} {
		if got := exitStatus(c.ctx, c.err, c.started); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
