package kinesissim

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// resource is what streams and consumers have in common. The server's mutex guards it.
type resource struct {
	tags   map[string]string
	policy *string
}

// resourceTarget is how a request names a stream or a consumer.
type resourceTarget struct{ arn *string }

func (t *resourceTarget) field(name string, v value) error {
	if name == "ResourceARN" {
		return v.into(&t.arn)
	}
	return nil
}

func (t *resourceTarget) streamName() string {
	_, path, _ := strings.Cut(aws.ToString(t.arn), ":stream/")
	name, _, _ := strings.Cut(path, "/")
	return name
}

func (t *resourceTarget) validate(v *violations) {
	switch {
	case t.arn == nil:
		v.missing("resourceARN")
	case strings.Contains(*t.arn, "/consumer/"):
		v.consumerARN(*t.arn)
	default:
		v.arn(*t.arn)
	}
}

// findResourceLocked returns the stream or the consumer that a request names.
func (s *Server) findResourceLocked(t *resourceTarget) (*resource, *apiError) {
	if strings.Contains(*t.arn, "/consumer/") {
		_, c, failure := s.findConsumerLocked(&consumerTarget{consumerARN: t.arn})
		if failure != nil {
			return nil, failure
		}
		return &c.resource, nil
	}
	st, failure := s.findLocked(&target{arn: t.arn})
	if failure != nil {
		return nil, failure
	}
	return &st.resource, nil
}

// putResourcePolicy stores a policy, which has no effect.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutResourcePolicy.html
type putResourcePolicy struct {
	resourceTarget
	policy *string
}

func (p *putResourcePolicy) field(name string, v value) error {
	if name == "Policy" {
		return v.into(&p.policy)
	}
	return p.resourceTarget.field(name, v)
}

func (p *putResourcePolicy) validate(v *violations) {
	if p.policy == nil {
		v.missing("policy")
	}
	p.resourceTarget.validate(v)
}

func (p *putResourcePolicy) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, failure := s.findResourceLocked(&p.resourceTarget)
	if failure != nil {
		return nil, failure
	}
	if !valid([]byte(*p.policy)) {
		return nil, invalidArgument("The policy is not JSON.")
	}
	r.policy = p.policy
	return nil, nil
}

// getResourcePolicy returns a policy.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetResourcePolicy.html
type getResourcePolicy struct{ resourceTarget }

func (g *getResourcePolicy) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, failure := s.findResourceLocked(&g.resourceTarget)
	if failure != nil {
		return nil, failure
	}
	if r.policy == nil {
		return nil, noPolicy(*g.arn)
	}
	return &struct{ Policy string }{*r.policy}, nil
}

// deleteResourcePolicy removes a policy.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteResourcePolicy.html
type deleteResourcePolicy struct{ resourceTarget }

func (d *deleteResourcePolicy) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, failure := s.findResourceLocked(&d.resourceTarget)
	if failure != nil {
		return nil, failure
	}
	if r.policy == nil {
		return nil, noPolicy(*d.arn)
	}
	r.policy = nil
	return nil, nil
}

func noPolicy(arn string) *apiError {
	return badRequest("ResourceNotFoundException", "Resource %s has no policy.", arn)
}
