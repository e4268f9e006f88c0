package selection_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/selection"
)

func TestWithoutSettingsThereIsNoSelector(t *testing.T) {
	if s := selection.New(selection.Options{}); s != nil {
		t.Error("events go through a Selector although all are shipped as they are")
	}
	s := (*selection.Selector)(nil)
	ev := lineOf("", `"a"`)
	s.Redact(ev)
	s.Commit()
	s.Committed()
	if string(ev.Record) != `"a"` {
		t.Errorf("an event was changed: %s", ev.Record)
	}
}

func TestFilters(t *testing.T) {
	re := regexp.MustCompile
	for _, tt := range []struct {
		name     string
		config   config.Selection
		record   string
		severity event.Severity
		kind     string
		want     ledger.LeftOut
	}{
		{"at the level", config.Selection{Level: event.Info}, `"a"`, event.Info, "", ledger.LeftOut{}},
		{"below the level", config.Selection{Level: event.Info}, `"a"`, event.Debug, "", ledger.LeftOut{Level: 1}},
		{"without a level", config.Selection{Level: event.Fatal}, `"a"`, event.SeverityUnknown, "", ledger.LeftOut{}},
		{"a line of an extension", config.Selection{Level: event.Fatal, Exclude: re("a")}, `"a"`, event.Trace, event.TypeExtension, ledger.LeftOut{}},
		{"excluded", config.Selection{Exclude: re("^GET /health")}, `"GET /health 200\n"`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"not excluded", config.Selection{Exclude: re("^GET /health$")}, `"GET /health 200\n"`, 0, "", ledger.LeftOut{}},
		{"not included", config.Selection{Include: re("order")}, `"a"`, 0, "", ledger.LeftOut{Include: 1}},
		{"included", config.Selection{Include: re("order")}, `"orders"`, 0, "", ledger.LeftOut{}},
		{"included and excluded", config.Selection{Include: re("a"), Exclude: re("a")}, `"a"`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"below the level and excluded", config.Selection{Level: event.Warn, Exclude: re("a")}, `"a"`, event.Info, "", ledger.LeftOut{Level: 1}},
		{"text behind escapes", config.Selection{Exclude: re(`^jane@example\.com "x"$`)}, `"jane\u0040example.com \"x\""`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"the message of an object", config.Selection{Exclude: re("^health$")}, `{"level":"INFO","message":"health"}`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"only the message of an object", config.Selection{Exclude: re("INFO")}, `{"level":"INFO","message":"health"}`, 0, "", ledger.LeftOut{}},
		{"pino's message", config.Selection{Exclude: re("^health$")}, `{"msg":"health"}`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"a message that is an object", config.Selection{Exclude: re(`"path":"/health"`)}, `{"message":{"path":"/health"}}`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"an object without a message", config.Selection{Exclude: re(`"path":"/health"`)}, `{"path":"/health"}`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"an object in a text", config.Selection{Exclude: re("^health$")}, `" {\"msg\":\"health\"}\n"`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"an object in the message of Lambda's object", config.Selection{Exclude: re(`^health$`)}, `{"timestamp":"t","message":"{\"msg\":\"health\"}"}`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"a number", config.Selection{Exclude: re("^17$")}, `17`, 0, "", ledger.LeftOut{Exclude: 1}},
		{"no record", config.Selection{Include: re("a")}, ``, 0, "", ledger.LeftOut{Include: 1}},
		{"a platform event in the list", config.Selection{PlatformEvents: []string{"platform.start"}}, `{}`, 0, "platform.start", ledger.LeftOut{}},
		{"a platform event not in the list", config.Selection{PlatformEvents: []string{"platform.start"}, Level: event.Warn}, `{}`, 0, "platform.report", ledger.LeftOut{PlatformEvents: 1}},
		{"a line beside a list of platform events", config.Selection{PlatformEvents: []string{}}, `"a"`, 0, "", ledger.LeftOut{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, request := range []string{"", "r1"} {
				f := newFixture(func(o *selection.Options) { o.Config = tt.config })
				ev := lineOf(request, tt.record)
				ev.Severity = tt.severity
				if tt.kind != "" {
					ev.Type = []byte(tt.kind)
				}
				f.Selector.Add(ev)
				if diff := cmp.Diff(tt.want, f.LeftOut()); diff != "" {
					t.Errorf("left out (-want +got):\n%s", diff)
				}
				if n := int64(len(f.shipped)); n+tt.want.Total() != 1 {
					t.Errorf("%d events are shipped: %v", n, f.shipped)
				}
				if got := f.Selected("r1").LeftOut; request != "" && (got == nil) != (tt.want.Total() == 0) {
					t.Errorf("of the invocation are left out %v", got)
				}
			}
		})
	}
}

