package audit

import (
	"math"

	"github.com/kinetel/kinetel/internal/seqrange"
)

// numbers is the sequence numbers of one environment.
type numbers struct {
	arrived  []seqrange.Range
	reported []loss
}

// missing counts the sequence numbers of an environment that did not arrive. It
// adds those that no kinetel.loss event reports to Holes and LostSilently.
func (v *Verdict) missing(environment string, of *numbers) (all int) {
	last := uint64(0)
	for _, r := range of.arrived {
		last = max(last, r.Last)
	}
	for _, l := range of.reported {
		last = max(last, l.Last)
	}
	j := judge(seqrange.New(of.arrived...), of.reported, seqrange.Range{First: 1, Last: last})
	for _, hole := range j.holes {
		n := toInt(hole.Len())
		v.Holes, v.LostSilently = v.Holes+n, v.LostSilently+n
		v.example("missing and not reported lost: seq %d to %d of %s", hole.First, hole.Last, environment)
	}
	for _, s := range j.shortages {
		v.LostSilently += toInt(s.missing - s.reported)
		v.example("%d missing, but only %d reported lost: seq %d to %d of %s", s.missing, s.reported, s.First, s.Last, environment)
	}
	return toInt(j.missing)
}

// toInt returns n, at most math.MaxInt32, so that sums fit into an int: an event that
// Kinetel did not write can have any number.
func toInt(n uint64) int { return int(min(n, math.MaxInt32)) }
