package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/functioncode"
	"github.com/kinetel/kinetel/internal/localrun"
	"github.com/kinetel/kinetel/internal/localrun/cpulimit"
	"github.com/kinetel/kinetel/internal/localrun/fault"
	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/internal/tail"
)

type runCommand struct {
	runtime, handler, client string
	extensions, layers       []string
	noKinetel, hosts         bool
	kinesis                  string
	event                    string
	count, concurrency, port int
	rate                     float64
	name, region             string
	memory                   int
	timeout                  time.Duration
	logFormat, logLevel      string
	freeze, noFreeze         bool
	managed, provisioned     int
	snapStart                bool
	tenant                   string
	env, envFiles, faults    []string
	cpu                      string
	output, junit, maxMemory string
	limits                   report.Limits

	// What they mean:
	parsedFaults []fault.Fault
	variables    map[string]string
	invocations  *localrun.Invocations
	limiter      *cpulimit.Limiter
}

func (c *runCommand) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.runtime, "runtime", "", "of a folder or an archive with a handler: nodejs or python")
	f.StringVar(&c.handler, "handler", "", "the handler, such as app.handler")
	f.StringVar(&c.client, "ric", "", "the runtime's client: a `path` to aws-lambda-ric, awslambdaric, or a Python that has it (default: in the folder, or global)")
	f.StringArrayVar(&c.extensions, "extension", nil, "an extension's `file`; may be repeated")
	f.StringArrayVar(&c.layers, "layer", nil, "the zip archive of a layer, a `file`: its extensions are started, and it is in /opt; may be repeated")
	f.BoolVar(&c.hosts, "hosts", false, "let extensions listen on the host names sandbox and sandbox.localdomain, as on Lambda; their init takes some ms longer")
	f.BoolVar(&c.noKinetel, "no-kinetel", false, "run without Kinetel's extension")
	f.StringVar(&c.kinesis, "kinesis", "embedded", "where the stream is: embedded, or a `URL`")
	f.StringVar(&c.event, "event", "", "invoke the function with this event: JSON, a `file`, or - for standard input")
	f.IntVar(&c.count, "count", 1, "how many invocations --event makes")
	f.Float64Var(&c.rate, "rate", 0, "how many invocations --event begins a second (default: no limit)")
	f.IntVar(&c.concurrency, "concurrency", 0, "how many invocations may run at once, each in an environment (default: 1 with --event, otherwise 10)")
	f.IntVar(&c.port, "port", runPort, "port of the endpoint on 127.0.0.1; 0 is a free one")
	f.StringVar(&c.name, "name", "function", "the function's name")
	f.StringVar(&c.region, "region", "eu-west-1", "the function's region")
	f.IntVar(&c.memory, "memory", 128, "the function's memory in MB; it is reported, and not enforced (default with --managed-instances: 2048)")
	f.DurationVar(&c.timeout, "timeout", 3*time.Second, "the function's time-out")
	f.StringVar(&c.logFormat, "log-format", "text", "the function's log format, text or json")
	f.StringVar(&c.logLevel, "log-level", "", "AWS_LAMBDA_LOG_LEVEL of the function, for the format json: "+strings.Join(logLevels, ", "))
	f.BoolVar(&c.freeze, "freeze", true, "freeze environments between invocations")
	f.BoolVar(&c.noFreeze, "no-freeze", false, "the same as --freeze=false")
	f.IntVar(&c.managed, "managed-instances", 0, "run as Lambda Managed Instances, with so many invocations at once in an environment")
	f.BoolVar(&c.snapStart, "snapstart", false, "run with SnapStart: each environment is restored from a snapshot")
	f.IntVar(&c.provisioned, "provisioned", 0, "how many environments have provisioned concurrency; others start on demand")
	f.StringVar(&c.tenant, "tenant", "", "run with tenant isolation; --event is for the tenant with this `id`")
	f.StringArrayVar(&c.env, "env", nil, "a variable of the function and the extensions: `NAME=VALUE`, or NAME for the one of your shell; may be repeated")
	f.StringArrayVar(&c.envFiles, "env-file", nil, "a `file` with a variable a line; may be repeated")
	f.StringArrayVar(&c.faults, "fault", nil, "what goes wrong, such as `kinesis:throttle=0.3`: "+fault.Syntax+"; may be repeated")
	f.StringVar(&c.cpu, "cpu", "", "the `share` of a processor for each environment, such as 0.25, or lambda for what Lambda gives by memory (cgroup v2)")
	f.StringVarP(&c.output, "output", "o", tail.Text, "text or json")
	f.StringVar(&c.junit, "junit", "", "write the outcome of the limits to a `file`, as JUnit does")
	f.BoolVar(&c.limits.ExpectSuccess, "expect-success", false, "limit: every invocation succeeds, and every extension ends in order (default: with --event)")
	f.BoolVar(&c.limits.ExpectDelivered, "expect-delivered", false, "limit: extensions accept all telemetry that they subscribed to, and Kinetel's is in the stream")
	f.DurationVar(&c.limits.MaxOverhead, "max-overhead", 0, "limit: how long an extension may prolong any invocation, such as 50ms")
	f.DurationVar(&c.limits.MaxInit, "max-init", 0, "limit: how long an extension may take from its start to its first next, such as 200ms")
	f.StringVar(&c.maxMemory, "max-memory", "", "limit: resident memory of an extension and its children, such as `64MiB`")
	for name, values := range map[string][]string{
		"runtime": functioncode.Runtimes, "output": runOutputs, "log-format": {"text", "json"}, "log-level": logLevels, "kinesis": {"embedded"}, "cpu": {"lambda"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	}
}

