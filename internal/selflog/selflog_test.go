package selflog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/selflog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is a log's writer. It keeps the argument of each call of Write.
type page struct {
	mu     sync.Mutex
	writes []string
	err    error // that Write returns
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes = append(p.writes, string(b))
	return len(b), p.err
}

// lines reads what was written, a line a call.
func (p *page) lines(t interface{ Fatalf(string, ...any) }) []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []map[string]any
	for _, w := range p.writes {
		if strings.Count(w, "\n") != 1 || !strings.HasSuffix(w, "\n") {
			t.Fatalf("one call of Write was given %q, want one line", w)
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(w), &line); err != nil {
			t.Fatalf("line %q: %v", w, err)
		}
		lines = append(lines, line)
	}
	return lines
}

// summaries returns a text for each line: the message, and the counts if there are
// any.
func (p *page) summaries(t interface{ Fatalf(string, ...any) }) []string {
	var all []string
	for _, line := range p.lines(t) {
		s := fmt.Sprint(line["msg"])
		for _, key := range []string{"repeated", "repeated_others"} {
			if n, ok := line[key]; ok {
				s += fmt.Sprintf(" %s=%v", key, n)
			}
		}
		all = append(all, s)
	}
	return all
}

func wants(t *testing.T, p *page, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, p.summaries(t)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// The shape that operators' queries rely on.
func TestALineIsSlogsJSONWithTheNameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &page{}
		log := selflog.New(p, logging.LevelInfo)
		log.Debug("not at this level")
		log.Info("shipped", "events", 3)
		logging.With(log, "stream", "telemetry").Error("Kinesis <refuses>", "error", errors.New("no"))
		want := []string{
			`{"time":"2000-01-01T00:00:00Z","level":"INFO","msg":"shipped","logger":"kinetel","events":3}` + "\n",
			`{"time":"2000-01-01T00:00:00Z","level":"ERROR","msg":"Kinesis <refuses>","logger":"kinetel","stream":"telemetry","error":"no"}` + "\n",
		}
		if diff := cmp.Diff(want, p.writes); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Values of the types that the extension logs look as in slog's lines.
func TestALineIsWhatSlogWrites(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"<&>", "\r\b\f\x7f", "\u2028\u2029", "\"\\\n\t\x00", "a\xffb\xc3"}))
	value := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(text, func(s string) any { return errors.New(s) }),
		rapid.Map(rapid.SliceOf(text), func(s []string) any { return append([]string{}, s...) }),
		rapid.Map(rapid.Int(), func(n int) any { return n }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.Uint64(), func(n uint64) any { return n }),
		rapid.SampledFrom([]any{true, false, json.RawMessage(`{"oversize":3}`)}),
	)
	rapid.Check(t, func(rt *rapid.T) {
		message := text.Draw(rt, "message")
		var args []any
		for range rapid.IntRange(0, 4).Draw(rt, "attributes") {
			args = append(args, text.Draw(rt, "name"), value.Draw(rt, "value"))
		}
		if rapid.Bool().Draw(rt, "a name too many") {
			args = append(args, "a name")
		}
		synctest.Test(t, func(*testing.T) { // for the time
			var got, want bytes.Buffer
			selflog.New(&got, logging.LevelInfo).Error(message, args...)
			slog.New(slog.NewJSONHandler(&want, nil)).With("logger", "kinetel").Error(message, args...)
			// slog has other escapes for these characters.
			all := strings.NewReplacer(`\ufffd`, "\ufffd", `\u0008`, `\b`, `\u000c`, `\f`).Replace(want.String())
			if got.String() != all {
				rt.Errorf("the line is\n%s, want\n%s", got.String(), all)
			}
		})
	})
}

func TestAProblemIsWrittenOnceInTenMinutesAndCountedBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &page{}
		log := selflog.New(p, logging.LevelWarn)
		log.Warn("no room", "bytes", 1)
		for i := range 5 {
			log.Warn("no room", "bytes", i) // other attributes do not make it another problem
		}
		time.Sleep(10*time.Minute - time.Nanosecond)
		log.Warn("no room")
		wants(t, p, "no room")
		time.Sleep(time.Nanosecond)
		log.Warn("no room")
		log.Warn("no room")
		wants(t, p, "no room", "no room repeated=6")
		time.Sleep(10 * time.Minute)
		log.Warn("no room")
		wants(t, p, "no room", "no room repeated=6", "no room repeated=1")
		time.Sleep(10 * time.Minute)
		log.Warn("no room") // no line was suppressed: no count
		wants(t, p, "no room", "no room repeated=6", "no room repeated=1", "no room")
	})
}

