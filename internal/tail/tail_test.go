package tail_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/record"
)

const request = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"

// line returns a line with other members in addition to those that each has.
func line(seq int, kind, members, body string) string {
	return fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":"2026-11-27T20:15:00.123Z","type":"%s",%s"requestId":%q,"traceId":"1-5759e988-bd862e3fe1be46a994272793","body":%s,`+
		`"resource":{"faas.name":"orders","faas.version":"7","service.instance.id":"e1"}}`+"\n", seq, kind, members, request, body)
}

func function(seq int, severity, body string) string {
	if severity != "" {
		severity = `"severity":"` + severity + `",`
	}
	return line(seq, record.TypeFunction, severity, body)
}

// printed returns what a file of lines prints, and the notes.
func printed(t *testing.T, o tail.Options, lines ...string) (out, notes string, n tail.Counts) {
	t.Helper()
	var text, about strings.Builder
	if o.Location == nil {
		o.Location = time.UTC
	}
	all := tail.New(&text, &about, o)
	if err := all.File("file", strings.NewReader(strings.Join(lines, ""))); err != nil && !errors.Is(err, tail.ErrEnough) {
		t.Fatal(err)
	} else if err == nil {
		if err := all.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return text.String(), about.String(), all.Counts()
}

func TestThePrintedLineOfAnEvent(t *testing.T) {
	const head = "11-27 20:15:00.123 8476a536 "
	for _, tt := range []struct{ name, line, want string }{
		{"text", function(1, "INFO", `"hello\n"`), head + "INFO  hello"},
		{"no severity", function(1, "", `"hello"`), head + "      hello"},
		{"an object", function(1, "ERROR", `{"timestamp":"x","level":"ERROR","message":"no beans","requestId":"`+request+`","order":17,"who":"a b","empty":"","more":{"x":[1, 2]}}`), head + `ERROR no beans order=17 who="a b" empty="" more={"x":[1, 2]}`},
		{"an object in text", function(1, "WARN", `"{\"msg\":\"m\",\"a\":1}\n"`), head + "WARN  m a=1"},
		{"an object without message", function(1, "", `{"a":true}`), head + "      a=true"},
		{"text that begins like an object", function(1, "", `"{not} json"`), head + "      {not} json"},
		{"a runtime's prefix", function(1, "INFO", `"2026-11-27T20:15:00.123Z\t`+request+`\tINFO\tsigned in\n"`), head + "INFO  signed in"},
		{"another runtime's prefix", function(1, "WARN", `"[WARNING]\t2026-11-27T20:15:00.123Z\t`+request+`\tlow\n"`), head + "WARN  low"},
		{"the request id in a sentence", function(1, "", `"the request\t`+request+`\tends"`), head + "      the request " + request + " ends"},
		{"control characters", function(1, "", `"a\u001b[31mb\nc\rd\u009be\u202ef"`), head + `      a\x1b[31mb\nc\rd\u009be\u202ef`},
		{"control characters in names", function(1, "", `{"\u001bk":"\u0007","message":"\u001b"}`), head + `      \x1b \u001bk="\u0007"`},
		{"another type", line(1, "extension", "", `"x"`), head + "      extension x"},
		{"a type that is not known", line(1, `platform.\u001b`, "", `{"a":1}`), head + `      platform.\x1b a=1`},
		{"a loss", line(1, "kinetel.loss", "", `{"firstSeq":1,"lastSeq":2,"count":2,"bytes":9,"reason":"oversize"}`), head + "WARN  kinetel.loss firstSeq=1 lastSeq=2 count=2 bytes=9 reason=oversize"},
		{
			"an invocation", line(1, "kinetel.invocation", "", `{"requestId":"r","status":"success","metrics":{"durationMs":12.34,"billedDurationMs":13,"memorySizeMB":1024,"maxMemoryUsedMB":64}}`),
			head + "      END success 12.34 ms, billed 13 ms, memory 64 of 1024 MB, ≤0.217 µ$, orders",
		},
		{
			"an invocation that failed", line(1, "kinetel.invocation", "", `{"requestId":"r","status":"error","errorType":"Bad\u001b","coldStart":true,"metrics":{"durationMs":3,"initDurationMs":210}}`),
			head + `ERROR END error Bad\x1b 3 ms, cold start 210 ms, orders`,
		},
		{
			"lines that were left out", line(1, "kinetel.invocation", "", `{"requestId":"r","status":"error","errorType":"Bad\u001b","coldStart":true,"leftOut":{"sampledOut":5,"level":2},"metrics":{"durationMs":3,"initDurationMs":210}}`),
			head + `ERROR END error Bad\x1b 3 ms, cold start 210 ms, 7 events left out, orders`,
		},
		{"a body that is not an invocation", line(1, "kinetel.invocation", "", `"x"`), head + "      kinetel.invocation x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, notes, _ := printed(t, tail.Options{}, strings.ReplaceAll(tt.line, "\x1b", `\u001b`))
			if diff := cmp.Diff(tt.want+"\n", out); diff != "" || notes != "" {
				t.Errorf("printed (-want +got):\n%s%s", diff, notes)
			}
		})
	}
}

