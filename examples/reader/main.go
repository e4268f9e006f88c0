// Command reader prints the events that Kinetel has written to a Kinesis stream, one
// per line, as JSON:
//
//	reader -stream telemetry | jq -c 'select(.severity == "ERROR") | [.time, .body]'
//	reader -stream telemetry -follow -from latest
//
// It reads all shards from the beginning to the end, and with -follow waits for more.
// It prints duplicates and parts as they are: package record and docs/consumers.md
// explain how to handle both.
//
// Region and credentials come from where the AWS CLI finds them: variables, profiles (also
// with SSO), the container, the instance. The region in a stream's ARN has priority.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reader:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("reader", flag.ContinueOnError)
	flags.SetOutput(log)
	stream := flags.String("stream", "", "the name or the ARN of the stream; required")
	from := flags.String("from", "oldest", "where to begin: oldest or latest")
	follow := flags.Bool("follow", false, "wait for more when everything is read")
	every := flags.Duration("every", time.Second, "how often to read a shard without new records")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; try reader -stream NAME", flags.Arg(0))
	case *stream == "":
		return errors.New("-stream is missing: the name or the ARN of the stream to read")
	case *from != "oldest" && *from != "latest":
		return fmt.Errorf("-from is %q; must be oldest or latest", *from)
	case *every < 200*time.Millisecond:
		return fmt.Errorf("-every is %s; must be 200ms or more: a shard answers five times a second", *every)
	}
	client, err := newClient(ctx, *stream)
	if err != nil {
		return err
	}
	r := &reader{client: client, stream: *stream, latest: *from == "latest", follow: *follow, every: *every, out: out, log: log}
	err = r.read(ctx)
	if *follow && ctx.Err() != nil {
		return nil // stopped by a signal
	}
	return err
}

// newClient returns a client for the stream, as the AWS CLI would have it.
func newClient(ctx context.Context, stream string) (*kinesis.Client, error) {
	var options []func(*config.LoadOptions) error
	if arn := strings.Split(stream, ":"); arn[0] == "arn" && len(arn) == 6 { // arn:aws:kinesis:REGION:ACCOUNT:stream/NAME
		options = append(options, config.WithRegion(arn[3]))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("there is no region: set AWS_REGION, choose a profile with a region, or give the stream's ARN")
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("there are no AWS credentials; `aws sts get-caller-identity` must answer first (try `aws sso login`, AWS_PROFILE, or AWS_ACCESS_KEY_ID): %w", err)
	}
	return kinesis.NewFromConfig(cfg), nil
}
