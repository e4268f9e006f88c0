// Command function is the sample Lambda function of this repository. It does
// what its payload says, so that a test or a demonstration can have any kind of
// output and any kind of end:
//
//	{"id":"run-1","lines":10}                          ten lines of text
//	{"id":"run-1","lines":10,"format":"json"}          ten JSON objects
//	{"id":"run-1","lines":3,"bytes":60000}             long lines
//	{"id":"run-1","lines":3,"error":"out of beans"}    then a handled error
//	{"panic":true}  {"exit":3}  {"hang":true}          then another end
//	{"id":"run-1","chunks":5,"chunkEvery":"20ms"}      a streamed response
//
// Every line carries the id and a counter, so a checker knows exactly which
// lines arrived. The type Task documents every key. Several invocations may run
// at the same time, as with Lambda Managed Instances.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(ctx context.Context, task Task) (any, error) {
		return perform(ctx, task, output())
	})
}
