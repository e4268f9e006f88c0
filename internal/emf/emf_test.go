package emf_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/emf"
	"github.com/kinetel/kinetel/internal/selflog"
)

var (
	at    = time.Date(2026, 11, 24, 10, 0, 0, 123_456_789, time.UTC)
	usual = emf.Figures{
		Shipped: 1234, Lost: 5, Retried: 6, BytesShipped: 789_012,
		HeldMs:       emf.Distribution{Count: 10, P50: 26.2, P99: 31.05, Max: 40},
		PutLatencyMs: emf.Distribution{Count: 3, P50: 7.5, P99: 12, Max: 12.25},
		BufferBytes:  4096, BufferUse: 0.5, SpooledBytes: 65536,
	}
)

// The names and units are what alarms and dashboards rely on.
func TestTheLineIsEmbeddedMetricFormat(t *testing.T) {
	const want = `{"_aws":{"Timestamp":1795514400123,"CloudWatchMetrics":[{"Namespace":"Kinetel","Dimensions":[["FunctionName"]],"Metrics":[` +
		`{"Name":"EventsShipped","Unit":"Count"},{"Name":"EventsLost","Unit":"Count"},{"Name":"RecordsRetried","Unit":"Count"},{"Name":"BytesShipped","Unit":"Bytes"},` +
		`{"Name":"HeldP50","Unit":"Milliseconds"},{"Name":"HeldP99","Unit":"Milliseconds"},{"Name":"HeldMax","Unit":"Milliseconds"},` +
		`{"Name":"PutLatencyP50","Unit":"Milliseconds"},{"Name":"PutLatencyP99","Unit":"Milliseconds"},{"Name":"PutLatencyMax","Unit":"Milliseconds"},` +
		`{"Name":"BufferUse","Unit":"Percent"},{"Name":"SpooledBytes","Unit":"Bytes"}]}]},"logger":"kinetel","FunctionName":"orders",` +
		`"EventsShipped":1234,"EventsLost":5,"RecordsRetried":6,"BytesShipped":789012,"HeldP50":26.2,"HeldP99":31.05,"HeldMax":40,` +
		`"PutLatencyP50":7.5,"PutLatencyP99":12,"PutLatencyMax":12.25,"BufferUse":0.5,"SpooledBytes":65536,"BufferBytes":4096}` + "\n"
	if got := string(emf.Append(nil, at, "orders", usual)); got != want {
		t.Errorf("line\n%swant\n%s", got, want)
	}
	if got := string(emf.Append([]byte("before\n"), at, "orders", usual)); got != "before\n"+want {
		t.Errorf("appended to what there was:\n%s", got)
	}
}

// Nothing happened is no latency of nothing.
func TestAnEmptyDistributionIsOmitted(t *testing.T) {
	f := usual
	f.HeldMs, f.PutLatencyMs = emf.Distribution{}, emf.Distribution{P50: 1}
	line := string(emf.Append(nil, at, "orders", f))
	check(t, line, 6)
	for _, name := range []string{"Held", "PutLatency"} {
		if strings.Contains(line, name) {
			t.Errorf("line %s contains %s", line, name)
		}
	}
}

// Only where there is something to see, since each metric has its price.
func TestReplacedSettingsAreAMetric(t *testing.T) {
	f := usual
	f.SettingsReplaced = 2
	line := string(emf.Append(nil, at, "orders", f))
	if members := check(t, line, 13); members["SettingsReplaced"] != 2. || !strings.Contains(line, `{"Name":"SettingsReplaced","Unit":"Count"}`) {
		t.Errorf("line %s has not 2 SettingsReplaced", line)
	}
}

// metric is a definition of the specification.
type metric struct {
	Name, Unit        string
	StorageResolution int
}

// check holds a line against the specification's rules and returns its members.
func check(t interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}, line string, metrics int,
) map[string]any {
	t.Helper()
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || len(line) >= 256<<10 {
		t.Fatalf("%d bytes are not one line of less than 256 KiB", len(line))
	}
	var meta struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []metric
			}
		} `json:"_aws"`
	}
	dec := json.NewDecoder(strings.NewReader(line))
	if err := dec.Decode(&meta); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	members := map[string]any{}
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	if meta.AWS.Timestamp <= 0 || meta.AWS.Timestamp > 1e14 || len(meta.AWS.CloudWatchMetrics) != 1 {
		t.Fatalf("line %q: timestamp %d and %d directives", line, meta.AWS.Timestamp, len(meta.AWS.CloudWatchMetrics))
	}
	directive := meta.AWS.CloudWatchMetrics[0]
	if directive.Namespace != "Kinetel" || len(directive.Dimensions) != 1 || len(directive.Dimensions[0]) > 30 {
		t.Errorf("namespace %q, dimensions %q", directive.Namespace, directive.Dimensions)
	}
	for _, name := range directive.Dimensions[0] {
		value, ok := members[name].(string)
		if !ok || value == "" || len(value) > 1024 || strings.TrimSpace(value) == "" {
			t.Errorf("dimension %s has the value %q, want 1 to 1024 characters", name, members[name])
		}
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				t.Errorf("dimension %s has the value %q, want ASCII without control characters", name, value)
				break
			}
		}
	}
	if len(directive.Metrics) != metrics || metrics > 100 {
		t.Errorf("%d metrics, want %d", len(directive.Metrics), metrics)
	}
	units := map[string]bool{"Count": true, "Bytes": true, "Milliseconds": true, "Percent": true}
	seen := map[string]bool{}
	for _, m := range directive.Metrics {
		value, ok := members[m.Name].(float64)
		if !ok || math.IsInf(value, 0) || math.IsNaN(value) || math.Abs(value) > math.Pow(2, 360) {
			t.Errorf("metric %s has the value %v, want a number in CloudWatch's range", m.Name, members[m.Name])
		}
		if seen[m.Name] || !units[m.Unit] || m.StorageResolution != 0 {
			t.Errorf("metric %+v stands twice or has another unit", m)
		}
		seen[m.Name] = true
	}
	if members["logger"] != "kinetel" {
		t.Errorf("logger is %v", members["logger"])
	}
	return members
}

