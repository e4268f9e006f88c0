package kinesissim

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// listStreams lists the streams by name.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html
type listStreams struct {
	limit       *int64
	after, next *string
}

func (l *listStreams) field(name string, v value) error {
	switch name {
	case "Limit":
		return v.integer(&l.limit)
	case "ExclusiveStartStreamName":
		return v.into(&l.after)
	case "NextToken":
		return v.into(&l.next)
	}
	return nil
}

func (l *listStreams) streamName() string { return "" }

func (l *listStreams) validate(v *violations) {
	v.within(l.limit, "limit", 1, 10000)
	if l.after != nil {
		v.name(*l.after, "exclusiveStartStreamName")
	}
}

type listedStream struct {
	StreamARN               string
	StreamCreationTimestamp seconds
	StreamModeDetails       streamMode
	StreamName              string
	StreamStatus            string
}

func (l *listStreams) run(s *Server, x *exchange) (any, *apiError) {
	now, after := x.at, aws.ToString(l.after)
	if l.next != nil {
		t, failure := parseNextToken(streamsToken, *l.next, now)
		if failure != nil {
			return nil, failure
		}
		after = t.After
	}
	limit := orDefault(l.limit, 100)

	s.mu.Lock()
	defer s.mu.Unlock()
	var out struct {
		HasMoreStreams  bool
		NextToken       string `json:",omitempty"`
		StreamNames     []string
		StreamSummaries []listedStream
	}
	out.StreamNames, out.StreamSummaries = []string{}, []listedStream{}
	for _, name := range slices.Sorted(maps.Keys(s.streams)) {
		if name <= after {
			continue
		}
		if len(out.StreamNames) == limit {
			out.HasMoreStreams = true
			last := out.StreamNames[limit-1]
			out.NextToken = token{Kind: streamsToken, After: last, Made: now.UnixMilli()}.encode()
			break
		}
		st := s.streams[name]
		out.StreamNames = append(out.StreamNames, name)
		out.StreamSummaries = append(out.StreamSummaries, listedStream{
			StreamARN:               s.StreamARN(name),
			StreamCreationTimestamp: seconds(st.created),
			StreamModeDetails:       st.mode(),
			StreamName:              name,
			StreamStatus:            "ACTIVE",
		})
	}
	return &out, nil
}
