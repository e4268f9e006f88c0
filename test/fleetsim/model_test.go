package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
	"github.com/kinetel/kinetel/internal/spool"
)

// whole drops records as a whole: the model has no platform events.
type whole struct{}

func (whole) DropLogs(r *pack.Record, reason ledger.Reason) *pack.Record {
	r.Drop(reason)
	return nil
}

// The backlog loses and keeps what the real queue with the real spool does.
func TestTheBacklogIsTheQueues(t *testing.T) {
	t.Parallel()
	data := make([]byte, pack.MaxRecord)
	const key = "k"
	for _, tt := range []struct{ buffer, spool int64 }{{2 * mib, 0}, {2 * mib, 4 * mib}, {4 * mib, 16 * mib}} {
		seeds := uint64(2)
		if testing.Short() {
			seeds = 1
		}
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s and %s, %d", mebibytes(tt.buffer), mebibytes(tt.spool), seed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 5))
				env := environment.New("e1", environment.Details{Resource: []byte("{}")})
				env.Ledger = ledger.New(&ledger.Account{}, nil)
				opt := queue.Options{Max: tt.buffer, LogDropper: whole{}}
				if tt.spool > 0 {
					disk := spool.New(spool.Options{Dir: t.TempDir(), Max: tt.spool, Log: slog.New(slog.DiscardHandler)})
					defer disk.Close()
					opt.Store = disk
				}
				real, model := queue.New(opt), backlog{buffer: tt.buffer, spool: tt.spool}
				var pushed, gone, goneHere int64 // bytes; here: of the model
				push := func() {
					size := 1000 + random.IntN(60_000)
					pushed += int64(size)
					real.Push(&pack.Record{Data: data[:size-len(key)], PartitionKey: key, Environment: env, First: 1, Last: 1, Events: 1, Droppable: 1, Lines: int64(size)})
					model.push(waiting{size: uint32(size)})
				}
				check := func(when string) {
					t.Helper()
					w := real.Waiting()
					lost := pushed - gone - w.Size
					// Files of the spool are not to the byte what they are here.
					near := max(64<<10, tt.spool/4)
					if d := model.lost - lost; max(d, -d) > near {
						t.Fatalf("%s: %d bytes are lost, of the model %d", when, lost, model.lost)
					}
					if d := model.memory - w.Bytes; max(d, -d) > 128<<10 {
						t.Fatalf("%s: %d bytes in memory, of the model %d", when, w.Bytes, model.memory)
					}
					if model.size+model.lost+goneHere != pushed {
						t.Fatalf("%s: %d bytes wait, %d are lost, %d gone, of %d", when, model.size, model.lost, goneHere, pushed)
					}
				}
				// Records come, and now and then some of them go.
				for step := range 2000 {
					push()
					if random.IntN(20) == 0 {
						records, bytes := 1+random.IntN(8), 64<<10
						batch, of := real.Batch(records, bytes), model.batch(records, bytes)
						push() // while it is on its way
						if len(batch) == 0 || len(of) == 0 {
							t.Fatalf("batches of %d and %d", len(batch), len(of))
						}
						goes := random.IntN(3) == 0 || step > 1500
						outcomes := make([]queue.Outcome, len(batch))
						for i, r := range batch {
							if outcomes[i].Done = goes; goes {
								gone += int64(r.Size())
							}
						}
						real.Ack(batch, outcomes)
						before, lost := model.size, model.lost
						model.ack(slices.Repeat([]bool{goes}, len(of)))
						goneHere += before - model.size - (model.lost - lost)
					}
					if step%25 == 0 {
						check(fmt.Sprintf("step %d", step))
					}
				}
				if model.lost == 0 {
					t.Error("nothing was lost")
				}
			})
		}
	}
}

// A record that is throttled stays in its place; others go from around it.
func TestAckKeepsTheOrder(t *testing.T) {
	t.Parallel()
	b := backlog{buffer: mib}
	for size := uint32(1); size <= 6; size++ {
		b.push(waiting{size: size})
	}
	sizes := func() (all []uint32) {
		for _, r := range b.records[b.head:] {
			all = append(all, r.size)
		}
		return all
	}
	if n := len(b.batch(4, mib)); n != 4 {
		t.Fatalf("a batch of %d", n)
	}
	b.ack([]bool{false, true, false, true})
	if got := sizes(); !slices.Equal(got, []uint32{1, 3, 5, 6}) || b.size != 15 || b.memory != 15+4*queue.Overhead {
		t.Errorf("%v are left, %d bytes, %d of memory", got, b.size, b.memory)
	}
	if n := len(b.batch(10, 8)); n != 2 { // 1 and 3; 5 is one too many
		t.Errorf("a batch of %d", n)
	}
	b.ack([]bool{true, true})
	if n := len(b.batch(10, 1)); n != 1 { // one at least
		t.Errorf("a batch of %d", n)
	}
}

// What lies on disk is what the files have of which not everything is done.
func TestTheSpoolCountsFilesWithUnsentRecords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := backlog{buffer: 8 << 10, spool: 4 * mib}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			b.push(waiting{size: uint32(rapid.IntRange(200, 90_000).Draw(t, "size"))})
			if newest := int64(b.records[len(b.records)-1].size) + queue.Overhead; b.memory > max(b.buffer, newest) {
				t.Fatalf("%d bytes are in memory, of which the newest has %d", b.memory, newest)
			}
			if rapid.IntRange(0, 3).Draw(t, "sends") == 0 {
				n := len(b.batch(rapid.IntRange(1, 5).Draw(t, "records"), mib))
				b.push(waiting{size: 60_000})
				b.push(waiting{size: 60_000})
				b.ack(slices.Repeat([]bool{rapid.Bool().Draw(t, "gone")}, n))
			}
			var memory, size int64
			live := make([]int, len(b.files))
			for i, r := range b.records[b.head:] {
				size += int64(r.size)
				if r.inMemory {
					memory += int64(r.size) + queue.Overhead
				}
				if r.file > 0 {
					live[r.file-1]++
				} else if !r.inMemory {
					t.Fatalf("record %d is nowhere", i)
				}
			}
			spooled := int64(0)
			for i, f := range b.files {
				if f.live != live[i] || (f.live == 0) != (f.size == 0) {
					t.Fatalf("file %d of %d bytes has %d records, counts %d", i, f.size, live[i], f.live)
				}
				spooled += f.size
			}
			if memory != b.memory || size != b.size || spooled != b.spooled || spooled > b.spool {
				t.Fatalf("%d bytes in memory, %d in all, %d on disk; counted: %d, %d, %d", memory, size, spooled, b.memory, b.size, b.spooled)
			}
		}
	})
}

func TestAShardTakesAMebibyteASecond(t *testing.T) {
	t.Parallel()
	one := func() *stream { return newStream(1, rand.New(rand.NewPCG(1, 1))) }
	s := one()
	taken := 0
	for at := time.Duration(0); at < 100*time.Second; at += 10 * ms {
		for s.take(at, 0, 30_000) {
			taken += 30_000
		}
	}
	if want := 101 * shardBytes; taken > want || taken < want-60_000 {
		t.Errorf("%d bytes in 100 s, want %d", taken, want)
	}
	s = one()
	records := 0
	for at := time.Duration(0); at < 10*time.Second; at += 10 * ms {
		for s.take(at, 0, 1) {
			records++
		}
	}
	if records < 10_980 || records > 11_000 {
		t.Errorf("%d records in 10 s", records)
	}
	s = one() // what was not used for a minute is a second's
	for n := range 3 {
		if ok := s.take(time.Minute, 0, 700_000); ok != (n == 0) {
			t.Errorf("record %d of 700 kB: %t", n+1, ok)
		}
	}
}

func TestNextReturnsTheEarliestMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		var plain []moment
		for i, at := range rapid.SliceOfN(rapid.IntRange(0, 20), 1, 40).Draw(t, "times") {
			m := moment{time.Duration(at), int32(i)}
			c.plan(m)
			plain = append(plain, m)
		}
		for range 60 {
			slices.SortFunc(plain, func(a, b moment) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.of, b.of)) })
			if c.next() != plain[0] {
				t.Fatalf("next is %v, want %v", c.next(), plain[0])
			}
			plain[0].at += time.Duration(rapid.IntRange(0, 9).Draw(t, "later"))
			c.again(plain[0])
		}
	})
}

