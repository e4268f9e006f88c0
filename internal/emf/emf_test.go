package emf_test

import (
	"encoding/json"
	"math"
	"slices"
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
		Held:        []time.Duration{26_240 * time.Microsecond, 0, 40 * ms, 31_050 * time.Microsecond},
		PutLatency:  []time.Duration{7_499_999},
		BufferBytes: 4096, BufferUse: 0.5, SpooledBytes: 65536,
	}
)

const ms = time.Millisecond

// The names and units are what alarms and dashboards rely on.
func TestTheLineIsEmbeddedMetricFormat(t *testing.T) {
	const want = `{"_aws":{"Timestamp":1795514400123,"CloudWatchMetrics":[{"Namespace":"Kinetel","Dimensions":[["FunctionName"]],"Metrics":[` +
		`{"Name":"EventsShipped","Unit":"Count"},{"Name":"EventsLost","Unit":"Count"},{"Name":"RecordsRetried","Unit":"Count"},{"Name":"BytesShipped","Unit":"Bytes"},` +
		`{"Name":"Held","Unit":"Milliseconds"},{"Name":"PutLatency","Unit":"Milliseconds"},` +
		`{"Name":"BufferUse","Unit":"Percent"},{"Name":"SpooledBytes","Unit":"Bytes"}]}]},"logger":"kinetel","FunctionName":"orders",` +
		`"EventsShipped":1234,"EventsLost":5,"RecordsRetried":6,"BytesShipped":789012,"Held":[26.2,0,40,31.1],` +
		`"PutLatency":7.5,"BufferUse":0.5,"SpooledBytes":65536,"BufferBytes":4096}` + "\n"
	if got := string(emf.Append(nil, at, "orders", usual)); got != want {
		t.Errorf("line\n%swant\n%s", got, want)
	}
	if got := string(emf.Append([]byte("before\n"), at, "orders", usual)); got != "before\n"+want {
		t.Errorf("appended to what there was:\n%s", got)
	}
}

// A period without invocations and requests has no durations.
func TestAMetricWithoutValuesIsOmitted(t *testing.T) {
	f := usual
	f.Held, f.PutLatency = nil, []time.Duration{}
	line := string(emf.Append(nil, at, "orders", f))
	check(t, line, 6)
	for _, name := range []string{"Held", "PutLatency"} {
		if strings.Contains(line, name) {
			t.Errorf("line %s contains %s", line, name)
		}
	}
}

// Each metric costs money, so this one is written only if there is something to see.
func TestReplacedSettingsAreAMetric(t *testing.T) {
	f := usual
	f.SettingsReplaced = 2
	line := string(emf.Append(nil, at, "orders", f))
	if members := check(t, line, 9); members["SettingsReplaced"] != 2. || !strings.Contains(line, `{"Name":"SettingsReplaced","Unit":"Count"}`) {
		t.Errorf("line %s has not 2 SettingsReplaced", line)
	}
}

// numbers returns the values of a metric: those of a number or of an array of numbers.
// It returns nil for anything else.
func numbers(member any) (values []float64) {
	all, isArray := member.([]any)
	if !isArray {
		all = []any{member}
	}
	for _, one := range all {
		value, ok := one.(float64)
		if !ok {
			return nil
		}
		values = append(values, value)
	}
	return values
}

// metric is a definition of the specification.
type metric struct {
	Name, Unit        string
	StorageResolution int
}

// check checks a line against the rules of the specification and of PutMetricData (AWS
// documentation: Specification: Embedded metric format; MetricDatum) and returns its
// members. The largest line of a log event is 256 KiB.
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
	if directive.Namespace != "Kinetel" || len(directive.Dimensions) != 1 || len(directive.Dimensions[0]) > 30 || len(directive.Metrics) == 0 {
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
		values := numbers(members[m.Name])
		if len(values) == 0 || len(values) > 100 {
			t.Errorf("metric %s has the value %v, want 1 to 100 numbers", m.Name, members[m.Name])
		}
		for _, value := range values {
			if math.IsNaN(value) || math.Abs(value) > math.Pow(2, 360) {
				t.Errorf("metric %s has the value %v, want a number in CloudWatch's range", m.Name, value)
			}
		}
		if seen[m.Name] || !units[m.Unit] || m.StorageResolution != 0 || m.Name == "" || len(m.Name) > 255 {
			t.Errorf("metric %+v is there twice, or its name or unit is not CloudWatch's", m)
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
		durations := rapid.SliceOfN(rapid.Map(rapid.Int64Range(-1e6, math.MaxInt64), func(n int64) time.Duration { return time.Duration(n) }), 1, 250)
		number := rapid.Int64Range(0, math.MaxInt64/2)
		f := emf.Figures{
			Shipped: number.Draw(rt, "shipped"), Lost: number.Draw(rt, "lost"), Retried: number.Draw(rt, "retried"), BytesShipped: number.Draw(rt, "bytes"),
			Held: durations.Draw(rt, "held"), PutLatency: durations.Draw(rt, "latency"),
			BufferBytes: number.Draw(rt, "buffer"), BufferUse: rapid.Float64Range(0, 1e12).Draw(rt, "use"), SpooledBytes: number.Draw(rt, "spooled"),
		}
		name := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 2000), func(b []byte) string { return string(b) })).Draw(rt, "function")
		metrics := 8
		for line := range strings.Lines(string(emf.Append(nil, at, name, f))) {
			members := check(rt, line, metrics)
			if metrics == 8 {
				for name, want := range map[string]float64{
					"EventsShipped": float64(f.Shipped), "BytesShipped": float64(f.BytesShipped), "BufferUse": f.BufferUse, "BufferBytes": float64(f.BufferBytes),
				} {
					if members[name] != want {
						rt.Errorf("%s is %v, want %v", name, members[name], want)
					}
				}
			}
			f.Held, f.PutLatency = checkValues(rt, members["Held"], f.Held), checkValues(rt, members["PutLatency"], f.PutLatency)
			if metrics = 0; len(f.Held) > 0 {
				metrics++
			}
			if len(f.PutLatency) > 0 {
				metrics++
			}
			text, err := json.Marshal(line)
			if err != nil {
				rt.Fatal(err)
			}
			if !selflog.Own([]byte(line)) || !selflog.Own(text) {
				rt.Errorf("the extension does not recognize its own line %s", line)
			}
		}
		if metrics > 0 {
			rt.Errorf("%d and %d values are in no line", len(f.Held), len(f.PutLatency))
		}
	})
}

