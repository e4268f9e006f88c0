package jsontext_test

import (
	"testing"

	"github.com/kinetel/kinetel/internal/jsontext"
)

var benchmarkText = []byte(`"2026-11-22T20:15:00.493Z\t8476a536-e9f4-11e8-9739-2dfe598c3059\tINFO\torder 7919 accepted for customer 19919: 3 items, total 31.07 EUR, reserved in warehouse 7 until midnight, payment pending\n"`)

func BenchmarkSkipString(b *testing.B) {
	b.SetBytes(int64(len(benchmarkText)))
	for b.Loop() {
		if _, err := jsontext.SkipString(benchmarkText, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidUnicode(b *testing.B) {
	b.SetBytes(int64(len(benchmarkText)))
	for b.Loop() {
		if !jsontext.ValidUnicode(benchmarkText) {
			b.Fatal("not valid")
		}
	}
}
