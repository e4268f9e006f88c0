package cost

import (
	"maps"
	"math"
	"slices"
)

// Measured is telemetry as it is billed: of one invocation on average, of a month, or of
// the time in which it was counted.
type Measured struct {
	Invocations float64
	Events      float64
	// LogBytes is what CloudWatch Logs has of it: the function's lines, and those that
	// Lambda writes for each invocation.
	LogBytes float64
	// HeldSeconds is how long Kinetel held invocations.
	HeldSeconds float64
	// Records is how many records have a size: data and partition key, in bytes.
	Records map[int]float64
}

// AddRecord counts a record.
func (m *Measured) AddRecord(size int) {
	if m.Records == nil {
		m.Records = map[int]float64{}
	}
	m.Records[size]++
}

// Times returns n times the telemetry: a month of what came in a part of it.
func (m Measured) Times(n float64) Measured { return Measured{}.plus(m, n) }

// plus returns m and n times more.
func (m Measured) plus(more Measured, n float64) Measured {
	m.Invocations += n * more.Invocations
	m.Events += n * more.Events
	m.LogBytes += n * more.LogBytes
	m.HeldSeconds += n * more.HeldSeconds
	records := maps.Clone(m.Records)
	if records == nil {
		records = map[int]float64{}
	}
	for size, count := range more.Records {
		records[size] += n * count
	}
	m.Records = records
	return m
}

// Mix returns the telemetry of invocations of which a share is busy: their records are
// full, and they are not held. The others have records of their own.
func Mix(rare, busy Measured, share float64) Measured {
	return rare.Times(1-share).plus(busy, share)
}

// sum adds up a figure of each record. The order is always the same, and with it the sum.
func (m Measured) sum(of func(size float64) float64) (all float64) {
	for _, size := range slices.Sorted(maps.Keys(m.Records)) {
		all += m.Records[size] * of(float64(size))
	}
	return all
}

// RecordCount returns how many records there are.
func (m Measured) RecordCount() float64 { return m.sum(func(float64) float64 { return 1 }) }

// Bytes returns the bytes of all records.
func (m Measured) Bytes() float64 { return m.sum(func(size float64) float64 { return size }) }

// roundedUp returns the bytes of all records, each rounded up to a multiple of unit.
func (m Measured) roundedUp(unit float64) float64 {
	return m.sum(func(size float64) float64 { return math.Ceil(size/unit) * unit })
}