func TestProblemsAreDistinguished(t *testing.T) {
	const message = "Kinesis does not accept telemetry"
	type logCall func(logging.Logger)
	for name, tc := range map[string]struct {
		first, second logCall
		same          bool
	}{
		"the same":                     {func(l logging.Logger) { l.Warn(message) }, func(l logging.Logger) { l.Warn(message) }, true},
		"another message":              {func(l logging.Logger) { l.Warn(message) }, func(l logging.Logger) { l.Warn("other") }, false},
		"another level":                {func(l logging.Logger) { l.Warn(message) }, func(l logging.Logger) { l.Error(message) }, false},
		"another class":                {func(l logging.Logger) { l.Warn(message, "class", "denied") }, func(l logging.Logger) { l.Warn(message, "class", "transient") }, false},
		"the same class":               {func(l logging.Logger) { l.Warn(message, "class", "denied") }, func(l logging.Logger) { l.Warn(message, "n", 1, "class", "denied") }, true},
		"another problem":              {func(l logging.Logger) { l.Warn(message, "problem", "a") }, func(l logging.Logger) { l.Warn(message, "problem", "b") }, false},
		"class, not problem":           {func(l logging.Logger) { l.Warn(message, "problem", "a") }, func(l logging.Logger) { l.Warn(message, "class", "a") }, false},
		"class of With":                {func(l logging.Logger) { logging.With(l, "class", "a").Warn(message) }, func(l logging.Logger) { logging.With(l, "class", "b").Warn(message) }, false},
		"With or at once":              {func(l logging.Logger) { logging.With(l, "class", "a").Warn(message) }, func(l logging.Logger) { l.Warn(message, "class", "a") }, true},
		"the last one counts":          {func(l logging.Logger) { logging.With(l, "class", "a").Warn(message, "class", "b") }, func(l logging.Logger) { l.Warn(message, "class", "b") }, true},
		"With something else":          {func(l logging.Logger) { logging.With(l, "stream", "a").Warn(message) }, func(l logging.Logger) { logging.With(l, "stream", "b").Warn(message) }, true},
		"no text":                      {func(l logging.Logger) { l.Warn(message, "class", 1) }, func(l logging.Logger) { l.Warn(message, "class", 2) }, false},
		"With after With":              {func(l logging.Logger) { logging.With(logging.With(l, "class", "a"), "n", 1).Warn(message) }, func(l logging.Logger) { logging.With(logging.With(l, "class", "b"), "n", 1).Warn(message) }, false},
		"With of a problem after With": {func(l logging.Logger) { logging.With(logging.With(l, "problem", "a"), "class", "c").Warn(message) }, func(l logging.Logger) { logging.With(logging.With(l, "problem", "b"), "class", "c").Warn(message) }, false},
		"a value with a text":          {func(l logging.Logger) { l.Warn(message, "class", valuer{"a", 1}, "problem", valuer{"b", 1}) }, func(l logging.Logger) { l.Warn(message, "class", valuer{"a", 2}, "problem", "b") }, true},
		"an error":                     {func(l logging.Logger) { l.Warn(message, "problem", errors.New("a")) }, func(l logging.Logger) { l.Warn(message, "problem", errors.New("b")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &page{}
			log := selflog.New(p, logging.LevelWarn)
			tc.first(log)
			tc.second(log)
			want := 2
			if tc.same {
				want = 1
			}
			if got := len(p.lines(t)); got != want {
				t.Errorf("%d lines, want %d: %q", got, want, p.writes)
			}
		})
	}
}

func TestInfoAndDebugAreNeverSuppressed(t *testing.T) {
	p := &page{}
	log := selflog.New(p, logging.LevelDebug)
	for range 100 {
		log.Info("shipped")
		log.Debug("subscribed")
	}
	log.Close()
	if got := len(p.lines(t)); got != 200 {
		t.Errorf("%d lines, want 200", got)
	}
}

// The count stands before all attributes.
func TestTheCountStandsBeforeTheAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &page{}
		log := logging.With(selflog.New(p, logging.LevelWarn), "stream", "s")
		log.Warn("no", "n", 1)
		log.Warn("no", "n", 2)
		time.Sleep(10 * time.Minute)
		log.Warn("no", "n", 3)
		want := `{"time":"2000-01-01T00:10:00Z","level":"WARN","msg":"no","logger":"kinetel","repeated":1,"stream":"s","n":3}` + "\n"
		if len(p.writes) != 2 || p.writes[1] != want {
			t.Errorf("lines %q, want the second to be %q", p.writes, want)
		}
	})
}

