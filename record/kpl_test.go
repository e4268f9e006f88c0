package record_test

import (
	"crypto/md5"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/record"
)

// aggregated returns an aggregate of lines.
func aggregated(text ...string) string {
	var lines []format.Line
	for _, one := range text {
		lines = append(lines, format.Line{Text: []byte(one)})
	}
	return string(kpl.Append(nil, nil, "e1", lines))
}

func TestDecodeReadsAggregates(t *testing.T) {
	second := anEvent()
	second.Seq = 18
	got, err := record.Decode([]byte(aggregated(aLine, strings.Replace(aLine, "17", "18", 1))))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]record.Event{anEvent(), second}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Deaggregation, as Firehose does it, gives lines without line feeds.
func TestDecodeReadsAUserRecord(t *testing.T) {
	for name, compress := range compressions {
		t.Run(name, func(t *testing.T) {
			got, err := record.Decode([]byte(compress(t, strings.TrimSuffix(aLine, "\n"))))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]record.Event{anEvent()}, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefusesOtherAggregates(t *testing.T) {
	good := aggregated(aLine)
	if _, err := record.Decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	ofMessage := func(message string) string {
		sum := md5.Sum([]byte(message))
		return "\xf3\x89\x9a\xc2" + message + string(sum[:])
	}
	for _, tt := range []struct {
		name, data string
		events     int // that were read before
		message    string
	}{
		{"no user records", aggregated(), 0, "without what Kinetel always writes"},
		{"only its beginning", "\xf3\x89\x9a\xc2", 0, "aggregate"},
		{"another digest", good[:len(good)-1] + "x", 0, "aggregate"},
		{"a digest that is cut", good[:len(good)-1], 0, "aggregate"},
		{"two behind each other", good + good, 0, "aggregate"},
		{"a line behind it", good + aLine, 0, "aggregate"},
		{"a user record that is empty", aggregated(aLine, "\n"), 1, "user record 2: "},
		{"a user record that is text", aggregated("hello"), 0, "user record 1: "},
		{"a user record of another schema", aggregated(aLine, aLine, strings.Replace(aLine, "kinetel/1", "kinetel/2", 1)), 2, "user record 3: "},
		{"a user record of two lines", aggregated(aLine + aLine), 0, "user record 1: "},
		{"a user record of another key", ofMessage("\x0a\x01k\x0a\x01l\x1a\x06\x08\x01\x1a\x02{}"), 0, "aggregate"},
		{"an aggregate in gzip", zip(t, good), 0, "line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := record.Decode([]byte(tt.data))
			if !errors.Is(err, record.ErrNotRecord) || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("Decode returned %v", err)
			}
			if len(events) != tt.events {
				t.Errorf("%d events, want %d", len(events), tt.events)
			}
		})
	}
}
