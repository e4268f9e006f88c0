package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/functioncode"
	"github.com/kinetel/kinetel/internal/localrun"
	"github.com/kinetel/kinetel/internal/localrun/cpulimit"
	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/spf13/cobra"
)

// prepare returns what to run.
func (c *runCommand) prepare(ctx context.Context, cmd *cobra.Command, args []string, dir string) (cfg localrun.Config, err error) {
	function, err := functioncode.Find(ctx, c.source(args, dir))
	if err != nil {
		return cfg, usage(err)
	}
	layers, note, err := functioncode.OpenLayers(ctx, c.layers, dir, c.hosts)
	if err != nil {
		return cfg, usage(err)
	}
	paths, err := c.extensionPaths(layers.Extensions)
	if err != nil {
		return cfg, usage(err)
	}
	if note != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "kinetel: "+report.Printable(note))
	}
	if function, err = layers.Mount(function); err != nil {
		return cfg, err
	}
	cfg = localrun.Config{
		Lambda: c.lambda(function), Concurrency: c.concurrency, Provisioned: c.provisioned, Tenant: c.tenant,
		Invocations: c.invocations, Port: c.port, Faults: c.parsedFaults, Started: time.Now(), Dir: dir,
		Tail: tail.Options{Output: c.output, Location: time.Local, Color: hasColor(), Terminal: isTerminal(os.Stdout), Filter: tail.Filter{Routine: c.output == tail.Text}},
		Out:  cmd.OutOrStdout(), Notes: cmd.ErrOrStderr(),
	}
	for _, path := range paths {
		p := lambdasim.Process{Path: path}
		if filepath.Base(path) != localrun.Kinetel { // it needs neither files of layers nor names
			if p, err = layers.Mount(p); err != nil {
				return cfg, err
			}
		}
		cfg.Lambda.Extensions = append(cfg.Lambda.Extensions, p)
	}
	cfg.Lambda.Extensions = append(cfg.Lambda.Extensions, layers.Extensions...)
	if err := errors.Join(checkNames(cfg.Lambda.Extensions), cfg.CheckFaults()); err != nil {
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
		cfg.Function.Env = maps.Clone(function.Env)
		if cfg.Function.Env == nil {
			cfg.Function.Env = map[string]string{}
		}
		cfg.Function.Env["AWS_LAMBDA_LOG_LEVEL"] = c.logLevel
	}
	switch {
	case c.managed > 0:
		cfg.MemoryMB = max(c.memory, leastManagedMemory)
		cfg.InitializationType, cfg.LogFormat = lambdasim.InitManagedInstances, lambdasim.LogJSON
	case c.snapStart:
		cfg.InitializationType = lambdasim.InitSnapStart
	case c.provisioned > 0:
		cfg.InitializationType = lambdasim.InitProvisionedConcurrency
	}
	return cfg
}

// leastManagedMemory is in MB.
const leastManagedMemory = 2048

// memoryOfOneCPU is the memory in MB with which a function has one processor (AWS
// documentation, "Configure Lambda function memory").
const memoryOfOneCPU = 1769

// limitCPU carries out --cpu.
func (c *runCommand) limitCPU(cmd *cobra.Command, cfg *localrun.Config) error {
	if c.cpu == "" {
		return nil
	}
	share := float64(cfg.Lambda.MemoryMB) / memoryOfOneCPU
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
	return localrun.OpenStream(ctx, cfg.Lambda, url, c.parsedFaults, func() time.Duration { return time.Since(cfg.Started) })
}

// audited reports whether what is in the stream proves what is missing.
func (c *runCommand) audited(cfg lambdasim.Config) bool {
	return slices.ContainsFunc(cfg.Extensions, isKinetel) &&
		cfg.Env["KINETEL_FORMAT"] != "cloudwatch" && cfg.Env["KINETEL_ENABLED"] != "false"
}

// comparable returns how many events Kinetel accepted, or 0 if no kinetel.report says how
// many of them it left out.
func (c *runCommand) comparable(cfg lambdasim.Config, s report.Summary) int {
	if reports, set := cfg.Env["KINETEL_REPORT"]; set && !strings.Contains(reports, "events") {
		return 0
	}
	for _, e := range s.Extensions {
		if e.Name == localrun.Kinetel {
			return e.AcceptedEvents
		}
	}
	return 0
}

// serving returns what a person needs to invoke the function.
func (c *runCommand) serving(url string, stream localrun.Stream) string {
	var option, header string
	if c.tenant != "" {
		option, header = " --tenant-id '"+c.tenant+"'", " -H 'X-Amz-Tenant-Id: "+c.tenant+"'"
	}
	text := fmt.Sprintf(`# The function is at %[1]s until you press Ctrl-C. In another shell:
export AWS_REGION=%[3]s AWS_DEFAULT_REGION=%[3]s AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
echo '{}' | aws lambda invoke --endpoint-url %[1]s --function-name %[2]s%[4]s --payload fileb:///dev/stdin /dev/stdout
curl %[1]s/2015-03-31/functions/%[2]s/invocations%[5]s -d '{}'
`, url, c.name, c.region, option, header)
	if !c.noKinetel {
		text += fmt.Sprintf("kinetel tail %s --endpoint-url %s --from horizon\n", stream.Name, stream.URL)
	}
	return text
}

// extensionPaths returns the files of --extension, and Kinetel's, unless it is among them
// or in a layer.
func (c *runCommand) extensionPaths(layered []lambdasim.Process) ([]string, error) {
	paths := slices.Clone(c.extensions)
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return nil, fmt.Errorf("--extension %s: there is no such file", path)
		}
	}
	given := c.noKinetel || slices.ContainsFunc(paths, func(path string) bool { return filepath.Base(path) == localrun.Kinetel }) ||
		slices.ContainsFunc(layered, isKinetel)
	if given {
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

// checkNames refuses extensions with the same name: Lambda knows them by their names.
func checkNames(extensions []lambdasim.Process) error {
	names := map[string]bool{}
	for _, e := range extensions {
		name := filepath.Base(e.Path)
		if names[name] {
			return fmt.Errorf("a second extension is named %q: rename it, or leave it out", name)
		}
		names[name] = true
	}
	return nil
}

// source returns the function that the arguments name.
func (c *runCommand) source(args []string, dir string) functioncode.Source {
	return functioncode.Source{Command: args, Runtime: c.runtime, Handler: c.handler, Client: c.client, Unpack: filepath.Join(dir, "task")}
}

func isKinetel(p lambdasim.Process) bool { return filepath.Base(p.Path) == localrun.Kinetel }