// The loggers of one Log share what was seen, and those that are made of one
// another do not mix up their attributes.
func TestLoggersShareTheirProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &page{}
		log := selflog.New(p, logging.LevelWarn)
		parent := logging.With(logging.With(logging.With(log, "a", 1), "x", 1), "y", 1)
		one, two := logging.With(parent, "b", 1), logging.With(parent, "c", 1)
		one.Warn("no")
		two.Warn("no")
		log.Warn("no")
		time.Sleep(10 * time.Minute)
		one.Warn("no")
		lines := p.lines(t)
		if len(lines) != 2 {
			t.Fatalf("lines %q, want 2", p.writes)
		}
		if lines[1]["repeated"] != 2.0 || lines[1]["b"] != 1.0 || lines[1]["a"] != 1.0 || lines[1]["c"] != nil {
			t.Errorf("line %v, want repeated 2 and the attributes a and b", lines[1])
		}
	})
}

func TestCloseReportsSuppressedLinesOnce(t *testing.T) {
	p := &page{}
	log := selflog.New(p, logging.LevelWarn)
	log.Close()
	log.Warn("repeated")
	log.Close()
	wants(t, p, "repeated") // no line was suppressed, so Close reports nothing

	log.Warn("repeated")
	for range 3 {
		log.Error("often", "class", "denied", "problem", "p")
	}
	log.Close()
	log.Close()
	wants(t, p, "repeated", "often", "problems that were logged before occurred again repeated=3")
	last := p.lines(t)[2]
	want := []any{
		map[string]any{"level": "ERROR", "msg": "often", "class": "denied", "problem": "p", "repeated": 2.0},
		map[string]any{"level": "WARN", "msg": "repeated", "repeated": 1.0},
	}
	if diff := cmp.Diff(want, last["problems"]); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if last["level"] != "WARN" || last["logger"] != "kinetel" {
		t.Errorf("line %v, want a WARN of kinetel", last)
	}

	log.Warn("repeated") // the Log stays usable
	log.Close()
	if got := p.lines(t); len(got) != 4 || got[3]["repeated"] != 1.0 {
		t.Errorf("lines %q, want a fourth with one more", p.writes)
	}
}

func TestCloseReportsErrorsAtAnyLevel(t *testing.T) {
	p := &page{}
	log := selflog.New(p, logging.LevelError)
	log.Error("no")
	log.Error("no")
	log.Close()
	wants(t, p, "no", "problems that were logged before occurred again repeated=1")
}

func TestTheClosingLineIsBounded(t *testing.T) {
	p := &page{}
	log := selflog.New(p, logging.LevelWarn)
	long := strings.Repeat("é", 100_000)
	if testing.Short() {
		long = long[:10_000]
	}
	for i := range 64 {
		for range 3 {
			log.Warn(fmt.Sprint(i, long), "class", long, "problem", long)
		}
	}
	log.Close()
	lines := p.lines(t)
	last := lines[len(lines)-1]
	if last["repeated"] != 128.0 || last["repeated_others"] != 96.0 || len(last["problems"].([]any)) != 16 {
		t.Errorf("the last line has %v, of others %v and of %d problems, want 128, 96 and 16",
			last["repeated"], last["repeated_others"], len(last["problems"].([]any)))
	}
	if n := len(p.writes[len(lines)-1]); n > 16<<10 {
		t.Errorf("the closing line has %d bytes", n)
	}
	for _, one := range last["problems"].([]any) {
		text := one.(map[string]any)["msg"].(string)
		if strings.ContainsRune(text, '\ufffd') || !strings.HasSuffix(text, "é…") {
			t.Errorf("a problem is reported as %q, want it cut between letters with an ellipsis", text)
		}
	}
}

func TestTheProblemSeenLongestAgoIsForgottenAndItsCountReported(t *testing.T) {
	p := &page{}
	log := selflog.New(p, logging.LevelWarn)
	warn := func(i int) { log.Warn(fmt.Sprint("p", i)) }
	for i := range 64 {
		warn(i)
		warn(i)
	}
	warn(0) // now p1 was seen longest ago
	warn(64)
	lines := p.summaries(t)
	if got := lines[len(lines)-1]; got != "p64 repeated_others=1" {
		t.Errorf("the 65th problem is logged as %q, want it with the count of the forgotten one", got)
	}
	warn(0) // still known
	if got := len(p.lines(t)); got != 65 {
		t.Errorf("%d lines, want 65: a problem seen of late was forgotten", got)
	}
	warn(1) // was forgotten; p2 goes
	lines = p.summaries(t)
	if got := lines[len(lines)-1]; got != "p1 repeated_others=1" {
		t.Errorf("the forgotten problem is logged as %q, want it as new", got)
	}
}

