package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/cost"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/regularfile"
)

func newCostCommand() *cobra.Command {
	c := costCommand{}
	cmd := &cobra.Command{
		Use:   "cost {--invocations N | --from STREAM | --from FILE...}",
		Short: "Compute what a month costs, and what CloudWatch Logs would cost",
		Long: `Packs invocations like yours with Kinetel's own code, in every format and
compression, and prices the records: with an on-demand stream, with on-demand
Advantage, and with a provisioned stream, beside CloudWatch Logs. Use it before
you deploy Kinetel, and to choose a format.

The lines are invented JSON objects, of which a fifth differs from line to line.
How well yours compress decides the result, so pass 500 lines or more of a real
log: --sample FILE. Without --busy every invocation has a record of its own and
is held, as in a rarely called function; --busy 1 is a function that is called
all the time. You will pay something in between.

The prices are list prices of us-east-1. For others, write those of your region
into what --show-prices prints, and pass the file to --prices.

--from measures what Kinetel already ships, in a stream or in files, and projects it
to a month: the last hour of the stream (--since), or the time from the first event
of the files to the last. It counts invocations, what the functions print, how long
they are held and with how much memory; flags override these. The row "measured" has
the records as Kinesis bills them. Plain text, zstd and aggregates in files do not
show where records end: then there is no such row. Each gzip member of a file is a
record, without its partition key (about 32 B). The other rows pack the lines again.

-o json prints one object. Amounts are in dollars a month and end in Usd;
encodings has one element for each format and compression, the default first.
measured has what --from found in windowSeconds, and in month the row of a month.`,
		Example: `  kinetel cost --invocations 100e6
  kinetel cost --invocations 5e6 --lines 40 --sample orders.log --consumers 2
  kinetel cost --from telemetry --since 24h
  kinetel cost --from day/*.gz --memory 512
  kinetel cost --show-prices > prices.json
  kinetel cost --invocations 100e6 --prices prices.json -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if c.from.source != "" {
				return nil // more files
			}
			return cobra.NoArgs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	f := cmd.Flags()
	c.from.addFlags(f)
	f.Float64Var(&c.load.Invocations, "invocations", 0, "invocations a month, of all functions")
	f.IntVar(&c.load.Lines, "lines", 10, "log lines of an invocation")
	f.IntVar(&c.load.LineBytes, "line-bytes", 300, "bytes of a line; not used with --sample")
	f.StringVar(&c.sample, "sample", "", "a `file` with lines of your function's log, used again and again (default: invented lines)")
	f.Float64Var(&c.load.Busy, "busy", 0, "share of invocations, from 0 to 1, that share full records and are not held")
	f.DurationVar(&c.load.Held, "held", 50*time.Millisecond, "how long each other invocation is held")
	f.IntVar(&c.load.Functions, "functions", 1, "functions with KINETEL_REPORT=emf")
	f.IntVar(&c.terms.MemoryMB, "memory", 128, "memory of the functions, in `MB`")
	f.StringVar(&c.terms.Arch, "arch", "x86_64", "architecture of the functions: x86_64 or arm64")
	f.IntVar(&c.terms.Consumers, "consumers", 1, "consumers of the stream that poll; Firehose is one")
	f.IntVar(&c.terms.FanOut, "fan-out", 0, "consumers of the stream with enhanced fan-out")
	f.IntVar(&c.terms.RetentionDays, "retention", 1, "retention of the stream, in `days`")
	f.Float64Var(&c.terms.Peak, "peak", 2, "how many times the average a provisioned stream has to take")
	f.StringVar(&c.prices, "prices", "", "a `file` of prices (default: list prices of us-east-1)")
	f.BoolVar(&c.show, "show-prices", false, "print the prices and where they are from, and exit")
	f.StringVarP(&c.output, "output", "o", "text", "text or json")
	for name, values := range map[string][]string{"arch": {"x86_64", "arm64"}, "output": {"text", "json"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	}
	return cmd
}

type costCommand struct {
	load                   cost.Workload
	terms                  cost.Terms
	sample, prices, output string
	show                   bool
	from                   costSource
}

func (c *costCommand) run(cmd *cobra.Command, args []string) error {
	out, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	text := cost.BuiltIn
	if c.prices != "" {
		file, err := regularfile.Read(c.prices, 1<<20)
		if err != nil {
			return usage(fmt.Errorf("--prices: %w", err))
		}
		text = file
	}
	prices, err := cost.ReadPrices(text)
	if err != nil {
		return usage(fmt.Errorf("--prices %s: %w", c.prices, err))
	}
	c.terms.Prices = prices
	if c.show {
		_, err := out.Write(text)
		return err
	}
	if err := c.measure(cmd, args); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return usage(err)
	}
	if n := len(c.load.Text); n > 0 && c.sample != "" && n < pack.MaxEvents {
		fmt.Fprintf(stderr, "kinetel: --sample %s has %d lines, and a record up to %d events: what is used again compresses better than your log\n", c.sample, n, pack.MaxEvents)
	}
	line := newProgress(stderr)
	report := cost.Compute(c.load, c.terms, func(e cost.Encoding) { line.show("packing " + e.String()) })
	line.clear()
	if c.output == "text" {
		return report.WriteText(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// check refuses values that cannot be, and reads the sample.
func (c *costCommand) check() error {
	if c.load.Invocations == 0 {
		return errors.New("--invocations is missing: how often are your functions called in a month? For example --invocations 1e6; or measure it with --from")
	}
	for _, v := range []struct {
		flag             string
		value, min, most float64
	}{
		{"invocations", c.load.Invocations, 1, 1e13},
		{"lines", float64(c.load.Lines), 0, 100_000},
		{"line-bytes", float64(c.load.LineBytes), 1, cost.MaxLine},
		{"busy", c.load.Busy, 0, 1},
		{"functions", float64(c.load.Functions), 0, 1e6},
		{"memory", float64(c.terms.MemoryMB), 128, 10_240},
		{"consumers", float64(c.terms.Consumers), 0, 1000},
		{"fan-out", float64(c.terms.FanOut), 0, 50},
		{"retention", float64(c.terms.RetentionDays), 1, 365},
		{"peak", c.terms.Peak, 1, 1000},
	} {
		if !(v.value >= v.min && v.value <= v.most) { // NaN is refused, too
			return fmt.Errorf("--%s is %v: it must be from %.15g to %.15g", v.flag, v.value, v.min, v.most)
		}
	}
	switch {
	case c.load.Held < 0 || c.load.Held > 15*time.Minute:
		return fmt.Errorf("--held is %v: it must be from 0s to the 15m of a function", c.load.Held)
	case c.terms.Arch != "x86_64" && c.terms.Arch != "arm64":
		return fmt.Errorf("--arch is %q: it must be x86_64 or arm64", c.terms.Arch)
	case c.output != "text" && c.output != "json":
		return fmt.Errorf("--output is %q: it must be text or json", c.output)
	}
	if c.sample != "" {
		if err := c.readSample(); err != nil {
			return fmt.Errorf("--sample %s: %w", c.sample, err)
		}
	}
	if bytes := c.load.Lines * c.load.LineBytes; bytes > cost.MaxInvocation {
		return fmt.Errorf("--lines %d of %d B are %d bytes for each invocation: at most %d can be packed", c.load.Lines, c.load.LineBytes, bytes, cost.MaxInvocation)
	}
	return nil
}

func (c *costCommand) readSample() error {
	file, err := os.Open(c.sample)
	if err != nil {
		return err
	}
	defer file.Close()
	if c.load.Text, err = cost.ReadLines(file); err != nil {
		return err
	}
	c.load.LineBytes = len(strings.Join(c.load.Text, "")) / len(c.load.Text)
	return nil
}
