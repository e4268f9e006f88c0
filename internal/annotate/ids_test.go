package annotate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
)

// TestOnlyAnnouncedIDsCount has an id in each place that loggers have it in. At
// each place the id of an invocation is recognized, and any other UUID is not: then
// the next place counts, and then, if invocations run one at a time, the time.
func TestOnlyAnnouncedIDsCount(t *testing.T) {
	const first, second = "FIRST", "SECOND"
	for _, tt := range []struct {
		name, record string // with first, and perhaps second, which counts if first is not known
	}{
		{"Rust's span", `{"level":"INFO","fields":{"message":"m"},"span":{"requestId":"FIRST","name":"x"}}`},
		{"Rust's spans", `{"level":"INFO","fields":{"message":"m"},"spans":[{"name":"x"},7,{"requestId":"FIRST"},{"n":1}]}`},
		{"Rust's span, then its spans", `{"span":{"requestId":"FIRST"},"spans":[{"requestId":"SECOND"}]}`},
		{"Rust's innermost span is another's", `{"span":{"requestId":"FIRST","name":"http"},"spans":[{"requestId":"FIRST"},{"requestId":"SECOND"}]}`},
		{"functionRequestId", `{"functionRequestId":"FIRST"}`},
		{"FunctionRequestId", `{"FunctionRequestId":"FIRST"}`},
		{"context.awsRequestId", `{"context":{"awsRequestId":"FIRST"},"message":"m"}`},
		{"context.aws_request_id", `{"context":{"aws_request_id":"FIRST"}}`},
		{"lambda_context.aws_request_id", `{"lambda_context":{"aws_request_id":"FIRST"}}`},
		{"lambdaContext.awsRequestId", `{"lambdaContext":{"awsRequestId":"FIRST"}}`},
		{"Monolog's extra", `{"message":"m","level":200,"extra":{"aws_request_id":"FIRST"}}`},
		{"Log4j's contextMap", `{"level":"INFO","contextMap":{"AWSRequestId":"FIRST"}}`},
		{"Logback's mdc", `{"level":"INFO","mdc":{"AWSRequestId":"FIRST"}}`},
		{"Serilog's properties", `{"Level":"Information","Properties":{"AwsRequestId":"FIRST"}}`},
		{".NET's scopes", `{"LogLevel":"Information","Scopes":[{"Message":"x","AwsRequestId":"FIRST"}]}`},
		{"loguru's extra", `{"text":"m","record":{"extra":{"aws_request_id":"FIRST"},"level":{"name":"INFO"}}}`},
		{"RequestId", `{"RequestId":"FIRST"}`},
		{"faas", `{"faas":{"invocation_id":"FIRST"}}`},
		{"an API's id, then Powertools'", `{"requestId":"FIRST","function_request_id":"SECOND"}`},
		{"an API's id behind Powertools'", `{"function_request_id":"SECOND","requestId":"FIRST"}`},
		{"an API's id, then the context's", `{"requestId":"FIRST","context":{"awsRequestId":"SECOND"}}`},
		{"many ids", `{"AWSRequestId":"FIRST","awsRequestId":"FIRST","requestId":"FIRST","request_id":"FIRST","aws_request_id":"FIRST","lambda_request_id":"FIRST","RequestId":"FIRST","span":{"requestId":"SECOND"}}`},
		{"a message of Lambda's that is JSON", `{"timestamp":"t","level":"INFO","message":"{\"function_request_id\":\"FIRST\"}"}`},
		{"a message of Lambda's that is JSON, of an API", `{"timestamp":"t","level":"INFO","requestId":"SECOND","message":"{\"AWSRequestId\":\"FIRST\"}"}`},
		{"a message of Lambda's that is an object", `{"timestamp":"t","level":"INFO","message":{"aws_request_id":"FIRST"}}`},
		{"a message of Lambda's that is Rust's text", `{"timestamp":"t","level":"INFO","message":" INFO Lambda runtime invoke{requestId=\"FIRST\"}: app: m"}`},
		{"Node's text", asText("2026-11-22T20:15:00.123Z\tFIRST\tINFO\tm\n")},
		{".NET's text", asText("2026-11-22T20:15:00.123Z\tFIRST\tfail\tm\n")},
		{"Python's text", asText("[INFO]\t2026-11-22T20:15:00.123Z\tFIRST\tm\n")},
		{"Ruby's text", asText("I, [2026-11-22T20:15:00.123456 #8]  INFO FIRST -- : m")},
		{"Node's text outside of a request, with JSON", asText("2026-11-22T20:15:00.123Z\tundefined\tINFO\t{\"function_request_id\":\"FIRST\"}")},
		{"Node's text with an API's id in JSON", asText("2026-11-22T20:15:00.123Z\tSECOND\tINFO\t{\"foo\":\"FIRST\"}")},
		{"Rust's text", asText(` INFO Lambda runtime invoke{requestId="FIRST" xrayTraceId="Root=1-68d0aaaa-0123456789abcdef01234567"}: app: m`)},
		{"Rust's text in colours", asText("\x1b[2m2026-11-22T20:15:00.123456Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[1mLambda runtime invoke\x1b[0m\x1b[1m{\x1b[0m\x1b[3mrequestId\x1b[0m\x1b[2m=\x1b[0m\"FIRST\"\x1b[1m}\x1b[0m: m")},
		{"Java's text", asText("RequestId: FIRST boom")},
		{"Lambda's error", asText("RequestId: FIRST Error: Runtime exited with error: exit status 1")},
		{"a text's two ids", asText("m requestId=FIRST aws_request_id=SECOND")},
		{"logfmt", asText("time=2026-11-22T20:15:00.123Z level=INFO msg=m aws_request_id=FIRST n=1")},
		{"logfmt, quoted", asText(`level=info msg="m" request_id="FIRST"`)},
		{"Bref's JSON behind the text", asText("ERROR\tOops\t{\"message\":\"Oops\",\"aws_request_id\":\"FIRST\"}")},
		{"Log4j's text", asText("2026-11-22 20:15:00 FIRST ERROR App:17 - m")},
	} {
		fill := func(a, b string) string {
			return strings.ReplaceAll(strings.ReplaceAll(tt.record, first, a), second, b)
		}
		for _, kind := range []config.Initialization{config.OnDemand, config.ManagedInstances} {
			t.Run(string(kind)+": "+tt.name, func(t *testing.T) {
				open := "A"
				if kind == config.ManagedInstances {
					open = "" // many are open
				}
				want := open
				if strings.Contains(tt.record, second) {
					want = "B"
				}
				play(t, annotate.New(kind), [][]item{
					{start(0, "B"), report(10, "B")},
					{start(100, "A"), line(150, fill(uuid("X"), uuid("B")), want), line(151, fill(uuid("B"), uuid("B")), "B"), line(152, fill(uuid("X"), uuid("X")), open)},
				})
			})
		}
	}
}

