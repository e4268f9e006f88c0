// Package kinesissim is an embedded Kinesis Data Streams: a server on a
// loopback port that speaks Kinesis' JSON protocol to any AWS client, keeps records
// in memory, and fails on request.
//
// Use it for demonstrations without an AWS account and for tests of producers. It
// enforces every limit that a producer meets, and reports errors in Kinesis' own
// types and shapes. A test can decide how each request ends, down to a reset of the
// connection after the records were stored.
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
// # Protocol
//
// POST / with Content-Type application/x-amz-json-1.1 and X-Amz-Target
// Kinesis_20131202.<operation>, over HTTP/1.1, with or without TLS. The
// operations are CreateStream, DeleteStream, DescribeStream,
// DescribeStreamSummary, ListShards, ListStreams, GetShardIterator,
// GetRecords, PutRecord and PutRecords; any other is refused with
// UnknownOperationException. A stream is named by StreamName or StreamARN.
// Field names are matched exactly, as Kinesis does: "records" is not
// "Records". Some SDKs for the JVM prefer the CBOR protocol, which the server does
// not speak; set AWS_CBOR_DISABLE there.
//
// An error is {"__type": "<type>", "message": "<text>"} with status 400, or
// 500 for a fault of the server, and every answer has an x-amzn-RequestId.
//
// # Limits
//
// From the API reference of PutRecords and PutRecord
// (https://docs.aws.amazon.com/kinesis/latest/APIReference/):
//
//   - 1 to 500 records a PutRecords request, together at most 10 MiB of data
//     and partition keys;
//   - one record at most 1 MiB of data (before base64) and partition key, or
//     what its stream allows, up to 10 MiB;
//   - a partition key of 1 to 256 Unicode characters;
//   - an explicit hash key of 0 to 2^128-1, in decimal, with no leading zero;
//   - data in standard, padded base64;
//   - with [Config.EnforceRate], 1,000 records and 1 MiB a second and shard.
//
// A partition key's size is in bytes of UTF-8.
//
// # Differences from Kinesis
//
// A stream is active as soon as it is created and gone as soon as it is deleted.
// On-demand streams have four shards and do not grow. GetRecords does not return records older than the
// stream's retention, but they stay in memory and in [Server.Records]. The texts of a
// few errors that AWS does not document are this package's own; their types are not.
//
// # Ownership
//
// All changing state belongs to [Server], and its one mutex guards it. Hooks
// ([Config.Intercept], [Config.OnRequest], [FailRecords]) and the clock run without
// that mutex, on the goroutine of their request. So they may call the server, except
// for [Server.Close], which waits for them.
package kinesissim