// A setting of redaction that cannot be used keeps lines in, and lets platform events out.
func TestWithheldLinesDoNotLeave(t *testing.T) {
	f := newFixture(func(o *selection.Options) { o.Withhold = true })
	for _, kind := range []string{event.TypeFunction, event.TypeExtension, event.TypeUnparsed, "later"} {
		ev := lineOf("r1", `"secret"`)
		ev.Type = []byte(kind)
		f.Selector.Add(ev)
	}
	f.platform(event.TypePlatformStart, "r1", `{"requestId":"r1"}`)
	f.platform(event.TypePlatformFault, "r1", `"secret"`, func(ev *event.Event) { ev.Extra = []byte(`"a":"secret"`) })
	want := []shipped{{"platform.start", "r1", `{"requestId":"r1"}`}, {"platform.fault", "r1", `"[redacted]"`}}
	if diff := cmp.Diff(want, f.shipped, cmp.AllowUnexported(shipped{})); diff != "" {
		t.Errorf("shipped (-want +got):\n%s", diff)
	}
	if got := f.LeftOut(); got != (ledger.LeftOut{Redaction: 4}) {
		t.Errorf("left out: %+v", got)
	}
}

func sampling(change func(*config.Sample)) func(*selection.Options) {
	return func(o *selection.Options) {
		o.Config.Sample = &config.Sample{}
		change(o.Config.Sample)
	}
}

func TestSamplingKeepsTheInvocationsThatMatter(t *testing.T) {
	trace := func(id string) func(*event.Event) { return func(ev *event.Event) { ev.TraceID = id } }
	everything := func(s *config.Sample) {
		s.Error, s.Timeout, s.Cold, s.Slow, s.Mark = true, true, true, 500*time.Millisecond, "keep \"me\""
	}
	r := ordinary(t)[0]
	for _, tt := range []struct {
		name   string
		change func(*config.Sample)
		play   func(f *fixture)
		want   ledger.Sampled
	}{
		{"an ordinary one", everything, func(f *fixture) { f.done(r, "success"); f.report(r, "success") }, ledger.SampledNot},
		{"a failed one", everything, func(f *fixture) { f.done(r, "error") }, ledger.SampledError},
		{"a crashed one", everything, func(f *fixture) { f.done(r, "failure") }, ledger.SampledError},
		{"one that only its report calls failed", everything, func(f *fixture) { f.done(r, "success"); f.report(r, "error") }, ledger.SampledError},
		{"a time-out", everything, func(f *fixture) { f.done(r, "timeout") }, ledger.SampledTimeout},
		{"an error in a line", everything, func(f *fixture) { f.line(r, `"bad"`, event.Error) }, ledger.SampledError},
		{"a warning in a line", everything, func(f *fixture) { f.line(r, `"odd"`, event.Warn); f.report(r, "success") }, ledger.SampledNot},
		{"an error in a line after the runtime was done", everything, func(f *fixture) {
			f.done(r, "success")
			f.line(r, `"bad"`, event.Fatal)
		}, ledger.SampledError},
		{"an error, and errors are not kept", func(s *config.Sample) { s.Timeout = true }, func(f *fixture) {
			f.line(r, `"bad"`, event.Error)
			f.done(r, "error")
			f.report(r, "error")
		}, ledger.SampledNot},
		{"a cold start", everything, func(f *fixture) { f.cold[r] = true; f.done(r, "success") }, ledger.SampledCold},
		{"a slow one", everything, func(f *fixture) {
			f.platform(event.TypePlatformRuntimeDone, r, `{"status":"success","metrics":{"durationMs":500}}`)
		}, ledger.SampledSlow},
		{"a little faster", everything, func(f *fixture) {
			f.platform(event.TypePlatformReport, r, `{"status":"success","metrics":{"durationMs":499.9}}`)
		}, ledger.SampledNot},
		{"a mark", everything, func(f *fixture) { f.line(r, `"please keep \"me\" here"`) }, ledger.SampledMarked},
		{"a mark in an object", everything, func(f *fixture) { f.line(r, `{"a":{"b":"keep \u0022me\""}}`) }, ledger.SampledMarked},
		{"one of the share", func(s *config.Sample) { s.Share = 0.99999 }, func(*fixture) {}, ledger.SampledShare},
		{"the end of the environment", everything, func(f *fixture) { f.End() }, ledger.SampledEnd},
		{"the end of the environment after the runtime was done", everything, func(f *fixture) { f.done(r, "success"); f.End() }, ledger.SampledNot},
		{"by trace, before a trace is known", func(s *config.Sample) { s.Share, s.ByTrace = 0.5, true }, func(*fixture) {}, ""},
		{"by a trace in the share", func(s *config.Sample) { s.Share, s.ByTrace = 0.5, true }, func(f *fixture) {
			f.platform(event.TypePlatformRuntimeDone, r, `{}`, trace("1-6-a"))
		}, map[bool]ledger.Sampled{true: ledger.SampledShare}[selection.InShare("1-6-a", 0.5)]},
		{"by trace, and none came", func(s *config.Sample) { s.Share, s.ByTrace = 0.999, true }, func(f *fixture) { f.report(r, "success") }, ledger.SampledShare},
		{"a second attempt of a request", everything, func(f *fixture) { f.start(r); f.report(r, "success") }, ledger.SampledNot},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(sampling(tt.change))
			f.line(r, `"first"`) // before its platform.start: Lambda does not order them
			f.start(r)
			tt.play(f)
			got := f.Selected(r)
			if got.Sampled != tt.want || got.SampleRate == "" {
				t.Errorf("sampled: %+v, want %q", got, tt.want)
			}
			decided := tt.want != "" && tt.want != ledger.SampledNot || tt.name == "a second attempt of a request"
			if lines := f.bodies(event.TypeFunction, r); (len(lines) > 0) != decided || decided && lines[0] != `"first"` {
				t.Errorf("shipped: %v", f.shipped)
			}
			if out := f.LeftOut(); (out.SampledOut > 0) != (tt.want == ledger.SampledNot) && tt.name != "a second attempt of a request" {
				t.Errorf("left out: %+v", out)
			}
		})
	}
}

