// Command consumer is a sample Lambda function that reads what Kinetel writes. It
// is called by an event source mapping of the Kinesis stream, takes the events out
// of each record in whatever format it is, drops those that come twice within its
// batch, puts parts together, and writes each event as a line of JSON.
//
// The event source mapping has to say that the function reports failures:
//
//	aws lambda create-event-source-mapping --function-name consumer \
//	  --event-source-arn arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry \
//	  --starting-position TRIM_HORIZON --function-response-types ReportBatchItemFailures \
//	  --maximum-retry-attempts 5 --destination-config '{"OnFailure":{"Destination":"<an SQS queue>"}}'
//
// Without an end of the retries a record that cannot be read, because somebody
// else writes to the stream, holds its shard up until it is too old.
//
// A batch is what one shard had: duplicates can be in another batch, and so can
// what a hole is missing. Who has to be sure keeps what was seen by (faas.instance,
// seq) outside of the function, as with <faas.instance>-<seq> for a document's id;
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
