package config_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
)

// byText compares regular expressions by their text.
func byText() cmp.Option {
	return cmp.Comparer(func(a, b *regexp.Regexp) bool {
		return a == b || a != nil && b != nil && a.String() == b.String()
	})
}

// row is a case of a setting: the variables, how the Config differs from the
// defaults, and the problem, if there is one.
type row struct {
	name     string
	set      vars
	want     func(*config.Config)
	severity config.Severity
	of       string // the variable of the problem; empty: there is no problem
	used     string
	text     string // a part of the message
}

func check(t *testing.T, rows []row) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := load(lambda().with(tt.set).environ())
			want := defaults()
			tt.want(&want)
			if diff := cmp.Diff(want, c, byText()); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
			if tt.of == "" {
				if len(problems) > 0 {
					t.Errorf("problems: %v", problems)
				}
				return
			}
			if len(problems) != 1 {
				t.Fatalf("problems are %v, want one of %s", problems, tt.of)
			}
			if p := problems[0]; p.Variable != tt.of || p.Severity != tt.severity || p.Used != tt.used || !strings.Contains(p.Message, tt.text) {
				t.Errorf("problem is %+v, want one of %s with severity %d and the text %q, with %q used", p, tt.of, tt.severity, tt.text, tt.used)
			}
		})
	}
}

func TestFilters(t *testing.T) {
	same := func(*config.Config) {}
	least := func(s event.Severity) func(*config.Config) { return func(c *config.Config) { c.Selection.Level = s } }
	const pattern = "must be a regular expression of Go (RE2), without lookaround and backreferences: "
	rows := []row{
		{name: "unset ones are empty ones", set: vars{"KINETEL_LEVEL": "", "KINETEL_INCLUDE": "", "KINETEL_EXCLUDE": " "}, want: same},
		{name: "an unknown level", set: vars{"KINETEL_LEVEL": "loud"}, want: same, severity: config.Replaced, of: "KINETEL_LEVEL", used: "none", text: "must be trace, debug, info, warn, error, fatal or none"},
		{name: "a level of numbers", set: vars{"KINETEL_LEVEL": "3"}, want: same, severity: config.Replaced, of: "KINETEL_LEVEL", used: "none", text: "trace"},
		{name: "a level that refuses all", set: vars{"KINETEL_LEVEL": "silent"}, want: same, severity: config.Replaced, of: "KINETEL_LEVEL", used: "none", text: "fatal"},
		{name: "patterns", set: vars{"KINETEL_INCLUDE": `^(order|cart)\b`, "KINETEL_EXCLUDE": "(?i)health"}, want: func(c *config.Config) {
			c.Selection.Include, c.Selection.Exclude = regexp.MustCompile(`^(order|cart)\b`), regexp.MustCompile("(?i)health")
		}},
		{name: "a pattern with quotes within it", set: vars{"KINETEL_EXCLUDE": `"path":"/ping"`}, want: func(c *config.Config) {
			c.Selection.Exclude = regexp.MustCompile(`"path":"/ping"`)
		}},
		{name: "a pattern that is cut off", set: vars{"KINETEL_INCLUDE": "(order"}, want: same, severity: config.Replaced, of: "KINETEL_INCLUDE", used: "no pattern", text: pattern + `missing closing ): "(order"`},
		{name: "a lookahead", set: vars{"KINETEL_EXCLUDE": "a(?=b)"}, want: same, severity: config.Replaced, of: "KINETEL_EXCLUDE", used: "no pattern", text: pattern + `invalid or unsupported Perl syntax: "(?="`},
		{name: "a glob", set: vars{"KINETEL_EXCLUDE": "*.health"}, want: same, severity: config.Replaced, of: "KINETEL_EXCLUDE", used: "no pattern", text: pattern + `missing argument to repetition operator: "*"`},
		{name: "a pattern that is not UTF-8", set: vars{"KINETEL_EXCLUDE": "a\xff"}, want: same, severity: config.Replaced, of: "KINETEL_EXCLUDE", used: "no pattern", text: "invalid UTF-8"},
		{name: "filters without function lines", set: vars{"KINETEL_TYPES": "platform", "KINETEL_LEVEL": "warn"}, want: func(c *config.Config) {
			c.Types, c.Selection.Level = []string{"platform"}, event.Warn
		}, of: "KINETEL_LEVEL", text: "has no effect without function in KINETEL_TYPES"},
	}
	for word, level := range map[string]event.Severity{
		"trace": event.Trace, "verbose": event.Trace, "DEBUG": event.Debug, "info": event.Info, "Information": event.Info, "informational": event.Info,
		"warn": event.Warn, "WARNING": event.Warn, "error": event.Error, "err": event.Error, "fatal": event.Fatal, "critical": event.Fatal, "panic": event.Fatal,
		"none": 0, "off": 0, "all": 0, "false": 0,
	} {
		rows = append(rows, row{name: "level " + word, set: vars{"KINETEL_LEVEL": word}, want: least(level)})
	}
	check(t, rows)
}

