// Command cdk is an AWS CDK app that deploys Kinetel: a stack with the stream,
// the layers, the policy, a dashboard and alarms, and one with a sample function
// that sends its telemetry there. Run in this folder, after `make package sample`:
//
//	npx cdk deploy --all -c kinetel:tags=team=payments
//
// Context values, on the command line by -c or in cdk.json:
//
//	kinetel:mode                 on-demand (default) or provisioned
//	kinetel:shards               of a provisioned stream
//	kinetel:retentionHours       24 (default) to 8760
//	kinetel:encryption           aws (default) or customer: the stack creates a key
//	kinetel:writerAccounts       ids of other accounts whose functions may write,
//	                             separated by commas; needs encryption=customer
//	kinetel:architectures        arm64,x86_64 (default) or one of them
//	kinetel:defaultArchitecture  /telemetry/kinesis/extension/arn has its layer;
//	                             x86_64 by default
//	kinetel:packages             folder with the layers' zip files; ../../dist
//	kinetel:delivery             none (default), s3, or s3-partitioned: by day and function
//	kinetel:alarmTopicArn        SNS topic that alarms go to; by default none
//	kinetel:tags                 more tags than application=kinetel: team=payments,env=prod
//	kinetel:sample               true (default) or false
//	kinetel:sampleArchitecture   arm64 (default if there is a layer for it) or x86_64
//	kinetel:sampleCode           folder with bootstrap in it, or a zip file;
//	                             ../../bin/sample/arm64 or amd64
//
// A value that cannot be used and an unknown name end the app with a message.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
	"github.com/kinetel/kinetel/deploy/cdk/stacks"
)

func main() { os.Exit(synthesise()) }

func synthesise() (code int) {
	defer jsii.Close()
	defer func() {
		switch refused := recover().(type) {
		case nil:
		case *kinetelcdk.Error:
			fmt.Fprintln(os.Stderr, refused)
			code = 1
		default:
			panic(refused)
		}
	}()
	app := awscdk.NewApp(nil)
	stacks.Add(app)
	app.Synth(nil)
	return 0
}
