package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kinetel/kinetel/internal/awsclient"
	"github.com/kinetel/kinetel/internal/cost"
	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/record"
)

// costSource is what kinetel cost measures.
type costSource struct {
	source string // a stream or the first file
	since  time.Duration
	aws    awsclient.Options
}

func (s *costSource) addFlags(f *pflag.FlagSet) {
	f.StringVar(&s.source, "from", "", "measure this `stream`, or these files (- is standard input), and project it to a month")
	f.DurationVar(&s.since, "since", time.Hour, "measure the stream from so long ago; for --from")
	s.aws.AddFlags(f)
}

// leastSpan is the shortest time that files are projected from.
const leastSpan = time.Minute

// measure measures the source, if there is one. What it finds is used for each flag that
// is not given.
func (c *costCommand) measure(cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	switch {
	case given("from") && c.from.source == "":
		return usage(errors.New("--from is empty: give the name of a stream, or a file"))
	case given("since") && !given("from"):
		return usage(errors.New("--since is for --from: give the stream to measure"))
	case !given("from"):
		return nil
	}
	names := append([]string{c.from.source}, args...)
	files, err := fileArguments(names)
	switch {
	case err != nil:
	case files && given("since"):
		err = errors.New("--since is for a stream: files are read as a whole")
	case c.from.since <= 0:
		err = fmt.Errorf("--since is %v: it must be how long ago, such as 1h", c.from.since)
	}
	if err != nil {
		return usage(err)
	}
	var seen tail.Seen
	meter := &cost.Meter{IsNew: seen.Add}
	window, progress := c.from.since, newProgress(cmd.ErrOrStderr())
	if files {
		err = measureFiles(cmd.Context(), meter, progress, names, cmd.InOrStdin())
		window = meter.Span()
	} else {
		err = c.from.measureStream(cmd.Context(), meter, progress)
	}
	if err != nil {
		return err
	}
	found := meter.Telemetry(window)
	found.From = names
	if err := c.checkMeasured(found, files, given("invocations")); err != nil {
		return fmt.Errorf("--from %s: %w", c.from.source, err)
	}
	c.apply(found, given)
	return nil
}

// checkMeasured refuses telemetry that cannot be projected.
func (c *costCommand) checkMeasured(t *cost.Telemetry, files, invocations bool) error {
	look := "give files with more events"
	if !files {
		look = fmt.Sprintf("look further back than --since %v", c.from.since)
	}
	switch window := time.Duration(t.WindowSeconds * float64(time.Second)); {
	case t.Events == 0 && t.Unreadable > 0:
		return fmt.Errorf("%d records, and none is Kinetel's: `kinetel tail` shows what they are", t.Unreadable)
	case t.Events == 0 && files:
		return errors.New("there are no events: " + look)
	case t.Events == 0:
		return fmt.Errorf("the stream has no records of the last %v: %s", c.from.since, look)
	case t.Invocations == 0:
		return fmt.Errorf("%d events, but no kinetel.invocation or platform.report, which tell how often functions are called: %s, or let KINETEL_TYPES have platform", t.Events, look)
	case files && window < leastSpan && !invocations:
		return fmt.Errorf("the events are of %v, too short to project to a month: %s, or how many invocations a month has (--invocations)", window, look)
	}
	return nil
}

// apply uses what was measured for each flag that is not given.
func (c *costCommand) apply(t *cost.Telemetry, given func(flag string) bool) {
	measured, flags := t.Workload(), c.load
	c.load = measured
	if given("invocations") {
		c.load.Invocations = flags.Invocations
	}
	if given("lines") {
		c.load.Lines = flags.Lines
	}
	if given("line-bytes") || t.Lines == 0 { // lines of another size are invented
		c.load.LineBytes, c.load.Text = flags.LineBytes, nil
	}
	if given("busy") {
		c.load.Busy = flags.Busy
	}
	if given("held") {
		c.load.Held = flags.Held
	}
	c.load.Functions = flags.Functions
	if t.MemoryMB > 0 && !given("memory") {
		c.terms.MemoryMB = int(t.MemoryMB)
	}
}

// measureStream measures the stream from its position to now.
func (s *costSource) measureStream(ctx context.Context, meter *cost.Meter, progress *progress) error {
	cfg, err := s.aws.Load(ctx, s.source)
	if err != nil {
		return err
	}
	reader := streamreader.New(streamreader.Config{AWS: cfg, Stream: s.source, From: streamreader.Position{Since: s.since}})
	defer progress.every(func() string {
		p := reader.Progress()
		return fmt.Sprintf("%d of %d shards, %d records, %.1f MB, %v behind", p.Done, p.Shards, p.Records, float64(p.Bytes)/1e6, p.Behind.Round(time.Second))
	})()
	for r, err := range reader.Records(ctx) {
		if errors.Is(err, streamreader.ErrNoStream) {
			return fmt.Errorf("%w (and there is no file %q)", err, s.source)
		}
		if err != nil {
			return err
		}
		events, err := record.Decode(r.Data)
		if err != nil {
			meter.Unreadable++
		}
		meter.AddRecord(len(r.Data) + len(r.PartitionKey)) // Kinesis bills all records
		for _, e := range events {
			meter.Add(e)
		}
	}
	return nil
}

// measureFiles measures files one after the other.
func measureFiles(ctx context.Context, meter *cost.Meter, progress *progress, names []string, in io.Reader) error {
	var read atomic.Int64
	defer progress.every(func() string { return fmt.Sprintf("%.1f MB read", float64(read.Load())/1e6) })()
	measure := func(name string) error {
		in := in
		if name != stdin {
			file, err := os.Open(name)
			if err != nil {
				return err
			}
			defer file.Close()
			in = file
		}
		if err := meter.File(&contextReader{ctx: ctx, in: in, read: &read}); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		return nil
	}
	for _, name := range names {
		if err := measure(name); err != nil {
			return err
		}
	}
	return nil
}
