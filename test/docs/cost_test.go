package docs

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/emf"
)

// prices are the dollars of the table of docs/cost.md.
type prices struct {
	streamHour, in, out, firehose, metric, lambda float64
	cloudWatch                                    []float64 // of each tier
}

// numbers returns the numbers behind a pattern that ends before the first of them.
func numbers(t *testing.T, text, pattern string) (all []float64) {
	t.Helper()
	m := regexp.MustCompile(pattern + `((?:(?:, )?\$?[0-9]+(?:\.[0-9]+)?)+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("docs/cost.md has nothing that matches %q", pattern)
	}
	for _, n := range strings.Split(m[1], ", ") {
		f, err := strconv.ParseFloat(strings.TrimPrefix(n, "$"), 64)
		if err != nil {
			t.Fatalf("%q: %v", m[0], err)
		}
		all = append(all, f)
	}
	return all
}

func pricesOf(t *testing.T, page string) prices {
	t.Helper()
	one := func(pattern string) float64 { return numbers(t, page, pattern)[0] }
	return prices{
		streamHour: one(`on-demand stream, per hour \| `),
		in:         one(`rounded \*\*up to 1 KiB\*\* \| `),
		out:        one(`data out, for each consumer \| `),
		firehose:   one(`Firehose, each record rounded up to 5 KB \| `),
		metric:     one(`a custom metric of CloudWatch.* \| `),
		lambda:     one(`Lambda duration, x86_64, arm64 \| `),
		cloudWatch: numbers(t, page, `CloudWatch Logs of Lambda.* \| `),
	}
}

// logs returns what CloudWatch Logs costs for terabytes of lines in a month.
func (p prices) logs(tb float64) (dollars float64) {
	for i, tier := range []float64{10, 20, 20, math.Inf(1)} {
		part := min(tb, tier)
		dollars, tb = dollars+part*1000*p.cloudWatch[i], tb-part
	}
	return dollars
}

// bill is what a month costs.
type bill struct {
	bytes                       float64 // billed for an invocation
	gb, stream, in, out, holds  float64
	firehose, holdsOfOneGB, all float64
}

// bill computes the formula of the page, with one consumer.
func (p prices) bill(invocations, bytes, heldSeconds, firehoseBytes float64) bill {
	b := bill{bytes: bytes, gb: invocations * bytes / 1e9, stream: 730 * p.streamHour}
	b.in, b.out = b.gb*p.in, b.gb*p.out
	b.holdsOfOneGB = invocations * heldSeconds * p.lambda
	b.holds = b.holdsOfOneGB * 128 / 1024
	b.firehose = invocations * firehoseBytes / 1e9 * p.firehose
	b.all = b.stream + b.in + b.out + b.holds
	return b
}

// dollars formats an amount as the page does.
func dollars(amount float64, decimals int) string {
	text := strconv.FormatFloat(amount, 'f', decimals, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		rest = "." + rest
	}
	return "$" + whole + rest
}

func TestTheAmountsOfTheCostPageFollowFromItsPrices(t *testing.T) {
	page := read(t, "docs/cost.md")
	p := pricesOf(t, page)
	// The example: an event's packed bytes in a record of 500 events, and in a small one.
	packed := regexp.MustCompile(`\| packed bytes an event \| (\d+) B \| (\d+) B \|`).FindStringSubmatch(page)
	if packed == nil {
		t.Fatal("docs/cost.md has no row with the packed bytes of an event")
	}
	shared, _ := strconv.ParseFloat(packed[1], 64)
	small, _ := strconv.ParseFloat(packed[2], 64)
	const events, recordEvents = 14.0, 500.0
	roundedUp := func(bytes, unit float64) float64 { return math.Ceil(bytes/unit) * unit }
	busyBytes := roundedUp(shared*recordEvents, 1024) / recordEvents * events
	rareBytes := roundedUp(small*events, 1024)
	busy := func(n float64) bill {
		return p.bill(n, busyBytes, 0, roundedUp(shared*recordEvents, 5000)/recordEvents*events)
	}
	rare := func(n float64) bill { return p.bill(n, rareBytes, 0.05, roundedUp(small*events, 5000)) }
	metrics := float64(strings.Count(string(emf.Append(nil, time.Time{}, "orders", emf.Figures{
		Held: []time.Duration{0}, PutLatency: []time.Duration{0},
	})), `"Name":`))

	const example = 100e6
	b, r := busy(example), rare(example)
	lines := p.logs(example * 10 * 300 / 1e12)
	want := []string{
		fmt.Sprintf("| billed bytes an invocation | %s B (a record of %s B counts as %.0f KiB) | %s B (%s B, rounded up) |",
			dollars(b.bytes, 0)[1:], dollars(shared*recordEvents, 0)[1:], math.Ceil(shared*recordEvents/1024), dollars(r.bytes, 0)[1:], dollars(small*events, 0)[1:]),
		fmt.Sprintf("| data | %.0f GB | %.0f GB |", b.gb, r.gb),
		fmt.Sprintf("| the stream, 730 hours | %s | %s |", dollars(b.stream, 2), dollars(r.stream, 2)),
		fmt.Sprintf("| data in | %s | %s |", dollars(b.in, 2), dollars(r.in, 2)),
		fmt.Sprintf("| data out, one consumer | %s | %s |", dollars(b.out, 2), dollars(r.out, 2)),
		fmt.Sprintf("| holds | $0 | %s |", dollars(r.holds, 2)),
		fmt.Sprintf("| **Kinetel, a month** | **%s** | **%s** |", dollars(b.all, 0), dollars(r.all, 0)),
		fmt.Sprintf("| the same 300 GB of lines in CloudWatch Logs | %s | %s |", dollars(lines, 0), dollars(lines, 0)),
		fmt.Sprintf("**between %s and %s**", dollars(b.all, 0), dollars(r.all, 0)),
		fmt.Sprintf("the holds of the right column cost %s.", dollars(r.holdsOfOneGB, 0)),
		fmt.Sprintf("**CloudWatch Logs goes on costing %s.**", dollars(lines, 0)),
		fmt.Sprintf("you pay both: %s in the left column, %s in the right one", dollars(b.all+lines, 0), dollars(r.all+lines, 0)),
		fmt.Sprintf("costs %s in the left column (records count as 40 KB) and %s in the right one", dollars(b.firehose, 2), dollars(r.firehose, 2)),
		fmt.Sprintf("on all 100 functions: %s metrics, %s. On five functions %s.",
			dollars(metrics*100, 0)[1:], dollars(metrics*100*p.metric, 0), dollars(metrics*5*p.metric, 0)),
	}
	for name, n := range map[string]float64{"10 million | 30 GB": 10e6, "100 million | 300 GB": 100e6, "1 billion | 3 TB": 1e9, "10 billion | 30 TB": 10e9} {
		want = append(want, fmt.Sprintf("| %s | %s | %s | %s |", name, dollars(p.logs(n*10*300/1e12), 0), dollars(busy(n).all, 0), dollars(rare(n).all, 0)))
	}
	// Below this number the price of the stream by the hour is more than what CloudWatch
	// costs more for the data.
	perInvocation := (rare(2).all - rare(1).all)
	even := rare(0).stream / (10*300/1e9*p.cloudWatch[0] - perInvocation)
	want = append(want, fmt.Sprintf("**Below about %.0f million such invocations**", math.Round(even/5e6)*5))
	for _, text := range want {
		if !strings.Contains(page, text) {
			t.Errorf("docs/cost.md does not say %q", text)
		}
	}
	// The README and ADR 13 repeat some of it.
	for path, text := range map[string]string{
		"README.md": fmt.Sprintf("below about %.0f million invocations of ten lines a month", math.Round(even/5e6)*5),
		"docs/adr/0013-why-an-extension.md": fmt.Sprintf("%s in CloudWatch Logs, and %s to %s with Kinetel",
			dollars(lines, 0), dollars(b.all, 0), dollars(r.all, 0)),
	} {
		if !strings.Contains(read(t, path), text) {
			t.Errorf("%s does not say %q", path, text)
		}
	}
}
