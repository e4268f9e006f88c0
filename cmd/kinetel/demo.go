package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/recorder"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
)

const (
	demoStream  = "telemetry"
	demoTimeout = time.Second // of the function
	// demoGap is how long the environment stays frozen between invocations.
	demoGap = 50 * time.Millisecond
)

func newDemoCommand() *cobra.Command {
	var d demo
	var show bool
	var page pageServer
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the extension in a local Lambda, into an embedded Kinesis, and audit what arrives",
		Long: `Starts an embedded Kinesis and a local Lambda with the real extension and a
sample function. Invokes the function 20 times, with a cold start, freezes, a
burst, an error and a time-out. Shows what is in the stream, and compares it
with what the Lambda emitted. The exit status is 1 if anything was lost or
duplicated.

The extension gets the environment variables that begin with KINETEL_. Only the
stream cannot be another.`,
		Example: `  kinetel demo
  kinetel demo --raw
  kinetel demo --view --open
  KINETEL_FORMAT=otlp kinetel demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out = cmd.OutOrStdout()
			if show {
				return d.view(cmd.Context(), &page, cmd.ErrOrStderr())
			}
			if err := page.unused(cmd); err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.extension, "extension", "", "the extension's `file` (default: kinesis-telemetry-extension beside kinetel)")
	cmd.Flags().StringVar(&d.function, "function", "", "the sample function's `file` (default: sample-function beside kinetel)")
	cmd.Flags().BoolVar(&d.raw, "raw", false, "print one event of each type, as a line of JSON each")
	cmd.Flags().StringVar(&d.logFormat, "log-format", "text", "the function's log format, text or json")
	cmd.Flags().BoolVar(&show, "view", false, "also show it in a browser, as kinetel view does, until you press Ctrl-C")
	page.addFlags(cmd)
	return cmd
}

// step is one invocation of the demo.
type step struct{ what, payload string }

// steps returns the demo's invocations. Each payload is the sample function's task.
func steps() []step {
	all := make([]step, 20)
	for i := range all {
		all[i].payload = fmt.Sprintf(`{"id":"demo-%d","lines":10,"format":"mixed","sleep":"5ms"}`, i)
	}
	all[5] = step{"60 kB lines", `{"id":"long","lines":2,"bytes":60000}`}
	all[8] = step{"5,000 lines", `{"id":"burst","lines":5000}`}
	all[11] = step{"error", `{"id":"error","lines":3,"error":"out of beans"}`}
	all[15] = step{"time-out", `{"id":"hang","lines":3,"hang":true}`}
	return all
}

type demo struct {
	extension, function, logFormat string
	raw                            bool
	out                            io.Writer
	recorder                       *recorder.Recorder
	frozen                         atomic.Int64 // how often the environment was frozen

	onRecord func(kinesissim.Record) // for each that was decoded, unless it is nil

	kinesis *kinesissim.Server
	records int            // how many of the stream's were decoded
	arrived []record.Event // of these
}

// The styles of the demo's output; without a terminal it is plain text.

func bold(s string) string  { return lipgloss.NewStyle().Bold(true).Render(s) }
func faint(s string) string { return lipgloss.NewStyle().Faint(true).Render(s) }

// colored highlights a verdict: ansi 2 is green, 1 is red.
func colored(ansi, s string) string {
	return lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Color(ansi)).Render(s)
}

func (d *demo) run(ctx context.Context) error {
	err := d.findPrograms()
	if err != nil {
		return err
	}
	format, ok := map[string]lambdasim.LogFormat{"text": lambdasim.LogText, "json": lambdasim.LogJSON}[d.logFormat]
	if !ok {
		return usage(fmt.Errorf("--log-format %q: must be text or json", d.logFormat))
	}
	d.kinesis, err = kinesissim.Start(ctx, kinesissim.Config{Streams: []kinesissim.Stream{{Name: demoStream, Shards: 2}}})
	if err != nil {
		return err
	}
	defer d.kinesis.Close()
	// The sandbox's /tmp is this machine's.
	spool, err := os.MkdirTemp("", "kinetel-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the spool: %w", err)
	}
	defer os.RemoveAll(spool)
	env, cfg, err := settings(os.Environ(), spool, d.kinesis.URL())
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%s\n%s\n\n", bold("A local Lambda, the real extension, an embedded Kinesis"),
		faint(fmt.Sprintf("stream %s at %s, function time-out %v", demoStream, d.kinesis.URL(), demoTimeout)))
	if len(cfg.Problems) > 0 {
		fmt.Fprintf(d.out, "%s%s\n\n", bold("Settings to correct"), list(cfg.Problems))
	}

	d.recorder = recorder.New(filepath.Base(d.extension), cfg.Types...)
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:     lambdasim.Process{Path: d.function},
		Extensions:   []lambdasim.Process{{Path: d.extension}},
		FunctionName: "demo",
		Timeout:      demoTimeout,
		LogFormat:    format,
		Env:          env,
		OnEvent:      d.recorder.OnEvent,
		OnNotice: func(n lambdasim.Notice) {
			if n.Kind == lambdasim.NoticeFreeze {
				d.frozen.Add(1)
			}
		},
		Stderr: d.recorder,
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, d.recorder.Log())
	}
	defer func() { _, _ = sandbox.Shutdown(context.WithoutCancel(ctx)) }()

	if err := d.invoke(ctx, sandbox); err != nil {
		return err
	}
	report, err := sandbox.Shutdown(ctx)
	if err != nil {
		return err
	}
	return d.conclude(report)
}

// findPrograms fills in the paths that were not given.
func (d *demo) findPrograms() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the programs beside kinetel: %w", err)
	}
	for _, p := range []struct {
		flag, name string
		path       *string
	}{
		{"--extension", "kinesis-telemetry-extension", &d.extension},
		{"--function", "sample-function", &d.function},
	} {
		if *p.path == "" {
			*p.path = filepath.Join(filepath.Dir(self), p.name)
		}
		if info, err := os.Stat(*p.path); err != nil || info.IsDir() {
			return usage(fmt.Errorf("%s %s: there is no such program; `make demo` builds it, or set %s", p.flag, *p.path, p.flag))
		}
	}
	return nil
}

// invoke runs the steps and prints a line for each.
func (d *demo) invoke(ctx context.Context, sandbox *lambdasim.Sandbox) error {
	fmt.Fprintln(d.out, bold(fmt.Sprintf("%3s  %-8s  %-28s  %9s  %5s  %9s  %6s  %7s  %6s", "", "request", "", "duration", "lines", "held", "events", "records", "bytes")))
	drawing := newProgress(d.out)
	var before kinesissim.Stats
	for i, s := range steps() {
		if i > 0 {
			select {
			case <-time.After(demoGap):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		end := d.drawRunning(drawing, i+1, s)
		result, err := sandbox.Invoke(ctx, []byte(s.payload))
		end()
		if err != nil {
			return fmt.Errorf("invocation %d: %w", i+1, err)
		}
		events := len(d.arrived)
		if err := d.decode(); err != nil {
			return err
		}
		after := d.kinesis.Stats()
		what := s.what
		switch {
		case result.SuppressedInit:
			what = "new process after the reset"
		case result.ColdStart:
			what = fmt.Sprintf("cold start, init %v", result.InitDuration.Round(time.Millisecond))
		}
		fmt.Fprintf(d.out, "%3d  %-8.8s  %-28s  %9s  %5d  %9s  %6d  %7d  %6d%s\n", i+1, result.RequestID, what,
			result.Duration.Round(10*time.Microsecond), result.FunctionLines, result.Held.Round(10*time.Microsecond),
			len(d.arrived)-events, after.Records-before.Records, after.Bytes-before.Bytes, drawing.bars(result))
		before = after
	}
	fmt.Fprintln(d.out)
	for _, line := range legend {
		fmt.Fprintln(d.out, faint(line))
	}
	return nil
}

// legend explains the columns of the table.
var legend = [...]string{
	"duration  how long the function ran",
	"lines     how many lines it wrote",
	"held      how long Kinetel kept the environment after that, to send the events",
	"events    what reached Kinesis since the row above, in how many records and bytes.",
	"          A function that is called often is not held: its events arrive later.",
}

// decode decodes the records that are new in the stream.
func (d *demo) decode() error {
	for _, r := range d.kinesis.Records(demoStream)[d.records:] {
		events, err := record.Decode(r.Data)
		if err != nil {
			return fmt.Errorf("record %s: %w", r.SequenceNumber, err)
		}
		if d.onRecord != nil {
			d.onRecord(r)
		}
		d.records++
		d.arrived = append(d.arrived, events...)
	}
	return nil
}

// showEvents prints three events that were sent, or with raw one of each type.
func (d *demo) showEvents() error {
	title, indent := "Three of the %d events in the stream (--raw: one of each type, as JSON lines)", "  "
	if d.raw {
		title, indent = "One event of each type, of the %d in the stream", ""
	}
	fmt.Fprintf(d.out, "\n"+bold(title)+"\n", len(d.arrived))
	enc := json.NewEncoder(d.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	shown := map[string]bool{}
	for _, e := range d.arrived {
		if shown[e.Type] || !d.raw && !slices.Contains([]string{"function", "platform.report", "kinetel.invocation"}, e.Type) {
			continue
		}
		shown[e.Type] = true
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

// showSelection prints which invocations sampling kept, and what else was left out.
func (d *demo) showSelection() {
	by, n, out := map[string][]string{}, 0, int64(0)
	for _, e := range d.arrived {
		i, err := e.Invocation()
		if err != nil || e.Type != record.TypeInvocation {
			continue
		}
		n++
		by[i.Sampled] = append(by[i.Sampled], strconv.Itoa(n))
		out += i.LeftOut.SampledOut
	}
	if delete(by, ""); len(by) == 0 {
		return
	}
	fmt.Fprintf(d.out, "\n%s\n", bold("Sampling: whose lines are kept, by the number of the invocation"))
	for _, why := range slices.Sorted(maps.Keys(by)) {
		line := fmt.Sprintf("%-8s  %s", why, strings.Join(by[why], " "))
		if why == record.SampledNot {
			line += fmt.Sprintf(" (%d lines left out)", out)
		}
		fmt.Fprintln(d.out, line)
	}
}

// conclude prints some of the events, the extension's log and the verdict.
func (d *demo) conclude(report lambdasim.ShutdownReport) error {
	if err := d.decode(); err != nil {
		return err
	}
	if err := d.showEvents(); err != nil {
		return err
	}
	d.showSelection()
	if log := d.recorder.Log(); log != "" {
		fmt.Fprintf(d.out, "\n%s\n%s", bold("The extension's own log"), log)
	}

	verdict := audit.Check(d.recorder.Emitted(), d.arrived)
	stats := d.kinesis.Stats()
	fmt.Fprintf(d.out, "\n%s\n", bold("Verdict"))
	fmt.Fprintf(d.out, "the environment was frozen %d times; shutdown took %v; %d PutRecords requests, %d records, %d B\n",
		d.frozen.Load(), report.Took.Round(time.Millisecond), stats.Requests["PutRecords"], stats.Records, stats.Bytes)
	for _, p := range report.Processes {
		if p.Kind == lambdasim.KindExtension && (p.ExitCode != 0 || p.Killed) {
			return fmt.Errorf("the extension did not end normally: status %d, killed %v", p.ExitCode, p.Killed)
		}
	}
	line := fmt.Sprintf("events: %d emitted, %d delivered, %d lost, %d duplicated", verdict.Emitted, verdict.Delivered, verdict.Lost, verdict.Duplicated)
	if verdict.LeftOut > 0 {
		line = fmt.Sprintf("events: %d emitted, %d delivered, %d left out by the settings, %d lost, %d duplicated", verdict.Emitted, verdict.Delivered, verdict.LeftOut, verdict.Lost, verdict.Duplicated)
	}
	if !verdict.OK() || verdict.Emitted == 0 {
		fmt.Fprintf(d.out, "%s\n%s\n", colored("1", line), strings.Join(verdict.Examples[:min(3, len(verdict.Examples))], "\n"))
		return found(errors.New("what arrived is not what was emitted: " + verdict.String()))
	}
	fmt.Fprintln(d.out, colored("2", line))
	return d.audit()
}

// audit prints the verdict of kinetel audit, which knows nothing but the stream.
func (d *demo) audit() error {
	auditor := audit.New(audit.Options{Whole: true})
	for _, e := range d.arrived {
		if err := auditor.Add(e); err != nil {
			return err
		}
	}
	report := auditor.Report()
	fmt.Fprintln(d.out, "audit: "+coloredVerdict(report))
	if !report.Complete {
		return found(errors.New("the audit of the stream: " + report.Verdict()))
	}
	return nil
}
