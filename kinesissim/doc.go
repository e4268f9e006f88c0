// Package kinesissim is an embedded Kinesis Data Streams for tests of producers and
// consumers, and for demonstrations without an AWS account: a server on a loopback port
// that speaks Kinesis' protocols to any AWS client, keeps records in memory or in a folder,
// and fails when you want it to. The command "kinetel kinesis" is the same server for a shell.
//
// It enforces the limits that producers and consumers meet, and reports errors in Kinesis'
// own types and shapes. A test can decide how each request ends, down to a reset of the
// connection after the records were stored.
//
// # Use
//
//	sim, err := kinesissim.Start(ctx, kinesissim.Config{
//		Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 2}},
//	})
//	if err != nil {
//		return err
//	}
//	defer sim.Close()
//	client := kinesis.New(kinesis.Options{BaseEndpoint: aws.String(sim.URL()), …})
//
// [Server.Records] returns what was stored, and [Server.Stats] counts requests and errors.
//
// # Failures
//
// Config.Intercept or [Server.SetIntercept] set an [Interceptor], which gives each request
// an [Answer]:
//
//	sim.SetIntercept(kinesissim.AnswerInOrder(
//		kinesissim.Throttle(),                                    // the first request
//		kinesissim.Combine(kinesissim.Delay(time.Second), kinesissim.DropAnswer()), // the second
//	))                                                            // later ones are carried out
//
// Write your own Interceptor to choose by operation, content or connection:
//
//	func(r *kinesissim.Request) *kinesissim.Answer {
//		if r.ConnRequests > 1 {
//			return kinesissim.ResetConnection() // each reuse of a connection fails
//		}
//		return nil
//	}
//
// # Protocol
//
// POST / with Content-Type application/x-amz-json-1.1 or application/x-amz-cbor-1.1, and
// X-Amz-Target Kinesis_20131202.<operation>, over HTTP/1.1 or HTTP/2, with or without TLS.
// Without TLS, HTTP/2 begins without an upgrade ("prior knowledge"). The operations are:
//
//   - streams: CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary,
//     ListStreams, IncreaseStreamRetentionPeriod, DecreaseStreamRetentionPeriod,
//     UpdateMaxRecordSize, UpdateStreamMode, DescribeLimits;
//   - shards: ListShards, MergeShards, SplitShard, UpdateShardCount;
//   - records: PutRecord, PutRecords, GetShardIterator, GetRecords;
//   - consumers: RegisterStreamConsumer, DeregisterStreamConsumer, DescribeStreamConsumer,
//     ListStreamConsumers, SubscribeToShard;
//   - tags: AddTagsToStream, ListTagsForStream, RemoveTagsFromStream, TagResource,
//     ListTagsForResource, UntagResource;
//   - accepted and returned, without an effect: PutResourcePolicy, GetResourcePolicy,
//     DeleteResourcePolicy, StartStreamEncryption, StopStreamEncryption,
//     EnableEnhancedMonitoring, DisableEnhancedMonitoring.
//
// Any other is refused with UnknownOperationException, and the message lists these. A request names its stream by
// StreamName or StreamARN. Field names are matched exactly, as Kinesis does: "records" is
// not "Records".
//
// An error is {"__type": "<type>", "message": "<text>"} with status 400, or 500 for a fault
// of the server. Every answer has an x-amzn-RequestId.
//
// These clients are tested with their defaults: the AWS CLI, and the AWS SDKs for Go,
// JavaScript (HTTP/2), Python and Java (CBOR, and HTTP/2 for SubscribeToShard). An
// [Interceptor] sees JSON in all cases. With HTTP/2, what ends a connection ends all its
// requests. The functions that change an answer expect JSON.
//
// # Limits
//
// The limits are those of the API reference
// (https://docs.aws.amazon.com/kinesis/latest/APIReference/):
//
//   - 1 to 500 records a PutRecords request, together at most 10 MiB of data and partition
//     keys;
//   - one record at most 1 MiB of data (before base64) and partition key, or what its stream
//     allows, up to 10 MiB;
//   - a partition key of 1 to 256 Unicode characters;
//   - an explicit hash key of 0 to 2^128-1, in decimal, with no leading zero;
//   - data in standard, padded base64;
//   - 10,000 records or 10 MiB a GetRecords;
//   - 20 consumers a stream; a subscription ends after five minutes, and cannot be replaced
//     within five seconds;
//   - with Config.EnforceRate: 1,000 records and 1 MiB written a second and shard; five
//     GetRecords and 2 MiB read.
//
// A partition key's size is in bytes of UTF-8.
//
// # Differences from Kinesis
//
//   - A stream or a consumer is active as soon as it is made, and gone as soon as it is
//     deleted. A split or a merge is done at once.
//   - On-demand streams have four shards and do not grow.
//   - GetRecords does not return records older than the stream's retention, but they stay in
//     memory and in [Server.Records].
//   - A stream with encryption reports its key, but its records are read as not encrypted.
//   - A subscription sends an event at its start and when there are records, but no empty
//     events in between, and has no rate limit.
//   - The texts of some errors that AWS does not document are this package's own. Their
//     types are not.
package kinesissim