func TestRequestIDKeys(t *testing.T) {
	keys := []string{"ctx.req.id", "correlation", "trail.id", "a.b", "deep.a.b.c"}
	own, foreign := uuid("B"), uuid("X")
	for _, tt := range []struct{ name, record, want string }{
		{"a member", `{"correlation":"` + own + `"}`, "B"},
		{"a path", `{"ctx":{"n":1,"req":{"id":"` + own + `"}}}`, "B"},
		{"a name with a dot", `{"a.b":"` + own + `"}`, "B"},
		{"a path whose names have dots", `{"ctx.req":{"id":"` + own + `"}}`, "B"},
		{"a long path", `{"deep":{"a":{"b":{"c":"` + own + `"}}}}`, "B"},
		{"in an array", `{"trail":[1,{"id":"` + foreign + `"},{"id":"` + own + `"}]}`, "B"},
		{"as a text", asText(`{"correlation":"` + own + `"}`), "B"},
		{"behind Node's prefix", asText("2026-11-22T20:15:00.123Z\tundefined\tINFO\t" + `{"correlation":"` + own + `"}`), "B"},
		{"in Lambda's message", `{"timestamp":"t","level":"INFO","message":"{\"correlation\":\"` + own + `\"}"}`, "B"},
		{"before the others", `{"requestId":"` + uuid("A") + `","correlation":"` + own + `"}`, "B"},
		{"a foreign one, then another", `{"correlation":"` + foreign + `","requestId":"` + own + `"}`, "B"},
		{"a foreign one", `{"correlation":"` + foreign + `"}`, ""},
		{"deeper than the path", `{"correlation":{"id":"` + own + `"}}`, ""},
		{"less deep than the path", `{"ctx":"` + own + `"}`, ""},
		{"another name", `{"correlations":"` + own + `","corr":"` + own + `"}`, ""},
		{"no string", `{"correlation":17,"trail":[[],{}],"ctx":null}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, annotate.New(config.ManagedInstances, keys...), [][]item{
				{start(0, "B"), start(1, "A"), line(10, tt.record, tt.want)},
			})
		})
	}
}

// An id is recognized from the moment that its invocation is announced. A line does not
// wait for that, unless it is announced in the same body.
func TestAnIDCountsOnceItIsAnnounced(t *testing.T) {
	of := structured("requestId", uuid("B"))
	play(t, annotate.New(config.ManagedInstances), [][]item{
		{line(5, of, "")},
		{line(5, of, "B"), start(4, "B")},
		{line(5, of, "B")},
	})
	play(t, annotate.New(config.OnDemand), [][]item{
		{line(5, of, "")},
		{invoke(6, "B"), line(5, of, "B")},
		{start(4, "B"), line(5, of, "B")},
	})
}

func TestALongInvocationIsNotForgotten(t *testing.T) {
	a := annotate.New(config.ManagedInstances)
	of := func(letter string) item { return line(90*60_000, structured("requestId", uuid(letter)), letter) }
	play(t, a, [][]item{{start(0, "A"), start(1, "B"), report(10, "B")}})
	for n := range 10_000 {
		i := start(100+n, "C")
		i.record = strings.ReplaceAll(i.record, uuid("C"), "request-"+string(rune('a'+n%26))+strings.Repeat("x", n/26%100)+string(rune('a'+n/2600)))
		a.Learn(i.event())
		end := report(101+n, "C")
		end.record = i.record
		a.Learn(end.event())
	}
	gone := of("B")
	gone.want = ""
	play(t, a, [][]item{{of("A"), gone, report(90*60_000, "A"), of("A")}})
}

// TestManagedInstancesCase has bodies that were observed on Lambda.
func TestManagedInstancesCase(t *testing.T) {
	script, err := os.ReadFile("testdata/lmi-ids.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	a := annotate.New(config.ManagedInstances)
	var got []string
	for step := range bytes.Lines(script) {
		var s struct {
			Post []struct {
				Type   string
				Record json.RawMessage
			}
		}
		if err := json.Unmarshal(step, &s); err != nil {
			t.Fatal(err)
		}
		var events []*event.Event
		for _, e := range s.Post {
			ev := &event.Event{Type: []byte(e.Type), Record: e.Record}
			a.Learn(ev)
			events = append(events, ev)
		}
		for _, ev := range events {
			a.Annotate(ev)
			if string(ev.Type) == event.TypeFunction {
				got = append(got, ev.RequestID[:min(1, len(ev.RequestID))])
			}
		}
	}
	if want := "a  b b a a b b"; strings.Join(got, " ") != want {
		t.Errorf("the lines belong to %q, want %q", strings.Join(got, " "), want)
	}
}

// The page of records has the names that are looked for.
func TestDocsListTheNamesOfIDs(t *testing.T) {
	page, err := os.ReadFile("../../docs/log-lines.md")
	if err != nil {
		t.Fatal(err)
	}
	names := func(row string) (all []string) {
		_, rest, ok := strings.Cut(string(page), "\n| "+row+" | ")
		if !ok {
			t.Fatalf("the page has no row %q", row)
		}
		rest, _, _ = strings.Cut(rest, "\n")
		for i, name := range strings.Split(rest, "`") {
			if i%2 == 1 && name != "record.extra" {
				all = append(all, name)
			}
		}
		return all
	}
	members, objects := names("a member of a JSON line"), names("the same names one level down")
	if len(members) < 20 || len(objects) < 15 {
		t.Fatalf("the page has the names %q in %q", members, objects)
	}
	var lines []item
	for _, member := range members {
		id := `{"` + member + `":"` + uuid("A") + `"}`
		lines = append(lines, line(1, id, "A"), line(1, `{"other":`+id+`}`, ""))
		for _, object := range objects {
			lines = append(lines, line(1, `{"`+object+`":`+id+`}`, "A"), line(1, `{"`+object+`":[`+id+`]}`, "A"))
		}
	}
	play(t, annotate.New(config.ManagedInstances), [][]item{append([]item{start(0, "A")}, lines...)})
}
