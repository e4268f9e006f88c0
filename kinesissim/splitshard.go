package kinesissim

import (
	"bytes"
	"time"
)

// splitShard closes a shard and opens two in its place.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SplitShard.html
type splitShard struct {
	target
	shard, newStart *string
}

func (p *splitShard) field(name string, v value) error {
	switch name {
	case "ShardToSplit":
		return v.into(&p.shard)
	case "NewStartingHashKey":
		return v.into(&p.newStart)
	}
	return p.target.field(name, v)
}

func (p *splitShard) validate(v *violations) {
	if p.newStart == nil {
		v.missing("newStartingHashKey")
	} else {
		v.decimal(*p.newStart, "newStartingHashKey", 38)
	}
	v.shardName(p.shard, "shardToSplit")
	p.target.validate(v)
}

func (p *splitShard) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	s.mu.Lock()
	defer s.mu.Unlock()
	st, sh, failure := s.findOpenShardLocked(&p.target, *p.shard)
	if failure != nil {
		return nil, failure
	}
	at, ok := parseHashKey(*p.newStart)
	least := sh.start.plus(1)
	if !ok || bytes.Compare(at[:], least[:]) <= 0 || bytes.Compare(at[:], sh.end[:]) >= 0 {
		return nil, invalidArgument("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
			*p.newStart, shardName(sh.index), st.Name, s.cfg.AccountID, sh.start, sh.end)
	}
	if failure := s.checkShardLimitLocked(1); failure != nil {
		return nil, failure
	}
	st.split(sh, at, now)
	return nil, nil
}

// split opens two shards in place of one. The second begins at a hash key.
func (st *stream) split(sh *shard, at hashKey, now time.Time) {
	st.addShard(sh.start, at.plus(-1), now, sh)
	st.addShard(at, sh.end, now, sh)
}

// findOpenShardLocked returns a shard that can be split or merged.
func (s *Server) findOpenShardLocked(t *target, id string) (*stream, *shard, *apiError) {
	st, sh, failure := s.findShardLocked(t, id)
	switch {
	case failure != nil:
		return nil, nil, failure
	case st.onDemand:
		return nil, nil, s.isOnDemand(st)
	case !sh.closed.IsZero():
		return nil, nil, invalidArgument("Shard %s in stream %s under account %s has already been merged or split, and thus is not eligible for merging or splitting.",
			shardName(sh.index), st.Name, s.cfg.AccountID)
	}
	return st, sh, nil
}

func (s *Server) isOnDemand(st *stream) *apiError {
	return badRequest("ValidationException", "Request is invalid. Stream %s under account %s is in On-Demand mode.", st.Name, s.cfg.AccountID)
}
