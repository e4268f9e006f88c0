package lambdasim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		raw := appendString(nil, text, false)
		if bytes.Contains(raw, []byte(`\u003c`)) {
			t.Error("HTML is escaped")
		}
		if utf8.Valid(text) {
			var got string
			if err := json.Unmarshal(raw, &got); err != nil || got != string(text) {
				t.Errorf("%q became %s: %v", text, raw, err)
			}
		}
		var got string
		replaced := appendString(nil, text, true)
		if err := json.Unmarshal(replaced, &got); err != nil || !utf8.Valid(replaced) || got != string([]rune(string(text))) {
			t.Errorf("%q became %s: %v", text, replaced, err)
		}
	})
}

// TestTakeReturnsBatchesWithinTheLimits checks that batches are within their limits, and that what was cut
// can be joined, whatever the events are.
func TestTakeReturnsBatchesWithinTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sub := &subscriber{
			subscription: subscription{maxItems: rapid.IntRange(1, 20).Draw(t, "items"), maxBytes: rapid.IntRange(120, 400).Draw(t, "bytes")},
			backlog:      1 << 30, wake: make(chan struct{}, 1),
		}
		var want [][]byte
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			raw := appendEnvelope(nil, "2026-11-22T20:15:00.123Z", "function")
			e := &emission{envelope: len(raw)}
			text := rapid.StringN(0, -1, rapid.SampledFrom([]int{5, 100, 2000}).Draw(t, "size")).Draw(t, "text")
			raw = append(appendString(raw, []byte(text), false), '}')
			e.raw = [schemas][]byte{raw, raw, raw}
			sub.enqueue(e, true)
			want = append(want, raw)
		}
		var got [][]byte
		var open []byte
		total := 0
		for len(sub.queue) > 0 {
			body, taken, _ := sub.take(nil, nil)
			events := len(taken)
			total += events
			if len(body) > sub.maxBytes || events > sub.maxItems {
				t.Fatalf("a batch of %d bytes and %d events", len(body), events)
			}
			if open != nil {
				at := bytes.LastIndex(open, []byte(`{"time":"2026-11-22T20:15:00.123Z","type":"function","record":`))
				envelope := len(`{"time":"2026-11-22T20:15:00.123Z","type":"function","record":`)
				if !bytes.Equal(body[1:1+envelope], open[at:at+envelope]) {
					t.Fatalf("continued with %s", body)
				}
				body = append(open, body[1+envelope:]...)
				open = nil
			}
			var batch []json.RawMessage
			if json.Unmarshal(body, &batch) != nil {
				open = bytes.Clone(bytes.TrimSuffix(body, []byte("}]")))
				continue
			}
			for _, raw := range batch {
				got = append(got, raw)
			}
		}
		if open != nil || total != len(want) || len(got) != len(want) {
			t.Fatalf("%d events came out as %d (%d counted)", len(want), len(got), total)
		}
		for i := range want {
			if !bytes.Equal(want[i], got[i]) {
				t.Fatalf("event %d: %s became %s", i, want[i], got[i])
			}
		}
	})
}

func TestPipeLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got []byte
		p := &pipe{emit: func(_ ProcessKind, block []byte) {
			if block[len(block)-1] != '\n' {
				t.Error("a block does not end with a newline")
			}
			got = append(got, block...)
		}}
		var want []byte
		for range rapid.IntRange(0, 20).Draw(t, "chunks") {
			chunk := []byte(rapid.StringMatching(`[ab\n]{0,12}`).Draw(t, "chunk"))
			want = append(want, chunk...)
			p.consume(chunk)
		}
		if string(got)+string(p.carry) != string(want) || bytes.IndexByte(p.carry, '\n') >= 0 {
			t.Errorf("%q became %q and %q", want, got, p.carry)
		}
	})
}

// TestReplayIsBounded checks that what a function writes during Init is kept for
// later subscribers up to the backlog's bound, and that the rest is reported to them.
func TestReplayIsBounded(t *testing.T) {
	cfg := &Config{TelemetryBacklogBytes: 2000, KeepEvents: true}
	r := &relay{cfg: cfg}
	r.begin()
	r.output(KindFunction, bytes.Repeat([]byte("a line of Init\n"), 100))
	sub := &subscriber{
		subscription: subscription{streams: streamPlatform | streamFunction, maxItems: 1000, maxBytes: 262144, timeout: time.Hour},
		name:         "ext", backlog: cfg.TelemetryBacklogBytes, wake: make(chan struct{}, 1), client: &http.Client{}, notice: func(Notice) {},
	}
	if err := r.subscribe(sub); err != nil {
		t.Fatal(err)
	}
	r.reportAllDropped()
	for _, s := range r.end() {
		s.stop()
	}
	var report ProcessReport
	sub.stats(&report)
	if report.DroppedEvents == 0 || report.DroppedEvents+report.UndeliveredEvents != 101 {
		t.Errorf("report: %+v", report)
	}
	last := r.events()[100]
	if last.Type != typeLogsDropped || last.Only != "ext" || !strings.Contains(string(last.Record), `"droppedRecords":`+strconv.Itoa(report.DroppedEvents)) {
		t.Errorf("last event: %s", last.Raw)
	}
	if err := r.subscribe(sub); err == nil {
		t.Error("a subscription was taken after the end")
	}
}

func TestDefaultsOfTheModes(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		mode          InitializationType
		timeout       time.Duration
		init, runtime time.Duration
		memory        int
		format        LogFormat
		concurrency   int
		schemas       int
		wantMode      InitializationType
	}{
		{"", 0, 10 * time.Second, 300 * time.Millisecond, 128, LogText, 0, 3, InitOnDemand},
		{InitOnDemand, 15 * time.Minute, 10 * time.Second, 300 * time.Millisecond, 128, LogText, 0, 3, InitOnDemand},
		{InitProvisionedConcurrency, 0, 130 * time.Second, 300 * time.Millisecond, 128, LogText, 0, 3, InitProvisionedConcurrency},
		{InitSnapStart, 10 * time.Minute, 10 * time.Minute, 300 * time.Millisecond, 128, LogText, 0, 3, InitSnapStart},
		{InitManagedInstances, 15 * time.Minute, 15 * time.Minute, 600 * time.Millisecond, 2048, LogJSON, 10, 1, InitManagedInstances},
	} {
		cfg, err := Config{InitializationType: test.mode, Timeout: test.timeout, Function: Process{Path: path}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if cfg.InitializationType != test.wantMode || cfg.InitTimeout != test.init || cfg.RuntimeShutdownTimeout != test.runtime ||
			cfg.ShutdownTimeout != 2*time.Second || cfg.MemoryMB != test.memory || cfg.LogFormat != test.format ||
			cfg.MaxConcurrency != test.concurrency || len(cfg.AcceptSchemas) != test.schemas {
			t.Errorf("%q became %+v", test.mode, cfg)
		}
	}
}

// After its end a stream gets nothing more.
func TestClosedStream(t *testing.T) {
	var got bytes.Buffer
	stream := &responseStream{to: &got}
	if n, err := stream.Write([]byte("before")); n != 6 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	stream.close()
	if _, err := stream.Write([]byte("after")); err != errStreamClosed || got.String() != "before" {
		t.Errorf("error %v, got %q", err, got.String())
	}
	(*responseStream)(nil).close()
}
