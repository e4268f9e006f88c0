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
	hours           *int64 // not in Kinesis: for Server.CreateStream
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
	case "RetentionPeriodHours":
		return v.integer(&c.hours)
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
	v.within(c.hours, "retentionPeriodHours", minRetention, maxRetention)
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
	if c.hours != nil {
		spec.RetentionHours = int(*c.hours)
	}
	return nil, s.create(spec, c.tags, x.at)
}

// CreateStream makes a stream, which is active at once. It fails if the name is in use or
// not allowed, or if a number is out of range.
func (s *Server) CreateStream(spec Stream) error {
	return s.execute("CreateStream", map[string]any{
		"StreamName":           spec.Name,
		"ShardCount":           cmp.Or(spec.Shards, 1),
		"MaxRecordSizeInKiB":   cmp.Or(spec.MaxRecordSizeKiB, minRecordKiB),
		"RetentionPeriodHours": cmp.Or(spec.RetentionHours, minRetention),
	})
}

func (s *Server) create(spec Stream, tags tagMap, now time.Time) *apiError {
	spec.MaxRecordSizeKiB = cmp.Or(spec.MaxRecordSizeKiB, minRecordKiB)
	spec.RetentionHours = cmp.Or(spec.RetentionHours, minRetention)
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