// Lines that no invocation is known for are kept, and so are platform events.
func TestSamplingKeepsWhatBelongsToNoInvocation(t *testing.T) {
	f := newFixture(sampling(func(*config.Sample) {}))
	r := ordinary(t)[0]
	f.line("", `"init"`)
	f.start(r)
	f.line(r, `"one"`)
	f.done(r, "success")
	f.report(r, "success")
	f.line(r, `"late"`)
	want := []shipped{
		{event.TypeFunction, "", `"init"`},
		{event.TypePlatformStart, r, `{}`},
		{event.TypePlatformRuntimeDone, r, `{"status":"success","metrics":{"durationMs":5}}`},
		{event.TypePlatformReport, r, `{"status":"success","metrics":{"durationMs":5}}`},
	}
	if diff := cmp.Diff(want, f.shipped, cmp.AllowUnexported(shipped{})); diff != "" {
		t.Errorf("shipped (-want +got):\n%s", diff)
	}
	if got := f.LeftOut(); got != (ledger.LeftOut{SampledOut: 2}) {
		t.Errorf("left out: %+v", got)
	}
}

// If there is no memory to wait for a decision, the invocation is kept.
func TestUndecidedLinesHaveBoundedMemory(t *testing.T) {
	texts := rand.New(rand.NewPCG(1, 2))
	f := newFixture(func(o *selection.Options) {
		sampling(func(*config.Sample) {})(o)
		o.MaxBytes = 64 << 10
	})
	r := ordinary(t)
	n := 0
	for f.Selected(r[0]).Sampled == "" && n < 10_000 {
		n++
		f.line(r[0], fmt.Sprintf(`"%x %d"`, texts.Uint64(), n))
	}
	if n < 200 || n == 10_000 || f.Selected(r[0]).Sampled != ledger.SampledBuffer || len(f.shipped) != n {
		t.Errorf("%d lines until %+v, %d of them shipped", n, f.Selected(r[0]), len(f.shipped))
	}
	f.line(r[1], `"`+strings.Repeat("x", 256<<10)+`"`) // no line that is that long waits
	if f.Selected(r[1]).Sampled != ledger.SampledBuffer || len(f.shipped) != n+1 {
		t.Errorf("a long line: %+v", f.Selected(r[1]))
	}
	f.start(r[2])
	f.line(r[2], `"short"`)
	f.report(r[2], "success")
	if f.Selected(r[2]).Sampled != ledger.SampledNot {
		t.Errorf("the memory is not released: %+v", f.Selected(r[2]))
	}
}

