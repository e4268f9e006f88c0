package docs

import (
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/cost"
	"github.com/kinetel/kinetel/internal/format"
)

const costPage = "docs/cost.md"

var update = flag.Bool("update", false, "write what `kinetel cost` prints into "+costPage)

// The commands in the page are run, and must print what the page shows.
func TestTheTablesOfTheCostPageAreWhatTheCommandPrints(t *testing.T) {
	kinetel := filepath.Join(build(t, "./cmd/kinetel"), "kinetel")
	page := read(t, costPage)
	runs := 0
	for _, b := range blocks(page) {
		if b.comment != "cost" {
			continue
		}
		command, shown, _ := strings.Cut(b.text, "\n")
		args, ok := strings.CutPrefix(command, "$ kinetel ")
		if runs++; !ok {
			t.Fatalf("%q is not `$ kinetel …`", command)
		}
		out, err := exec.Command(kinetel, strings.Fields(args)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		printed := string(out)
		if *update {
			page = strings.Replace(page, b.text, command+"\n"+printed, 1)
		} else if shown != printed {
			t.Errorf("%s prints\n%s\nand %s shows\n%s\n`go test ./test/docs -run Cost -update` corrects it", command, printed, costPage, shown)
		}
	}
	if runs == 0 {
		t.Errorf("%s has no table of kinetel cost", costPage)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, costPage), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// dollars formats an amount as the pages do.
func dollars(amount float64) string {
	text := strconv.FormatFloat(amount, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return "$" + text
}

// The page's other amounts, and those of the README and of ADR 13, are what package cost
// computes.
func TestTheAmountsOfThePagesFollowFromThePrices(t *testing.T) {
	prices, err := cost.ReadPrices(cost.BuiltIn)
	if err != nil {
		t.Fatal(err)
	}
	terms := cost.Terms{Prices: prices, MemoryMB: 128, Arch: "x86_64", Consumers: 1, RetentionDays: 1, Peak: 2}
	encoding := cost.Encoding{Format: "ndjson", Compression: format.Gzip}
	busy := cost.Pack(cost.NewSample(10, 300, nil), encoding, true)
	rare := cost.Pack(cost.NewSample(10, 300, nil), encoding, false)
	rare.HeldSeconds = 0.05
	onDemand := func(m cost.Measured, n float64) string { return dollars(terms.OnDemand(m.Times(n)).Total) }
	logs := func(n float64) string {
		standard, _ := terms.Logs(rare.Times(n))
		return dollars(standard)
	}
	const example = 100e6
	perGB := terms
	perGB.MemoryMB = 1024
	busyEven, _ := terms.BreakEven(busy)
	rareEven, _ := terms.BreakEven(rare)
	below := fmt.Sprintf("elow about %.0f to %.0f million", math.Round(min(busyEven, rareEven)/5e6)*5, math.Round(max(busyEven, rareEven)/5e6)*5)
	want := map[string][]string{
		costPage: {
			fmt.Sprintf("With `--busy 1` the default format costs %s.", onDemand(busy, example)),
			fmt.Sprintf("**between %s and %s**", onDemand(busy, example), onDemand(rare, example)),
			fmt.Sprintf("With 1 GB they cost %s.", dollars(perGB.OnDemand(rare.Times(example)).Holds)),
			fmt.Sprintf("**CloudWatch Logs goes on costing %s**", logs(example)),
			below,
		},
		"README.md": {below + " invocations of ten lines a month"},
		"docs/adr/0013-why-an-extension.md": {
			fmt.Sprintf("%s in CloudWatch Logs, and %s to %s with Kinetel", logs(example), onDemand(busy, example), onDemand(rare, example)),
			below,
		},
	}
	for _, size := range []struct {
		name string
		n    float64
	}{{"10 million", 10e6}, {"100 million", 100e6}, {"1 billion", 1e9}, {"10 billion", 10e9}} {
		want[costPage] = append(want[costPage], fmt.Sprintf("| %s | %s | %s | %s |", size.name, logs(size.n), onDemand(busy, size.n), onDemand(rare, size.n)))
	}
	for page, texts := range want {
		for _, text := range texts {
			if !strings.Contains(read(t, page), text) {
				t.Errorf("%s does not say %q", page, text)
			}
		}
	}
}

// The table of prices in the page has those of the file.
func TestTheCostPageHasThePricesOfTheFile(t *testing.T) {
	prices, err := cost.ReadPrices(cost.BuiltIn)
	if err != nil {
		t.Fatal(err)
	}
	page, _, _ := strings.Cut(read(t, costPage), "## The formula")
	var shown, inFile []float64
	for _, m := range regexp.MustCompile(`\$([0-9]+(?:\.[0-9]+)?)`).FindAllStringSubmatch(page, -1) {
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if f != 100 { // a day of Advantage
			shown = append(shown, f)
		}
	}
	for name, price := range prices.Prices {
		if price.Price != nil {
			price.Tiers = []cost.Tier{{Price: *price.Price}}
		}
		for _, tier := range price.Tiers {
			p := tier.Price
			if name == "kinesis.provisioned.payloadUnit" {
				p = math.Round(p*1e6*1e6) / 1e6 // for a million
			}
			inFile = append(inFile, p)
			if !slices.Contains(shown, p) && name != "cloudwatch.metric" {
				t.Errorf("%s does not have the price $%v of %s", costPage, p, name)
			}
		}
	}
	for _, p := range shown {
		if !slices.Contains(inFile, p) {
			t.Errorf("%s has the price $%v, which the file has not", costPage, p)
		}
	}
}
