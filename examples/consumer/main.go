// Command consumer is a sample Lambda function that reads what Kinetel writes. It
// is called by an event source mapping of the Kinesis stream. It reads the events of
// each record in any of Kinetel's formats, drops duplicates within the batch, joins
// parts, and writes each event as a line of JSON.
//
// Configure the event source mapping to expect reports of failures:
//
//	aws lambda create-event-source-mapping --function-name consumer \
//	  --event-source-arn arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry \
//	  --starting-position TRIM_HORIZON --function-response-types ReportBatchItemFailures \
//	  --maximum-retry-attempts 5 --destination-config '{"OnFailure":{"Destination":"<an SQS queue>"}}'
//
// Limit the retries: a record that cannot be read, because another producer writes to
// the stream, otherwise blocks its shard until the record expires.
//
// A batch comes from one shard. Duplicates, and the events that fill a hole, can be in
// another batch. If you have to be sure, store which (service.instance.id, seq) you have seen
// outside of the function, for example with <service.instance.id>-<seq> as a document's id;
// docs/consumers.md has the rules.
package main

import (
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	c := consumer{out: os.Stdout, log: os.Stderr}
	lambda.Start(c.handle)
}
