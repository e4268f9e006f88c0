package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/functioncode"
	"github.com/kinetel/kinetel/internal/localrun"
	"github.com/kinetel/kinetel/internal/localrun/cpulimit"
	"github.com/kinetel/kinetel/internal/localrun/fault"
	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/lambdasim"
)

type runCommand struct {
	runtime, handler, client string
	extensions, layers       []string
	noKinetel                bool
	kinesis                  string
	event                    string
	count, concurrency, port int
	rate                     float64
	name, region             string
	memory                   int
	timeout                  time.Duration
	logFormat, logLevel      string
	freeze                   bool
	noFreeze                 bool
	managed, provisioned     int
	snapStart                bool
	tenant                   string
	env, envFiles, faults    []string
	cpu                      string
	output, junit, maxMemory string
	expectSuccess            bool
	limits                   report.Limits
	parsedFaults             []fault.Fault
	variables                map[string]string
	invocations              *localrun.Invocations
	limiter                  *cpulimit.Limiter
}

func (c *runCommand) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.runtime, "runtime", "", "of a folder or an archive with a handler: nodejs or python")
	f.StringVar(&c.handler, "handler", "", "the handler, such as app.handler")
	f.StringVar(&c.client, "ric", "", "the runtime's client: a `path` to aws-lambda-ric, awslambdaric, or a Python that has it (default: in the folder, or global)")
	f.StringArrayVar(&c.extensions, "extension", nil, "an extension's `file`; may be repeated")
	f.StringArrayVar(&c.layers, "layer", nil, "a layer's zip archive; its extensions are started, and its `file`s are in /opt; may be repeated")
	f.BoolVar(&c.noKinetel, "no-kinetel", false, "run without Kinetel's extension")
	f.StringVar(&c.kinesis, "kinesis", "embedded", "where the stream is: embedded, or a `URL`")
	f.StringVar(&c.event, "event", "", "invoke the function with this event: JSON, a `file`, or - for standard input")
	f.IntVar(&c.count, "count", 1, "how many invocations --event makes")
	f.Float64Var(&c.rate, "rate", 0, "how many invocations --event begins a second (default: no limit)")
	f.IntVar(&c.concurrency, "concurrency", 0, "how many invocations may run at once, each in an environment (default: 1 with --event, otherwise 10)")
	f.IntVar(&c.port, "port", runPort, "port of the endpoint on 127.0.0.1; 0 is a free one")
	f.StringVar(&c.name, "name", "function", "the function's name")
	f.StringVar(&c.region, "region", "eu-west-1", "the function's region")
	f.IntVar(&c.memory, "memory", 128, "the function's memory in MB; it is reported, and not enforced")
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
	f.StringVar(&c.maxMemory, "max-memory", "", "limit: resident memory of an extension, such as `64MiB`")
	cmd.MarkFlagsMutuallyExclusive("managed-instances", "snapstart", "provisioned")
	cmd.MarkFlagsMutuallyExclusive("freeze", "no-freeze")
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
func (c *runCommand) check(cmd *cobra.Command) (err error) {
	changed := cmd.Flags().Changed
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
	for flag, wrong := range map[string]bool{
		"--count": c.count < 1, "--concurrency": c.concurrency < 1, "--memory": c.memory < 128 || c.memory > 32768,
		"--managed-instances": changed("managed-instances") && c.managed < 1, "--provisioned": changed("provisioned") && c.provisioned < 1,
	} {
		if wrong {
			return fmt.Errorf("%s has a number that cannot be: it must be 1 or more (--memory: 128 to 32768)", flag)
		}
	}
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
	case c.port < 0 || c.port > 65535:
		return fmt.Errorf("--port is %d: it must be from 0 to 65535", c.port)
	case c.kinesis != "embedded" && !strings.HasPrefix(c.kinesis, "http://") && !strings.HasPrefix(c.kinesis, "https://"):
		return fmt.Errorf("--kinesis is %q: it must be embedded, or a URL such as http://127.0.0.1:4567", c.kinesis)
	case !functionName.MatchString(c.name):
		return fmt.Errorf("--name is %q: it must be up to 64 letters, digits, hyphens and underscores", c.name)
	case c.limits.MaxOverhead < 0 || c.limits.MaxInit < 0:
		return errors.New("--max-overhead and --max-init must be durations, such as 50ms")
	case c.event == "" && (changed("count") || changed("rate")):
		return errors.New("--count and --rate are for --event: without one, the endpoint is served")
	case c.event != "" && changed("port"):
		return errors.New("--port is for the endpoint: with --event there is none")
	case c.handler != "" && c.runtime == "":
		return errors.New("--handler needs --runtime nodejs or python")
	}
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
	if c.variables, err = readVariables(c.env, c.envFiles); err != nil {
		return err
	}
	if c.event != "" {
		payload, err := c.payload(cmd.InOrStdin())
		if err != nil {
			return err
		}
		c.invocations = &localrun.Invocations{Payload: payload, Count: c.count, Rate: c.rate}
	}
	return nil
}

var functionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// parseBytes reads a size, such as 64MiB; without a unit it is in bytes. The empty text is
// 0.
func parseBytes(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number := strings.TrimRight(text, "KMGiB")
	unit, known := map[string]float64{"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[text[len(number):]]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n > 0 && n*unit < math.MaxInt64) {
		return 0, fmt.Errorf("--max-memory is %q: it must be a size, such as 64MiB or 50MB", text)
	}
	return int64(n * unit), nil
}

