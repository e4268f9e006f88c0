package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/functioncode"
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
telemetry, and what Kinetel accepted is in the embedded Kinesis.

-o json prints one object a line, with one member:
  event         as kinetel tail -o json; its resource has faas.name and service.instance.id
  serving       url, functionName, region
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
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.addFlags(cmd)
	return cmd
}

// run runs the function, and prints what came of it.
func (c *runCommand) run(cmd *cobra.Command, args []string) error {
	if err := c.check(cmd); err != nil {
		return usage(err)
	}
	dir, err := os.MkdirTemp("", "kinetel-run-")
	if err != nil {
		return fmt.Errorf("make a folder for the environments: %w", err)
	}
	defer os.RemoveAll(dir)
	cfg, err := c.prepare(cmd, args, dir)
	if err != nil {
		return err
	}
	defer c.close()
	stream, err := c.openStream(cmd.Context(), &cfg)
	if err != nil {
		return err
	}
	defer stream.Close()
	summary, err := localrun.Run(cmd.Context(), cfg)
	if stream.Embedded() {
		summary.Kinesis = stream.Summary(c.audited(cfg.Lambda))
	}
	return errors.Join(c.conclude(cmd.OutOrStdout(), summary, time.Since(cfg.Started)), c.explain(cmd.Context(), err))
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

// conclude prints the summary, and checks the limits.
func (c *runCommand) conclude(out io.Writer, s report.Summary, took time.Duration) error {
	checks := c.limits.Checks(s)
	var err error
	if c.output == tail.JSON {
		err = writeJSON(out, s, checks)
	} else {
		fmt.Fprintln(out)
		err = s.WriteText(out)
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
	if c.junit != "" {
		err = errors.Join(err, writeFile(c.junit, func(w io.Writer) error { return report.WriteJUnit(w, checks, took) }))
	}
	if err == nil && failed > 0 {
		return found(fmt.Errorf("%d of %d checks failed", failed, len(checks)))
	}
	return err
}

func writeJSON(out io.Writer, s report.Summary, checks []report.Check) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(map[string]any{"summary": s})
	for _, check := range checks {
		err = errors.Join(err, enc.Encode(map[string]any{"check": check}))
	}
	return err
}

// serving returns what a person needs to invoke the function.
func (c *runCommand) serving(url string) string {
	const path = "/2015-03-31/functions/"
	return fmt.Sprintf(`# The function is at %[1]s until you press Ctrl-C. In another shell:
export AWS_REGION=%[3]s AWS_DEFAULT_REGION=%[3]s AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
aws lambda invoke --endpoint-url %[1]s --function-name %[2]s --cli-binary-format raw-in-base64-out --payload '{}' /dev/stdout
curl %[1]s`+path+`%[2]s/invocations -d '{}'
`, url, c.name, c.region)
}

// extensionPaths returns the files of --extension, and Kinetel's.
func (c *runCommand) extensionPaths() ([]string, error) {
	paths := c.extensions
	for _, p := range paths {
		if filepath.Base(p) == localrun.Kinetel {
			return paths, nil // yours is in the place of the one beside this command
		}
	}
	if c.noKinetel {
		return paths, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	beside := filepath.Join(filepath.Dir(self), localrun.Kinetel)
	if _, err := os.Stat(beside); err != nil {
		return nil, fmt.Errorf("%s: there is no such program; `make build` builds it, --extension PATH/%s names another one, and --no-kinetel runs without it", beside, localrun.Kinetel)
	}
	return append([]string{beside}, paths...), nil
}

// source returns the function that the arguments name.
func (c *runCommand) source(args []string, dir string) functioncode.Source {
	return functioncode.Source{Command: args, Runtime: c.runtime, Handler: c.handler, Client: c.client, Unpack: filepath.Join(dir, "task")}
}

// payload reads the event.
func (c *runCommand) payload(stdin io.Reader) ([]byte, error) {
	const most = 6 << 20 // of Lambda
	text := strings.TrimSpace(c.event)
	var payload []byte
	var err error
	switch {
	case text == "-":
		payload, err = io.ReadAll(io.LimitReader(stdin, most+1))
	case json.Valid([]byte(text)):
		payload = []byte(text)
	default:
		if payload, err = os.ReadFile(c.event); err != nil {
			err = fmt.Errorf("it is neither JSON nor a file: %w", err)
		}
	}
	switch {
	case err != nil:
	case len(payload) > most:
		err = fmt.Errorf("it has more than the %d bytes that Lambda accepts", most)
	case !json.Valid(payload):
		err = errors.New("it is not JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("--event %.80s: %w", c.event, err)
	}
	return payload, nil
}
