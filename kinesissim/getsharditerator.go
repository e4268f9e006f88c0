package kinesissim

import (
	"sort"
	"strconv"
	"strings"
	"time"
)

// getShardIterator returns an iterator that reads from a position in a shard.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html
type getShardIterator struct {
	target
	startingPosition
	shard *string
	dry   bool
}

// startingPosition is where to begin in a shard.
type startingPosition struct {
	kind, sequence *string
	at             *time.Time
}

func (g *getShardIterator) field(name string, v value) error {
	switch name {
	case "ShardId":
		return v.into(&g.shard)
	case "ShardIteratorType":
		return v.into(&g.kind)
	case "StartingSequenceNumber":
		return v.into(&g.sequence)
	case "Timestamp":
		return v.moment(&g.at)
	case "DryRun":
		return v.flag(&g.dry)
	}
	return g.target.field(name, v)
}

func (g *getShardIterator) validate(v *violations) {
	v.shardName(g.shard, "shardId")
	g.startingPosition.validate(v, "shardIteratorType", "startingSequenceNumber")
	g.target.validate(v)
}

func (g *startingPosition) validate(v *violations, kind, sequence string) {
	if g.kind == nil {
		v.missing(kind)
	}
	v.oneOf(g.kind, kind, "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
	if g.sequence != nil {
		v.decimal(*g.sequence, sequence, 128)
	}
}

// findShardLocked returns the shard that a request names. As in Kinesis, only the
// number after the last dash of the shard's name counts.
func (s *Server) findShardLocked(t *target, id string) (*stream, *shard, *apiError) {
	index, err := strconv.ParseUint(id[strings.LastIndexByte(id, '-')+1:], 10, 31)
	if err != nil {
		return nil, nil, badRequest("ResourceNotFoundException", "Could not find shard %s in stream %s under account %s.",
			id, t.streamName(), s.cfg.AccountID)
	}
	st, failure := s.findLocked(t)
	if failure != nil {
		return nil, nil, failure
	}
	if index >= uint64(len(st.shards)) {
		return nil, nil, s.shardNotFound(st.Name, uint32(index))
	}
	return st, st.shards[index], nil
}

func (g *getShardIterator) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	s.mu.Lock()
	defer s.mu.Unlock()
	st, sh, failure := s.findShardLocked(&g.target, *g.shard)
	if failure != nil {
		return nil, failure
	}
	next, failure := g.position(s, st, sh, now)
	if failure != nil {
		return nil, failure
	}
	if g.dry {
		return nil, dryRun()
	}
	var out struct{ ShardIterator string }
	out.ShardIterator = st.iterator(sh, next, now)
	return &out, nil
}

func (st *stream) iterator(sh *shard, next int, now time.Time) string {
	return token{
		Kind: iteratorToken, Stream: st.Name, ID: st.id, Shard: sh.index, Next: next, Made: now.UnixMilli(),
	}.encode()
}

// position is the index of the first record to read.
func (g *startingPosition) position(s *Server, st *stream, sh *shard, now time.Time) (int, *apiError) {
	kind := *g.kind
	bySequence := kind == "AT_SEQUENCE_NUMBER" || kind == "AFTER_SEQUENCE_NUMBER"
	if bySequence != (g.sequence != nil) {
		what := "no StartingSequenceNumber."
		if g.sequence != nil {
			what = "also a StartingSequenceNumber."
		}
		return 0, invalidArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "+
			"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and %s", kind, what)
	}
	if kind == "AT_TIMESTAMP" && g.at == nil {
		return 0, invalidArgument("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
	}
	switch kind {
	case "LATEST":
		return len(sh.records), nil
	case "AT_TIMESTAMP":
		if g.at.UnixMilli() > now.UnixMilli() {
			return 0, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d",
				g.at.UnixMilli(), now.UnixMilli())
		}
		return sort.Search(len(sh.records), func(i int) bool {
			return sh.records[i].Arrival.UnixMilli() >= g.at.UnixMilli()
		}), nil
	case "TRIM_HORIZON":
		return 0, nil // GetRecords skips records that are too old
	}

	index, well := shardIn(*g.sequence)
	if well && index != sh.index {
		return 0, invalidArgument("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s",
			shardName(index), shardName(sh.index))
	}
	i, exact, known := sh.position(*g.sequence)
	if !known {
		return 0, invalidArgument("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid because it did not come from this stream.",
			*g.sequence, shardName(sh.index), st.Name, s.cfg.AccountID)
	}
	if exact && kind == "AFTER_SEQUENCE_NUMBER" {
		i++
	}
	return i, nil
}
