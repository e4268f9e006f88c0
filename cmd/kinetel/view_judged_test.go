package main

import (
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/streamreader"
)

func TestViewJudgesAStreamFromItsPosition(t *testing.T) {
	start := time.Date(2026, 11, 27, 20, 15, 0, 0, time.UTC)
	for position, want := range map[streamreader.Position]time.Time{
		{Latest: true}:              start,
		{Since: 10 * time.Minute}:   start.Add(-10 * time.Minute),
		{At: start.Add(-time.Hour)}: start.Add(-time.Hour),
		{}:                          {},
	} {
		if got := judgedFrom(position, start); !got.Equal(want) {
			t.Errorf("%+v: %v, want %v", position, got, want)
		}
	}
}