// An environment's own time stands still while it is frozen.
func TestOwnTime(t *testing.T) {
	t.Parallel()
	e := &sandbox{simulation: &simulation{scenario: scenario{awake: 200 * ms, cycle: time.Minute}}, phase: 7 * time.Second}
	for _, tt := range []struct{ own, wall time.Duration }{
		{0, 7 * time.Second},
		{199 * ms, 7*time.Second + 199*ms},
		{200 * ms, 67 * time.Second},
		{450 * ms, 127*time.Second + 50*ms},
	} {
		if got := e.wall(tt.own); got != tt.wall {
			t.Errorf("%s of its own are %s, want %s", tt.own, got, tt.wall)
		}
		if got := e.own(tt.wall); got != tt.own {
			t.Errorf("at %s it is %s of its own, want %s", tt.wall, got, tt.own)
		}
	}
	if got := e.own(20 * time.Second); got != 200*ms {
		t.Errorf("a frozen environment goes on at %s", got)
	}
	e.cycle = 0
	if e.own(time.Hour) != time.Hour || e.wall(time.Hour) != time.Hour {
		t.Error("an environment that is never frozen has a time of its own")
	}
}

// small is a fleet that is simulated in no time.
func small() scenario {
	s := usual()
	s.environments, s.outage, s.horizon = 300, 2*time.Minute, 8*time.Minute
	return s
}

func TestNothingIsForgotten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*scenario)
	}{
		{"as it is", func(*scenario) {}},
		{"silent", func(s *scenario) { s.failure, s.landed = silent, 0.3 }},
		{"small buffers", func(s *scenario) { s.buffer, s.spool = 256<<10, 0 }},
		{"a small spool", func(s *scenario) { s.buffer, s.spool = 256<<10, 2*mib }},
		{"no jitter, no pace", func(s *scenario) { s.even, s.unpaced = true, true }},
		{"too few shards", func(s *scenario) { s.headroom = 0.8 }},
		{"frozen", func(s *scenario) { s.cycle, s.awake, s.chatty = 10*time.Second, 200*ms, 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := small()
			tt.change(&s)
			r := simulate(s)
			// What landed and waits, because its answer was lost, is counted as arrived.
			if d := r.made - r.arrived - r.lost - r.left; s.landed == 0 && d != 0 || d > 0 || r.arrived == 0 || r.made == 0 {
				t.Errorf("%d bytes: %d arrived, %d lost, %d wait", r.made, r.arrived, r.lost, r.left)
			}
			if r.waits != r.left {
				t.Errorf("%d bytes wait; counted as they came and went: %d", r.left, r.waits)
			}
			// What the fleet writes is what it was to write.
			if want := r.rate * float64(len(r.seconds)); float64(r.made) < 0.9*want || float64(r.made) > 1.1*want {
				t.Errorf("%d bytes in %d s, want %.0f", r.made, len(r.seconds), want)
			}
			if (r.twice > 0) != (s.landed > 0) {
				t.Errorf("%d bytes came twice", r.twice)
			}
			if lossy := tt.name == "small buffers" || tt.name == "a small spool"; lossy != (r.lost > 0) || lossy != (len(r.losers) > 0) {
				t.Errorf("%d bytes lost, by %d environments", r.lost, len(r.losers))
			}
			again := simulate(s)
			if !slices.Equal(r.seconds, again.seconds) {
				t.Error("not the same twice")
			}
			s.seed++
			if slices.Equal(r.seconds, simulate(s).seconds) {
				t.Error("another seed gives the same")
			}
		})
	}
}

func TestDrained(t *testing.T) {
	t.Parallel()
	r := &result{scenario: scenario{from: time.Second, outage: time.Second}}
	for _, waits := range []int64{0, 1000, 900, 400, 600, 400, 90, 5} {
		r.seconds = append(r.seconds, second{backlog: waits})
	}
	for share, want := range map[float64]time.Duration{0.95: time.Second, 0.5: 4 * time.Second, 0.1: 5 * time.Second, 0.01: 6 * time.Second, 0.001: 0} {
		if got := r.drained(share); got != want {
			t.Errorf("no more than %g is left after %s, want %s", share, got, want)
		}
	}
}

func TestFiguresAreWrittenShort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want string }{
		{percent(0.0172), "1.7 %"},
		{minutes(0), "later"},
		{minutes(90 * time.Second), "1.5 min"},
		{mebibytes(16 << 20), "16 MiB"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
