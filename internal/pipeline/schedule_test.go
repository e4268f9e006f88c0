package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
)

// step is a step of a schedule.
type step struct {
	What     string
	N        int
	Size     int
	Duration time.Duration
	Mode     mode
}

func (s step) String() string {
	return fmt.Sprintf("%s n=%d size=%d %s %s", s.What, s.N, s.Size, s.Duration, s.Mode)
}

// Whatever Kinesis does, and however processes end, each event is in the stream or is
// reported lost: in the stream or, if that is impossible, in the log.
func TestNothingIsLostSilently(t *testing.T) {
	tally := map[string]int64{}
	rapid.Check(t, func(rt *rapid.T) {
		cfg := drawConfig(rt)
		seed := rapid.Uint64().Draw(rt, "seed")
		schedule := drawSchedule(rt, rand.New(rand.NewPCG(seed, 3)))
		root, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		var problems []string
		synctest.Test(t, func(*testing.T) { problems = play(cfg, schedule, seed, root, tally) })
		_ = os.RemoveAll(root)
		tally["schedules"]++
		if len(problems) > 0 {
			rt.Fatalf("%d problems:\n%s\nafter %q", len(problems), strings.Join(problems[:min(len(problems), 10)], "\n"), schedule)
		}
	})
	t.Logf("%v", tally)
}

// play runs a schedule, and returns the problems.
func play(cfg config.Config, schedule []step, seed uint64, root string, tally map[string]int64) []string {
	box := newSandbox(cfg, seed, root, tally)
	for _, s := range schedule {
		box.do(s)
	}
	box.rest()
	return append(box.problems, box.stream.problems...)
}

func (box *sandbox) do(s step) {
	p := box.process
	switch s.What {
	case "add":
		box.add(s.N, s.Size, s.N%4 == 0)
	case "burst":
		box.add(100*s.N, s.Size, false)
	case "huge":
		box.addHuge(1100_000 + 1000*s.Size)
	case "seal":
		p.Seal()
	case "seal if older":
		p.Thawed(s.Duration)
	case "flush":
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), s.Duration)
		_ = p.Flush(ctx)
		cancel()
		if took := time.Since(began); took > s.Duration {
			box.problem("Flush took %s of %s", took, s.Duration)
		}
	case "wait":
		time.Sleep(s.Duration)
	case "Kinesis":
		box.stream.become(s.Mode)
	case "thaw":
		p.Thawed(1000 * time.Hour) // the open record is younger
	case "restore":
		box.restore()
	case "finish":
		box.finish(s.Duration)
		box.begin()
	case "empty /tmp":
		box.empty()
	case "kill":
		if box.cfg.Spool == config.SpoolAlways {
			box.kill()
			box.begin()
		}
	}
}

func drawConfig(t *rapid.T) config.Config {
	cfg := config.Config{
		StreamName: "telemetry", Types: []string{"platform", "function"}, Format: ndjson.Name, Flush: flush.ModeEnd, FlushInterval: 10 * time.Second, MaxHold: 500 * time.Millisecond,
		Compression:  rapid.SampledFrom([]format.Compression{format.Gzip, format.Uncompressed, format.Zstd}).Draw(t, "compression"),
		PartitionKey: rapid.SampledFrom([]config.PartitionKey{config.PartitionByEnvironment, config.PartitionByFunction, config.PartitionByRequest, config.PartitionRandom}).Draw(t, "key"),
		Spool:        rapid.SampledFrom([]config.Spool{config.SpoolAlways, config.SpoolOverflow, config.SpoolOff}).Draw(t, "spool"),
		BufferBytes:  rapid.SampledFrom([]int64{16 << 20, 1 << 20, 64 << 10, 8 << 10}).Draw(t, "buffer"),
		SpoolBytes:   rapid.SampledFrom([]int64{64 << 20, 4 << 20, 2 << 20}).Draw(t, "spool bytes"),
		Report:       config.Report{Events: rapid.IntRange(0, 4).Draw(t, "report") > 0},
		Lambda:       config.Lambda{Region: "eu-west-1", Initialization: config.SnapStart}, // schedules have restores
	}
	if cfg.Spool == config.SpoolAlways {
		cfg.SpoolBytes = max(cfg.SpoolBytes, 4<<20) // the least that can be configured: a record has room beside its journal
	}
	if rapid.Bool().Draw(t, "sampled") {
		cfg.Selection.Sample = &config.Sample{Share: rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "share"), Timeout: true}
		cfg.Selection.MaxLines = rapid.SampledFrom([]int64{0, 0, 3}).Draw(t, "lines")
	}
	return cfg
}

// drawSchedule draws some steps out of so many. The steps themselves are random numbers
// of the test's own, because rapid prefers simple values.
func drawSchedule(t *rapid.T, rng *rand.Rand) (schedule []step) {
	const steps = 40
	for _, skip := range rapid.SliceOfN(rapid.IntRange(-7, 1), steps, steps).Draw(t, "leave out where positive") {
		s := step{
			What: pick(rng, "add", "add", "add", "add", "seal", "seal", "seal if older", "flush", "flush", "wait", "wait", "wait",
				"Kinesis", "Kinesis", "Kinesis", "Kinesis", "thaw", "restore", "finish", "kill", "empty /tmp", "burst", "burst", "burst", "huge"),
			N:        1 + rng.IntN(8),
			Size:     pick(rng, 10, 100, 700),
			Mode:     mode(rng.IntN(int(modes))),
			Duration: pick(rng, time.Millisecond, 50*time.Millisecond, 500*time.Millisecond, 2*time.Second, 10*time.Second, 61*time.Second, 10*time.Minute),
		}
		switch {
		case s.What == "finish":
			s.Duration = min(s.Duration, 2*time.Second)
		case s.What == "Kinesis" && rng.IntN(3) == 0:
			s.Mode = accepts
		case s.What == "huge" && rng.IntN(2) == 0:
			s.What = "add" // it takes so long
		}
		if skip <= 0 {
			schedule = append(schedule, s)
		}
	}
	return schedule
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }
