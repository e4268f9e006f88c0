package kinesissim

const onDemandStreamLimit = 50

// describeLimits returns how many shards and streams there are, and may be.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeLimits.html
type describeLimits struct{}

func (*describeLimits) field(string, value) error { return nil }

func (*describeLimits) streamName() string { return "" }

func (*describeLimits) validate(*violations) {}

func (*describeLimits) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := struct{ OnDemandStreamCount, OnDemandStreamCountLimit, OpenShardCount, ShardLimit int }{
		OnDemandStreamCountLimit: onDemandStreamLimit, ShardLimit: s.cfg.ShardLimit,
	}
	for _, st := range s.streams {
		out.OpenShardCount += len(st.open)
		if st.onDemand {
			out.OnDemandStreamCount++
		}
	}
	return &out, nil
}
