package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
)

// situation is a function and a Kinesis, and the figures of how long invocations are held.
type situation struct {
	invocations int
	gap         time.Duration
	env         map[string]string
	answer      *kinesissim.Answer // nil: after putTime
	down        bool               // no server listens
	figures     []heldFigure
}

// heldFigure is a figure of the holds in the order of the invocations, and of the median of
// what requests took.
type heldFigure struct {
	name  string
	value func(held []time.Duration, put time.Duration) time.Duration
}

func quantile(q float64) func([]time.Duration, time.Duration) time.Duration {
	return func(held []time.Duration, _ time.Duration) time.Duration {
		sorted := slices.Sorted(slices.Values(held))
		return sorted[int(q*float64(len(sorted)-1))]
	}
}

// afterThird is the median without the first three invocations.
func afterThird(held []time.Duration, put time.Duration) time.Duration {
	return quantile(0.5)(held[3:], put)
}

// beyond is what the median is longer than Lambda's buffer and a request take.
func beyond(held []time.Duration, put time.Duration) time.Duration {
	const buffer = 25 * time.Millisecond // of Lambda, as Kinetel subscribes
	return quantile(0.5)(held, put) - buffer - put
}

func situations(invocations int) []situation {
	const rarely = 1100 * time.Millisecond
	return []situation{
		{invocations: invocations, gap: 10 * time.Millisecond, figures: []heldFigure{{"held.busy.p50", quantile(0.5)}, {"held.busy.p99", quantile(0.99)}}},
		{invocations: 15, gap: 2 * time.Second, figures: []heldFigure{{"held.rare.p50", quantile(0.5)}, {"held.rare.beyond", beyond}}},
		{
			invocations: 12, gap: 300 * time.Millisecond,
			env:    map[string]string{"KINETEL_MAX_HOLD": "200ms", "KINETEL_FLUSH": "end"},
			answer: kinesissim.Delay(1500 * time.Millisecond), figures: []heldFigure{{"held.slow.max", quantile(1)}},
		},
		{invocations: 20, gap: rarely, answer: kinesissim.DenyAccess(), figures: []heldFigure{{"held.denied", afterThird}}},
		{invocations: 20, gap: rarely, down: true, figures: []heldFigure{{"held.down", afterThird}}},
		{invocations: 20, gap: rarely, answer: kinesissim.Refuse(503, "ServiceUnavailable", "down"), figures: []heldFigure{{"held.503", afterThird}}},
	}
}

// measureHolds measures how long invocations are held after their runtime is done. All
// situations but the first, of a busy function, leave the machine time for all at once.
func (b *bench) measureHolds(ctx context.Context) error {
	all := situations(b.holds)
	if err := b.holdAll(ctx, all[:1]); err != nil {
		return err
	}
	return b.holdAll(ctx, all[1:])
}

func (b *bench) holdAll(ctx context.Context, all []situation) error {
	held, puts, errs := make([][]time.Duration, len(all)), make([]time.Duration, len(all)), make([]error, len(all))
	var running sync.WaitGroup
	for i, s := range all {
		running.Go(func() { held[i], puts[i], errs[i] = b.hold(ctx, s) })
	}
	running.Wait()
	for i, s := range all {
		if errs[i] != nil {
			return fmt.Errorf("%s: %w", s.figures[0].name, errs[i])
		}
		for _, f := range s.figures {
			b.add(own, f.name, "ms", milliseconds(f.value(held[i], puts[i])))
		}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// hold runs a situation. It returns how long each invocation was held, and the
// median of what requests took.
func (b *bench) hold(ctx context.Context, s situation) (held []time.Duration, put time.Duration, err error) {
	answer := s.answer
	if answer == nil {
		answer = kinesissim.Delay(putTime)
	}
	env := s.env
	if s.down {
		closed, err := closedPort()
		if err != nil {
			return nil, 0, err
		}
		env = map[string]string{"AWS_ENDPOINT_URL_KINESIS": closed}
	}
	sandbox, err := b.start(ctx, b.paths[own], env, answer)
	if err != nil {
		return nil, 0, err
	}
	defer sandbox.close(ctx)
	for range s.invocations {
		if err := wait(ctx, s.gap); err != nil {
			return nil, 0, err
		}
		result, err := sandbox.invoke(ctx, 10, 0)
		if err != nil {
			return nil, 0, err
		}
		held = append(held, result.HeldBy[sandbox.name])
	}
	if _, err := sandbox.end(ctx); err != nil {
		return nil, 0, err
	}
	if s.answer != nil || s.down {
		return held, 0, nil // no stream has a report
	}
	put, err = putMedian(sandbox.kinesis)
	return held, put, err
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
func putMedian(kinesis *kinesissim.Server) (put time.Duration, err error) {
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
