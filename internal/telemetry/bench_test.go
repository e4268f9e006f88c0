package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/event"
)

// ordinaryBody is a POST of 1,000 lines of some 270 B each.
func ordinaryBody() []byte {
	var body bytes.Buffer
	body.WriteByte('[')
	for i := range 1000 {
		if i > 0 {
			body.WriteByte(',')
		}
		at := fmt.Sprintf("2026-11-22T20:15:%02d.%03dZ", i/500, i%1000)
		fmt.Fprintf(&body, `{"time":"%s","type":"function","record":"%s\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\torder %d accepted for customer %x: %d items, total %d.%02d EUR, reserved in warehouse %d until midnight, payment pending\n"}`,
			at, at, i*7919, i*104729, i%9, i*31, i%100, i%13)
	}
	body.WriteByte(']')
	return body.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	body := ordinaryBody()
	events := 0
	d := NewDecoder(func(*event.Event) { events++ }, nil)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		d.Decode(body, time.Time{})
	}
}

// BenchmarkDecodeByEncodingJSON is what the standard library needs for the
// same.
func BenchmarkDecodeByEncodingJSON(b *testing.B) {
	body := ordinaryBody()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var events []struct {
			Time, Type string
			Record     json.RawMessage
		}
		if err := json.Unmarshal(body, &events); err != nil {
			b.Fatal(err)
		}
	}
}
