package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/awsclient"
	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/record"
)

func newAuditCommand() *cobra.Command {
	c := auditCommand{}
	cmd := &cobra.Command{
		Use:   "audit STREAM | FILE...",
		Short: "Prove that nothing is missing from a stream or from files of its records",
		Long: `Proves from the events alone that everything arrived. Each execution environment
numbers its events from 1. A number that is missing is explained if a
kinetel.loss event reports it; any other makes the verdict NOT COMPLETE. Use it
after an incident, after a change of your consumers, or every night.

STREAM is the name or the ARN of a Kinesis stream. It is read from --since or
--from to now. FILE is what Firehose or a consumer stored: records of any format
and compression, one after the other; - is standard input. What kinetel tail prints
is no such file: it joins the parts of events, and leaves duplicates out.

What arrived is judged from the first to the last number of each environment. An
environment whose first numbers are not there starts before the input, and one
without a final kinetel.report still runs, was killed, or goes on after it. If you
know that the input has everything, --whole makes missing first numbers a hole.
The verdict of a stream leaves out what may still be on its way: see --settle.

-o json prints one object: complete, totals, and environments (those with findings
first, each with up to 100 holes). Counts are numbers of events. "missing" is
"explained" (reported lost), "spooled" (on the disk of an environment that ended)
and "unexplained" together; "overreported" was reported lost, but is not missing.

Exit status: 0 everything is there or explained, 1 not, 2 usage, 3 it could not be
read.`,
		Example: `  kinetel audit telemetry --since 1h
  kinetel audit arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry --from horizon
  aws s3 cp --recursive s3://telemetry/2026/11/22/ day && kinetel audit $(find day -type f)
  kinetel audit telemetry --since 1h --html audit.html
  kinetel audit telemetry --since 1h -o json | jq '.environments[] | select(.unexplained > 0)'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd, args)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&c.since, "since", 0, "read a stream from so long ago, such as 1h")
	f.StringVar(&c.from, "from", "", "read a stream from a `time`, or from horizon, its oldest record (default horizon)")
	f.DurationVar(&c.settle, "settle", 30*time.Second, "do not judge what is younger, unless its environment has ended; for streams")
	f.BoolVar(&c.options.Whole, "whole", false, "the input has everything of its environments: missing first numbers are a hole")
	f.StringVar(&c.html, "html", "", "also write a page with a timeline of environments and holes to a `file`")
	f.StringVarP(&c.output, "output", "o", "text", "text or json")
	c.aws.AddFlags(f)
	for name, values := range map[string][]string{"output": {"text", "json"}, "from": {"horizon"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	}
	addSQL(cmd, &c.options.Whole)
	return cmd
}

type auditCommand struct {
	since, settle      time.Duration
	from, html, output string
	options            audit.Options
	aws                awsclient.Options
}

func (c *auditCommand) run(cmd *cobra.Command, args []string) error {
	files, err := fileArguments(args)
	switch {
	case err != nil:
	case c.output != "text" && c.output != "json":
		err = fmt.Errorf("--output is %q: it must be text or json", c.output)
	case c.settle < 0:
		err = fmt.Errorf("--settle is %v: it must be 0s or more", c.settle)
	case files && (c.since != 0 || c.from != ""):
		err = errors.New("--since and --from are for a stream: files are read as a whole")
	}
	if err != nil {
		return usage(err)
	}
	var auditor *audit.Auditor
	if progress := newProgress(cmd.ErrOrStderr()); files {
		auditor, err = c.auditFiles(cmd.Context(), progress, args, cmd.InOrStdin())
	} else {
		auditor, err = c.auditStream(cmd.Context(), progress, args[0])
	}
	if err != nil {
		return err
	}
	return c.conclude(auditor.Report(), cmd.OutOrStdout())
}

// conclude writes the report.
func (c *auditCommand) conclude(report audit.Report, out io.Writer) error {
	if report.Totals.Events == 0 {
		reason := "it is empty"
		if report.Unreadable > 0 {
			reason = report.UnreadableExamples[0]
		}
		return errors.New("the input has no events that can be judged: " + reason)
	}
	if c.html != "" {
		if err := writeFile(c.html, report.WriteHTML); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	var err error
	if c.output == "text" {
		fmt.Fprintln(out, coloredVerdict(report))
		err = report.WriteText(out)
	} else {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	}
	if err == nil && !report.Complete {
		err = found(fmt.Errorf("events missing without a report: %d", report.Totals.Unexplained))
	}
	return err
}

// coloredVerdict returns the verdict in green, or in red.
func coloredVerdict(r audit.Report) string {
	if r.Complete {
		return colored("2", r.Verdict())
	}
	return colored("1", r.Verdict())
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// auditStream reads a stream from its position to the time of the start.
func (c *auditCommand) auditStream(ctx context.Context, progress *progress, stream string) (*audit.Auditor, error) {
	from, err := streamreader.ParsePosition(cmp.Or(c.from, map[bool]string{true: "horizon"}[c.since == 0]), c.since)
	if err == nil && from.Latest {
		err = errors.New("--from latest has nothing to audit: use --since, a time or horizon")
	}
	if err != nil {
		return nil, usage(err)
	}
	cfg, err := c.aws.Load(ctx, stream)
	if err != nil {
		return nil, err
	}
	var auditor *audit.Auditor
	reader := streamreader.New(streamreader.Config{AWS: cfg, Stream: stream, From: from})
	defer progress.every(func() string {
		p := reader.Progress()
		return fmt.Sprintf("%d of %d shards, %d records, %.1f MB, %v behind", p.Done, p.Shards, p.Records, float64(p.Bytes)/1e6, p.Behind.Round(time.Second))
	})()
	for r, err := range reader.Records(ctx) {
		if errors.Is(err, streamreader.ErrNoStream) {
			return nil, fmt.Errorf("%w (and there is no file %q)", err, stream)
		}
		if err != nil {
			return nil, err
		}
		if auditor == nil {
			auditor = audit.New(c.judged(from, reader.Start()))
		}
		events, err := record.Decode(r.Data)
		if err != nil {
			auditor.AddUnreadable(fmt.Errorf("shard %s, record %s: %w", r.Shard, r.SequenceNumber, err))
		}
		for _, e := range events {
			if err := auditor.Add(e); err != nil {
				return nil, err
			}
		}
	}
	return cmp.Or(auditor, audit.New(c.options)), nil
}

// judged returns the options for a stream. The clock of this machine may be wrong: start is
// by that of Kinesis.
func (c *auditCommand) judged(from streamreader.Position, start time.Time) audit.Options {
	o := c.options
	o.From, o.Settled = from.At, start.Add(-c.settle)
	if from.Since > 0 {
		o.From = start.Add(-from.Since)
	}
	return o
}

// auditFiles reads files one after the other.
func (c *auditCommand) auditFiles(ctx context.Context, progress *progress, names []string, in io.Reader) (*audit.Auditor, error) {
	auditor := audit.New(c.options)
	var read, files atomic.Int64
	defer progress.every(func() string {
		return fmt.Sprintf("file %d of %d, %.1f MB", files.Load(), len(names), float64(read.Load())/1e6)
	})()
	for _, name := range names {
		files.Add(1)
		if err := auditFile(ctx, auditor, name, in, &read); err != nil {
			return nil, err
		}
	}
	return auditor, nil
}

// auditFile adds the events of a file, and its bytes to read.
func auditFile(ctx context.Context, auditor *audit.Auditor, name string, in io.Reader, read *atomic.Int64) error {
	if name != stdin {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	for e, err := range record.Events(&contextReader{ctx: ctx, in: in, read: read}) {
		if _, damaged := errors.AsType[*record.Error](err); damaged {
			auditor.AddUnreadable(fmt.Errorf("%s: %w", name, err))
			continue
		}
		if err == nil {
			err = auditor.Add(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
