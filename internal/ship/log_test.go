package ship_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/testkit"
)

// summaries are the log's entries by level and class of the error.
func summaries(entries []testkit.Entry) (lines []string) {
	for _, e := range entries {
		line := e.Level.String()
		if class, ok := e.Attrs["class"]; ok {
			line += " " + class.(string)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestAnOutageIsLoggedOnceAndItsEndOnce(t *testing.T) {
	many := func(n int, a answer) []answer { return slices.Repeat([]answer{a}, n) }
	for _, tt := range []struct {
		name   string
		script []answer // and then all is well
		want   []string
	}{
		{"no failure", nil, nil},
		{"four failures are not logged", many(4, fail), nil},
		{"five are", many(5, fail), []string{"ERROR transient", "WARN"}},
		{"a hundred are logged no more often", many(100, fail), []string{"ERROR transient", "WARN"}},
		{"throttled requests", many(5, throttle), []string{"ERROR throttled", "WARN"}},
		{"throttled records", many(5, throttleEach), []string{"ERROR throttled", "WARN"}},
		{"no connection", many(5, unreachable), []string{"ERROR transient", "WARN"}},
		{"a refusal is logged at once", many(1, deny), []string{"ERROR denied", "WARN"}},
		{"refusals are logged no more often", many(20, deny), []string{"ERROR denied", "WARN"}},
		{"credentials that do not work", many(4, expired), []string{"ERROR credentials", "WARN"}},
		{"an outage that becomes a refusal", append(many(5, fail), deny, deny), []string{"ERROR transient", "ERROR denied", "WARN"}},
		{"a refusal that becomes an outage", append(many(2, deny), many(6, fail)...), []string{"ERROR denied", "WARN"}},
		{"two outages", append(append(many(5, fail), accept), many(5, throttle)...), []string{"ERROR transient", "WARN", "ERROR throttled", "WARN"}},
		{"failures that are not in a row", []answer{fail, fail, fail, fail, accept, fail, fail, fail, fail, accept}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, append(slices.Clone(tt.script), accept)...)
				for seq := range uint64(3) { // there is something to send for each time that all is well
					r.push(seq + 1)
					time.Sleep(forever)
				}
				synctest.Wait()
				if diff := cmp.Diff(tt.want, summaries(r.warnings())); diff != "" {
					t.Errorf("log (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTheLogDescribesAnOutage(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, deny, deny, accept)
		one := newRecord(1)
		one.Events = 20
		r.add(one)
		r.push(2)
		synctest.Wait()
		log := r.warnings()
		if len(log) != 1 || log[0].Level != slog.LevelError {
			t.Fatalf("log: %v", log)
		}
		bytes := r.queue.Waiting().Size
		attrs := log[0].Attrs
		if attrs["waiting_records"] != int64(2) || attrs["waiting_events"] != int64(21) || attrs["waiting_bytes"] != bytes {
			t.Errorf("the log entry of the waiting records has %v", attrs)
		}
		if text, _ := attrs["error"].(string); !strings.Contains(text, "AccessDeniedException") || !strings.Contains(text, "because") {
			t.Errorf("the log has the cause %q", text)
		}
		want := kinesis.Fix(&kinesis.Error{Class: kinesis.Denied, Status: 400, Code: "AccessDeniedException"})
		if attrs["fix"] != want || want == "" {
			t.Errorf("the log has the fix %v, want %q", attrs["fix"], want)
		}

		time.Sleep(forever)
		log = r.warnings()
		if len(log) != 2 || log[1].Level != slog.LevelWarn {
			t.Fatalf("log: %v", log)
		}
		took := r.kinesis.times()[2].Sub(r.began)
		text, _ := log[1].Attrs["failed_for"].(string)
		failedFor, err := time.ParseDuration(text)
		// Both are rounded, by clocks that differ by nanoseconds.
		if attrs := log[1].Attrs; err != nil || (failedFor-took).Abs() > time.Millisecond || attrs["attempts"] != int64(2) || attrs["lost_events"] != int64(0) {
			t.Errorf("the log entry of the end of %s and 2 attempts has %v", took, attrs)
		}
	})
}

func TestTheLogNeverContainsTelemetry(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, fail, throttleOnly(1), throttleEach, fail, fail, fail, deny, expired, refuseInvalid(1), accept)
		one := newRecord(1)
		one.Data = []byte("secret text")
		r.add(one)
		r.push(2)
		time.Sleep(forever)
		synctest.Wait()
		entries := r.log.Find(slog.LevelDebug, "")
		if len(entries) < 3 {
			t.Errorf("the log has %d entries only", len(entries))
		}
		for _, e := range entries {
			for name, value := range e.Attrs {
				if text, ok := value.(string); ok && strings.Contains(text, "secret text") {
					t.Errorf("%s: %s is %q", e.Message, name, text)
				}
			}
		}
	})
}
