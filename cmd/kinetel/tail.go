package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/awsclient"
	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/internal/tail"
)

func newTailCommand() *cobra.Command {
	c := tailCommand{}
	cmd := &cobra.Command{
		Use:   "tail STREAM | FILE... | -",
		Short: "Print the events of a stream or of files",
		Long: `Prints what Kinetel wrote to a Kinesis stream, from all shards and in every format
and compression, and waits for more. Large events are joined, and duplicates left
out. It also reads files, as Firehose writes them to S3, and standard input (-).

The text has one line for an event: local time, the first characters of the
request id, severity and message. A line that begins with END sums an invocation
up; its price is that of the billed duration in us-east-1, without free tier and
requests ("≤" if the architecture is not known yet). The text leaves out Lambda's
events about normal operation, kinetel.environment, kinetel.report, kinetel.init
and kinetel.span; --type '*' prints all.

-o raw prints the line of each event, as docs/format.md describes it, and -o otlp
a payload of OTLP/JSON. -o json prints one object a line: the event, and shard,
sequenceNumber and arrivalTime, or file, of the record.

A template prints {{.Time}}, {{.Type}}, {{.Severity}}, {{.RequestID}}, {{.Request}}
(its first characters), {{.TraceID}}, {{.Seq}}, {{.Function}}, {{.Instance}},
{{.Message}} (as in the text), {{.Body}} and {{index .Resource "faas.version"}}. Its
functions are parseJSON, tryParseJSON, json, prettyJSON, color ("red" and so on),
requestColor, severityColor, and those of Go.

Records that are not Kinetel's are described on standard error, and then the exit
status is 1. You need the permissions kinesis:ListShards, kinesis:GetShardIterator
and kinesis:GetRecords, and kms:Decrypt if the stream has a key of yours. With
--consumer you need DescribeStreamSummary, RegisterStreamConsumer,
DescribeStreamConsumer, SubscribeToShard and DeregisterStreamConsumer instead of
the last two, and AWS bills the consumer.`,
		Example: `  kinetel tail telemetry --since 10m
  kinetel tail telemetry --severity warn --function 'orders-*'
  kinetel tail telemetry --from horizon --no-follow -o raw | jq .body
  kinetel tail telemetry --request 8476a536 --since 1h --no-follow
  kinetel tail telemetry --template '{{.Function}} {{with tryParseJSON .Body}}{{.message}}{{end}}'
  aws s3 cp s3://bucket/2026/11/27/09/object.gz - | kinetel tail -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.addFlags(cmd)
	return cmd
}

func (c *tailCommand) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&c.since, "since", 0, "begin so long ago, such as 10m")
	f.StringVar(&c.from, "from", "", "begin at a `time`, at horizon (the oldest record), or at latest (default: latest, and horizon with --no-follow)")
	f.BoolVar(&c.noFollow, "no-follow", false, "end when everything up to now is printed")
	f.StringVar(&c.consumer, "consumer", "", "read with enhanced fan-out: register a consumer of this `name`, and remove it at the end")
	f.StringSliceVar(&c.options.Filter.Requests, "request", nil, "only these request `ids`; the first characters are enough")
	f.StringSliceVar(&c.options.Filter.Traces, "trace", nil, "only these X-Ray trace `ids`; the first characters are enough")
	f.StringSliceVar(&c.options.Filter.Functions, "function", nil, "only functions with these `names`; * matches anything")
	f.StringSliceVar(&c.options.Filter.Instances, "instance", nil, "only these execution environments: `ids` (service.instance.id); the first characters are enough")
	f.StringVar(&c.options.Filter.Severity, "severity", "", "only events of this severity or a worse one: "+strings.Join(tail.Severities, ", "))
	f.StringVar(&c.grep, "grep", "", "only events whose body matches a `regular expression` (RE2)")
	f.StringSliceVar(&c.options.Filter.Types, "type", nil, "only events of these `types`, such as function or platform.*")
	f.StringVar(&c.template, "template", "", "print each event with a Go `template`")
	f.StringVarP(&c.options.Output, "output", "o", tail.Text, "text, json, raw or otlp")
	f.BoolVar(&c.utc, "utc", false, "print times in UTC")
	f.Int64Var(&c.options.MaxEvents, "max-events", 0, "end after so many printed events")
	f.DurationVar(&c.timeout, "timeout", 0, "end after this time, such as 30s")
	c.aws.AddFlags(f)
	for name, values := range map[string][]string{"severity": tail.Severities, "output": tailOutputs, "from": {"horizon", "latest"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	}
}

var tailOutputs = []string{tail.Text, tail.JSON, tail.Raw, tail.OTLP}

type tailCommand struct {
	options                        tail.Options
	aws                            awsclient.Options
	since, timeout                 time.Duration
	from, consumer, grep, template string
	noFollow, utc                  bool
}

// errTimeout is the cause of a context that --timeout ends.
var errTimeout = errors.New("--timeout")

func (c *tailCommand) run(cmd *cobra.Command, args []string) error {
	from, err := c.check()
	if err != nil {
		return usage(err)
	}
	files, err := fileArguments(args)
	if err == nil && files && (c.since != 0 || c.from != "" || c.consumer != "") {
		err = errors.New("--since, --from and --consumer are for a stream: files are read as a whole")
	}
	if err != nil {
		return usage(err)
	}
	// A reader that goes away, such as head, ends the command as Ctrl-C does.
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGPIPE)
	defer stop()
	if c.timeout > 0 {
		ctx, stop = context.WithTimeoutCause(ctx, c.timeout, errTimeout)
		defer stop()
	}
	progress := newProgress(cmd.ErrOrStderr())
	t := tail.New(progress.before(cmd.OutOrStdout()), progress.before(cmd.ErrOrStderr()), c.options)
	if files {
		err = readEach(ctx, progress, args, cmd.InOrStdin(), t.File)
	} else {
		err = c.readStream(ctx, t, progress, args[0], from)
	}
	if !errors.Is(err, tail.ErrEnough) {
		if closed := t.Close(); err == nil {
			err = closed
		}
	}
	interrupted := ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) && !c.noFollow && !files
	if interrupted || errors.Is(err, tail.ErrEnough) || errors.Is(err, errTimeout) || errors.Is(err, syscall.EPIPE) {
		err = nil // the usual ends
	}
	return c.conclude(cmd.ErrOrStderr(), t.Counts(), err)
}

// check refuses values that cannot be, and completes the options.
func (c *tailCommand) check() (from streamreader.Position, err error) {
	if err := c.options.Filter.Check(); err != nil {
		return from, err
	}
	switch o := &c.options; {
	case !slices.Contains(tailOutputs, o.Output):
		return from, fmt.Errorf("--output is %q: it must be one of %s", o.Output, strings.Join(tailOutputs, ", "))
	case c.template != "" && o.Output != tail.Text:
		return from, fmt.Errorf("--template and --output %s: give one of them", o.Output)
	case o.MaxEvents < 0:
		return from, fmt.Errorf("--max-events is %d: it must be 1 or more", o.MaxEvents)
	case c.timeout < 0:
		return from, fmt.Errorf("--timeout is %v: it must be how long to read, such as 30s", c.timeout)
	}
	if c.grep != "" {
		if c.options.Filter.Grep, err = regexp.Compile(c.grep); err != nil {
			return from, fmt.Errorf("--grep %q: %w", c.grep, err)
		}
	}
	c.options.Color, c.options.Terminal = hasColor(), isTerminal(os.Stdout)
	if c.template != "" {
		if c.options.Template, err = tail.ParseTemplate(c.template, c.options.Color); err != nil {
			return from, err
		}
	}
	c.options.Filter.Routine = c.options.Output == tail.Text
	c.options.Location = time.Local
	if c.utc {
		c.options.Location = time.UTC
	}
	begin := c.from
	if begin == "" && c.since == 0 && c.noFollow {
		begin = "horizon"
	}
	return streamreader.ParsePosition(begin, c.since)
}

// readStream prints the events of a stream.
func (c *tailCommand) readStream(ctx context.Context, t *tail.Tail, progress *progress, stream string, from streamreader.Position) error {
	cfg, err := c.aws.Load(ctx, stream)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	reader := streamreader.New(streamreader.Config{AWS: cfg, Stream: stream, From: from, Follow: !c.noFollow, Consumer: c.consumer})
	defer progress.every(func() string {
		p := reader.Progress()
		return fmt.Sprintf("%d shards, %d read to the end, %d records, %.1f MB, %v behind", p.Shards, p.Done, p.Records, float64(p.Bytes)/1e6, p.Behind.Round(time.Second))
	})()
	printing := true
	for record, err := range reader.Records(ctx) {
		switch {
		case errors.Is(err, streamreader.ErrNoStream):
			return fmt.Errorf("%w (and there is no file %q)", err, stream)
		case err != nil:
			return err
		case printing:
			if err := t.Record(record); err != nil {
				// The loop goes on, to learn whether the consumer was removed.
				stop(err)
				printing = false
			}
		}
	}
	return context.Cause(ctx)
}

// conclude writes what happened, and returns the error of the command.
func (c *tailCommand) conclude(w io.Writer, n tail.Counts, err error) error {
	if n.Events > 0 || n.Unreadable > 0 || err == nil {
		summary := fmt.Sprintf("kinetel: %d of %d events printed", n.Printed, n.Events)
		for _, more := range []struct {
			n    int64
			what string
		}{
			{n.Duplicates, "duplicates left out"}, {n.Parts, "parts of events that are not complete"}, {n.Unreadable, "records that cannot be read"},
		} {
			if more.n > 0 {
				summary += fmt.Sprintf(", %d %s", more.n, more.what)
			}
		}
		fmt.Fprintln(w, summary)
	}
	if err == nil && n.Unreadable > 0 {
		return found(errors.New("not all records can be read"))
	}
	return err
}
