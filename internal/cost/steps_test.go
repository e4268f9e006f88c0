package cost

import (
	"log/slog"
	"math"
	"testing"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

// closing decides when the records of busy invocations are closed: with 500 events, as
// they are, or earlier, if a record is then just below a step of the bill.
type closing struct {
	unit     int  // of the bill; 0: close with 500 events
	estimate bool // the size before compression is all that is known; otherwise the size after it

	options pack.Options
	ratio   float64 // of the last record, after to before compression
}

// pack returns the size of a record of these events, which depends on nothing else.
func (c *closing) pack(events []event.Event) (size, lines float64) {
	p := pack.New(c.options)
	for i := range events {
		p.Add(&events[i])
	}
	p.SealTo(func(r *pack.Record) { size, lines = size+float64(r.Size()), lines+float64(r.Lines) })
	return size, lines
}

// units returns in how many units a record of these events is expected to be billed.
func (c *closing) units(events []event.Event) float64 {
	size, lines := c.pack(events)
	if c.estimate {
		size = lines * c.ratio * 1.01 // sizes differ by about a hundredth
	}
	return math.Ceil(size / float64(c.unit))
}

// first returns how many events the next record has.
func (c *closing) first(events []event.Event) int {
	events = events[:pack.MaxEvents]
	if c.unit == 0 || c.estimate && c.ratio == 0 {
		return len(events)
	}
	most := c.units(events)
	low, high := max(1, int(float64(len(events))*(most-2)/most)), len(events)
	for low < high { // the most events below the last step
		if middle := (low + high + 1) / 2; c.units(events[:middle]) < most {
			low = middle
		} else {
			high = middle - 1
		}
	}
	if most > 1 && (most-1)/float64(low) < most/float64(len(events)) {
		return low
	}
	return len(events)
}

// bill returns what a billion invocations of ten lines cost: the data in of an on-demand
// stream, and the units of a provisioned one.
func (c *closing) bill(t *testing.T, e Encoding, lineBytes int) (onDemand, provisioned float64) {
	t.Helper()
	env := environment.New("4f1e3b0c9a7d4e55a0c2b1d3e4f50617", environment.Details{
		Resource: []byte(`{"cloud.provider":"aws","cloud.region":"us-east-1","cloud.account.id":"123456789012","faas.name":"orders","faas.version":"$LATEST",` +
			`"faas.instance":"2026/11/27/[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0","service.name":"orders","service.instance.id":"4f1e3b0c9a7d4e55a0c2b1d3e4f50617"}`),
	})
	env.Ledger = ledger.New(&ledger.Account{}, nil)
	c.options = pack.Options{
		Environment: env, FunctionName: "orders", Format: e.Format, Compression: e.Compression, PartitionKey: config.PartitionByEnvironment, Next: 100_000,
		Push: func(*pack.Record) { t.Fatal("500 events do not fit into a record") }, Log: slog.New(slog.DiscardHandler),
	}
	var events []event.Event
	s := NewSample(10, lineBytes, nil)
	for len(events) < 40*pack.MaxEvents {
		more, _ := s.invocation()
		events = append(events, more...)
	}
	m := Measured{}
	for len(events) >= pack.MaxEvents {
		n := c.first(events)
		size, lines := c.pack(events[:n])
		c.ratio = size / lines
		m.AddRecord(int(size))
		m.Events += float64(n)
		events = events[n:]
	}
	prices, err := ReadPrices(BuiltIn)
	if err != nil {
		t.Fatal(err)
	}
	m, terms := m.Times(14e9/m.Events), Terms{Prices: prices, Arch: "x86_64", Peak: 2}
	return terms.OnDemand(m).In, terms.Provisioned(m).In
}

// Closing records just below the steps of the bill would save next to nothing, and on
// demand cost more if the steps are those of provisioned streams: docs/adr/0018. If this
// fails, compute its table anew (-v) and decide again.
func TestClosingRecordsBelowTheStepsOfTheBillSavesLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep compresses the gigabyte")
	}
	for _, tt := range []struct {
		encoding Encoding
		line     int
	}{
		{Encoding{"ndjson", format.Gzip}, 100},
		{Encoding{"ndjson", format.Gzip}, 300},
		{Encoding{"ndjson", format.Gzip}, 800},
		{Encoding{"ndjson", format.Zstd}, 300},
		{Encoding{"ndjson", format.Uncompressed}, 300},
	} {
		onDemand, provisioned := (&closing{}).bill(t, tt.encoding, tt.line)
		t.Logf("%s, %d B: $%.2f on demand, $%.2f provisioned", tt.encoding, tt.line, onDemand, provisioned)
		for _, c := range []closing{{unit: onDemandUnit}, {unit: onDemandUnit, estimate: true}, {unit: payloadUnit}, {unit: payloadUnit, estimate: true}} {
			a, b := c.bill(t, tt.encoding, tt.line)
			t.Logf("  below steps of %d KiB, estimated: %t: %+.2f on demand, %+.2f provisioned", c.unit>>10, c.estimate, a-onDemand, b-provisioned)
			if c.estimate && onDemand-a > 1 || onDemand-a > 2 || provisioned-b > 0.5 {
				t.Errorf("%s, %d B, below steps of %d KiB: saves $%.2f on demand and $%.2f provisioned", tt.encoding, tt.line, c.unit>>10, onDemand-a, provisioned-b)
			}
		}
	}
}
