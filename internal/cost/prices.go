// Package cost computes what a month of Kinetel costs on each kind of Kinesis stream,
// and what the same lines cost in CloudWatch Logs.
package cost

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// BuiltIn is the file of the built-in prices: list prices, each with its source. Its date
// is that of the source or, if the source has none, the day on which it was read.
//
//go:embed prices.json
var BuiltIn []byte

// Prices are the prices of one region.
type Prices struct {
	Region   string           `json:"region"`
	Currency string           `json:"currency"`
	Prices   map[string]Price `json:"prices"`
}

// Price is the price of a unit: the same for each, or less for those above a number.
type Price struct {
	Unit   string   `json:"unit"`
	Price  *float64 `json:"price,omitempty"`
	Date   string   `json:"date"`
	Source string   `json:"source"`
	Tiers  []Tier   `json:"tiers,omitempty"`
}

// Tier is the price of the units of a month up to a number. The last tier has no end.
type Tier struct {
	UpTo  float64 `json:"upTo,omitempty"`
	Price float64 `json:"price"`
}

// ReadPrices reads a file of prices. It must have all names of the built-in file, no
// others, and prices that are in order.
func ReadPrices(text []byte) (Prices, error) {
	var p Prices
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&p); err != nil {
		return p, fmt.Errorf("not a file of prices: %w; `kinetel cost --show-prices` prints one", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("there is text after the prices: the file must be one JSON object")
	}
	var known Prices
	if err := json.Unmarshal(BuiltIn, &known); err != nil {
		return p, err
	}
	if p.Region == "" || p.Currency != known.Currency {
		return p, fmt.Errorf("region is %q and currency %q: name the region, and give prices in %s", p.Region, p.Currency, known.Currency)
	}
	for _, name := range slices.Sorted(maps.Keys(known.Prices)) {
		if _, ok := p.Prices[name]; !ok {
			return p, fmt.Errorf("there is no price %q (of a %s): add it; `kinetel cost --show-prices` prints all names", name, known.Prices[name].Unit)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Prices)) {
		if _, ok := known.Prices[name]; !ok {
			return p, fmt.Errorf("%q is not a price that is used: remove it, or correct the name to one of %s", name, strings.Join(slices.Sorted(maps.Keys(known.Prices)), ", "))
		}
		if err := p.Prices[name].check(); err != nil {
			return p, fmt.Errorf("price %q: %w", name, err)
		}
	}
	return p, nil
}

func (p Price) check() error {
	if (p.Price == nil) == (len(p.Tiers) == 0) {
		return errors.New(`it must have either "price" or "tiers"`)
	}
	for i, t := range p.tiers() {
		switch last := i == len(p.Tiers)-1 || p.Price != nil; {
		case t.Price < 0 || t.Price > 1e6:
			return fmt.Errorf("%v is not a price: write dollars for one %s", t.Price, p.Unit)
		case last && t.UpTo != 0:
			return errors.New(`the last tier must have no "upTo"`)
		case !last && t.UpTo <= p.before(i):
			return fmt.Errorf(`"upTo" is %v: each tier must end above the one before`, t.UpTo)
		}
	}
	return nil
}

func (p Price) tiers() []Tier {
	if p.Price != nil {
		return []Tier{{Price: *p.Price}}
	}
	return p.Tiers
}

// before returns where tier i begins.
func (p Price) before(i int) float64 {
	if i == 0 {
		return 0
	}
	return p.Tiers[i-1].UpTo
}

// of returns what units of a month cost.
func (p Price) of(units float64) (dollars float64) {
	for i, t := range p.tiers() {
		from, to := p.before(i), t.UpTo
		if to == 0 {
			to = math.Inf(1)
		}
		dollars += max(0, min(units, to)-from) * t.Price
	}
	return dollars
}

// of returns what units of a month cost by the price of this name.
func (p Prices) of(name string, units float64) (dollars float64) {
	price, ok := p.Prices[name]
	if !ok {
		panic("no price " + name) // ReadPrices has checked the names
	}
	return price.of(units)
}
