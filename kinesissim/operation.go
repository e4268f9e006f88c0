package kinesissim

import (
	"maps"
	"slices"
	"strings"
)

// operation is a request of one API. Each API has a file of its own, or shares one with
// those that belong to it.
type operation interface {
	// field reads one member of the request. It skips unknown names.
	field(name string, v value) error
	// validate checks what does not depend on the state.
	validate(v *violations)
	// streamName is the stream that the request names, for interceptors and figures;
	// empty if the request names none.
	streamName() string
	// run carries the request out and returns the answer to encode; nil is an
	// answer without a body.
	run(s *Server, x *exchange) (any, *apiError)
}

// operations returns a function for each operation, which makes an empty request.
func operations() map[string]func() operation {
	return map[string]func() operation{
		"AddTagsToStream":               func() operation { return new(addTagsToStream) },
		"CreateStream":                  func() operation { return new(createStream) },
		"DecreaseStreamRetentionPeriod": func() operation { return new(decreaseRetention) },
		"DeleteResourcePolicy":          func() operation { return new(deleteResourcePolicy) },
		"DeleteStream":                  func() operation { return new(deleteStream) },
		"DeregisterStreamConsumer":      func() operation { return new(deregisterStreamConsumer) },
		"DescribeLimits":                func() operation { return new(describeLimits) },
		"DescribeStream":                func() operation { return new(describeStream) },
		"DescribeStreamConsumer":        func() operation { return new(describeStreamConsumer) },
		"DescribeStreamSummary":         func() operation { return new(describeStreamSummary) },
		"DisableEnhancedMonitoring":     func() operation { return new(disableEnhancedMonitoring) },
		"EnableEnhancedMonitoring":      func() operation { return new(enableEnhancedMonitoring) },
		"GetRecords":                    func() operation { return new(getRecords) },
		"GetResourcePolicy":             func() operation { return new(getResourcePolicy) },
		"GetShardIterator":              func() operation { return new(getShardIterator) },
		"IncreaseStreamRetentionPeriod": func() operation { return new(increaseRetention) },
		"ListShards":                    func() operation { return new(listShards) },
		"ListStreamConsumers":           func() operation { return new(listStreamConsumers) },
		"ListStreams":                   func() operation { return new(listStreams) },
		"ListTagsForResource":           func() operation { return new(listTagsForResource) },
		"ListTagsForStream":             func() operation { return new(listTagsForStream) },
		"MergeShards":                   func() operation { return new(mergeShards) },
		"PutRecord":                     func() operation { return new(putRecord) },
		"PutRecords":                    func() operation { return new(putRecords) },
		"PutResourcePolicy":             func() operation { return new(putResourcePolicy) },
		"RegisterStreamConsumer":        func() operation { return new(registerStreamConsumer) },
		"RemoveTagsFromStream":          func() operation { return new(removeTagsFromStream) },
		"SplitShard":                    func() operation { return new(splitShard) },
		"StartStreamEncryption":         func() operation { return new(startStreamEncryption) },
		"StopStreamEncryption":          func() operation { return new(stopStreamEncryption) },
		"SubscribeToShard":              func() operation { return new(subscribeToShard) },
		"TagResource":                   func() operation { return new(tagResource) },
		"UntagResource":                 func() operation { return new(untagResource) },
		"UpdateMaxRecordSize":           func() operation { return new(updateMaxRecordSize) },
		"UpdateShardCount":              func() operation { return new(updateShardCount) },
		"UpdateStreamMode":              func() operation { return new(updateStreamMode) },
	}
}

func (s *Server) unknownOperation(name string) *apiError {
	known := slices.Sorted(maps.Keys(s.operations))
	return badRequest("UnknownOperationException", "The embedded Kinesis has no operation %q. It has %s.", shorten(name), strings.Join(known, ", "))
}