func TestThePriceOfAnInvocationDependsOnTheArchitecture(t *testing.T) {
	environment, err := json.Marshal(record.Environment{
		Kinetel:    record.Settings{Version: "1", Types: []string{}, Report: []string{}},
		Attributes: record.Attributes{HostArch: "arm64"},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := printed(t, tail.Options{Filter: tail.Filter{Routine: true}},
		line(1, "kinetel.environment", "", string(environment)),
		line(2, "kinetel.invocation", "", `{"requestId":"r","status":"success","metrics":{"durationMs":1,"billedDurationMs":1000,"memorySizeMB":1024}}`))
	if !strings.HasSuffix(out, ", 13.3 µ$, orders\n") || strings.Count(out, "\n") != 1 {
		t.Error(out)
	}
}

func TestALongMessageIsCut(t *testing.T) {
	for _, body := range []string{`"` + strings.Repeat("é", 40_000) + `"`, `{"message":"` + strings.Repeat("é", 40_000) + `"}`} {
		out, _, _ := printed(t, tail.Options{}, function(1, "", body))
		if len(out) > 33<<10 || !strings.HasSuffix(out, "é… (cut; -o json has all)\n") {
			t.Errorf("%d bytes, ending %q", len(out), out[len(out)-40:])
		}
	}
}

func TestColorsAreOfTheRequestAndTheSeverity(t *testing.T) {
	colored, _, _ := printed(t, tail.Options{Color: true}, function(1, "ERROR", `"a"`), function(2, "INFO", `"b"`))
	const id = "\x1b[38;5;64m8476a536\x1b[0m"
	if want := "11-27 20:15:00.123 " + id + " \x1b[31mERROR\x1b[0m a\n11-27 20:15:00.123 " + id + " INFO  b\n"; colored != want {
		t.Errorf("%q, want %q", colored, want)
	}
}

func TestFilters(t *testing.T) {
	lines := []string{
		function(1, "INFO", `"one"`),
		function(2, "ERROR", `"two"`),
		line(3, "platform.report", "", `{"status":"success"}`),
		line(4, "kinetel.invocation", "", `{"requestId":"r","status":"timeout","metrics":{}}`),
		strings.NewReplacer("8476", "9999", "1-5759", "1-1111", `"orders"`, `"users"`, `"e1"`, `"e2"`).Replace(function(5, "FATAL", `"five"`)),
	}
	for _, tt := range []struct {
		name   string
		filter tail.Filter
		want   string // the numbers
	}{
		{"none", tail.Filter{}, "12345"},
		{"routine", tail.Filter{Routine: true}, "1245"},
		{"a type that routine leaves out", tail.Filter{Routine: true, Types: []string{"platform.*"}}, "3"},
		{"types", tail.Filter{Types: []string{"platform.report", "kinetel.*"}}, "34"},
		{"severity", tail.Filter{Severity: "error"}, "245"},
		{"request", tail.Filter{Requests: []string{"x", "9999"}}, "5"},
		{"trace", tail.Filter{Traces: []string{"1-1111"}}, "5"},
		{"function", tail.Filter{Functions: []string{"user*"}}, "5"},
		{"instance", tail.Filter{Instances: []string{"e1"}}, "1234"},
		{"grep", tail.Filter{Grep: regexp.MustCompile(`^(one|five)$`)}, "15"},
		{"grep in an object", tail.Filter{Grep: regexp.MustCompile(`"status":"time`)}, "4"},
		{"two", tail.Filter{Severity: "warn", Types: []string{"function"}}, "25"},
	} {
		if err := tt.filter.Check(); err != nil {
			t.Fatal(err)
		}
		out, _, _ := printed(t, tail.Options{Filter: tt.filter, Output: tail.Raw}, lines...)
		got := ""
		for l := range strings.Lines(out) {
			var e record.Event
			if err := json.Unmarshal([]byte(l), &e); err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprint(e.Seq)
		}
		if got != tt.want {
			t.Errorf("%s: printed %s, want %s", tt.name, got, tt.want)
		}
	}
	for _, f := range []tail.Filter{{Severity: "loud"}, {Types: []string{"["}}, {Functions: []string{"["}}} {
		if f.Check() == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
}

func TestDuplicatesAreLeftOutAndPartsJoined(t *testing.T) {
	part := func(seq, n int, text string) string {
		return line(seq, "function", fmt.Sprintf(`"part":%d,"parts":2,`, n), fmt.Sprintf("%q", text))
	}
	lines := []string{function(1, "", `"a"`), part(3, 2, `lo"`), function(1, "", `"a"`), part(2, 1, `"hel`), part(3, 2, `lo"`), part(4, 1, `"half`)}
	out, _, n := printed(t, tail.Options{}, lines...)
	const head = "11-27 20:15:00.123 8476a536       "
	if want := head + "a\n" + head + "hello\n" + head + `(part 1 of 2) "half` + "\n"; out != want {
		t.Errorf("%s, want\n%s", out, want)
	}
	if want := (tail.Counts{Events: 6, Printed: 3, Duplicates: 2, Parts: 1}); n != want {
		t.Errorf("%+v, want %+v", n, want)
	}
}

// Without an id of the environment, the same number can be of another event.
func TestEventsWithoutAnEnvironmentAreNoDuplicates(t *testing.T) {
	for _, id := range []string{"", strings.Repeat("e", 257)} {
		one := strings.Replace(function(1, "", `"a"`), `"e1"`, `"`+id+`"`, 1)
		if out, _, n := printed(t, tail.Options{}, one, one); n.Printed != 2 || n.Duplicates != 0 {
			t.Errorf("environment %q: %+v\n%s", id, n, out)
		}
	}
}

func TestMaxEventsEndsAfterSoManyPrintedEvents(t *testing.T) {
	out, _, n := printed(t, tail.Options{MaxEvents: 2, Filter: tail.Filter{Severity: "error"}},
		function(1, "INFO", `"a"`), function(2, "ERROR", `"b"`), function(3, "ERROR", `"c"`), function(4, "ERROR", `"d"`))
	if strings.Count(out, "\n") != 2 || n.Printed != 2 {
		t.Errorf("%+v:\n%s", n, out)
	}
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRecordsThatCannotBeReadAreDescribedAndTheOthersPrinted(t *testing.T) {
	var out, notes strings.Builder
	all := tail.New(&out, &notes, tail.Options{Location: time.UTC})
	bomb := zipped(t, strings.Repeat(" ", 41<<20))
	for i, data := range [][]byte{[]byte("\x1b[2Jhello"), nil, bomb, zipped(t, function(1, "", `"good"`))} {
		if err := all.Record(streamreader.Record{Data: data, Shard: "shard-0", SequenceNumber: fmt.Sprint(i), PartitionKey: "\x1bk"}); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasSuffix(out.String(), "good\n") || all.Counts().Unreadable != 3 {
		t.Errorf("%+v:\n%s", all.Counts(), out.String())
	}
	got := strings.Split(strings.TrimSpace(notes.String()), "\n")
	for i, want := range []string{"it begins with 1b5b324a68656c6c6f", "0 bytes", "limit"} {
		if len(got) != 3 || !strings.HasPrefix(got[i], fmt.Sprintf(`kinetel: shard-0, record %d (partition key "\x1bk", `, i)) || !strings.Contains(got[i], want) || strings.Contains(got[i], "\x1b") {
			t.Errorf("notes: %q, want %q", got, want)
		}
	}
}

func TestAFileThatIsNotKinetelsIsDescribed(t *testing.T) {
	out, notes, n := printed(t, tail.Options{}, "\x1bhello\n", function(1, "", `"good"`))
	if !strings.HasSuffix(out, "good\n") || n.Unreadable != 1 || !strings.Contains(notes, `kinetel: "file": not a record of Kinetel's`) || !strings.Contains(notes, "it begins with 1b68656c6c6f0a") || strings.Contains(notes, "\x1b") {
		t.Errorf("%+v: %s%s", n, out, notes)
	}
}

// A file of a few kilobytes can have millions of lines.
func TestOfAFileOnlySomeUnreadableLinesAreDescribed(t *testing.T) {
	_, notes, n := printed(t, tail.Options{}, strings.Repeat("x\n", 1000), function(1, "", `"good"`))
	if lines := strings.Count(notes, "\n"); n.Printed != 1 || n.Unreadable != 1000 || lines != 21 || !strings.HasSuffix(notes, "kinetel: \"file\": more of it cannot be read; only the end counts how much\n") {
		t.Errorf("%+v, %d notes, the last: %s", n, lines, notes[max(0, len(notes)-200):])
	}
}

func TestAFileMayHaveRecordsOfEachCompression(t *testing.T) {
	file := string(zipped(t, function(1, "", `"a"`))) + function(2, "", `"b"`) + string(zipped(t, function(3, "", `"c"`)))
	out, notes, n := printed(t, tail.Options{}, file)
	if n.Printed != 3 || notes != "" {
		t.Errorf("%+v:\n%s%s", n, out, notes)
	}
}

func TestTheEventsSoFarArePrintedBeforeMoreIsRead(t *testing.T) {
	in, write := io.Pipe()
	out, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- tail.New(writer(out), io.Discard, tail.Options{Location: time.UTC}).File("-", in)
	}()
	for i := range 4 {
		if _, err := io.WriteString(write, function(i+1, "", fmt.Sprintf(`"<%d>"`, i))); err != nil {
			t.Fatal(err)
		}
		if got := <-out; !strings.HasSuffix(got, fmt.Sprintf("<%d>\n", i)) {
			t.Errorf("printed %q", got)
		}
	}
	_ = write.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type writer chan string

func (w writer) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestErrorsOfFileAndOutputArePassedOn(t *testing.T) {
	broken := errors.New("broken")
	all := tail.New(io.Discard, io.Discard, tail.Options{Location: time.UTC})
	if err := all.File("f", iotest.ErrReader(broken)); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), `"f": `) {
		t.Error(err)
	}
	_, write := io.Pipe()
	_ = write.CloseWithError(broken)
	reader, output := io.Pipe()
	_ = reader.CloseWithError(broken)
	if err := tail.New(output, io.Discard, tail.Options{Location: time.UTC}).File("f", strings.NewReader(function(1, "", `"a"`))); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestOutputsForPrograms(t *testing.T) {
	in := function(1, "INFO", `"a\u001b\u009b<b>"`)
	raw, _, _ := printed(t, tail.Options{Output: tail.Raw}, in)
	var want, got record.Event
	if err := errors.Join(json.Unmarshal([]byte(in), &want), json.Unmarshal([]byte(raw), &got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("raw (-want +got):\n%s", diff)
	}

	var out strings.Builder
	arrival := time.Date(2026, 11, 27, 20, 15, 1, 5e6, time.UTC)
	all := tail.New(&out, io.Discard, tail.Options{Output: tail.JSON})
	if err := all.Record(streamreader.Record{Data: []byte(in), Shard: "s", SequenceNumber: "7", Arrival: arrival}); err != nil {
		t.Fatal(err)
	}
	if want := `{"shard":"s","sequenceNumber":"7","arrivalTime":"2026-11-27T20:15:01.005Z","event":` + strings.TrimSpace(raw) + "}\n"; out.String() != want {
		t.Errorf("json %s, want %s", out.String(), want)
	}
	file, _, _ := printed(t, tail.Options{Output: tail.JSON}, in)
	if want := `{"file":"file","event":` + strings.TrimSpace(raw) + "}\n"; file != want {
		t.Errorf("json %s, want %s", file, want)
	}

	payload, _, _ := printed(t, tail.Options{Output: tail.OTLP}, in)
	events, err := record.Decode([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]record.Event{want}, events); diff != "" {
		t.Errorf("otlp (-want +got):\n%s", diff)
	}

	for _, output := range []string{tail.JSON, tail.Raw, tail.OTLP} {
		safe, _, _ := printed(t, tail.Options{Output: output, Terminal: true}, in)
		if strings.ContainsAny(safe, "\x1b\u009b") || !strings.Contains(safe, `\u009b`) {
			t.Errorf("%s on a terminal: %q", output, safe)
		}
	}
}

func TestTemplates(t *testing.T) {
	lines := []string{function(1, "ERROR", `{"message":"m\u001b[2J","user":{"id":7}}`), function(2, "INFO", `"plain"`)}
	for _, tt := range []struct{ text, want string }{
		{`{{.Type}} {{.Function}} {{.Request}} {{.RequestID}} {{.TraceID}} {{.Seq}} {{.Instance}} {{.Time.Format "15:04"}} {{index .Resource "faas.version"}}`, "function orders 8476a536 " + request + " 1-5759e988-bd862e3fe1be46a994272793 1 e1 20:15 7\n"},
		{`{{(parseJSON .Body).user.id}}`, "7\n"},
		{`{{with tryParseJSON .Body}}{{.message}}{{end}}`, `m\x1b[2J` + "\n"},
		{`{{json (parseJSON .Body).user}}` + "\n", `{"id":7}` + "\n"},
		{`{{prettyJSON (parseJSON .Body).user}}`, "{\n  \"id\": 7\n}\n"},
		{`{{color "red" .Severity}} {{requestColor .RequestID}} {{severityColor .Severity}}`, "\x1b[31mERROR\x1b[0m \x1b[38;5;64m8476a536\x1b[0m \x1b[31mERROR\x1b[0m\n"},
		{`{{.Message}}`, `m\x1b[2J user={"id":7}` + "\n"},
	} {
		template, err := tail.ParseTemplate(tt.text, true)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := printed(t, tail.Options{Template: template, Color: true}, lines[0]); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.text, got, tt.want)
		}
	}
	skip, err := tail.ParseTemplate(`{{with tryParseJSON .Body}}{{.message}}{{end}}`, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := printed(t, tail.Options{Template: skip}, lines[1]); got != "" {
		t.Errorf("an empty result prints %q", got)
	}
	if _, err := tail.ParseTemplate("{{", false); err == nil {
		t.Error("a template that is not complete is accepted")
	}
	bad, err := tail.ParseTemplate(`{{parseJSON .Body}}`, false)
	if err != nil {
		t.Fatal(err)
	}
	err = tail.New(io.Discard, io.Discard, tail.Options{Template: bad, Location: time.UTC}).File("f", strings.NewReader(lines[1]))
	if err == nil || !strings.Contains(err.Error(), "--template") {
		t.Errorf("a template that fails: %v", err)
	}
}

// Memory is bounded: the environments that were silent for longest are forgotten.
func TestOldEnvironmentsAreForgotten(t *testing.T) {
	in := func(i int) string {
		return strings.Replace(function(1, "", `"a"`), `"e1"`, fmt.Sprintf(`"%d"`, i), 1)
	}
	all := tail.New(io.Discard, io.Discard, tail.Options{Location: time.UTC})
	for i := range 20_001 {
		if err := all.File("f", strings.NewReader(in(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int64{0, 1} { // the first was forgotten, the last was not
		if err := all.File("f", strings.NewReader(in(i*20_000))); err != nil || all.Counts().Duplicates != want {
			t.Errorf("%d duplicates, want %d, %v", all.Counts().Duplicates, want, err)
		}
	}
}