func TestPlatformEvents(t *testing.T) {
	types := func(list ...string) func(*config.Config) {
		return func(c *config.Config) { c.Selection.PlatformEvents = list }
	}
	of := func(name, value string, want func(*config.Config)) row {
		return row{name: name, set: vars{"KINETEL_PLATFORM_EVENTS": value}, want: want}
	}
	unknown := of("a type that Lambda may have added", "report,platform.newThing", types("platform.logsDropped", "platform.report", "platform.newThing"))
	unknown.of, unknown.text = "KINETEL_PLATFORM_EVENTS", `"newThing" is not a type that Kinetel knows; it is selected nevertheless, because Lambda adds types; known are all, none, logsDropped, initStart`
	misspelled := of("a misspelled type", "raport", types("platform.logsDropped", "platform.raport"))
	misspelled.of, misspelled.text = "KINETEL_PLATFORM_EVENTS", `"raport" is not`
	check(t, []row{
		of("all", "all", types()),
		of("all among others", "report,ALL", types()),
		of("only commas", ",", types()),
		of("none, but a loss is always reported", "none", types("platform.logsDropped")),
		of("one", "platform.report", types("platform.logsDropped", "platform.report")),
		of("without the prefix, in any case, twice", " START, Platform.RuntimeDone runtimedone;platform.start", types("platform.logsDropped", "platform.start", "platform.runtimeDone")),
		of("the loss itself", "logsdropped", types("platform.logsDropped")),
		of("every known type", "initStart,initRuntimeDone,initReport,restoreStart,restoreRuntimeDone,restoreReport,start,runtimeDone,report,fault,extension,telemetrySubscription", types(
			"platform.logsDropped", "platform.initStart", "platform.initRuntimeDone", "platform.initReport", "platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport",
			"platform.start", "platform.runtimeDone", "platform.report", "platform.fault", "platform.extension", "platform.telemetrySubscription")),
		unknown, misspelled,
	})
}

func TestLimits(t *testing.T) {
	same := func(*config.Config) {}
	lines := func(n int64) func(*config.Config) { return func(c *config.Config) { c.Selection.MaxLines = n } }
	bytes := func(n int64) func(*config.Config) { return func(c *config.Config) { c.Selection.MaxBytes = n } }
	rows := []row{
		{name: "lines", set: vars{"KINETEL_MAX_LINES": "1000"}, want: lines(1000)},
		{name: "one line", set: vars{"KINETEL_MAX_LINES": "1"}, want: lines(1)},
		{name: "as many lines as a number can be", set: vars{"KINETEL_MAX_LINES": "9223372036854775807"}, want: lines(1<<63 - 1)},
		{name: "bytes", set: vars{"KINETEL_MAX_BYTES": "1.5MiB"}, want: bytes(1536 << 10)},
		{name: "bytes without a unit", set: vars{"KINETEL_MAX_BYTES": "1"}, want: bytes(1)},
		{name: "a limit without function lines", set: vars{"KINETEL_TYPES": "platform", "KINETEL_MAX_LINES": "5"}, want: func(c *config.Config) {
			c.Types, c.Selection.MaxLines = []string{"platform"}, 5
		}, of: "KINETEL_MAX_LINES", text: "has no effect without function in KINETEL_TYPES"},
	}
	for _, none := range []string{"", "0", "none", "OFF"} {
		rows = append(rows, row{name: "no limit: " + none, set: vars{"KINETEL_MAX_LINES": none, "KINETEL_MAX_BYTES": none}, want: same})
	}
	for _, bad := range []string{"-1", "1.5", "1k", "many", "1,000", "9223372036854775808"} {
		rows = append(rows, row{name: "lines: " + bad, set: vars{"KINETEL_MAX_LINES": bad}, want: same, severity: config.Replaced, of: "KINETEL_MAX_LINES", used: "no limit", text: "must be a whole number of lines, such as 1000, or none; the last 100 lines of an invocation are shipped besides"})
	}
	for _, bad := range []string{"-1MiB", "0.5", "0KiB", "1XB", "much"} {
		rows = append(rows, row{name: "bytes: " + bad, set: vars{"KINETEL_MAX_BYTES": bad}, want: same, severity: config.Replaced, of: "KINETEL_MAX_BYTES", used: "no limit", text: "must be a size in B, KiB or MiB, such as 1MiB, or none; the last 100 lines"})
	}
	check(t, rows)
}