// In any sequence of lines, every line of Warn and above is written or counted, and
// no problem that is remembered is written twice in ten minutes.
func TestNothingIsDroppedSilently(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		problems := rapid.SampledFrom([]int{3, 64, 90}).Draw(rt, "problems")
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) [2]int {
			return [2]int{rapid.IntRange(0, problems-1).Draw(rt, "problem"), rapid.IntRange(-1, 240).Draw(rt, "seconds")}
		}), 0, 300).Draw(rt, "lines")
		synctest.Test(t, func(*testing.T) {
			p := &page{}
			log := selflog.New(p, logging.LevelWarn)
			for _, step := range steps {
				logging.With(log, "n", 1).Warn("no", "class", step[0])
				if step[1] < 0 {
					log.Close()
				} else {
					time.Sleep(time.Duration(step[1]) * time.Second)
				}
			}
			log.Close()
			sum := 0
			last := map[any]time.Time{}
			for _, line := range p.lines(rt) {
				closing := line["problems"] != nil
				if !closing {
					sum++
					at, err := time.Parse(time.RFC3339Nano, line["time"].(string))
					if err != nil {
						rt.Fatal(err)
					}
					if before, ok := last[line["class"]]; ok && problems <= 64 && at.Sub(before) < 10*time.Minute {
						rt.Errorf("problem %v was written %v after it had been", line["class"], at.Sub(before))
					}
					last[line["class"]] = at
				}
				if n, ok := line["repeated"].(float64); ok {
					sum += int(n)
				}
				if n, ok := line["repeated_others"].(float64); ok && !closing { // there it is part of repeated
					sum += int(n)
				}
			}
			if sum != len(steps) {
				rt.Errorf("%d lines were written or counted, want %d", sum, len(steps))
			}
		})
	})
}

// A flood from many goroutines is one line, and each line is whole.
func TestManyGoroutinesWriteOneLinePerProblem(t *testing.T) {
	p := &page{}
	log := selflog.New(p, logging.LevelInfo)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 200 {
				logging.With(log, "goroutine", i).Warn("flood")
				log.Error("flood", "class", i)
				log.Info("ordinary")
			}
			log.Close()
		})
	}
	all.Wait()
	log.Close()
	count := map[string]int{}
	repeated := 0
	for _, line := range p.lines(t) {
		count[fmt.Sprint(line["msg"], line["class"])]++
		if n, ok := line["repeated"].(float64); ok {
			repeated += int(n)
		}
	}
	if count["flood<nil>"] != 1 || count["flood3"] != 1 || count["ordinary<nil>"] != 1600 {
		t.Errorf("lines by message: %v, want one of each problem and 1600 ordinary ones", count)
	}
	if want := 2*8*200 - 1 - 8; repeated != want {
		t.Errorf("%d lines are reported as suppressed, want %d", repeated, want)
	}
}

func TestAWriterThatFailsIsIgnored(t *testing.T) {
	p := &page{err: io.ErrClosedPipe}
	log := selflog.New(p, logging.LevelInfo)
	log.Info("a")
	log.Warn("b")
	log.Warn("b")
	log.Close()
	wants(t, p, "a", "b", "problems that were logged before occurred again repeated=1")
}

// valuer is a value that is its text only.
type valuer struct {
	text  string
	other int
}

func (v valuer) String() string { return v.text }

// panicky panics when it is asked for its text.
type panicky struct{}

func (panicky) Error() string { panic("no text") }

type unresolved struct{}

func (unresolved) String() string { panic("no value") }

func TestALineWithAValueThatPanicsIsWritten(t *testing.T) {
	p := &page{}
	log := selflog.New(p, logging.LevelInfo)
	log.Warn("a", "class", unresolved{})
	log.Warn("b", "problem", (*panicky)(nil), "n", nil)
	logging.With(log, "class", unresolved{}).Warn("c", "problem", panicky{})
	if got := len(p.lines(t)); got != 3 {
		t.Errorf("%d lines, want 3: %q", got, p.writes)
	}
}

// stuck is a writer that does not return.
type stuck struct{ called, release chan struct{} }

func (s stuck) Write(b []byte) (int, error) {
	s.called <- struct{}{}
	<-s.release
	return len(b), nil
}

func TestABlockedWriterDoesNotBlockLinesThatAreOnlyCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stuck{make(chan struct{}), make(chan struct{})}
		log := selflog.New(s, logging.LevelWarn)
		go log.Warn("no")
		<-s.called
		counted := make(chan struct{})
		go func() {
			log.Warn("no")
			close(counted)
		}()
		synctest.Wait()
		select {
		case <-counted:
		default:
			t.Error("a line that is only counted waits for the writer")
		}
		close(s.release)
		<-counted
	})
}

func BenchmarkALineThatIsCounted(b *testing.B) {
	log := logging.With(selflog.New(io.Discard, logging.LevelWarn), "stream", "telemetry")
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("Kinesis does not accept telemetry", "class", "denied", "waiting", 12)
	}
}
