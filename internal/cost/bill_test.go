package cost

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/emf"
	"github.com/kinetel/kinetel/internal/testkit"
)

// terms are one consumer, a day, and 128 MB on x86_64, at the built-in prices.
func terms(t testing.TB) Terms {
	t.Helper()
	p, err := ReadPrices(BuiltIn)
	if err != nil {
		t.Fatal(err)
	}
	return Terms{Prices: p, MemoryMB: 128, Arch: "x86_64", Consumers: 1, RetentionDays: 1, Peak: 2}
}

// records returns so many records of a size.
func records(count float64, size int) Measured {
	return Measured{Invocations: count, Records: map[int]float64{size: count}}
}

// logs returns lines of so many GB.
func logs(gigabytes float64) Measured { return Measured{LogBytes: gigabytes * gb} }

func equal(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, want) {
		t.Errorf("%s: got $%.12g, want $%.12g", what, got, want)
	}
}

func TestEachRecordIsRoundedUp(t *testing.T) {
	tm := terms(t)
	const million = 1 << 20 // of records of a KiB are a GB
	equal(t, "on demand, 1 B", tm.OnDemand(records(million, 1)).In, 0.08)
	equal(t, "on demand, 1 KiB", tm.OnDemand(records(million, 1024)).In, 0.08)
	equal(t, "on demand, 1 KiB and 1 B", tm.OnDemand(records(million, 1025)).In, 0.16)
	equal(t, "on demand, 1,220 B", tm.OnDemand(records(million, 1220)).In, 0.16)
	equal(t, "Advantage, 1 KiB and 1 B", tm.Advantage(records(100_000*million, 1025)).In, 200_000*0.032)
	equal(t, "provisioned, 25 KiB", tm.Provisioned(records(1e6, 25<<10)).In, 0.014)
	equal(t, "provisioned, 25 KiB and 1 B", tm.Provisioned(records(1e6, 25<<10+1)).In, 0.028)
	equal(t, "provisioned, 1 MiB", tm.Provisioned(records(1e6, 1<<20)).In, 41*0.014)
	equal(t, "Firehose, 5 KiB", tm.Firehose(records(million, 5<<10)), 5*0.029)
	equal(t, "Firehose, 5 KiB and 1 B", tm.Firehose(records(million, 5<<10+1)), 10*0.029)
}

func TestConsumersPayTheBytesThatTheyRead(t *testing.T) {
	tm := terms(t)
	gigabyte := records(1<<21, 512) // a GB; 2 GB are billed as data in
	equal(t, "one consumer", tm.OnDemand(gigabyte).Out, 0.04)
	tm.Consumers, tm.FanOut = 2, 3
	equal(t, "two consumers, three with enhanced fan-out", tm.OnDemand(gigabyte).Out, 2*0.04+3*0.05)
	equal(t, "provisioned: only enhanced fan-out", tm.Provisioned(gigabyte).Out, 3*0.013+3*730*0.015)
	tm.Consumers, tm.FanOut = 0, 0
	equal(t, "no consumer", tm.OnDemand(gigabyte).Out, 0)
}

func TestAdvantageBillsAtLeast25MiBASecondInAndOut(t *testing.T) {
	tm := terms(t)
	least := 25. * 730 * 3600 / 1024 // GB
	few := tm.Advantage(records(1, 1024))
	equal(t, "in", few.In, least*0.032)
	equal(t, "out", few.Out, least*0.016)
	equal(t, "a day, which AWS calls about $100", few.Total/730*24, 101.25)
	equal(t, "capacity", few.Capacity, 0)

	exactly := records(least*1024, 1<<20)
	equal(t, "25 MiB/s", tm.Advantage(exactly).Total, few.Total)
	equal(t, "twice as much", tm.Advantage(exactly.Times(2)).Total, 2*few.Total)
	tm.Consumers, tm.FanOut = 1, 2
	equal(t, "enhanced fan-out counts", tm.Advantage(exactly).Out, 3*least*0.016)
	tm.Consumers, tm.FanOut = 0, 1
	equal(t, "half of it by enhanced fan-out", tm.Advantage(exactly.Times(0.5)).Out, least*0.016)
	tm.Consumers, tm.FanOut = 0, 0
	equal(t, "without a consumer", tm.Advantage(exactly).Out, least*0.016)
}

