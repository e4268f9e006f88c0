package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/localrun"
	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/internal/tail"
)

// runPort is the port of SAM's local Lambda, so that what was written for it works.
const runPort = 3001

func newRunCommand() *cobra.Command {
	var c runCommand
	cmd := &cobra.Command{
		Use:   "run [flags] -- FUNCTION [ARG...]",
		Short: "Run a function with extensions in a local Lambda, and measure them",
		Long: `Runs a function as AWS Lambda does, with its Runtime, Extensions and Telemetry APIs:
freezes, time-outs, resets and the shutdown are Lambda's. Use it to try a function, or
to develop an extension and check in CI what it costs. It needs Linux.

FUNCTION is an executable that speaks the Runtime API (Go, Rust, a custom runtime), a
folder or a zip archive. A folder has an executable named bootstrap, or with --runtime
and --handler the code for Node.js (npm aws-lambda-ric) or Python (PyPI awslambdaric).

Kinetel's extension runs beside yours, and writes to an embedded Kinesis. --no-kinetel
leaves it out.

With --event it invokes the function and ends. Otherwise it serves Lambda's endpoint
until you press Ctrl-C, for aws lambda invoke --endpoint-url, SDKs and curl. It listens
on 127.0.0.1 only, and checks no credentials. Ctrl-C runs the shutdown phase; a second
one ends at once.

The text shows what kinetel tail shows, the response and Lambda's REPORT line. At the
end: how long each extension prolonged invocations (overhead), its time from the start
to its first next (init), memory, CPU, and what it missed of the telemetry that it
subscribed to.

The limits fail the run. --expect-success is on with --event: every invocation succeeds,
and every extension ends in order. --expect-delivered: every extension accepts all its
telemetry, and what Kinetel accepted is in the embedded Kinesis, or Kinetel reports it
lost or left out.

-o json prints one object a line, with one member:
  event         as kinetel tail -o json; its resource has faas.name and service.instance.id
  serving       url, functionName, region; kinesisUrl and stream, where Kinetel writes to
  invocation    requestId, environment (a number), status, errorType, functionError,
                coldStart, initMs, restoreMs, durationMs, billedMs, responseMs,
                overheadMs (by extension), maxMemoryMB, lines, payload
  asynchronous  requestId, condition, attempts
  summary       environments, invocations, statuses, throttled, coldStarts, durationMs
                and initMs (count, p50, p99, max), billedMs, function (processes,
                maxMemoryBytes, cpuMs), extensions (the same, and name, overheadMs,
                initMs, subscribed, acceptedEvents, missed by type, failedPosts),
                kinesis (records, bytes, rejected, events, audit, complete), problems
  check         of a limit: name, subject, ok, detail

The exit status is 1 if a limit fails or the function cannot start, 3 if something else
keeps the run from its end.`,
		Example: `  kinetel run --extension ./my-extension --event '{"id":7}' --count 20 -- ./bootstrap
  kinetel run --runtime nodejs --handler app.handler -- ./function
  kinetel run --layer extension.zip --no-kinetel --event event.json --max-overhead 50ms --junit report.xml -- function.zip
  kinetel run --event - --count 100 --concurrency 5 --fault kinesis:throttle=0.3 --expect-delivered -- ./bootstrap`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("there is no function: name an executable, a folder or a zip archive after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.run(cmd, args); err != nil {
				return printableError{err}
			}
			return nil
		},
	}
	c.addFlags(cmd)
	return cmd
}

// run runs the function, and prints what came of it.
func (c *runCommand) run(cmd *cobra.Command, args []string) error {
	if err := c.check(cmd); err != nil {
		return usage(err)
	}
	abort, stop := watchSignals()
	defer stop()
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	defer context.AfterFunc(abort, func() { cancel(context.Cause(abort)) })()
	dir, err := os.MkdirTemp("", "kinetel-run-")
	if err != nil {
		return fmt.Errorf("make a folder for the environments: %w", err)
	}
	defer os.RemoveAll(dir)
	cfg, err := c.prepare(ctx, cmd, args, dir)
	if err != nil {
		return err
	}
	defer c.close()
	stream, err := c.openStream(ctx, &cfg)
	if err != nil {
		return err
	}
	defer stream.Close()
	cfg.Stream = stream
	cfg.Serving = func(url string) string { return c.serving(url, stream) }
	cfg.Abort = abort
	summary, err := localrun.Run(ctx, cfg)
	if abort.Err() != nil {
		return context.Cause(abort)
	}
	early := err != nil && c.event != "" && (ctx.Err() != nil || errors.Is(err, syscall.EPIPE))
	err = c.explain(ctx, err)
	if _, init := errors.AsType[foundError](err); err != nil && !init && summary.Invocations == 0 {
		return err // there is nothing to conclude from
	}
	if audited := c.audited(cfg.Lambda); stream.Embedded() {
		if k := stream.Summary(audited, c.comparable(cfg.Lambda, summary)); audited || k.Records > 0 {
			summary.Kinesis = k
		}
	}
	return errors.Join(c.conclude(cmd.OutOrStdout(), summary, time.Since(cfg.Started), early), err)
}

// explain returns the error of the command for that of the run.
func (c *runCommand) explain(ctx context.Context, err error) error {
	switch {
	case localrun.IsInit(err):
		return found(err)
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) && c.event == "", errors.Is(err, syscall.EPIPE):
		return nil // the usual ends
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("kinetel run freezes processes and measures them, as only Linux can: %w", err)
	}
	return err
}

// conclude prints the summary, and checks the limits. early means that the run ended before
// all invocations were made.
func (c *runCommand) conclude(out io.Writer, s report.Summary, took time.Duration, early bool) error {
	checks := c.limits.Checks(s)
	var err error
	if c.output == tail.JSON {
		err = writeJSON(tail.New(out, io.Discard, tail.Options{Output: tail.JSON, Terminal: isTerminal(os.Stdout)}), s, checks)
	} else {
		fmt.Fprintln(out)
		err = s.WriteText(out)
	}
	if errors.Is(err, syscall.EPIPE) {
		err = nil // the reader has enough
	}
	failed := 0
	for _, check := range checks {
		mark := colored("2", "ok")
		if !check.OK {
			failed++
			mark = colored("1", "failed")
		}
		if c.output != tail.JSON {
			fmt.Fprintf(out, "%s: %s: %s: %s\n", mark, report.Printable(check.Subject), check.Name, report.Printable(check.Detail))
		}
	}
	if early {
		checks = append(checks, report.Check{Name: "all invocations are made", Subject: "function", Detail: "interrupted"})
	}
	if c.junit != "" {
		err = errors.Join(err, writeFile(c.junit, func(w io.Writer) error { return report.WriteJUnit(w, checks, took) }))
	}
	if err == nil && failed > 0 {
		return found(fmt.Errorf("%d of %d checks failed", failed, len(checks)))
	}
	return err
}

func writeJSON(out *tail.Tail, s report.Summary, checks []report.Check) error {
	objects := []map[string]any{{"summary": s}}
	for _, check := range checks {
		objects = append(objects, map[string]any{"check": check})
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	for _, o := range objects {
		if err := enc.Encode(o); err != nil {
			return err
		}
	}
	return out.Line(bytes.TrimSuffix(lines.Bytes(), []byte("\n")))
}

// printableError is an error whose text may have names of files in archives, and what
// processes say.
type printableError struct{ error }

func (e printableError) Unwrap() error { return e.error }

func (e printableError) Error() string {
	lines := strings.Split(e.error.Error(), "\n")
	for i, line := range lines {
		lines[i] = report.Printable(line)
	}
	return strings.Join(lines, "\n")
}
