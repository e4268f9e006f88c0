package formats_test

import (
	"testing"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/kpl"
)

func TestAnAggregateIsKnownByItsFirstBytes(t *testing.T) {
	for data, want := range map[string]bool{
		"": false, "\xf3\x89\x9a": false, "\xf3\x89\x9a\xc2": true, "\xf3\x89\x9a\xc2more": true, "\xf3\x89\x9a\xc3more": false, "x\xf3\x89\x9a\xc2": false,
	} {
		if f, ok := formats.Of([]byte(data)); ok != want || want && f.Name != kpl.Name {
			t.Errorf("%q is of the format %q, %t", data, f.Name, ok)
		}
	}
}

func TestEachFormatKnowsItsPayloads(t *testing.T) {
	names := map[format.Name]bool{}
	for _, f := range formats.All() {
		if names[f.Name] || formats.Named(f.Name).Name != f.Name {
			t.Errorf("the name %s stands for another format", f.Name)
		}
		names[f.Name] = true
		if f.MaxLines >= format.MaxRecord || len(f.Compressions) == 0 || len(f.Compressions) == 1 && f.Why == "" {
			t.Errorf("%s allows %d bytes of lines, and %v because %q", f.Name, f.MaxLines, f.Compressions, f.Why)
		}
		for _, kind := range []string{event.TypeFunction, event.TypeSpan} {
			l := formattest.Line(t, 17, `"type":"`+kind+`","body":{}`)
			payload := l.Text
			if f.Append != nil {
				payload = f.Append(nil, formattest.Environment(false), "key", []format.Line{l})
			}
			of, ok := formats.Of(payload)
			if !ok || of.Start != f.Start || of.HasKey != f.HasKey {
				t.Errorf("the payload of %s is of the format %q: %q", f.Name, of.Name, payload)
			}
			var seqs []uint64
			rest, err := f.Filter(payload, func(seq uint64, _ bool, _ int) bool { seqs = append(seqs, seq); return true })
			if err != nil || string(rest) != string(payload) || len(seqs) != 1 || seqs[0] != 17 {
				t.Errorf("%s: of %q, the events %v remain, %v: %q", f.Name, payload, seqs, err, rest)
			}
		}
	}
	if f := formats.Named("another"); f.Name != formats.All()[0].Name {
		t.Errorf("the default is %s", f.Name)
	}
}
