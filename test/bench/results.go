package main

import (
	"math"
	"slices"
	"time"
)

// The programs that are measured, side by side.
const (
	floor = iota
	own
)

// results are the raw values of all measurements.
type results struct {
	Date     time.Time `json:"date"`
	Commit   string    `json:"commit"`
	Machine  machine   `json:"machine"`
	Flags    string    `json:"flags,omitempty"`    // that change what is measured
	Programs [2]string `json:"programs"`           // names
	Revision string    `json:"revision,omitempty"` // of the floor, if it is another one of Kinetel
	Share    string    `json:"share,omitempty"`    // how the share of a processor was limited
	Series   []*series `json:"series"`
}

type machine struct {
	Cores     int    `json:"cores"`
	Processor string `json:"processor"`
	System    string `json:"system"` // such as linux/amd64
	Go        string `json:"go"`
	Load      string `json:"load,omitempty"` // of a minute, before the measurements
}

// series are the values of a figure, of the runs in their order: those at the same index
// are a pair. A floor without values does not have the figure.
type series struct {
	Figure string       `json:"figure"`
	Unit   string       `json:"unit"`
	Values [2][]float64 `json:"values"` // by program
}

// add adds values to a figure, with four digits after the point.
func (r *results) add(program int, figure, unit string, values ...float64) {
	of := r.find(figure)
	if of == nil {
		of = &series{Figure: figure, Unit: unit}
		r.Series = append(r.Series, of)
	}
	for _, v := range values {
		of.Values[program] = append(of.Values[program], math.Round(v*1e4)/1e4)
	}
}

// find returns a figure, or nil.
func (r *results) find(figure string) *series {
	for _, one := range r.Series {
		if one.Figure == figure {
			return one
		}
	}
	return nil
}

// value returns the middle of a program's values, of which there is at least one. For lost
// events it is the most, because one run that loses some is enough.
func (s *series) value(program int) float64 {
	if s.Unit == events {
		return slices.Max(s.Values[program])
	}
	return median(s.Values[program])
}

// events is the unit of events that are lost.
const events = "events"

// ratio returns the middle of the ratios pair by pair, which a machine whose speed changes
// from one second to the next disturbs least. It is false if there are no pairs.
func (s *series) ratio() (float64, bool) {
	var ratios []float64
	for i := range min(len(s.Values[floor]), len(s.Values[own])) {
		if s.Values[floor][i] == 0 {
			return 0, false
		}
		ratios = append(ratios, s.Values[own][i]/s.Values[floor][i])
	}
	if len(ratios) == 0 {
		return 0, false
	}
	return median(ratios), true
}

// median returns the middle of values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
