package kinesissim

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// listShards lists a stream's shards.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html
type listShards struct {
	target
	max         *int64
	after, next *string
	filterType  *string
	filterShard *string
	filterTime  *time.Time
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
			case "Timestamp":
				return v.moment(&l.filterTime)
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

func (l *listShards) run(s *Server, x *exchange) (any, *apiError) {
	now, where, after := x.at, l.target, l.after
	page := token{Kind: shardsToken, Filter: aws.ToString(l.filterType), Made: now.UnixMilli()}
	switch page.Filter {
	case "AFTER_SHARD_ID":
		if l.filterShard == nil {
			return nil, invalidArgument("ShardId must be given with the filter AFTER_SHARD_ID.")
		}
		after = l.filterShard
	case "AT_TIMESTAMP", "FROM_TIMESTAMP":
		if l.filterTime == nil {
			return nil, invalidArgument("Timestamp must be given with the filter %s.", page.Filter)
		}
		page.At = l.filterTime.UnixMilli()
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
		page.Filter, page.At = t.Filter, t.At
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
	out.Shards, more = st.list(after, orDefault(l.max, 1000), st.filter(page.Filter, time.UnixMilli(page.At), now))
	if more {
		page.Stream, page.After = st.Name, out.Shards[len(out.Shards)-1].ShardId
		out.NextToken = page.encode()
	}
	return &out, nil
}

// retained reports whether a shard is open, or was within the stream's retention.
func (st *stream) retained(now time.Time) func(*shard) bool {
	return func(sh *shard) bool { return sh.openAfter(now.Add(-st.retention())) }
}

// openAfter reports whether the shard is open, or was at or after a time.
func (sh *shard) openAfter(at time.Time) bool { return sh.closed.IsZero() || !sh.closed.Before(at) }

// filter returns the shards that match a ShardFilter. A time before the retention counts as
// its begin.
func (st *stream) filter(kind string, at, now time.Time) func(*shard) bool {
	horizon := now.Add(-st.retention())
	if at.Before(horizon) {
		at = horizon
	}
	switch kind {
	case "AT_LATEST":
		return func(sh *shard) bool { return sh.closed.IsZero() }
	case "FROM_TIMESTAMP":
		return func(sh *shard) bool { return sh.openAfter(at) }
	case "AT_TIMESTAMP":
		return func(sh *shard) bool { return sh.openAfter(at) && !sh.created.After(at) }
	case "AT_TRIM_HORIZON":
		oldest := horizon
		if st.created.After(oldest) {
			oldest = st.created
		}
		return func(sh *shard) bool { return sh.openAfter(oldest) && !sh.created.After(oldest) }
	default:
		return st.retained(now)
	}
}

// list returns up to limit shards after one of them, and whether there are more.
func (st *stream) list(after *string, limit int, keep func(*shard) bool) (out []shardOutput, more bool) {
	out = []shardOutput{}
	for _, sh := range st.shards {
		if !keep(sh) || after != nil && strings.Compare(shardName(sh.index), *after) <= 0 {
			continue
		}
		if len(out) == limit {
			return out, true
		}
		out = append(out, sh.output())
	}
	return out, false
}

type shardOutput struct {
	ShardId               string // the protocol's name
	ParentShardId         string `json:",omitempty"`
	AdjacentParentShardId string `json:",omitempty"`
	HashKeyRange          hashKeyRange
	SequenceNumberRange   struct {
		StartingSequenceNumber string
		EndingSequenceNumber   string `json:",omitempty"`
	}
}

type hashKeyRange struct {
	StartingHashKey, EndingHashKey string
}

func (sh *shard) hashKeys() hashKeyRange { return hashKeyRange{sh.start.String(), sh.end.String()} }

func (sh *shard) output() shardOutput {
	o := shardOutput{ShardId: shardName(sh.index), HashKeyRange: sh.hashKeys()}
	o.SequenceNumberRange.StartingSequenceNumber = sh.starting()
	o.SequenceNumberRange.EndingSequenceNumber = sh.ending()
	for i, p := range sh.parents {
		*[]*string{&o.ParentShardId, &o.AdjacentParentShardId}[i] = shardName(p.index)
	}
	return o
}
