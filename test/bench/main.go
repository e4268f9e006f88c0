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
	b.flags()
	flag.Parse()
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "json" && f.Name != "document" {
			b.Flags += " -" + f.Name + "=" + f.Value.String()
		}
	})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what to measure, and what was measured.
type bench struct {
	results
	paths             [2]string // by program
	function, kinetel string
	base              string    // the folder of another revision in place of the floor, or ""
	goPrinted         [2][]byte // by the Go benchmarks

	readMegabytes               int
	starts, runs                int
	shareStarts, shares         int
	busy, busyRuns              int
	volumeMegabytes, volumeRuns int
	burstLines, burstRuns       int
	burstTime                   time.Duration
	holds                       int
	outageMegabytes             int
	outageReal                  bool
	goCount                     int

	only, revision, keep, document, from string
}

func (b *bench) flags() {
	flag.StringVar(&b.function, "function", "bin/sample-function", "the function's `file`")
	flag.StringVar(&b.paths[own], "extension", "bin/kinesis-telemetry-extension", "the extension's `file`")
	flag.StringVar(&b.paths[floor], "floor", "bin/bare-extension", "the `file` of the extension beside it")
	flag.StringVar(&b.kinetel, "kinetel", "bin/kinetel", "the command's `file`")
	flag.IntVar(&b.starts, "starts", 101, "how many cold starts of each; 0 leaves them out")
	flag.IntVar(&b.runs, "runs", 5, "how many runs of 20 invocations of each")
	flag.IntVar(&b.shareStarts, "share-starts", 31, "how many cold starts of each with a share of a processor; 0 leaves them out")
	flag.IntVar(&b.shares, "shares", 14, "how many processes share the processor then; a function of 128 MB has a fourteenth")
	flag.IntVar(&b.busy, "busy", 1000, "how many invocations of a busy function; 0 leaves them out")
	flag.IntVar(&b.busyRuns, "busy-runs", 5, "how many runs of them with each extension")
	flag.IntVar(&b.volumeMegabytes, "volume", 100, "how many `megabytes` of telemetry an extension gets for its processor time a GB; 0 leaves that out")
	flag.IntVar(&b.volumeRuns, "volume-runs", 3, "how many runs of it with each extension and each compression")
	flag.IntVar(&b.burstLines, "burst", 600_000, "how many lines a burst has; 0 leaves it out")
	flag.IntVar(&b.burstRuns, "burst-runs", 3, "how many bursts for each extension")
	flag.DurationVar(&b.burstTime, "burst-time", 4*time.Second, "in which time they come")
	flag.IntVar(&b.outageMegabytes, "outage", 600, "how many `megabytes` of logs come while Kinesis is down; 0 leaves that out")
	flag.BoolVar(&b.outageReal, "outage-real", false, "let them come at one a second")
	flag.IntVar(&b.holds, "holds", 1000, "how many invocations of a busy function are looked at for how long they are held; 0 leaves the holds out")
	flag.IntVar(&b.readMegabytes, "read", 200, "how many `megabytes` of events kinetel tail and kinetel audit read; 0 leaves that out")
	flag.IntVar(&b.goCount, "go", 6, "how many times the Go benchmarks of the hot path run; 0 leaves them out")
	flag.StringVar(&b.only, "only", "", "measure only these `parts`, separated by commas: "+strings.Join(partNames(), ", "))
	flag.StringVar(&b.revision, "base", "", "build the extension of this `revision`, and compare with it instead of -floor")
	flag.StringVar(&b.keep, "json", "", "keep the raw values in this `folder`, and what the Go benchmarks print")
	flag.StringVar(&b.document, "document", "", "write the tables into this `file`, and the raw values and the picture into its folder evidence")
	flag.StringVar(&b.from, "from", "", "with -document: take the raw values from this `file` of -json instead of measuring")
}

// run measures the parts, prints the table of each, and writes the files.
func (b *bench) run(ctx context.Context) error {
	if b.from != "" {
		if err := b.load(b.from); err != nil {
			return err
		}
		return b.publish()
	}
	dir, err := os.MkdirTemp("", "kinetel-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := b.prepare(ctx, dir); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	if b.keep != "" {
		if err := b.save(filepath.Join(b.keep, b.Date.Format("20060102T150405Z-")+b.Commit)); err != nil {
			return err
		}
	}
	return b.publish()
}

// publish writes the document, if there is to be one, and the raw values beside it.
func (b *bench) publish() error {
	if b.document == "" {
		return nil
	}
	if err := b.writeDocument(b.document); err != nil {
		return err
	}
	return b.save(evidence(b.document))
}

// prepare makes what is measured.
func (b *bench) prepare(ctx context.Context, dir string) (err error) {
	b.describe()
	if b.revision != "" {
		if err := b.buildBase(ctx, b.revision, dir); err != nil {
			return err
		}
	}
	for i, path := range []*string{&b.function, &b.paths[floor], &b.paths[own]} {
		if *path, err = copyFile(*path, filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}

// measure measures the parts, and prints the table of each.
func (b *bench) measure(ctx context.Context) error {
	wanted := partNames()
	if b.only != "" {
		wanted = strings.Split(b.only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("-only %q: there is no such part, use some of %s", name, strings.Join(partNames(), ", "))
		}
	}
	fmt.Println(b.heading())
	for _, p := range parts() {
		if !slices.Contains(wanted, p.name) || p.off(b) {
			continue
		}
		began := time.Now()
		if err := p.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := p.print(os.Stdout, &b.results); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "(%s took %v)\n", p.name, time.Since(began).Round(time.Second))
	}
	return nil
}

// inTurns measures the programs so many times, in turns, so that none always comes first.
func inTurns(runs, programs int, measure func(program int) error) error {
	for i := range runs {
		for turn := range programs {
			if i%2 == 1 {
				turn = programs - 1 - turn
			}
			if err := measure(turn); err != nil {
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
