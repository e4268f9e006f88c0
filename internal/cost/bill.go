package cost

import "math"

// What AWS bills (AWS's price pages for Kinesis, Firehose and CloudWatch). A GB is 2^30
// bytes: in AWS's examples 10 TB of logs are 10 × 1,024 GB, and the bill of 48 hours at
// 100 MiB/s in its article on Advantage (see prices.json) is that of 2^30 within 2 %.
const (
	gb            = 1 << 30
	hours         = 730     // of a month
	onDemandUnit  = 1 << 10 // each record is rounded up to it
	payloadUnit   = 25 << 10
	firehoseUnit  = 5 << 10
	commitment    = 25 << 20 // bytes a second, in and out, that Advantage bills at least
	shardBytes    = 1 << 20  // a second
	shardRecords  = 1000     // a second
	shardReads    = 2 << 20  // a second, of all consumers that poll
	emfMetrics    = 8        // of each function with KINETEL_REPORT=emf
	secondsOfHour = 3600
)

// Terms are what else the cost depends on.
type Terms struct {
	Prices        Prices
	MemoryMB      int
	Arch          string // x86_64 or arm64
	Consumers     int    // that poll
	FanOut        int    // consumers with enhanced fan-out
	RetentionDays int
	Peak          float64 // how many times the average a provisioned stream has to take
}

// Bill is what a month costs in dollars.
type Bill struct {
	Shards    int     `json:"shards,omitempty"` // of a provisioned stream
	Capacity  float64 `json:"capacityUsd"`      // hours of the stream, or of its shards
	In        float64 `json:"inUsd"`
	Out       float64 `json:"outUsd"` // all consumers
	Retention float64 `json:"retentionUsd"`
	Holds     float64 `json:"holdsUsd"`
	Total     float64 `json:"totalUsd"`
}

func (b Bill) add() Bill {
	b.Total = b.Capacity + b.In + b.Out + b.Retention + b.Holds
	return b
}

// OnDemand returns the bill with an on-demand stream.
func (t Terms) OnDemand(m Measured) Bill {
	bytes := m.Bytes() / gb
	return Bill{
		Capacity: t.Prices.of("kinesis.onDemand.streamHour", hours),
		In:       t.Prices.of("kinesis.onDemand.in", m.roundedUp(onDemandUnit)/gb),
		Out: t.Prices.of("kinesis.onDemand.out", bytes*float64(t.Consumers)) +
			t.Prices.of("kinesis.onDemand.fanOut", bytes*float64(t.FanOut)),
		Retention: t.Prices.of("kinesis.onDemand.retentionToDay7", stored(bytes, min(t.RetentionDays, 7), 1)) +
			t.Prices.of("kinesis.onDemand.retentionFromDay7", stored(bytes, t.RetentionDays, 7)),
		Holds: t.holds(m),
	}.add()
}

// Advantage returns the bill with an on-demand stream in an account with Advantage and no
// other stream: at least 25 MiB/s are billed, in and out.
func (t Terms) Advantage(m Measured) Bill {
	least := float64(commitment) * hours * secondsOfHour / gb
	bytes := m.Bytes() / gb
	polled, fannedOut := bytes*float64(t.Consumers), bytes*float64(t.FanOut)
	return Bill{
		In: t.Prices.of("kinesis.advantage.in", max(least, m.roundedUp(onDemandUnit)/gb)),
		Out: t.Prices.of("kinesis.advantage.out", max(polled, least-fannedOut)) +
			t.Prices.of("kinesis.advantage.fanOut", fannedOut),
		Retention: t.Prices.of("kinesis.advantage.retention", stored(bytes, t.RetentionDays, 1)),
		Holds:     t.holds(m),
	}.add()
}

// Provisioned returns the bill with a provisioned stream of as many shards as it needs.
func (t Terms) Provisioned(m Measured) Bill {
	bytes, shards := m.Bytes()/gb, t.shards(m)
	shardHours := float64(shards) * hours
	b := Bill{
		Shards:   shards,
		Capacity: t.Prices.of("kinesis.provisioned.shardHour", shardHours),
		In:       t.Prices.of("kinesis.provisioned.payloadUnit", m.roundedUp(payloadUnit)/payloadUnit),
		Out: t.Prices.of("kinesis.provisioned.fanOut", bytes*float64(t.FanOut)) +
			t.Prices.of("kinesis.provisioned.fanOutShardHour", shardHours*float64(t.FanOut)),
		Retention: t.Prices.of("kinesis.provisioned.retentionFromDay7", stored(bytes, t.RetentionDays, 7)),
		Holds:     t.holds(m),
	}
	if t.RetentionDays > 1 {
		b.Retention += t.Prices.of("kinesis.provisioned.retentionToDay7", shardHours)
	}
	return b.add()
}

// shards returns how many shards a provisioned stream needs: by bytes in, by records in,
// and by what consumers without enhanced fan-out read.
func (t Terms) shards(m Measured) int {
	second := t.Peak / (hours * secondsOfHour)
	bytes, records := m.Bytes()*second, m.RecordCount()*second
	return max(1, int(math.Ceil(max(bytes/shardBytes, records/shardRecords, bytes*float64(t.Consumers)/shardReads))))
}

// stored returns the GB-months of data that stays in the stream until its age is a number
// of days. The first days cost nothing, or have another price.
func stored(gigabytes float64, days, free int) float64 {
	return gigabytes * float64(max(0, days-free)) * 24 / hours
}

// holds returns what Lambda bills for the time in which invocations are held.
func (t Terms) holds(m Measured) float64 {
	return t.Prices.of("lambda."+t.Arch, m.HeldSeconds*float64(t.MemoryMB)/1024)
}

// Firehose returns what Firehose bills if it reads the stream.
func (t Terms) Firehose(m Measured) float64 {
	return t.Prices.of("firehose.in", m.roundedUp(firehoseUnit)/gb)
}

// Logs returns what CloudWatch Logs bills for the lines, in both classes of log groups.
func (t Terms) Logs(m Measured) (standard, infrequentAccess float64) {
	return t.Prices.of("cloudwatch.logs.standard", m.LogBytes/gb), t.Prices.of("cloudwatch.logs.infrequentAccess", m.LogBytes/gb)
}

// Metrics returns what the metrics of KINETEL_REPORT=emf on some functions cost.
func (t Terms) Metrics(functions int) float64 {
	return t.Prices.of("cloudwatch.metric", emfMetrics*float64(functions))
}

// BreakEven returns below how many such invocations a month CloudWatch Logs costs less
// than an on-demand stream, which has its price by the hour. ok is false if CloudWatch
// Logs costs less at any number.
func (t Terms) BreakEven(m Measured) (invocations float64, ok bool) {
	one := m.Times(1 / m.Invocations)
	bill := t.OnDemand(one)
	logs, _ := t.Logs(one)
	invocations = math.Ceil(bill.Capacity / (logs - (bill.Total - bill.Capacity)))
	// A later tier of CloudWatch Logs can begin before it.
	logs, _ = t.Logs(one.Times(invocations))
	return invocations, invocations > 0 && logs >= t.OnDemand(one.Times(invocations)).Total
}