func TestTheShareOfASample(t *testing.T) {
	share := func(f float64) func(*config.Config) {
		return func(c *config.Config) {
			if f < 1 {
				c.Selection.Sample = &config.Sample{Share: f, Error: true, Timeout: true, Cold: true}
			}
		}
	}
	var rows []row
	for value, want := range map[string]float64{
		"1": 1, "0": 0, "0.05": 0.05, ".5": 0.5, "5%": 0.05, "100%": 1, "0 %": 0, "12.5%": 0.125, "1e-3": 0.001, `"0.2"`: 0.2, "-0": 0,
	} {
		rows = append(rows, row{name: "the share " + value, set: vars{"KINETEL_SAMPLE": value}, want: share(want)})
	}
	for value, used := range map[string]string{
		"5": "1", "1.0001": "1", "101%": "1", "-0.1": "0", "-5%": "0", "a half": "1", "0,05": "1", "NaN": "1", "nan%": "1", "inf": "1", "-inf": "0", "%": "1", "1/20": "1", "off": "1",
	} {
		rows = append(rows, row{name: "no share: " + value, set: vars{"KINETEL_SAMPLE": value}, want: share(float64(used[0] - '0')), severity: config.Replaced, of: "KINETEL_SAMPLE", used: used, text: "must be the share of ordinary invocations to keep, from 0 to 1, such as 0.05 or 5%"})
	}
	rows = append(rows, row{name: "a sample without function lines", set: vars{"KINETEL_TYPES": "platform,extension", "KINETEL_SAMPLE": "0.5"}, want: func(c *config.Config) {
		c.Types = []string{"platform", "extension"}
		share(0.5)(c)
	}, of: "KINETEL_SAMPLE", text: "has no effect without function in KINETEL_TYPES"})
	check(t, rows)
}

