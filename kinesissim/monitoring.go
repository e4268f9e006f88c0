package kinesissim

import (
	"slices"
)

// monitoring is a request to change which metrics of shards a stream sends to CloudWatch.
// The stream reports their names, and sends nothing.
type monitoring struct {
	target
	has     bool
	metrics []string
}

func (m *monitoring) field(name string, v value) (err error) {
	if name == "ShardLevelMetrics" {
		m.has = true
		m.metrics, err = v.texts()
		return err
	}
	return m.target.field(name, v)
}

func shardMetrics() []string {
	return []string{
		"IncomingBytes", "IncomingRecords", "IteratorAgeMilliseconds", "OutgoingBytes", "OutgoingRecords",
		"ReadProvisionedThroughputExceeded", "WriteProvisionedThroughputExceeded",
	}
}

func (m *monitoring) validate(v *violations) {
	if !m.has {
		v.missing("shardLevelMetrics")
	}
	for _, name := range m.metrics {
		v.oneOf(&name, "shardLevelMetrics", append(shardMetrics(), "ALL")...)
	}
	m.target.validate(v)
}

type monitoringOutput struct {
	CurrentShardLevelMetrics []string
	DesiredShardLevelMetrics []string
	StreamARN                string
	StreamName               string
}

// change sets which metrics are enabled: those that keep accepts.
func (m *monitoring) change(s *Server, keep func(had, named bool) bool) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&m.target)
	if failure != nil {
		return nil, failure
	}
	before, after := st.metrics, []string{}
	for _, name := range shardMetrics() {
		if keep(slices.Contains(before, name), slices.Contains(m.metrics, name) || slices.Contains(m.metrics, "ALL")) {
			after = append(after, name)
		}
	}
	st.metrics = after
	return &monitoringOutput{append([]string{}, before...), after, s.StreamARN(st.Name), st.Name}, nil
}

// enableEnhancedMonitoring adds metrics.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_EnableEnhancedMonitoring.html
type enableEnhancedMonitoring struct{ monitoring }

func (e *enableEnhancedMonitoring) run(s *Server, _ *exchange) (any, *apiError) {
	return e.change(s, func(had, named bool) bool { return had || named })
}

// disableEnhancedMonitoring removes metrics.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DisableEnhancedMonitoring.html
type disableEnhancedMonitoring struct{ monitoring }

func (d *disableEnhancedMonitoring) run(s *Server, _ *exchange) (any, *apiError) {
	return d.change(s, func(had, named bool) bool { return had && !named })
}
