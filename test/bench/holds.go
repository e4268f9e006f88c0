package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
)

// putTime is what Kinesis takes for an answer where nothing is wrong with it: a
// request within a region.
const putTime = 10 * time.Millisecond

// situation is a function and a Kinesis, and what a hold may cost there.
type situation struct {
	name        string
	invocations int
	gap         time.Duration
	env         map[string]string
	answer      *kinesissim.Answer // nil: after putTime
	down        bool               // no server listens
	// figure is what the budget is for, from the holds in order and the median
	// of what requests took.
	figures []figure
}

// figure is one line of the table.
type figure struct {
	name string
	// value picks the figure out of the holds, in the order of the invocations.
	value  func(held []time.Duration) time.Duration
	budget func(put time.Duration) time.Duration
	atMost bool // the budget itself is within it
}

func quantile(q float64) func([]time.Duration) time.Duration {
	return func(held []time.Duration) time.Duration {
		sorted := slices.Sorted(slices.Values(held))
		return sorted[int(q*float64(len(sorted)-1))]
	}
}

// after is a figure without the first invocations.
func after(n int, value func([]time.Duration) time.Duration) func([]time.Duration) time.Duration {
	return func(held []time.Duration) time.Duration { return value(held[n:]) }
}

func fixed(d time.Duration) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration { return d }
}

// nothing is 0 ms to the precision of a clock that two processes share: what the
// local Lambda sees of an extension that has called next long before.
const nothing = 500 * time.Microsecond

var (
	busyFigures = []figure{
		{"p50", quantile(0.5), fixed(nothing), true},
		{"p99", quantile(0.99), fixed(2 * time.Millisecond), false},
	}
	rareFigures = []figure{
		// Lambda's own buffer, one request, and 3 ms.
		{"p50", quantile(0.5), func(put time.Duration) time.Duration { return 25*time.Millisecond + put + 3*time.Millisecond }, true},
	}
	slowFigures = []figure{{"max", quantile(1), fixed(205 * time.Millisecond), true}}
	downFigures = []figure{{"p50 after the third", after(3, quantile(0.5)), fixed(nothing), true}}
)

func situations(invocations int) []situation {
	return []situation{
		{name: "busy, 10 ms gaps", invocations: invocations, gap: 10 * time.Millisecond, figures: busyFigures},
		{name: "rare, 2 s gaps", invocations: 15, gap: 2 * time.Second, figures: rareFigures},
		{
			name: "Kinesis takes 1.5 s, 200 ms budget", invocations: 12, gap: 300 * time.Millisecond,
			env:    map[string]string{"KINETEL_MAX_HOLD": "200ms", "KINETEL_FLUSH": "end"},
			answer: kinesissim.Delay(1500 * time.Millisecond), figures: slowFigures,
		},
		{name: "Kinesis denies", invocations: 20, gap: 1100 * time.Millisecond, answer: kinesissim.DenyAccess(), figures: downFigures},
		{name: "Kinesis is down", invocations: 20, gap: 1100 * time.Millisecond, down: true, figures: downFigures},
		{name: "Kinesis answers 503", invocations: 20, gap: 1100 * time.Millisecond, answer: kinesissim.Refuse(503, "ServiceUnavailable", "down"), figures: downFigures},
	}
}

// holds measures how long invocations are held after their runtime is done, and
// prints a table beside the budgets.
func (b bench) measureHolds(ctx context.Context) error {
	fmt.Printf("\nHow long invocations are held after the runtime is done; a request takes %v unless the row has another time\n\n", putTime)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "function and Kinesis\tinvocations\tfigure\theld\tbudget\twithin\t")
	for _, s := range situations(b.holds) {
		held, put, err := b.hold(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, f := range s.figures {
			value, budget := f.value(held), f.budget(put)
			within := "no"
			if value < budget || f.atMost && value == budget {
				within = "yes"
			}
			shown := fmt.Sprintf("%.2f ms", milliseconds(budget))
			if budget == nothing {
				shown = "0 ms"
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%.2f ms\t%s\t%s\t\n", s.name, len(held), f.name, milliseconds(value), shown, within)
		}
	}
	return w.Flush()
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// hold runs a situation. It returns how long each invocation was held, and the
// median of what requests took.
func (b bench) hold(ctx context.Context, s situation) (held []time.Duration, put time.Duration, err error) {
	const stream = "bench"
	answer := s.answer
	if answer == nil {
		answer = kinesissim.Delay(putTime)
	}
	kinesis, err := kinesissim.Start(ctx, kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: stream, Shards: 1}}, Intercept: kinesissim.AnswerAll(answer),
	})
	if err != nil {
		return nil, 0, err
	}
	defer kinesis.Close()
	endpoint := kinesis.URL()
	if s.down {
		if endpoint, err = closedPort(); err != nil {
			return nil, 0, err
		}
	}
	dir, err := os.MkdirTemp("", "kinetel-bench-")
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(dir)
	env := map[string]string{"KINETEL_STREAM_NAME": stream, "AWS_ENDPOINT_URL_KINESIS": endpoint, "KINETEL_SPOOL_DIR": dir}
	for name, value := range s.env {
		env[name] = value
	}
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: b.function},
		Extensions: []lambdasim.Process{{Path: b.extension}},
		Timeout:    time.Minute,
		Env:        env,
	})
	if err != nil {
		return nil, 0, err
	}
	defer func() { _, _ = sandbox.Shutdown(context.WithoutCancel(ctx)) }()
	pause := time.NewTicker(s.gap)
	defer pause.Stop()
	for range s.invocations {
		pause.Reset(s.gap)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		result, err := sandbox.Invoke(ctx, []byte(`{"id":"held","lines":10,"format":"mixed"}`))
		if err != nil {
			return nil, 0, err
		}
		if result.Status != lambdasim.StatusSuccess {
			return nil, 0, fmt.Errorf("an invocation ended with %s %s", result.Status, result.ErrorType)
		}
		held = append(held, result.HeldBy[filepath.Base(b.extension)])
	}
	if _, err := sandbox.Shutdown(ctx); err != nil {
		return nil, 0, err
	}
	if err := endedInOrder(sandbox, b.extension); err != nil {
		return nil, 0, err
	}
	if s.answer != nil || s.down {
		return held, 0, nil // no stream has a report
	}
	put, err = putMedian(kinesis, stream)
	return held, put, err
}

// endedInOrder reports an extension that did not.
func endedInOrder(sandbox *lambdasim.Sandbox, path string) error {
	for _, p := range sandbox.Processes() {
		if p.Name == filepath.Base(path) && p.ExitCode != 0 {
			return fmt.Errorf("%s ended with status %d", p.Name, p.ExitCode)
		}
	}
	return nil
}

// closedPort returns the URL of a port on which no server listens.
func closedPort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + l.Addr().String(), l.Close()
}

// putMedian reads what requests took, by the median, from the last kinetel.report
// in the stream.
func putMedian(kinesis *kinesissim.Server, stream string) (put time.Duration, err error) {
	found := errors.New("there is no kinetel.report in the stream")
	for _, r := range kinesis.Records(stream) {
		events, err := record.Decode(r.Data)
		if err != nil {
			return 0, err
		}
		for _, e := range events {
			if e.Type != event.TypeReport {
				continue
			}
			var report ledger.Report
			if found = json.Unmarshal(e.Body, &report); found != nil {
				return 0, found
			}
			put = time.Duration(report.PutLatency.P50 * float64(time.Millisecond))
		}
	}
	return put, found
}
