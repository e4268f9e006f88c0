package kinesissim

// operation is a request of one API. Each API has a file of its own.
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

func newOperation(name string) operation {
	switch name {
	case "CreateStream":
		return new(createStream)
	case "DecreaseStreamRetentionPeriod":
		return new(decreaseRetention)
	case "DeregisterStreamConsumer":
		return new(deregisterStreamConsumer)
	case "DeleteStream":
		return new(deleteStream)
	case "DescribeStream":
		return new(describeStream)
	case "DescribeStreamSummary":
		return new(describeStreamSummary)
	case "DescribeStreamConsumer":
		return new(describeStreamConsumer)
	case "GetRecords":
		return new(getRecords)
	case "GetShardIterator":
		return new(getShardIterator)
	case "IncreaseStreamRetentionPeriod":
		return new(increaseRetention)
	case "ListShards":
		return new(listShards)
	case "ListStreamConsumers":
		return new(listStreamConsumers)
	case "ListStreams":
		return new(listStreams)
	case "MergeShards":
		return new(mergeShards)
	case "PutRecord":
		return new(putRecord)
	case "PutRecords":
		return new(putRecords)
	case "RegisterStreamConsumer":
		return new(registerStreamConsumer)
	case "SplitShard":
		return new(splitShard)
	case "SubscribeToShard":
		return new(subscribeToShard)
	case "UpdateShardCount":
		return new(updateShardCount)
	}
	return nil
}