// AWS published the bill of 48 hours at 100 MiB/s into ten streams, with one reader:
// $2,071.75 (the article on Advantage in prices.json). With GB of 10^9 bytes it would be
// 6 % more than that.
func TestAGBHas2To30Bytes(t *testing.T) {
	b := terms(t).OnDemand(records(100*48*3600, 1<<20))
	if got := b.In + b.Out + 10*48*0.04; math.Abs(got/2071.75-1) > 0.02 {
		t.Errorf("got $%.2f, want $2,071.75 within 2 %%", got)
	}
}

func TestShardsFollowFromBytesRecordsAndReads(t *testing.T) {
	const month = 730 * 3600
	for _, test := range []struct {
		name              string
		measured          Measured
		peak              float64
		consumers, shards int
	}{
		{"next to nothing", records(1, 1), 1, 1, 1},
		{"a shard full of bytes", records(month, 1<<20), 1, 1, 1},
		{"a bit more", records(month, 1<<20).plus(records(1, 1<<20), 1000), 1, 1, 2},
		{"a shard full of records", records(1000*month, 100), 1, 1, 1},
		{"a bit more", records(1001*month, 100), 1, 1, 2},
		{"the peak is three times the average", records(month, 1<<20), 3, 1, 3},
		{"two consumers read a shard's 2 MiB", records(month, 1<<20), 1, 2, 1},
		{"five need more", records(month, 1<<20), 1, 5, 3},
	} {
		tm := terms(t)
		tm.Peak, tm.Consumers = test.peak, test.consumers
		b := tm.Provisioned(test.measured)
		if b.Shards != test.shards {
			t.Errorf("%s: got %d shards, want %d", test.name, b.Shards, test.shards)
		}
		equal(t, test.name, b.Capacity, float64(test.shards)*730*0.015)
	}
}

func TestRetentionBeyondADayIsBilled(t *testing.T) {
	gigabytes := records(730*1024, 1<<20) // a GB an hour
	for _, test := range []struct {
		days                             int
		onDemand, advantage, provisioned float64
	}{
		{1, 0, 0, 0},
		{2, 24 * 0.10, 24 * 0.023, 730 * 0.02},
		{7, 6 * 24 * 0.10, 6 * 24 * 0.023, 730 * 0.02},
		{8, 6*24*0.10 + 24*0.023, 7 * 24 * 0.023, 730*0.02 + 24*0.023},
		{365, 6*24*0.10 + 358*24*0.023, 364 * 24 * 0.023, 730*0.02 + 358*24*0.023},
	} {
		tm := terms(t)
		tm.RetentionDays = test.days
		equal(t, "on demand", tm.OnDemand(gigabytes).Retention, test.onDemand)
		equal(t, "Advantage", tm.Advantage(gigabytes).Retention, test.advantage)
		equal(t, "provisioned", tm.Provisioned(gigabytes).Retention, test.provisioned)
	}
}

func TestLambdaBillsHolds(t *testing.T) {
	tm := terms(t)
	m := Measured{Invocations: 100e6, HeldSeconds: 100e6 * 0.05}
	equal(t, "128 MB, x86_64", tm.OnDemand(m).Holds, 5e6*0.125*0.0000166667)
	tm.MemoryMB, tm.Arch = 2048, "arm64"
	equal(t, "2 GB, arm64", tm.Provisioned(m).Holds, 5e6*2*0.0000133334)
}

func TestCloudWatchLogsHasTiers(t *testing.T) {
	tm := terms(t)
	const tb = 1024
	for _, test := range []struct{ gigabytes, standard, infrequentAccess float64 }{
		{0, 0, 0},
		{1, 0.50, 0.25},
		{10 * tb, 5120, 2560},
		{10*tb + 1, 5120.25, 2560.15},
		{30 * tb, 10240, 5632},
		{30*tb + 1, 10240.10, 5632.075},
		{50 * tb, 12288, 7168},
		{50*tb + 1, 12288.05, 7168.05},
		{72 * tb, 13414.40, 8294.40}, // the examples of AWS's price page
	} {
		standard, infrequentAccess := tm.Logs(logs(test.gigabytes))
		equal(t, "standard", standard, test.standard)
		equal(t, "infrequent access", infrequentAccess, test.infrequentAccess)
	}
}

func TestMetricsOfEMFHaveTiers(t *testing.T) {
	figures := emf.Figures{Held: []time.Duration{0}, PutLatency: []time.Duration{0}}
	if n := strings.Count(string(emf.Append(nil, time.Time{}, "orders", figures)), `"Name":`); n != emfMetrics {
		t.Errorf("KINETEL_REPORT=emf writes %d metrics for a function, not %d", n, emfMetrics)
	}
	tm := terms(t)
	equal(t, "five functions", tm.Metrics(5), 40*0.30)
	equal(t, "2,000 functions", tm.Metrics(2000), 10_000*0.30+6_000*0.10)
}

