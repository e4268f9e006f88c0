package kinesissim

import (
	"cmp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	minRecordKiB, maxRecordKiB = 1024, 10240
	minRetention, maxRetention = 24, 8760
	onDemandShards             = 4
	maxShardCount              = 100000
)

// createStream makes a stream.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html
type createStream struct {
	name            *string
	shards, sizeKiB *int64
	mode            *string
	tags            tagMap
}

func (c *createStream) field(name string, v value) error {
	switch name {
	case "StreamName":
		return v.into(&c.name)
	case "ShardCount":
		return v.integer(&c.shards)
	case "MaxRecordSizeInKiB":
		return v.integer(&c.sizeKiB)
	case "StreamModeDetails":
		return v.streamMode(&c.mode)
	case "Tags":
		return c.tags.read(v)
	}
	return nil
}

func (c *createStream) streamName() string { return aws.ToString(c.name) }

func (c *createStream) validate(v *violations) {
	v.oneOf(c.mode, "streamModeDetails.streamMode", "PROVISIONED", "ON_DEMAND")
	c.tags.validate(v)
	v.within(c.shards, "shardCount", 1, maxShardCount)
	v.within(c.sizeKiB, "maxRecordSizeInKiB", minRecordKiB, maxRecordKiB)
	if c.name == nil {
		v.missing("streamName")
	} else {
		v.name(*c.name, "streamName")
	}
}

func (c *createStream) run(s *Server, x *exchange) (any, *apiError) {
	spec := Stream{Name: *c.name, onDemand: aws.ToString(c.mode) == "ON_DEMAND"}
	switch {
	case spec.onDemand && c.shards != nil:
		return nil, badRequest("ValidationException", "ShardCount must not be given for a stream in ON_DEMAND mode.")
	case spec.onDemand:
		spec.Shards = onDemandShards
	case c.shards == nil:
		return nil, badRequest("ValidationException", "ShardCount must be given for a stream in PROVISIONED mode.")
	default:
		spec.Shards = int(*c.shards)
	}
	if c.sizeKiB != nil {
		spec.MaxRecordSizeKiB = int(*c.sizeKiB)
	}
	if failure := s.create(spec, c.tags, x.at); failure != nil {
		return nil, failure
	}
	return nil, nil
}

// CreateStream makes a stream, which is active at once. It fails if the name is in use or
// not allowed, or if a number is out of range.
func (s *Server) CreateStream(spec Stream) error {
	if failure := s.create(spec, tagMap{}, s.cfg.Now()); failure != nil {
		return failure
	}
	return nil
}

func (s *Server) create(spec Stream, tags tagMap, now time.Time) *apiError {
	spec.Shards = cmp.Or(spec.Shards, 1)
	spec.MaxRecordSizeKiB = cmp.Or(spec.MaxRecordSizeKiB, minRecordKiB)
	spec.RetentionHours = cmp.Or(spec.RetentionHours, minRetention)
	var wrong violations
	number := func(n int, path string, least, most int64) {
		wide := int64(n)
		wrong.within(&wide, path, least, most)
	}
	number(spec.Shards, "shardCount", 1, maxShardCount)
	number(spec.MaxRecordSizeKiB, "maxRecordSizeInKiB", minRecordKiB, maxRecordKiB)
	number(spec.RetentionHours, "retentionPeriodHours", minRetention, maxRetention)
	wrong.name(spec.Name, "streamName")
	if failure := wrong.err(); failure != nil {
		return failure
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[spec.Name] != nil {
		return badRequest("ResourceInUseException", "Stream %s under account %s already exists.", spec.Name, s.cfg.AccountID)
	}
	if failure := s.checkShardLimitLocked(spec.Shards); failure != nil {
		return failure
	}
	st := newStream(spec, s.lastStream+1, now)
	if failure := tags.add(&st.resource); failure != nil {
		return failure
	}
	s.lastStream++
	s.streams[spec.Name] = st
	return nil
}

// checkShardLimitLocked checks whether the account may have more open shards.
func (s *Server) checkShardLimitLocked(more int) *apiError {
	shards := 0
	for _, st := range s.streams {
		shards += len(st.open)
	}
	if shards+more <= s.cfg.ShardLimit {
		return nil
	}
	return badRequest("LimitExceededException", "This request would exceed the shard limit for the account %s in %s. "+
		"Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d.",
		s.cfg.AccountID, s.cfg.Region, shards, s.cfg.ShardLimit, more)
}
