package spool_test

import (
	"testing"

	"github.com/kinetel/kinetel/internal/ledger"
)

// Dropping log lines makes losses whose ranges are within each other: lines 10 to
// 12 first, and later the events around them.
func TestNestedLossesAreAllKept(t *testing.T) {
	inner := ledger.Loss{First: 10, Last: 12, Count: 3, Bytes: 30, Reason: ledger.SpoolFull}
	outer := ledger.Loss{First: 8, Last: 14, Count: 3, Bytes: 60, Reason: ledger.SpoolFull}
	for name, number := range map[string]uint64{"by number": 1, "without a number": 0} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, 4<<20)
			o := env(mine)
			inner, outer := inner, outer
			inner.Number, outer.Number = number, 2*number
			r.Lost(o, inner)
			r.Lost(o, outer)
			want(t, r.recover(), "loss 8-14 3 spool-full", "loss 10-12 3 spool-full", "next 15")
		})
	}
}

// A ledger numbers its losses. The Number of a reported loss covers all losses up
// to it.
func TestRecordRemovesTheLossesUpToItsNumber(t *testing.T) {
	r := newFixture(t, 4<<20)
	o := env(mine)
	for n, loss := range []ledger.Loss{
		{First: 10, Last: 12, Count: 3, Bytes: 30, Reason: ledger.SpoolFull},
		{First: 8, Last: 14, Count: 3, Bytes: 60, Reason: ledger.SpoolFull},
		{First: 20, Last: 21, Count: 2, Bytes: 20, Reason: ledger.Rejected},
	} {
		loss.Number = uint64(n + 1)
		r.Lost(o, loss)
	}
	report := record(o, 30, 30, 10)
	report.Losses = []ledger.Loss{{First: 8, Last: 14, Count: 6, Bytes: 90, Reason: ledger.SpoolFull, Number: 2}}
	r.append(report)
	want(t, r.recover(), "record 30-30", "loss 20-21 2 rejected", "next 31")
}
