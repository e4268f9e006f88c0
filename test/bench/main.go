// Command bench measures the extension's process beside a bare Go extension
// that only registers, listens, subscribes and polls: the floor. Both run in
// the local Lambda in turns, so that a machine whose speed drifts is fair to
// both, and what counts is the ratio.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
)

func main() {
	var b bench
	flag.StringVar(&b.function, "function", "bin/sample-function", "the function's `file`")
	flag.StringVar(&b.extension, "extension", "bin/kinesis-telemetry-extension", "the extension's `file`")
	flag.StringVar(&b.floor, "floor", "bin/bare-extension", "the floor's `file`")
	flag.IntVar(&b.starts, "starts", 101, "how many cold starts of each; 0 leaves them out")
	flag.IntVar(&b.runs, "runs", 5, "how many runs of 20 invocations of each")
	flag.IntVar(&b.outageMegabytes, "outage", 600, "how many `megabytes` of logs come while Kinesis is down; 0 leaves that out")
	flag.BoolVar(&b.outageReal, "outage-real", false, "let them come at one a second")
	flag.IntVar(&b.holds, "holds", 1000, "how many invocations of a busy function are looked at for how long they are held; 0 leaves the holds out")
	flag.StringVar(&b.kinetel, "kinetel", "bin/kinetel", "the command's `file`")
	flag.IntVar(&b.readMegabytes, "read", 200, "how many `megabytes` of events kinetel tail and kinetel audit read; 0 leaves that out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if b.readMegabytes > 0 {
		err = b.measureReaders(ctx) // first: see maxRSS
	}
	if err == nil {
		err = b.run(ctx)
	}
	if err == nil && b.holds > 0 {
		err = b.measureHolds(ctx)
	}
	if err == nil && b.outageMegabytes > 0 {
		err = b.outage(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	function, extension, floor string
	starts, runs               int

	holds           int
	outageMegabytes int
	outageReal      bool
	kinetel         string
	readMegabytes   int
}

// figures are what one run of one extension gave.
type figures struct {
	register, next time.Duration
	rss            int64 // KiB
	cpu            time.Duration
}

func (b bench) run(ctx context.Context) error {
	if b.starts == 0 || b.runs == 0 {
		return nil
	}
	fmt.Printf("%s, %d cores, %s/%s; medians of %d cold starts and %d runs of 20 invocations of 10 lines, pair by pair\n\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, b.starts, b.runs)

	dir, err := os.MkdirTemp("", "kinetel-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i, path := range []*string{&b.function, &b.floor, &b.extension} {
		if *path, err = copyFile(*path, filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return err
		}
	}

	var floor, own, idle [2][]figures // cold starts, runs
	for round, n := range []int{b.starts, b.runs} {
		invocations := 20 * round
		for i := range n {
			turns := []struct {
				path    string
				enabled bool
				into    *[]figures
			}{{b.floor, true, &floor[round]}, {b.extension, true, &own[round]}, {b.extension, false, &idle[round]}}
			if i%2 == 1 {
				slices.Reverse(turns) // none always comes first
			}
			for _, one := range turns {
				f, err := b.once(ctx, one.path, one.enabled, invocations)
				if err != nil {
					return err
				}
				*one.into = append(*one.into, f)
			}
		}
	}

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "figure\tfloor\tkinetel\tratio\tbudget\t")
	row := func(name, unit, budget string, of [2][]figures, value func(figures) float64, other [2][]figures, round int) {
		a, k := median(of[round], value), median(other[round], value)
		ratio := "-" // the floor holds nothing
		if a > 0 {
			ratio = fmt.Sprintf("%.2f", medianRatio(of[round], other[round], value))
		}
		fmt.Fprintf(w, "%s\t%.2f %s\t%.2f %s\t%s\t%s\t\n", name, a, unit, k, unit, ratio, budget)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	row("exec to register", "ms", "1.25 x", floor, func(f figures) float64 { return ms(f.register) }, own, 0)
	row("exec to first next", "ms", "1.5 x", floor, func(f figures) float64 { return ms(f.next) }, own, 0)
	row("resident memory, peak", "MB", "10 MB", floor, func(f figures) float64 { return float64(f.rss) * 1024 / 1e6 }, own, 1)
	row("CPU, whole run", "ms", "", floor, func(f figures) float64 { return ms(f.cpu) }, own, 1)
	row("KINETEL_ENABLED=false: exec to first next", "ms", "1 x", floor, func(f figures) float64 { return ms(f.next) }, idle, 0)
	row("KINETEL_ENABLED=false: resident memory, peak", "MB", "1 x", floor, func(f figures) float64 { return float64(f.rss) * 1024 / 1e6 }, idle, 1)
	row("KINETEL_ENABLED=false: CPU, whole run", "ms", "1 x", floor, func(f figures) float64 { return ms(f.cpu) }, idle, 1)
	sizes := [2]float64{}
	for i, path := range []string{b.floor, b.extension} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		sizes[i] = float64(info.Size()) / 1e6
	}
	fmt.Fprintf(w, "binary\t%.2f MB\t%.2f MB\t%.2f\t7.5 MB\t\n", sizes[0], sizes[1], sizes[1]/sizes[0])
	return w.Flush()
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

// once runs an extension through a cold start and a number of invocations.
func (b bench) once(ctx context.Context, extension string, enabled bool, invocations int) (f figures, err error) {
	const stream = "bench"
	kinesis, err := kinesissim.Start(ctx, kinesissim.Config{Streams: []kinesissim.Stream{{Name: stream, Shards: 1}}})
	if err != nil {
		return f, err
	}
	defer kinesis.Close()
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: b.function},
		Extensions: []lambdasim.Process{{Path: extension}},
		Env: map[string]string{
			"KINETEL_ENABLED":          strconv.FormatBool(enabled),
			"KINETEL_STREAM_NAME":      stream,
			"AWS_ENDPOINT_URL_KINESIS": kinesis.URL(),
			"KINETEL_SPOOL_DIR":        filepath.Join(filepath.Dir(extension), "spool"),
		},
	})
	if err != nil {
		return f, err
	}
	defer func() {
		if _, e := sandbox.Shutdown(context.WithoutCancel(ctx)); err == nil {
			err = e
		}
	}()
	for range invocations {
		if _, err := sandbox.Invoke(ctx, []byte(`{"id":"bench","lines":10,"format":"mixed"}`)); err != nil {
			return f, err
		}
	}
	if _, err := sandbox.Shutdown(ctx); err != nil {
		return f, err
	}
	for _, p := range sandbox.Processes() {
		if p.Name != filepath.Base(extension) {
			continue
		}
		if p.ExitCode != 0 {
			return f, fmt.Errorf("%s ended with status %d", p.Name, p.ExitCode)
		}
		f.register, f.next, f.rss, f.cpu = p.Registered, p.FirstNext, p.MaxRSSKiB, p.CPU
	}
	return f, nil
}

// medianRatio returns the middle of the ratios pair by pair, which a machine whose
// speed changes from one second to the next disturbs least.
func medianRatio(floor, own []figures, value func(figures) float64) float64 {
	ratios := make([]float64, len(floor))
	for i := range floor {
		ratios[i] = value(own[i]) / value(floor[i])
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// median returns the middle of what value gives for each run.
func median(runs []figures, value func(figures) float64) float64 {
	values := make([]float64, len(runs))
	for i, f := range runs {
		values[i] = value(f)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