func TestInvocationsThatAreAlwaysKept(t *testing.T) {
	const list = "must be a comma-separated list of error, timeout, cold, marked and a duration such as slow:500ms, or none alone"
	sampled := func(keep string) vars { return vars{"KINETEL_SAMPLE": "0.5", "KINETEL_SAMPLE_KEEP": keep} }
	sample := func(s config.Sample) func(*config.Config) {
		s.Share = 0.5
		return func(c *config.Config) { c.Selection.Sample = &s }
	}
	usual := config.Sample{Error: true, Timeout: true, Cold: true}
	slow := usual
	slow.Slow = time.Second
	marked := config.Sample{Mark: "[keep]"}
	rows := []row{
		{name: "by default", set: sampled(""), want: sample(usual)},
		{name: "only commas", set: sampled(","), want: sample(usual)},
		{name: "none", set: sampled("none"), want: sample(config.Sample{})},
		{name: "errors", set: sampled("Errors"), want: sample(config.Sample{Error: true})},
		{name: "time-outs and slow ones", set: sampled("timeout, slow:1.5s"), want: sample(config.Sample{Timeout: true, Slow: 1500 * time.Millisecond})},
		{name: "cold ones, with other separators", set: sampled("cold;timeouts error|cold"), want: sample(usual)},
		{name: "a mark implies that marked ones are kept", set: sampled("none").with(vars{"KINETEL_SAMPLE_MARK": " [keep] "}), want: sample(marked)},
		{name: "marked ones", set: sampled("marked").with(vars{"KINETEL_SAMPLE_MARK": "[keep]"}), want: sample(marked)},
		{name: "by trace", set: sampled("none").with(vars{"KINETEL_SAMPLE_BY": "Trace"}), want: sample(config.Sample{ByTrace: true})},
		{name: "by request", set: sampled("none").with(vars{"KINETEL_SAMPLE_BY": "request"}), want: sample(config.Sample{})},
		{name: "by something else", set: sampled("none").with(vars{"KINETEL_SAMPLE_BY": "user"}), want: sample(config.Sample{}), severity: config.Replaced, of: "KINETEL_SAMPLE_BY", used: "request", text: "must be request or trace"},
		{name: "marked ones without a mark", set: sampled("error,marked"), want: sample(config.Sample{Error: true}), of: "KINETEL_SAMPLE_KEEP", text: "marked has no effect without KINETEL_SAMPLE_MARK"},
		{name: "a mark that is too long: a line that contains it contains its beginning", set: sampled("none").with(vars{"KINETEL_SAMPLE_MARK": strings.Repeat("m", 257)}), want: sample(config.Sample{Mark: strings.Repeat("m", 256)}), severity: config.Replaced, of: "KINETEL_SAMPLE_MARK", used: "its beginning", text: "at most 256 bytes"},
		{name: "the longest mark", set: sampled("none").with(vars{"KINETEL_SAMPLE_MARK": strings.Repeat("m", 256)}), want: sample(config.Sample{Mark: strings.Repeat("m", 256)})},
		{name: "a misspelled word: the default ones are kept, too", set: sampled("eror,slow:1s"), want: sample(slow), severity: config.Replaced, of: "KINETEL_SAMPLE_KEEP", used: "error,timeout,cold,slow:1s", text: list},
		{name: "a word in addition to none", set: sampled("none,fast"), want: sample(usual), severity: config.Replaced, of: "KINETEL_SAMPLE_KEEP", used: "error,timeout,cold", text: list},
	}
	for _, bad := range []string{"slow", "slow:", "slow:0s", "slow:-1s", "slow:500", "slow:16m", "slow: 500ms", "500ms"} {
		rows = append(rows, row{name: "a duration that cannot be used: " + bad, set: sampled(bad), want: sample(usual), severity: config.Replaced, of: "KINETEL_SAMPLE_KEEP", used: "error,timeout,cold", text: list})
	}
	for name, value := range map[string]string{"KINETEL_SAMPLE_KEEP": "error,timeout,cold", "KINETEL_SAMPLE_BY": "request", "KINETEL_SAMPLE_MARK": "m"} {
		rows = append(rows, row{name: "without a sample: " + name, set: vars{name: value}, want: func(*config.Config) {}, of: name, text: "has no effect without a KINETEL_SAMPLE below 1"})
	}
	check(t, rows)
}

// A list of what is kept is the value of KINETEL_SAMPLE_KEEP that gives the same.
func TestKeepIsTheValueOfTheVariable(t *testing.T) {
	for i := range 32 {
		want := config.Sample{Share: 0.5, Error: i&1 > 0, Timeout: i&2 > 0, Cold: i&4 > 0}
		set := vars{"KINETEL_SAMPLE": "0.5"}
		if i&8 > 0 {
			want.Slow = 90 * time.Second
		}
		if i&16 > 0 {
			want.Mark, set["KINETEL_SAMPLE_MARK"] = "m", "m"
		}
		set["KINETEL_SAMPLE_KEEP"] = want.Keep()
		c, problems := load(lambda().with(set).environ())
		if diff := cmp.Diff(&want, c.Selection.Sample); diff != "" || len(problems) > 0 {
			t.Errorf("KINETEL_SAMPLE_KEEP=%s: problems %v, and (-want +got):\n%s", want.Keep(), problems, diff)
		}
	}
}
