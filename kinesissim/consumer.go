package kinesissim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxConsumers is how many consumers a stream may have (API reference of
// RegisterStreamConsumer).
const maxConsumers = 20

// consumer is a registered consumer of a stream; the server's mutex guards it.
type consumer struct {
	name, arn     string
	created       time.Time
	subscriptions map[uint32]*subscription // the latest one of each shard

	resource
}

// consumerOutput is a consumer in an answer. Only DescribeStreamConsumer names the stream.
type consumerOutput struct {
	ConsumerARN               string
	ConsumerCreationTimestamp seconds
	ConsumerName              string
	ConsumerStatus            string
	StreamARN                 string `json:",omitempty"`
}

func (c *consumer) output() consumerOutput {
	return consumerOutput{
		ConsumerARN: c.arn, ConsumerCreationTimestamp: seconds(c.created), ConsumerName: c.name, ConsumerStatus: "ACTIVE",
	}
}

// consumerTarget is how a request names a consumer: by its ARN, or by the stream's ARN and
// its name.
type consumerTarget struct {
	target
	consumerName, consumerARN *string
}

func (t *consumerTarget) field(name string, v value) error {
	switch name {
	case "ConsumerName":
		return v.into(&t.consumerName)
	case "ConsumerARN":
		return v.into(&t.consumerARN)
	}
	return t.target.field(name, v)
}

func (t *consumerTarget) streamName() string {
	if t.consumerARN != nil {
		_, path, _ := strings.Cut(*t.consumerARN, ":stream/")
		name, _, _ := strings.Cut(path, "/")
		return name
	}
	return t.target.streamName()
}

func (t *consumerTarget) validate(v *violations) {
	if t.consumerName != nil {
		v.name(*t.consumerName, "consumerName")
	}
	if t.consumerARN != nil {
		v.consumerARN(*t.consumerARN)
	}
	if t.arn != nil {
		v.arn(*t.arn)
	}
}

const consumerPattern = `^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`

func (v *violations) consumerARN(s string) {
	if ok, _ := regexp.MatchString(consumerPattern, s); !ok {
		v.add(s, "consumerARN", fmt.Sprintf(pattern, consumerPattern))
	}
}

// findConsumerLocked returns the consumer that a request names, and its stream.
func (s *Server) findConsumerLocked(t *consumerTarget) (*stream, *consumer, *apiError) {
	if t.consumerARN == nil && (t.arn == nil || t.consumerName == nil) {
		return nil, nil, invalidArgument("Either ConsumerARN or both StreamARN and ConsumerName must be given.")
	}
	if t.consumerARN == nil {
		st, failure := s.findLocked(&t.target)
		if failure != nil {
			return nil, nil, failure
		}
		if c := st.consumers[*t.consumerName]; c != nil {
			return st, c, nil
		}
		return nil, nil, badRequest("ResourceNotFoundException", "Consumer %s of stream %s not found.", *t.consumerName, *t.arn)
	}
	if st := s.streams[t.streamName()]; st != nil {
		for _, c := range st.consumers {
			if c.arn == *t.consumerARN {
				return st, c, nil
			}
		}
	}
	return nil, nil, badRequest("ResourceNotFoundException", "Consumer %s not found.", *t.consumerARN)
}

// registerStreamConsumer makes a consumer, which is active at once.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html
type registerStreamConsumer struct {
	consumerTarget
	tags tagMap
}

func (r *registerStreamConsumer) field(name string, v value) error {
	if name == "Tags" {
		return r.tags.read(v)
	}
	return r.consumerTarget.field(name, v)
}

func (r *registerStreamConsumer) validate(v *violations) {
	if r.consumerName == nil {
		v.missing("consumerName")
	}
	if r.arn == nil {
		v.missing("streamARN")
	}
	r.tags.validate(v)
	r.consumerTarget.validate(v)
}

func (r *registerStreamConsumer) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&r.target)
	switch {
	case failure != nil:
		return nil, failure
	case st.consumers[*r.consumerName] != nil:
		return nil, badRequest("ResourceInUseException", "Consumer %s of stream %s already exists.", *r.consumerName, *r.arn)
	case len(st.consumers) == maxConsumers:
		return nil, badRequest("LimitExceededException", "Stream %s has %d consumers, which is the limit.", *r.arn, maxConsumers)
	}
	c := &consumer{
		name: *r.consumerName, arn: fmt.Sprintf("%s/consumer/%s:%d", *r.arn, *r.consumerName, now.Unix()),
		created: now, subscriptions: map[uint32]*subscription{},
	}
	if failure := r.tags.add(&c.resource); failure != nil {
		return nil, failure
	}
	st.consumers[c.name] = c
	return &struct{ Consumer consumerOutput }{c.output()}, nil
}

// deregisterStreamConsumer removes a consumer, and ends its subscriptions.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeregisterStreamConsumer.html
type deregisterStreamConsumer struct{ consumerTarget }

func (d *deregisterStreamConsumer) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, c, failure := s.findConsumerLocked(&d.consumerTarget)
	if failure != nil {
		return nil, failure
	}
	delete(st.consumers, c.name)
	return nil, nil
}

// describeStreamConsumer describes a consumer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamConsumer.html
type describeStreamConsumer struct{ consumerTarget }

func (d *describeStreamConsumer) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, c, failure := s.findConsumerLocked(&d.consumerTarget)
	if failure != nil {
		return nil, failure
	}
	out := c.output()
	out.StreamARN = s.StreamARN(st.Name)
	return &struct{ ConsumerDescription consumerOutput }{out}, nil
}

// listStreamConsumers lists a stream's consumers by name.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreamConsumers.html
type listStreamConsumers struct {
	target
	max  *int64
	next *string
}

func (l *listStreamConsumers) field(name string, v value) error {
	switch name {
	case "MaxResults":
		return v.integer(&l.max)
	case "NextToken":
		return v.into(&l.next)
	}
	return l.target.field(name, v)
}

func (l *listStreamConsumers) validate(v *violations) {
	v.within(l.max, "maxResults", 1, 10000)
	if l.arn == nil {
		v.missing("streamARN")
	} else {
		v.arn(*l.arn)
	}
}

func (l *listStreamConsumers) run(s *Server, x *exchange) (any, *apiError) {
	now, after := x.at, ""
	if l.next != nil {
		t, failure := parseNextToken(consumersToken, *l.next, now)
		if failure != nil {
			return nil, failure
		}
		after = t.After
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&l.target)
	if failure != nil {
		return nil, failure
	}
	var out struct {
		Consumers []consumerOutput
		NextToken string `json:",omitempty"`
	}
	out.Consumers = []consumerOutput{}
	for _, name := range slices.Sorted(maps.Keys(st.consumers)) {
		if name <= after {
			continue
		}
		if len(out.Consumers) == orDefault(l.max, 100) {
			last := out.Consumers[len(out.Consumers)-1].ConsumerName
			out.NextToken = token{Kind: consumersToken, Stream: st.Name, After: last, Made: now.UnixMilli()}.encode()
			break
		}
		out.Consumers = append(out.Consumers, st.consumers[name].output())
	}
	return &out, nil
}
