package kinesissim

import "bytes"

// mergeShards closes two adjacent shards and opens one in their place.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_MergeShards.html
type mergeShards struct {
	target
	shard, adjacent *string
}

func (m *mergeShards) field(name string, v value) error {
	switch name {
	case "ShardToMerge":
		return v.into(&m.shard)
	case "AdjacentShardToMerge":
		return v.into(&m.adjacent)
	}
	return m.target.field(name, v)
}

func (m *mergeShards) validate(v *violations) {
	v.shardName(m.shard, "shardToMerge")
	v.shardName(m.adjacent, "adjacentShardToMerge")
	m.target.validate(v)
}

func (m *mergeShards) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	s.mu.Lock()
	defer s.mu.Unlock()
	st, first, failure := s.findOpenShardLocked(&m.target, *m.shard)
	if failure != nil {
		return nil, failure
	}
	_, second, failure := s.findOpenShardLocked(&m.target, *m.adjacent)
	if failure != nil {
		return nil, failure
	}
	lower, upper := first, second
	if bytes.Compare(lower.start[:], upper.start[:]) > 0 {
		lower, upper = upper, lower
	}
	if first.index == second.index || lower.end.plus(1) != upper.start { // after the last key comes 0
		return nil, invalidArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
			shardName(first.index), shardName(second.index), st.Name, s.cfg.AccountID)
	}
	st.addShard(lower.start, upper.end, now, first, second)
	return nil, nil
}
