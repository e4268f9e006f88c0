package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLoadIsWhatLambdaPosts(t *testing.T) {
	load := newLoad(2)
	lines := map[string]bool{}
	texts := 0
	for _, body := range load {
		if len(body) != bodyBytes || len(body) > 256<<10 {
			t.Errorf("a body of %d bytes, want %d", len(body), bodyBytes)
		}
		var events []json.RawMessage
		if err := json.Unmarshal(body, &events); err != nil {
			t.Fatal(err)
		}
		if len(events) != bodyEvents {
			t.Errorf("%d events, want %d", len(events), bodyEvents)
		}
		for _, raw := range events {
			var e struct{ Time, Type, Record string }
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			if len(raw) != eventBytes || e.Type != "function" || !strings.Contains(e.Record, requestID) || !strings.HasSuffix(e.Record, "\n") || lines[e.Record] {
				t.Fatalf("event of %d bytes: %s", len(raw), raw)
			}
			lines[e.Record] = true
			if !json.Valid([]byte(e.Record)) {
				texts++
			}
		}
	}
	if texts != bodyEvents {
		t.Errorf("%d lines are text, want half of all", texts)
	}
}

func TestBenchmarkIsParsed(t *testing.T) {
	const printed = "goos: linux\nBenchmarkTelemetry/text-none-2   10  1 ns/op\nBenchmarkTelemetry/text-2   142  8000 ns/op  131.07 MB/s  3800 events/op  5244 B/op  19 allocs/op\nPASS\n"
	got, err := benchmark(printed, "BenchmarkTelemetry/text")
	if err != nil || got["MB/s"] != 131.07 || got["events/op"] != 3800 || got["allocs/op"] != 19 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := benchmark(printed, "BenchmarkOther"); err != nil || got != nil {
		t.Errorf("a benchmark that is not there: %v, %v", got, err)
	}
	if _, err := benchmark("BenchmarkTelemetry/text-2 142 x ns/op", "BenchmarkTelemetry/text"); err == nil {
		t.Error("x is a number")
	}
	var b bench
	if err := b.addTelemetry(own, printed); err != nil || b.find("go.allocations").Values[own][0] != 0.005 || b.find("go.telemetry").Values[own][0] != 131.07 {
		t.Errorf("%v: %+v", err, b.Series)
	}
}