func TestEveryLineFollowsTheSpecification(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		finite := rapid.Float64Range(0, 1e12)
		distribution := rapid.Custom(func(rt *rapid.T) emf.Distribution {
			return emf.Distribution{Count: rapid.Int64Range(1, 9).Draw(rt, "n"), P50: finite.Draw(rt, "p50"), P99: finite.Draw(rt, "p99"), Max: finite.Draw(rt, "max")}
		})
		number := rapid.Int64Range(0, math.MaxInt64/2)
		f := emf.Figures{
			Shipped: number.Draw(rt, "shipped"), Lost: number.Draw(rt, "lost"), Retried: number.Draw(rt, "retried"), BytesShipped: number.Draw(rt, "bytes"),
			HeldMs: distribution.Draw(rt, "held"), PutLatencyMs: distribution.Draw(rt, "latency"),
			BufferBytes: number.Draw(rt, "buffer"), BufferUse: finite.Draw(rt, "use"), SpooledBytes: number.Draw(rt, "spooled"),
		}
		name := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 2000), func(b []byte) string { return string(b) })).Draw(rt, "function")
		line := emf.Append(nil, at, name, f)
		members := check(rt, string(line), 12)
		for name, want := range map[string]float64{
			"EventsShipped": float64(f.Shipped), "BytesShipped": float64(f.BytesShipped), "HeldP99": f.HeldMs.P99,
			"PutLatencyMax": f.PutLatencyMs.Max, "BufferUse": f.BufferUse, "BufferBytes": float64(f.BufferBytes),
		} {
			if members[name] != want {
				rt.Errorf("%s is %v, want %v", name, members[name], want)
			}
		}
		text, err := json.Marshal(string(line))
		if err != nil {
			rt.Fatal(err)
		}
		if !selflog.Own(line) || !selflog.Own(text) {
			rt.Errorf("the extension does not recognize its own line %s", line)
		}
	})
}

func TestTheLineHasTheFunctionsName(t *testing.T) {
	for name, want := range map[string]any{
		"orders-2_b":              "orders-2_b",
		`a"b\c`:                   `a"b\c`,
		"a\nb\x00c\x7fd":          "a?b?c?d",
		"é":                       "?",
		"\xff":                    "?",
		" a ":                     "a",
		strings.Repeat("x", 1025): strings.Repeat("x", 1024),
		"":                        nil,
		"   ":                     nil,
	} {
		line := string(emf.Append(nil, at, name, usual))
		if got := check(t, line, 12)["FunctionName"]; got != want {
			t.Errorf("%.20q is written as %.20q, want %.20q", name, got, want)
		}
		if want == nil && !strings.Contains(line, `"Dimensions":[[]]`) {
			t.Errorf("%q: line %s has a dimension without a value", name, line)
		}
	}
}

// One number that is none must not cost the others.
func TestAnInvalidNumberIsOmitted(t *testing.T) {
	for _, odd := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		f := usual
		f.BufferUse, f.HeldMs.P99 = odd, odd
		members := check(t, string(emf.Append(nil, at, "orders", f)), 10)
		if members["BufferUse"] != nil || members["HeldP99"] != nil || members["HeldMax"] != 40.0 {
			t.Errorf("%v: members %v", odd, members)
		}
	}
}

func TestDueOnceAMinute(t *testing.T) {
	for _, tc := range []struct {
		last time.Time
		now  time.Time
		want bool
	}{
		{time.Time{}, at, true},
		{at, at, false},
		{at, at.Add(time.Minute - 1), false},
		{at, at.Add(time.Minute), true},
		{at, at.Add(8 * time.Hour), true},
		{at, at.Add(-time.Minute + 1), false},
		{at, at.Add(-time.Hour), true}, // the clock was put back
	} {
		if got := emf.Due(tc.last, tc.now); got != tc.want {
			t.Errorf("last %v, now %v: %v, want %v", tc.last, tc.now, got, tc.want)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	line := make([]byte, 0, 4096)
	for b.Loop() {
		line = emf.Append(line[:0], at, "orders", usual)
	}
}
