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
// The region and the keys are those of AWS_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; AWS_ENDPOINT_URL_KINESIS or
// AWS_ENDPOINT_URL is another Kinesis. In your own programs, use the SDK's package
// config instead: it also reads profiles and roles.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reader:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, env func(string) string, out, log io.Writer) error {
	flags := flag.NewFlagSet("reader", flag.ContinueOnError)
	flags.SetOutput(log)
	stream := flags.String("stream", "", "the name of the stream; required")
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
		return errors.New("-stream is missing: the name of the stream to read")
	case *from != "oldest" && *from != "latest":
		return fmt.Errorf("-from is %q; must be oldest or latest", *from)
	case *every < 200*time.Millisecond:
		return fmt.Errorf("-every is %s; must be 200ms or more: a shard answers five times a second", *every)
	}
	client, err := newClient(env)
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

// newClient returns a client as configured by the environment.
func newClient(env func(string) string) (*kinesis.Client, error) {
	options := kinesis.Options{Region: env("AWS_REGION")}
	if options.Region == "" {
		return nil, errors.New("AWS_REGION is not set")
	}
	key, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if key == "" || secret == "" {
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	options.Credentials = credentials.NewStaticCredentialsProvider(key, secret, env("AWS_SESSION_TOKEN"))
	for _, name := range []string{"AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"} {
		if url := env(name); url != "" {
			options.BaseEndpoint = aws.String(url)
			break
		}
	}
	return kinesis.New(options), nil
}
