package kinesissim

// describeStreamSummary describes a stream without its shards.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
type describeStreamSummary struct{ target }

type streamMode struct{ StreamMode string }

type streamSummary struct {
	EnhancedMonitoring      []struct{ ShardLevelMetrics []string }
	EncryptionType          string
	KeyId                   string `json:",omitempty"` // the protocol's name
	MaxRecordSizeInKiB      int
	OpenShardCount          int
	ConsumerCount           int
	RetentionPeriodHours    int
	StreamARN               string
	StreamCreationTimestamp seconds
	StreamModeDetails       streamMode
	StreamName              string
	StreamStatus            string
}

func (st *stream) mode() streamMode {
	if st.onDemand {
		return streamMode{"ON_DEMAND"}
	}
	return streamMode{"PROVISIONED"}
}

func (s *Server) summarize(st *stream) streamSummary {
	return streamSummary{
		EnhancedMonitoring:      []struct{ ShardLevelMetrics []string }{{append([]string{}, st.metrics...)}},
		EncryptionType:          st.encryptionType(),
		KeyId:                   st.encryptionKey,
		MaxRecordSizeInKiB:      st.MaxRecordSizeKiB,
		OpenShardCount:          len(st.open),
		ConsumerCount:           len(st.consumers),
		RetentionPeriodHours:    st.RetentionHours,
		StreamARN:               s.StreamARN(st.Name),
		StreamCreationTimestamp: seconds(st.created),
		StreamModeDetails:       st.mode(),
		StreamName:              st.Name,
		StreamStatus:            "ACTIVE",
	}
}

func (d *describeStreamSummary) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&d.target)
	if failure != nil {
		return nil, failure
	}
	return &struct{ StreamDescriptionSummary streamSummary }{s.summarize(st)}, nil
}

// describeStream describes a stream with its shards. It is older than
// DescribeStreamSummary and ListShards; waiters of SDKs still use it.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStream.html
type describeStream struct {
	target
	limit *int64
	after *string
}

func (d *describeStream) field(name string, v value) error {
	switch name {
	case "Limit":
		return v.integer(&d.limit)
	case "ExclusiveStartShardId":
		return v.into(&d.after)
	}
	return d.target.field(name, v)
}

func (d *describeStream) validate(v *violations) {
	v.within(d.limit, "limit", 1, 10000)
	if d.after != nil {
		v.name(*d.after, "exclusiveStartShardId")
	}
	d.target.validate(v)
}

type streamDescription struct {
	streamSummary
	HasMoreShards bool
	Shards        []shardOutput
}

func (d *describeStream) run(s *Server, x *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&d.target)
	if failure != nil {
		return nil, failure
	}
	shards, more := st.list(d.after, orDefault(d.limit, 100), st.retained(x.at))
	return &struct{ StreamDescription streamDescription }{
		streamDescription{s.summarize(st), more, shards},
	}, nil
}

func orDefault(n *int64, otherwise int) int {
	if n == nil {
		return otherwise
	}
	return int(*n)
}