// readVariables reads --env-file and then --env.
func readVariables(env, files []string) (map[string]string, error) {
	variables := map[string]string{}
	set := func(flag, text string) error {
		name, value, given := strings.Cut(text, "=")
		if name == "" || strings.ContainsAny(name, " \t") || strings.Contains(text, "\x00") {
			return fmt.Errorf("%s %q: it must be NAME=VALUE", flag, text)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				return fmt.Errorf("%s %s: your shell has no such variable; write %s=VALUE", flag, name, name)
			}
		}
		variables[name] = value
		return nil
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		lines := bufio.NewScanner(f)
		for err == nil && lines.Scan() {
			if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
				err = set("--env-file "+file+":", strings.TrimPrefix(line, "export "))
			}
		}
		if err = errors.Join(err, lines.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	for _, text := range env {
		if err := set("--env", text); err != nil {
			return nil, err
		}
	}
	return variables, nil
}

// prepare returns what to run.
func (c *runCommand) prepare(cmd *cobra.Command, args []string, dir string) (cfg localrun.Config, err error) {
	ctx := cmd.Context()
	function, err := functioncode.Find(ctx, c.source(args, dir))
	if err != nil {
		return cfg, usage(err)
	}
	paths, err := c.extensionPaths()
	if err != nil {
		return cfg, usage(err)
	}
	layers, note, err := functioncode.OpenLayers(ctx, c.layers, dir)
	if err != nil {
		return cfg, usage(err)
	}
	if note != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "kinetel: "+note)
	}
	if function, err = layers.Mount(function); err != nil {
		return cfg, err
	}
	cfg = localrun.Config{
		Lambda: c.lambda(function), Concurrency: c.concurrency, Provisioned: c.provisioned, Tenant: c.tenant,
		Invocations: c.invocations, Port: c.port, Faults: c.parsedFaults, Started: time.Now(), Dir: dir,
		Tail: tail.Options{Output: c.output, Location: time.Local, Color: hasColor(), Terminal: isTerminal(os.Stdout), Filter: tail.Filter{Routine: c.output == tail.Text}},
		Out:  cmd.OutOrStdout(), Notes: cmd.ErrOrStderr(), Serving: c.serving,
	}
	for _, path := range paths {
		cfg.Lambda.Extensions = append(cfg.Lambda.Extensions, lambdasim.Process{Path: path})
	}
	cfg.Lambda.Extensions = append(cfg.Lambda.Extensions, layers.Extensions...)
	if err := cfg.CheckFaults(); err != nil {
		return cfg, usage(err)
	}
	return cfg, c.limitCPU(cmd, &cfg)
}

// lambda returns the settings of the local Lambda.
func (c *runCommand) lambda(function lambdasim.Process) lambdasim.Config {
	cfg := lambdasim.Config{
		Function: function, FunctionName: c.name, Region: c.region, Handler: c.handler, MemoryMB: c.memory, Timeout: c.timeout,
		LogFormat: lambdasim.LogText, DisableFreeze: c.noFreeze || !c.freeze, Env: c.variables, MaxConcurrency: c.managed,
	}
	if c.logFormat == "json" {
		cfg.LogFormat = lambdasim.LogJSON
	}
	if c.logLevel != "" {
		cfg.Env["AWS_LAMBDA_LOG_LEVEL"] = c.logLevel
	}
	switch {
	case c.managed > 0:
		cfg.InitializationType, cfg.LogFormat = lambdasim.InitManagedInstances, lambdasim.LogJSON
	case c.snapStart:
		cfg.InitializationType = lambdasim.InitSnapStart
	case c.provisioned > 0:
		cfg.InitializationType = lambdasim.InitProvisionedConcurrency
	}
	return cfg
}

// memoryOfOneCPU is the memory in MB with which a function has one processor (AWS
// documentation, "Configure Lambda function memory").
const memoryOfOneCPU = 1769

// limitCPU carries out --cpu.
func (c *runCommand) limitCPU(cmd *cobra.Command, cfg *localrun.Config) error {
	if c.cpu == "" {
		return nil
	}
	share := float64(c.memory) / memoryOfOneCPU
	if c.cpu != "lambda" {
		var err error
		if share, err = strconv.ParseFloat(c.cpu, 64); err != nil || !(share > 0 && share <= 1024) {
			return usage(fmt.Errorf("--cpu is %q: it must be a share of a processor, such as 0.25, or lambda", c.cpu))
		}
	}
	var err error
	if c.limiter, err = cpulimit.New("/sys/fs/cgroup", "/proc/self/cgroup", share); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "kinetel: --cpu %s: CPU is not throttled: %v\n", c.cpu, err)
		return nil
	}
	cfg.CPU = c.limiter
	return nil
}

func (c *runCommand) close() {
	if c.limiter != nil {
		c.limiter.Close()
	}
}

// openStream opens the stream for Kinetel.
func (c *runCommand) openStream(ctx context.Context, cfg *localrun.Config) (localrun.Stream, error) {
	url := c.kinesis
	if url == "embedded" {
		url = ""
	}
	return localrun.OpenStream(ctx, cfg.Lambda.Env, url, c.parsedFaults, func() time.Duration { return time.Since(cfg.Started) })
}

// audited reports whether what is in the stream proves what is missing.
func (c *runCommand) audited(cfg lambdasim.Config) bool {
	return slices.ContainsFunc(cfg.Extensions, func(e lambdasim.Process) bool { return strings.HasSuffix(e.Path, "/"+localrun.Kinetel) }) &&
		cfg.Env["KINETEL_FORMAT"] != "cloudwatch" && cfg.Env["KINETEL_ENABLED"] != "false"
}
