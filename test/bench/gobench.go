package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// measureGo runs the Go benchmarks of the hot path, those of the base in turns. It keeps
// what they print, in the format of benchstat.
func (b *bench) measureGo(ctx context.Context) error {
	folders := [2]string{own: "."}
	if b.base != "" {
		folders[floor] = b.base
	}
	err := inTurns(b.goCount, 2, func(program int) error {
		if folders[program] == "" {
			return nil
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "200ms",
			"./internal/telemetry", "./internal/annotate", "./internal/pack", "./internal/kinesis", "./internal/pipeline")
		cmd.Dir = folders[program]
		var printed, failed bytes.Buffer
		cmd.Stdout, cmd.Stderr = &printed, &failed
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go test in %s: %w\n%s%s", cmd.Dir, err, &printed, &failed)
		}
		b.goPrinted[program] = append(b.goPrinted[program], printed.Bytes()...)
		return b.addTelemetry(program, printed.String())
	})
	if err != nil || b.base == "" {
		return err
	}
	return b.benchstat(ctx)
}

// addTelemetry adds the figures of BenchmarkTelemetry. An old revision may not have them.
func (b *bench) addTelemetry(program int, printed string) error {
	metrics, err := benchmark(printed, "BenchmarkTelemetry/text")
	if err != nil {
		return err
	}
	if events := metrics["events/op"]; events > 0 {
		b.add(program, "go.allocations", "an event", metrics["allocs/op"]/events)
		b.add(program, "go.telemetry", "MB/s", metrics["MB/s"])
	}
	return nil
}

// benchmark returns the values of a benchmark by their units, none if it is not there.
func benchmark(printed, name string) (map[string]float64, error) {
	for line := range strings.Lines(printed) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if cores, found := strings.CutPrefix(fields[0], name); !found || strings.Trim(cores, "-0123456789") != "" {
			continue
		}
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 { // after the name and the count
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			metrics[fields[i+1]] = v
		}
		return metrics, nil
	}
	return nil, nil
}

// benchstat prints how the benchmarks differ.
func (b *bench) benchstat(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kinetel-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{"tool", "-modfile=tools/go.mod", "benchstat"}
	for program, printed := range b.goPrinted {
		file := filepath.Join(dir, strconv.Itoa(program))
		if err := os.WriteFile(file, printed, 0o600); err != nil {
			return err
		}
		args = append(args, b.Programs[program]+"="+file)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	fmt.Println()
	return cmd.Run()
}