var (
	runOutputs = []string{tail.Text, tail.JSON}
	logLevels  = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
)

// check refuses values that cannot be, and completes the others.
func (c *runCommand) check(cmd *cobra.Command) error {
	changed := cmd.Flags().Changed
	for _, check := range []func(changed func(flag string) bool) error{c.checkNumbers, c.checkValues, c.checkTogether} {
		if err := check(changed); err != nil {
			return err
		}
	}
	if !changed("concurrency") {
		c.concurrency = 10
		if c.event != "" {
			c.concurrency = 1
		}
		c.concurrency = max(c.concurrency, c.managed, c.provisioned)
	}
	if !changed("expect-success") {
		c.limits.ExpectSuccess = c.event != ""
	}
	return c.parse(cmd.InOrStdin())
}

func (c *runCommand) checkNumbers(changed func(string) bool) error {
	for _, n := range []struct {
		flag              string
		value, least, max int
	}{
		{"count", c.count, 1, math.MaxInt},
		{"concurrency", c.concurrency, 1, maxConcurrency},
		{"memory", c.memory, 128, 32768},
		{"managed-instances", c.managed, 1, maxConcurrency},
		{"provisioned", c.provisioned, 1, maxConcurrency},
		{"port", c.port, 0, 65535},
	} {
		switch {
		case n.value >= n.least && n.value <= n.max || !changed(n.flag):
		case n.max == math.MaxInt:
			return fmt.Errorf("--%s is %d: it must be %d or more", n.flag, n.value, n.least)
		default:
			return fmt.Errorf("--%s is %d: it must be from %d to %d", n.flag, n.value, n.least, n.max)
		}
	}
	for flag, d := range map[string]time.Duration{"max-overhead": c.limits.MaxOverhead, "max-init": c.limits.MaxInit} {
		if changed(flag) && d <= 0 {
			return fmt.Errorf("--%s is %v: it must be longer than 0, such as 50ms", flag, d)
		}
	}
	return nil
}

