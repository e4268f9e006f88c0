package streamreader

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Position is where to begin: at the oldest record, unless one of the fields is set.
type Position struct {
	Latest bool          // with what arrives from now on
	Since  time.Duration // so long ago, by the clock of Kinesis
	At     time.Time
}

// ParsePosition parses the values of the flags --from and --since. An empty from is
// latest, and a since of 0 is none.
func ParsePosition(from string, since time.Duration) (Position, error) {
	switch {
	case since < 0:
		return Position{}, fmt.Errorf("--since %v: it must be how long ago, such as 10m", since)
	case since > 0 && from != "":
		return Position{}, fmt.Errorf("--since %v and --from %s: give one of them", since, from)
	case since > 0:
		return Position{Since: since}, nil
	case from == "horizon":
		return Position{}, nil
	case from == "latest" || from == "":
		return Position{Latest: true}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, from, time.Local); err == nil {
			return Position{At: at}, nil
		}
	}
	return Position{}, fmt.Errorf("--from %q: it must be horizon, latest, or a time such as 2026-11-27T09:30:00Z or \"2026-11-27 09:30\" (local)", from)
}

// startAt returns the position for a shard that exists when the reader starts.
func (p Position) startAt(now time.Time) types.StartingPosition {
	switch {
	case p.Latest:
		return types.StartingPosition{Type: types.ShardIteratorTypeLatest}
	case p.Since > 0:
		p.At = now.Add(-p.Since)
	}
	if p.At.IsZero() {
		return types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
	}
	if p.At.After(now) {
		p.At = now // Kinesis refuses a time in the future
	}
	return types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: &p.At}
}
