// Command bench measures the extension's process beside another one, usually a bare Go
// extension that only registers, listens, subscribes and polls: the floor. Both run in
// turns, so that a machine whose speed changes is fair to both, and what counts is the
// ratio. A run of another program beside -floor compares two revisions.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	var b bench
	only := b.flags()
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what to measure, and what was measured.
type bench struct {
	results
	paths             [2]string // by program
	function, kinetel string

	starts, runs    int
	volumeMegabytes int
	volumeRuns      int
	burstLines      int
	burstRuns       int
	burstTime       time.Duration
	holds           int
	outageMegabytes int
	outageReal      bool
	readMegabytes   int
}

// flags defines the flags. It returns the value of -only.
func (b *bench) flags() *string {
	flag.StringVar(&b.function, "function", "bin/sample-function", "the function's `file`")
	flag.StringVar(&b.paths[own], "extension", "bin/kinesis-telemetry-extension", "the extension's `file`")
	flag.StringVar(&b.paths[floor], "floor", "bin/bare-extension", "the `file` of the extension beside it")
	flag.StringVar(&b.kinetel, "kinetel", "bin/kinetel", "the command's `file`")
	flag.IntVar(&b.starts, "starts", 101, "how many cold starts of each; 0 leaves them out")
	flag.IntVar(&b.runs, "runs", 5, "how many runs of 20 invocations of each")
	flag.IntVar(&b.volumeMegabytes, "volume", 200, "how many `megabytes` of telemetry an extension gets for its processor time a GB; 0 leaves that out")
	flag.IntVar(&b.volumeRuns, "volume-runs", 3, "how many runs of each extension with each compression")
	flag.IntVar(&b.burstLines, "burst", 600_000, "how many lines a burst has; 0 leaves it out")
	flag.IntVar(&b.burstRuns, "burst-runs", 3, "how many bursts for each extension")
	flag.DurationVar(&b.burstTime, "burst-time", 4*time.Second, "in which time they come")
	flag.IntVar(&b.outageMegabytes, "outage", 600, "how many `megabytes` of logs come while Kinesis is down; 0 leaves that out")
	flag.BoolVar(&b.outageReal, "outage-real", false, "let them come at one a second")
	flag.IntVar(&b.holds, "holds", 1000, "how many invocations of a busy function are looked at for how long they are held; 0 leaves the holds out")
	flag.IntVar(&b.readMegabytes, "read", 200, "how many `megabytes` of events kinetel tail and kinetel audit read; 0 leaves that out")
	return flag.String("only", "", "measure only these `parts`, separated by commas: "+strings.Join(partNames(), ", "))
}

// run measures the parts, and prints the table of each.
func (b *bench) run(ctx context.Context, only string) error {
	wanted := partNames()
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("-only %q: there is no such part, use some of %s", name, strings.Join(partNames(), ", "))
		}
	}
	dir, err := os.MkdirTemp("", "kinetel-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i, path := range []*string{&b.function, &b.paths[floor], &b.paths[own]} {
		if *path, err = copyFile(*path, filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	if err := b.describe(); err != nil {
		return err
	}
	fmt.Println(b.heading())
	for _, p := range parts() {
		if !slices.Contains(wanted, p.name) || p.off(b) {
			continue
		}
		if err := p.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := p.write(os.Stdout, b); err != nil {
			return err
		}
	}
	return nil
}

// inTurns measures both programs so many times, in turns, so that none always comes first.
func inTurns(runs int, measure func(program int) error) error {
	for i := range runs {
		for turn := range 2 {
			if err := measure((i + turn) % 2); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyFile copies a program into a folder of its own, under its own name. Lambda
// runs what it has unpacked; a file as the linker left it in the page cache takes
// a tenth longer to start.
func copyFile(path, folder string) (string, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	copied := filepath.Join(folder, filepath.Base(path))
	return copied, os.WriteFile(copied, program, 0o700)
}