func (c *runCommand) checkValues(changed func(string) bool) error {
	switch {
	case !slices.Contains(runOutputs, c.output):
		return fmt.Errorf("--output is %q: it must be text or json", c.output)
	case c.logFormat != "text" && c.logFormat != "json":
		return fmt.Errorf("--log-format is %q: it must be text or json", c.logFormat)
	case c.logLevel != "" && !slices.Contains(logLevels, c.logLevel):
		return fmt.Errorf("--log-level is %q: it must be one of %s", c.logLevel, strings.Join(logLevels, ", "))
	case c.timeout <= 0 || c.timeout > 15*time.Minute:
		return fmt.Errorf("--timeout is %v: it must be up to 15m", c.timeout)
	case !(c.rate >= 0 && c.rate <= 1e6): // NaN is refused, too
		return fmt.Errorf("--rate is %v: it must be a number of invocations a second", c.rate)
	case c.kinesis != "embedded" && !strings.HasPrefix(c.kinesis, "http://") && !strings.HasPrefix(c.kinesis, "https://"):
		return fmt.Errorf("--kinesis is %q: it must be embedded, or a URL such as http://127.0.0.1:4567", c.kinesis)
	case !functionName.MatchString(c.name):
		return fmt.Errorf("--name is %q: it must be up to 64 letters, digits, hyphens and underscores", c.name)
	case changed("tenant") && !tenantID.MatchString(c.tenant):
		return fmt.Errorf("--tenant is %q: it must be up to 256 letters, digits, spaces and ._:/=+-@", c.tenant)
	case changed("event") && c.event == "":
		return errors.New("--event is empty: the empty event is {}")
	}
	return nil
}

// checkTogether refuses flags that exclude each other.
func (c *runCommand) checkTogether(changed func(string) bool) error {
	switch {
	case c.snapStart && (c.managed > 0 || c.provisioned > 0) || c.managed > 0 && c.provisioned > 0:
		return errors.New("--snapstart, --managed-instances and --provisioned are modes of Lambda: give one of them")
	case changed("freeze") && c.freeze && c.noFreeze:
		return errors.New("--freeze and --no-freeze: give one of them")
	case c.event == "" && (changed("count") || changed("rate")):
		return errors.New("--count and --rate are for --event: without one, the endpoint is served")
	case c.event != "" && changed("port"):
		return errors.New("--port is for the endpoint: with --event there is none")
	case c.limits.ExpectDelivered && c.kinesis != "embedded":
		return errors.New("--expect-delivered needs the embedded Kinesis: the stream of --kinesis is not read; kinetel audit checks it")
	case c.limits.MaxOverhead > 0 && c.managed > 0:
		return errors.New("--max-overhead and --managed-instances: extensions prolong no invocation there; leave --max-overhead out")
	case c.handler != "" && c.runtime == "":
		return errors.New("--handler needs --runtime nodejs or python")
	}
	return nil
}

// parse reads the flags whose values are more than they look like.
func (c *runCommand) parse(stdin io.Reader) (err error) {
	if c.limits.MaxMemory, err = parseBytes(c.maxMemory); err != nil {
		return err
	}
	for _, text := range c.faults {
		parsed, err := fault.Parse(text)
		if err != nil {
			return err
		}
		if parsed.Target == fault.Kinesis && c.kinesis != "embedded" {
			return fmt.Errorf("--fault %s needs the embedded Kinesis", text)
		}
		c.parsedFaults = append(c.parsedFaults, parsed)
	}
	if c.variables, err = readVariables(c.env, c.envFiles); err != nil || c.event == "" {
		return err
	}
	payload, err := c.payload(stdin)
	c.invocations = &localrun.Invocations{Payload: payload, Count: c.count, Rate: c.rate}
	return err
}

// maxConcurrency is Lambda's default for an account.
const maxConcurrency = 1000

var (
	functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	tenantID     = regexp.MustCompile(`^[A-Za-z0-9._:/=+@ -]{1,256}$`)
)