// More invocations than an environment can run at once are not remembered.
func TestSamplingOfVeryManyInvocations(t *testing.T) {
	f := newFixture(sampling(func(*config.Sample) {}))
	const n = 10_000
	for i := range n {
		f.line(fmt.Sprint("r", i), `"a"`)
	}
	f.End()
	if len(f.shipped) != n || f.LeftOut() != (ledger.LeftOut{}) {
		t.Errorf("of %d lines %d are shipped and %+v left out", n, len(f.shipped), f.LeftOut())
	}
}

func TestTheShareIsAShareOfAllIDs(t *testing.T) {
	ids := rand.New(rand.NewPCG(7, 7))
	for _, share := range []float64{0, 0.01, 0.05, 0.5, 0.95, 1} {
		const n = 100_000
		kept, larger := 0, true
		for range n {
			id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", ids.Uint32(), ids.Uint32()&0xffff, ids.Uint32()&0xfff, ids.Uint32()&0xfff, ids.Uint64()&0xffffffffffff)
			if selection.InShare(id, share) {
				kept++
				larger = larger && selection.InShare(id, share+0.01)
			}
		}
		if got := float64(kept) / n; math.Abs(got-share) > 0.005 || !larger {
			t.Errorf("a share of %v keeps %v; a larger share keeps the same ones: %t", share, got, larger)
		}
	}
	// Consumers may compute it again.
	for id, want := range map[string]bool{"": false, "a": false, "8476a536-e9f4-11e8-9739-2dfe598c3fcd": true} {
		if got := selection.InShare(id, 0.5); got != want {
			t.Errorf("%q is in one half: %t", id, got)
		}
	}
}

// An invocation of the share that matters for itself is labelled so: else consumers would
// multiply all failures that happen to be in the share.
func TestAnInvocationOfTheShareIsLabelledByWhatMatters(t *testing.T) {
	f := newFixture(sampling(func(s *config.Sample) { s.Share, s.Error, s.Slow = 0.999999, true, time.Second }))
	f.start("a")
	f.line("a", `"fine"`)
	f.line("a", `"bad"`, event.Error)
	f.report("a", "success")
	f.start("b")
	f.platform(event.TypePlatformReport, "b", `{"status":"success","metrics":{"durationMs":1000}}`)
	f.start("c")
	f.report("c", "success")
	for request, want := range map[string]ledger.Sampled{"a": ledger.SampledError, "b": ledger.SampledSlow, "c": ledger.SampledShare} {
		if got := f.Selected(request).Sampled; got != want {
			t.Errorf("%s is %s, want %s", request, got, want)
		}
	}
}

// Lambda sends a body again if it gets no answer.
func TestABodyThatComesAgainDoesNotSplitAnInvocation(t *testing.T) {
	f := newFixture(sampling(func(*config.Sample) {}))
	r := ordinary(t)[0]
	for range 2 {
		f.platform(event.TypePlatformStart, r, `{}`)
		f.line(r, `"one"`)
	}
	f.line(r, `"two"`)
	f.done(r, "success")
	f.report(r, "success")
	if lines := f.bodies(event.TypeFunction, r); len(lines) > 0 || f.LeftOut().SampledOut != 3 {
		t.Errorf("shipped %v, left out %+v", lines, f.LeftOut())
	}
}

// A process that was killed left the first lines of an invocation to the next one, which
// ships them.
func TestTheRestOfAnInvocationOfAnEarlierProcessIsKept(t *testing.T) {
	f := newFixture(sampling(func(*config.Sample) {}))
	r := ordinary(t)[0]
	f.line(r, `"three"`)
	f.done(r, "success")
	f.report(r, "success")
	if lines := f.bodies(event.TypeFunction, r); len(lines) != 1 || f.Selected(r).Sampled != ledger.SampledEnd {
		t.Errorf("shipped %v, %+v", lines, f.Selected(r))
	}
}

// On Managed Instances very many invocations may end before a line comes late.
func TestALateLineAfterManyOtherReports(t *testing.T) {
	for _, managed := range []bool{false, true} {
		f := newFixture(func(o *selection.Options) { sampling(func(*config.Sample) {})(o); o.Managed = managed })
		others := map[bool]int{false: 200, true: 2000}[managed]
		for i := range others {
			id := fmt.Sprint("other-", i)
			if i == 1 {
				id = "r"
			}
			f.start(id)
			f.line(id, `"a"`)
			f.report(id, "success")
		}
		f.line("r", `"late"`)
		f.End()
		if f.LeftOut().SampledOut != int64(others+1) {
			t.Errorf("managed %t: left out %+v", managed, f.LeftOut())
		}
	}
}
