package lifecycle_test

import (
	"slices"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/lifecycle"
)

// Lambda waits for the first next, so that what runs beside the loop begins when that is
// sent. What has to be sent before needs it earlier.
func TestBegin(t *testing.T) {
	strict := func(cfg *config.Config) { cfg.Strict = true }
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		play   func(s *fixture)
		want   []string
	}{
		{name: "after the first next is sent", want: []string{"next", "begin", "next"}, play: func(s *fixture) { s.invoke(time.Second, "a", time.Minute) }},
		{name: "in time for what SnapStart sends", change: snapStart, want: []string{"begin", "Flush", "next"}},
		{name: "in time for what KINETEL_STRICT sends", change: strict, want: []string{"begin", "Flush", "next"}},
		{name: "before the shutdown if no next can be sent", want: []string{"begin", "Ending"}, play: func(s *fixture) { s.stop() }},
		{name: "once if next is tried again", want: []string{"next", "begin", "next"}, play: func(s *fixture) { s.fail(0, errNetwork) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*config.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			inFakeTime(t, func(s *fixture) {
				if tt.play != nil {
					tt.play(s)
				}
				s.begin = func() { s.note("begin") }
				s.shutdown(time.Hour, 2*time.Second)
				if err := s.run(); err != nil {
					t.Error(err)
				}
				got := s.only("begin", "next", "Flush", "Ending")
				for i, call := range got { // without its time
					got[i] = call[slices.Index([]byte(call), ' ')+1:]
				}
				if len(got) < len(tt.want) || !slices.Equal(got[:len(tt.want)], tt.want) {
					t.Errorf("%q, want %q first", got, tt.want)
				}
				if n := len(s.only("begin")); n != 1 {
					t.Errorf("begin was called %d times", n)
				}
			}, change...)
		})
	}
	t.Run("of an extension that is idle", func(t *testing.T) {
		inFakeTime(t, func(s *fixture) {
			s.invoke(time.Second, "a", time.Hour)
			s.shutdown(time.Hour, 0)
			if err := lifecycle.Idle(s.stopping, s.api, func() { s.note("begin") }); err != nil {
				t.Error(err)
			}
			if got, want := s.all(), []string{"0s next", "0s begin", "1s next"}; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	})
}
