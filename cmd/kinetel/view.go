package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/awsclient"
	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/internal/view"
	"github.com/kinetel/kinetel/kinesissim"
)

// viewSettle is for how long a number that is missing may be on its way.
const viewSettle = 10 * time.Second

func newViewCommand() *cobra.Command {
	c := viewCommand{}
	cmd := &cobra.Command{
		Use:   "view STREAM | FILE... | - | --demo",
		Short: "Show a stream or files in a browser, live",
		Long: `Serves a page on this machine, and prints its address. The page shows a timeline
of execution environments and invocations, the events of each invocation, and how
the telemetry is doing: the verdict of kinetel audit, losses, retries, how long
invocations were held. It is updated while events arrive. You can search, filter,
and link to an invocation: #request=ID.

It reads what kinetel tail reads, with the same permissions: a stream, from now on
unless you set --since or --from; files, as Firehose writes them to S3; or standard
input (-). --demo runs what kinetel demo runs, and shows it.

The page's address has a token, and only this machine can open it. The page loads
nothing from elsewhere. The latest events are in memory, up to --memory; the page
says how many older ones were dropped. Ctrl-C ends the command.`,
		Example: `  kinetel view telemetry --since 10m --open
  kinetel view --demo
  aws s3 cp s3://bucket/2026/11/27/09/object.gz - | kinetel view -`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&c.demo, "demo", false, "run the demo, and show it")
	f.DurationVar(&c.since, "since", 0, "begin so long ago, such as 10m")
	f.StringVar(&c.from, "from", "", "begin at a `time`, at horizon (the oldest record), or at latest (default latest)")
	f.StringVar(&c.consumer, "consumer", "", "read with enhanced fan-out: register a consumer of this `name`, and remove it at the end")
	c.page.addFlags(cmd)
	c.aws.AddFlags(f)
	_ = cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"horizon", "latest"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return cmd
}

type viewCommand struct {
	demo           bool
	since          time.Duration
	from, consumer string
	page           pageServer
	aws            awsclient.Options
}

func (c *viewCommand) run(cmd *cobra.Command, args []string) error {
	from, files, err := c.check(args)
	if err != nil {
		return usage(err)
	}
	ctx, o := cmd.Context(), view.Options{Source: strings.Join(args, ", "), Live: true, Settle: viewSettle}
	if c.demo {
		d := demo{logFormat: "text", out: cmd.OutOrStdout()}
		return d.view(ctx, &c.page, cmd.ErrOrStderr())
	}
	progress := newProgress(cmd.ErrOrStderr())
	out, stderr := progress.before(cmd.OutOrStdout()), progress.before(cmd.ErrOrStderr())
	if !files {
		cfg, err := c.aws.Load(ctx, args[0])
		if err != nil {
			return fmt.Errorf("%w (and there is no file %q)", err, args[0])
		}
		return c.page.serve(ctx, out, stderr, o, func(ctx context.Context, v *view.View) error { return c.readStream(ctx, v, cfg, args[0], from) })
	}
	if o.Live = len(args) == 1 && args[0] == stdin; o.Live {
		o.Source = "standard input"
	}
	return c.page.serve(ctx, out, stderr, o, func(ctx context.Context, v *view.View) error {
		return readEach(ctx, progress, args, cmd.InOrStdin(), v.AddFile)
	})
}

// check refuses flags and arguments that exclude each other.
func (c *viewCommand) check(args []string) (from streamreader.Position, files bool, err error) {
	ofStream := c.since != 0 || c.from != "" || c.consumer != ""
	switch {
	case c.demo && len(args) > 0:
		return from, false, errors.New("--demo has a stream of its own: leave the other arguments out")
	case c.demo && ofStream:
		return from, false, errors.New("--since, --from and --consumer are for a stream, not for --demo")
	case c.demo:
		return from, false, nil
	case len(args) == 0:
		return from, false, errors.New("give the name of a stream, files, - for standard input, or --demo")
	}
	if files, err = fileArguments(args); err != nil {
		return from, false, err
	}
	if files && ofStream {
		return from, false, errors.New("--since, --from and --consumer are for a stream: files are read as a whole")
	}
	from, err = streamreader.ParsePosition(c.from, c.since)
	return from, files, err
}

// readStream adds the events of a stream to the page.
func (c *viewCommand) readStream(ctx context.Context, v *view.View, cfg aws.Config, stream string, from streamreader.Position) error {
	reader := streamreader.New(streamreader.Config{AWS: cfg, Stream: stream, From: from, Follow: true, Consumer: c.consumer})
	first := true
	for r, err := range reader.Records(ctx) {
		if errors.Is(err, streamreader.ErrNoStream) {
			return fmt.Errorf("%w (and there is no file %q)", err, stream)
		}
		if err != nil {
			return err
		}
		if first {
			first = false
			v.JudgeFrom(judgedFrom(from, reader.Start()))
		}
		v.AddRecord(r.Data, r.Arrival, "shard "+r.Shard+", record "+r.SequenceNumber)
	}
	return nil
}

// judgedFrom returns the time from which numbers are judged. The clock of this machine may be
// wrong: start is by that of Kinesis.
func judgedFrom(from streamreader.Position, start time.Time) time.Time {
	switch {
	case from.Latest:
		return start
	case from.Since > 0:
		return start.Add(-from.Since)
	}
	return from.At
}

// view runs the demo, and shows it in a browser.
func (d *demo) view(ctx context.Context, page *pageServer, stderr io.Writer) error {
	return page.serve(ctx, d.out, stderr, view.Options{Source: "kinetel demo", Live: true}, func(ctx context.Context, v *view.View) error {
		d.onRecord = func(r kinesissim.Record) { v.AddRecord(r.Data, r.Arrival, "record "+r.SequenceNumber) }
		return d.run(ctx)
	})
}