// checkValues compares a line's values with the first hundred durations, and returns
// the other durations.
func checkValues(t *rapid.T, member any, durations []time.Duration) []time.Duration {
	n := min(len(durations), 100)
	values := numbers(member)
	if len(values) != n && n > 0 {
		t.Fatalf("a line has %d values, want %d", len(values), n)
	}
	for i, d := range durations[:n] {
		if want := max(0, d.Seconds()*1000); values[i] < 0 || math.Abs(values[i]-want) > 0.0501 && want < 1e12 || math.Abs(values[i]/want-1) > 1e-9 && want >= 1e12 {
			t.Fatalf("%s is written as %v", d, values[i])
		}
	}
	return durations[n:]
}

// The further lines are complete, have only what did not fit, and repeat no count.
func TestMoreValuesThanALineMayHaveAreInFurtherLines(t *testing.T) {
	f := usual
	f.Held, f.PutLatency = make([]time.Duration, 1000), make([]time.Duration, 101)
	f.PutLatency[100] = 9 * ms
	lines := slices.Collect(strings.Lines(string(emf.Append(nil, at, "orders", f))))
	if len(lines) != 10 {
		t.Fatalf("%d lines, want 10", len(lines))
	}
	zeros := "[0" + strings.Repeat(",0", 99) + "]"
	const head = `{"_aws":{"Timestamp":1795514400123,"CloudWatchMetrics":[{"Namespace":"Kinetel","Dimensions":[["FunctionName"]],"Metrics":[`
	for i, line := range lines {
		want := head + `{"Name":"Held","Unit":"Milliseconds"}]}]},"logger":"kinetel","FunctionName":"orders","Held":` + zeros + "}\n"
		switch i {
		case 0:
			check(t, line, 8)
			if !strings.Contains(line, `"Held":`+zeros) || !strings.Contains(line, `"PutLatency":`+zeros) {
				t.Errorf("line 0 has not the first hundred values: %s", line)
			}
			continue
		case 1:
			want = head + `{"Name":"Held","Unit":"Milliseconds"},{"Name":"PutLatency","Unit":"Milliseconds"}]}]},"logger":"kinetel","FunctionName":"orders","Held":` + zeros + `,"PutLatency":9}` + "\n"
		}
		if line != want {
			t.Errorf("line %d\n%swant\n%s", i, line, want)
		}
	}
}

// A fleet of one slow environment with few invocations and nine fast ones with many:
// CloudWatch computes the p99 of the values of all their lines. No statistic over one
// p99 for each environment gives it.
func TestPercentilesOfAFleetAreThoseOfAllItsInvocations(t *testing.T) {
	var all, merged, ofEach []float64
	for environment := range 10 {
		n, slowest := 600, 2*ms
		if environment == 0 {
			n, slowest = 20, 900*ms
		}
		f := usual
		f.Held = nil
		var own []float64
		for i := range n {
			held := slowest * time.Duration(i+1) / time.Duration(n)
			f.Held = append(f.Held, held)
			own = append(own, held.Seconds()*1000)
		}
		for line := range strings.Lines(string(emf.Append(nil, at, "orders", f))) {
			var members map[string]any
			if err := json.Unmarshal([]byte(line), &members); err != nil {
				t.Fatal(err)
			}
			merged = append(merged, numbers(members["Held"])...)
		}
		all, ofEach = append(all, own...), append(ofEach, p99(own))
	}
	want := p99(all)
	if got := p99(merged); len(merged) != len(all) || math.Abs(got-want) > 0.05 {
		t.Errorf("p99 of %d values is %.2f ms, want %.2f ms of %d", len(merged), got, want, len(all))
	}
	var sum float64
	for _, one := range ofEach {
		sum += one
	}
	for statistic, value := range map[string]float64{"maximum": slices.Max(ofEach), "average": sum / float64(len(ofEach)), "p99": p99(ofEach)} {
		if math.Abs(value-want) < want {
			t.Errorf("the %s of the environments' p99 is %.2f ms: it is near %.2f ms, so this fleet shows nothing", statistic, value, want)
		}
	}
}

// p99 returns the value that 99 % of the values do not exceed.
func p99(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)*99+99)/100-1]
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
		if got := check(t, line, 8)["FunctionName"]; got != want {
			t.Errorf("%.20q is written as %.20q, want %.20q", name, got, want)
		}
		if want == nil && !strings.Contains(line, `"Dimensions":[[]]`) {
			t.Errorf("%q: line %s has a dimension without a value", name, line)
		}
	}
}

// An invalid number must not cost the others.
func TestAnInvalidNumberIsOmitted(t *testing.T) {
	for _, odd := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		f := usual
		f.BufferUse = odd
		if members := check(t, string(emf.Append(nil, at, "orders", f)), 7); members["BufferUse"] != nil || members["EventsLost"] != 5.0 {
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
