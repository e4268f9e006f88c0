package kinesissim

import "time"

// updateShardCount splits and merges shards until a number of them share the hash keys
// evenly. Which splits and merges Kinesis chooses is not documented.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html
type updateShardCount struct {
	target
	count   *int64
	scaling *string
}

func (u *updateShardCount) field(name string, v value) error {
	switch name {
	case "TargetShardCount":
		return v.integer(&u.count)
	case "ScalingType":
		return v.into(&u.scaling)
	}
	return u.target.field(name, v)
}

func (u *updateShardCount) validate(v *violations) {
	if u.scaling == nil {
		v.missing("scalingType")
	}
	v.oneOf(u.scaling, "scalingType", "UNIFORM_SCALING")
	if u.count == nil {
		v.missing("targetShardCount")
	}
	v.within(u.count, "targetShardCount", 1, maxShardCount)
	u.target.validate(v)
}

type updateShardCountOutput struct {
	CurrentShardCount int
	StreamARN         string
	StreamName        string
	TargetShardCount  int
}

func (u *updateShardCount) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&u.target)
	if failure != nil {
		return nil, failure
	}
	current, count := len(st.open), int(*u.count)
	limit := ""
	switch {
	case st.onDemand:
		return nil, s.isOnDemand(st)
	case count > 2*current:
		limit = "up over double"
	case 2*count < current:
		limit = "down below half"
	}
	if limit != "" {
		return nil, badRequest("LimitExceededException", "UpdateShardCount cannot scale %s your current open shard count. Current open shard count: %d, Target shard count: %d",
			limit, current, count)
	}
	if failure := s.checkShardLimitLocked(count - current); failure != nil {
		return nil, failure
	}
	st.scale(uniform(count), now)
	return &updateShardCountOutput{
		CurrentShardCount: current, StreamARN: s.StreamARN(st.Name), StreamName: st.Name, TargetShardCount: count,
	}, nil
}

// scale makes shards that begin at the given hash keys: it splits where one has to begin, and
// then merges those that begin elsewhere with the one before.
func (st *stream) scale(starts []hashKey, now time.Time) {
	want := map[hashKey]bool{}
	for _, start := range starts {
		want[start] = true
		if sh := st.shardOf(start); sh.start != start {
			st.split(sh, start, now)
		}
	}
	for i := 1; i < len(st.open); {
		lower, upper := st.open[i-1], st.open[i]
		if want[upper.start] {
			i++
			continue
		}
		st.addShard(lower.start, upper.end, now, lower, upper)
	}
}
