package cost

import (
	"strings"
	"testing"
	"time"
)

func TestEachBuiltInPriceHasASource(t *testing.T) {
	p, err := ReadPrices(BuiltIn)
	if err != nil {
		t.Fatal(err)
	}
	for name, price := range p.Prices {
		date, err := time.Parse(time.DateOnly, price.Date)
		if err != nil || date.Year() < 2023 || !strings.HasPrefix(price.Source, "https://") || price.Unit == "" {
			t.Errorf("%s: unit %q, date %q, source %q", name, price.Unit, price.Date, price.Source)
		}
	}
}

// Every name that a bill uses is in the file, and the file has no other.
func TestEachPriceIsUsed(t *testing.T) {
	m := Measured{Invocations: 1, LogBytes: 1e15, HeldSeconds: 1e9, Records: map[int]float64{30_000: 1e12}}
	all := func(tm Terms) (sum float64) {
		for _, tm.Arch = range []string{"x86_64", "arm64"} {
			standard, infrequent := tm.Logs(m)
			sum += tm.OnDemand(m).Total + tm.Advantage(m).Total + tm.Provisioned(m).Total + tm.Firehose(m) + standard + infrequent + tm.Metrics(1)
		}
		return sum
	}
	tm := terms(t)
	tm.FanOut, tm.RetentionDays = 1, 30
	before := all(tm)
	for name, price := range tm.Prices.Prices {
		million := 1e6
		tm.Prices.Prices[name] = Price{Price: &million}
		if all(tm) <= before {
			t.Errorf("no bill uses the price %s", name)
		}
		tm.Prices.Prices[name] = price
	}
}

func TestFilesOfPricesThatAreWrong(t *testing.T) {
	edit := func(from, to string) string {
		if !strings.Contains(string(BuiltIn), from) {
			t.Fatalf("the built-in file has no %q", from)
		}
		return strings.Replace(string(BuiltIn), from, to, 1)
	}
	for _, test := range []struct{ name, file, err string }{
		{"no JSON", "0.08", "not a file of prices"},
		{"empty", "", "not a file of prices"},
		{"another member", edit(`"region"`, `"regoin"`), `unknown field "regoin"`},
		{"text after it", string(BuiltIn) + "{}", "text after the prices"},
		{"no region", edit(`"us-east-1"`, `""`), "name the region"},
		{"another currency", edit(`"USD"`, `"EUR"`), "give prices in USD"},
		{"an unknown name", edit(`"prices": {`, `"prices": {"kinesis.in": {"price": 1},`), `"kinesis.in" is not a price that is used`},
		{"a missing name", edit(`"firehose.in"`, `"firehose.in2"`), `there is no price "firehose.in" (of a GB)`},
		{"neither price nor tiers", edit(`"price": 0.029,`, ``), `"firehose.in": it must have either`},
		{"both", edit(`"price": 0.029,`, `"price": 1, "tiers": [{"price": 1}],`), `"firehose.in": it must have either`},
		{"negative", edit(`"price": 0.029,`, `"price": -0.029,`), "-0.029 is not a price"},
		{"text", edit(`"price": 0.029,`, `"price": "0.029",`), "not a file of prices"},
		{"the last tier ends", edit(`"price": 0.029,`, `"tiers": [{"price": 1, "upTo": 5}],`), "the last tier"},
		{"tiers out of order", edit(`"upTo": 30720`, `"upTo": 1`), `"upTo" is 1`},
		{"a tier without an end", edit(`"upTo": 30720, `, ``), `"upTo" is 0`},
	} {
		if _, err := ReadPrices([]byte(test.file)); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.err)
		}
	}
}
