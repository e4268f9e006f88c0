// Command reader prints what Kinetel has written into a Kinesis stream, one event
// a line, as JSON:
//
//	reader -stream telemetry | jq -c 'select(.severity == "ERROR") | [.time, .body]'
//	reader -stream telemetry -follow -from latest
//
// It reads all shards, from the beginning to what is there now, or on and on with
// -follow. Events that are there twice are printed twice, and parts as parts:
// package record and docs/consumers.md say what to do about both.
//
// The region and the keys are those of AWS_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; AWS_ENDPOINT_URL_KINESIS or
// AWS_ENDPOINT_URL is another Kinesis. Programs that are not samples leave all
// that to the SDK's package config, which knows profiles and roles as well.
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
	from := flags.String("from", "oldest", "oldest or latest: what to begin with")
	follow := flags.Bool("follow", false, "go on when everything is read")
	every := flags.Duration("every", time.Second, "how often to ask a shard that has nothing new")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q is too much; try reader -stream NAME", flags.Arg(0))
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
		return nil // it was asked to end
	}
	return err
}

// newClient returns a client for what the environment says.
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