func TestBelowTheBreakEvenCloudWatchLogsCostsLess(t *testing.T) {
	tm := terms(t)
	one := Measured{Invocations: 1, LogBytes: 3000, HeldSeconds: 0.05, Records: map[int]float64{1500: 1}}
	n, ok := tm.BreakEven(one.Times(123))
	if !ok {
		t.Fatal("there is none")
	}
	for invocations, cheaper := range map[float64]bool{n * 0.999: true, n: false, n * 1.001: false} {
		logs, _ := tm.Logs(one.Times(invocations))
		if kinetel := tm.OnDemand(one.Times(invocations)).Total; (logs < kinetel) != cheaper {
			t.Errorf("%.0f invocations: CloudWatch Logs $%.4f, Kinetel $%.4f", invocations, logs, kinetel)
		}
	}
	// Held for a second with 10 GB, an invocation costs more than its lines.
	one.HeldSeconds, tm.MemoryMB = 1, 10_240
	if n, ok := tm.BreakEven(one); ok {
		t.Errorf("got %v, although CloudWatch Logs costs less at any number", n)
	}
	// The hours of the stream are more than the first tier of CloudWatch Logs.
	tm = terms(t)
	hour := 1000.
	tm.Prices.Prices["kinesis.onDemand.streamHour"] = Price{Price: &hour}
	if n, ok := tm.BreakEven(Measured{Invocations: 1, LogBytes: 1 << 20, Records: map[int]float64{1 << 20: 0.5}}); ok {
		t.Errorf("got %v, although CloudWatch Logs costs less at any number", n)
	}
}

func TestMoreNeverCostsLess(t *testing.T) {
	testkit.Checks(t, 20)
	builtIn := terms(t).Prices
	rapid.Check(t, func(t *rapid.T) {
		tm := Terms{
			Prices: builtIn, MemoryMB: rapid.IntRange(128, 10_240).Draw(t, "memory"), Arch: rapid.SampledFrom([]string{"x86_64", "arm64"}).Draw(t, "arch"),
			Consumers: rapid.IntRange(0, 10).Draw(t, "consumers"), FanOut: rapid.IntRange(0, 20).Draw(t, "fanOut"),
			RetentionDays: rapid.IntRange(1, 365).Draw(t, "days"), Peak: rapid.Float64Range(1, 10).Draw(t, "peak"),
		}
		size := rapid.IntRange(1, 1<<20)
		count := rapid.Float64Range(1, 1e9)
		m := Measured{
			Invocations: 1, LogBytes: rapid.Float64Range(0, 1e15).Draw(t, "log"), HeldSeconds: rapid.Float64Range(0, 1e9).Draw(t, "held"),
			Records: rapid.MapOfN(size, count, 1, 5).Draw(t, "records"),
		}
		more := m.plus(Measured{LogBytes: rapid.Float64Range(0, 1e14).Draw(t, "more log"), Records: map[int]float64{size.Draw(t, "size"): count.Draw(t, "count")}}, 1)
		for name, bill := range map[string]func(Measured) Bill{"on demand": tm.OnDemand, "Advantage": tm.Advantage, "provisioned": tm.Provisioned} {
			less, b := bill(m), bill(more)
			for part, pair := range map[string][2]float64{
				"capacity": {less.Capacity, b.Capacity}, "in": {less.In, b.In}, "out": {less.Out, b.Out},
				"retention": {less.Retention, b.Retention}, "holds": {less.Holds, b.Holds}, "total": {less.Total, b.Total},
			} {
				if pair[0] < 0 || pair[1] < pair[0]*(1-1e-12) {
					t.Fatalf("%s, %s: $%v, and with more records $%v", name, part, pair[0], pair[1])
				}
			}
			if sum := b.Capacity + b.In + b.Out + b.Retention + b.Holds; sum != b.Total {
				t.Fatalf("%s: the parts are $%v, the total is $%v", name, sum, b.Total)
			}
		}
		s1, i1 := tm.Logs(m)
		s2, i2 := tm.Logs(more)
		if s2 < s1 || i2 < i1 || i1 > s1 || tm.Firehose(more) < tm.Firehose(m) {
			t.Fatalf("CloudWatch Logs $%v, $%v, and with more $%v, $%v; Firehose $%v, $%v", s1, i1, s2, i2, tm.Firehose(m), tm.Firehose(more))
		}
	})
}
