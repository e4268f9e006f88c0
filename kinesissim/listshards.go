package kinesissim

// listShards lists a stream's shards. All of them are open as long as their stream
// exists, so every filter but AFTER_SHARD_ID matches all.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html
type listShards struct {
	target
	max         *int64
	after, next *string
	filterType  *string
	filterShard *string
}

func (l *listShards) field(name string, v value) error {
	switch name {
	case "MaxResults":
		return v.integer(&l.max)
	case "ExclusiveStartShardId":
		return v.into(&l.after)
	case "NextToken":
		return v.into(&l.next)
	case "ShardFilter":
		return v.fields(func(name string, v value) error {
			switch name {
			case "Type":
				return v.into(&l.filterType)
			case "ShardId":
				return v.into(&l.filterShard)
			}
			return nil
		})
	}
	return l.target.field(name, v)
}

func (l *listShards) streamName() string {
	if l.next != nil {
		t, _ := parseToken(shardsToken, *l.next)
		return t.Stream
	}
	return l.target.streamName()
}

func (l *listShards) validate(v *violations) {
	v.within(l.max, "maxResults", 1, 10000)
	if l.after != nil {
		v.name(*l.after, "exclusiveStartShardId")
	}
	v.oneOf(l.filterType, "shardFilter.type",
		"AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP")
	if l.next == nil {
		l.target.validate(v)
	}
}

func (l *listShards) run(s *Server, _ *exchange) (any, *apiError) {
	now, where, after := s.cfg.Now(), l.target, l.after
	if l.filterType != nil && *l.filterType == "AFTER_SHARD_ID" {
		if l.filterShard == nil {
			return nil, invalidArgument("ShardId must be given with the filter AFTER_SHARD_ID.")
		}
		after = l.filterShard
	}
	if l.next != nil {
		if l.name != nil || l.arn != nil {
			return nil, invalidArgument("NextToken and StreamName cannot be provided together.")
		}
		t, failure := parseNextToken(shardsToken, *l.next, now)
		if failure != nil {
			return nil, failure
		}
		where, after = target{name: &t.Stream}, &t.After
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&where)
	if failure != nil {
		return nil, failure
	}
	var out struct {
		NextToken string `json:",omitempty"`
		Shards    []shardOutput
	}
	var more bool
	out.Shards, more = st.list(after, orDefault(l.max, 1000))
	if more {
		last := out.Shards[len(out.Shards)-1].ShardId
		out.NextToken = token{Kind: shardsToken, Stream: st.Name, After: last, Made: now.UnixMilli()}.encode()
	}
	return &out, nil
}
