package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

// environmentOf returns the body of the one kinetel.environment.
func environmentOf(t *testing.T, arrived []record.Event) (body struct {
	Problems []struct{ Severity, Variable, Value, Used, Message string }
	Kinetel  struct {
		FlushIntervalMs, MaxHoldMs, BufferBytes int64
		Types                                   []string
	}
	Attributes map[string]any
},
) {
	t.Helper()
	events := of(arrived, event.TypeEnvironment)
	if len(events) != 1 {
		t.Fatalf("%d kinetel.environment, want 1", len(events))
	}
	if err := json.Unmarshal(events[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	return body
}

// One bad setting must not turn everything off, and a reader who has only the
// stream, or only the metrics, must see it.
func TestSettingsThatCannotBeUsedAreReplaced(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer // one writer at a time, and read at the end
	bad := map[string]string{
		"KINETEL_LOG_LEVEL":        "loud",
		"KINETEL_TAGS":             "env=prod,hush-hush,=hush-hush",
		"KINETEL_FLUSH_INTERVAL":   "1h",
		"KINETEL_MAX_HOLD":         "-1s",
		"KINETEL_BUFFER_BYTES":     "1MiB",
		"KINETEL_TYPES":            "function,lambda",
		"KINETEL_REPORT":           "events,emf,mail",
		"KINETEL_STRICT":           "perhaps",
		"KINETEL_FORMAT":           "parquet",
		"KINETEL_SPOOL":            "sometimes",
		"KINETEL_REQUEST_ID_KEYS":  "a..b",
		"KINETEL_LOG_GROUP":        "our group",
		"KINETEL_COMPRESSION":      "password: hush-hush",
		"KINETEL_EXCLUDE":          "(hush-hush-password",
		"KINETEL_SAMPLE":           "few",
		"KINETEL_MAX_LINES":        "many",
		"AWS_USE_FIPS_ENDPOINT":    "perhaps",
		"OTEL_RESOURCE_ATTRIBUTES": "team=hush-hush%",
	}
	env := maps.Clone(bad)
	env["KINETEL_BATCH_EVENTS"] = "100" // of a later version
	r := start(t, sandbox.Options{Env: env, Lambda: func(c *lambdasim.Config) { c.Stdout = &stdout }})
	for range 3 {
		r.Invoke(`{"id":"replaced","lines":5}`)
	}
	r.Ended(r.Shutdown())
	if v := r.Verdict(r.arrived()); !v.OK() {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}

	arrived := r.arrived()
	body := environmentOf(t, arrived)
	replaced := make(map[string]string)
	for _, p := range body.Problems {
		if p.Severity == "ERROR" {
			replaced[p.Variable] = p.Used
		} else if p.Variable != "KINETEL_BATCH_EVENTS" || p.Severity != "WARN" {
			t.Errorf("problem %+v", p)
		}
		if p.Message == "" {
			t.Errorf("problem %+v has no text", p)
		}
	}
	if want := slices.Sorted(maps.Keys(bad)); !slices.Equal(slices.Sorted(maps.Keys(replaced)), want) || len(body.Problems) != len(bad)+1 {
		t.Errorf("problems are of %v, want of %v and of KINETEL_BATCH_EVENTS", replaced, want)
	}
	if k := body.Kinetel; k.FlushIntervalMs != 900_000 || k.MaxHoldMs != 0 || k.BufferBytes != 2<<20 || !slices.Equal(k.Types, []string{"platform", "function"}) {
		t.Errorf("settings are %+v", k)
	}
	for _, e := range arrived {
		if e.Resource["env"] != "prod" {
			t.Fatalf("the resource is %v, want it with the tag that is right", e.Resource)
		}
	}

	lines := 0
	for _, line := range r.LogLines() {
		if !strings.Contains(line, `"level":"ERROR"`) {
			continue
		}
		lines++
		for variable := range bad {
			if !strings.Contains(line, variable) {
				t.Errorf("%s is not in the line %s", variable, line)
			}
		}
		if !strings.Contains(line, `=\"1h\": must be a duration`) || !strings.Contains(line, "15m0s is used instead") {
			t.Errorf("value, fix and what is used are not in the line %s", line)
		}
	}
	if lines != 1 {
		t.Errorf("%d lines of errors, want 1:\n%s", lines, r.Log())
	}
	if metric := `"SettingsReplaced":18`; !strings.Contains(stdout.String(), metric) {
		t.Errorf("no metric %s in\n%s", metric, stdout.String())
	}
	texts := [][]byte{[]byte(r.Log()), stdout.Bytes()}
	for _, e := range arrived {
		texts = append(texts, e.Body)
	}
	for _, text := range texts {
		if bytes.Contains(text, []byte("hush-hush")) {
			t.Errorf("what may be a secret is in %s", text)
		}
	}
}

func TestObviousSpellingsAreAccepted(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"a log level":          {"KINETEL_LOG_LEVEL": "WARNING"},
		"a comma at the end":   {"KINETEL_TAGS": "env=prod,", "KINETEL_TYPES": "platform,function,", "KINETEL_REPORT": "events,"},
		"other words":          {"KINETEL_STRICT": "no", "KINETEL_ENABLED": "Yes", "AWS_USE_FIPS_ENDPOINT": "off", "KINETEL_SPOOL": "none"},
		"quotes":               {"KINETEL_STREAM_NAME": `"telemetry"`, "KINETEL_FLUSH_INTERVAL": "'5s'", "KINETEL_ENABLED": `"true"`},
		"sizes":                {"KINETEL_BUFFER_BYTES": "16MB", "KINETEL_SPOOL_BYTES": "64m"},
		"durations":            {"KINETEL_FLUSH_INTERVAL": "5 sec", "KINETEL_MAX_HOLD": "500MS"},
		"an ARN as a name":     {"KINETEL_STREAM_NAME": "arn:aws:kinesis:eu-west-1:123456789012:stream/" + sandbox.Stream},
		"a name as an ARN":     {"KINETEL_STREAM_NAME": "", "KINETEL_STREAM_ARN": sandbox.Stream},
		"Lambda's region, big": {"AWS_REGION": "EU-WEST-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, sandbox.Options{Env: env})
			r.Invoke(`{"id":"spelt","lines":5}`)
			r.complete() // with nothing in the log
			if body := environmentOf(t, r.arrived()); body.Problems != nil {
				t.Errorf("problems %+v", body.Problems)
			}
		})
	}
}

func TestTheUserSetsTheLogGroup(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"by Kinetel's variable":        {"KINETEL_LOG_GROUP": "/teams/shop", "OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=/other"},
		"by OpenTelemetry's attribute": {"OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=/teams/shop"},
	} {
		for _, format := range []string{"ndjson", "otlp", "cloudwatch"} {
			t.Run(name+", "+format, func(t *testing.T) {
				t.Parallel()
				env := maps.Clone(env)
				env["KINETEL_FORMAT"] = format
				env["KINETEL_COMPRESSION"] = "none"
				if format == "cloudwatch" {
					delete(env, "KINETEL_COMPRESSION")
				}
				r := start(t, sandbox.Options{Env: env})
				r.Invoke(`{"id":"group","lines":5}`)
				if format == "cloudwatch" {
					r.Ended(r.Shutdown()) // the format leaves members out
				} else {
					r.complete()
				}
				groups, _ := environmentOf(t, r.arrived()).Attributes["aws.log.group.names"].([]any)
				if len(groups) != 1 || groups[0] != "/teams/shop" {
					t.Errorf("log groups are %v", groups)
				}
				all := bytes.Join(r.stream.Data(), nil)
				if bytes.Contains(all, []byte("/aws/lambda/function")) {
					t.Error("Lambda's default is in the stream")
				}
				if format == "otlp" && !bytes.Contains(all, []byte(`{"key":"aws.log.group.names","value":{"arrayValue":{"values":[{"stringValue":"/teams/shop"}]}}}`)) {
					t.Errorf("no attribute in %s", all)
				}
				if format == "cloudwatch" {
					for _, data := range r.stream.Data() {
						if group := logGroup(t, data); group != "/teams/shop" {
							t.Errorf("the log group is %q", group)
						}
					}
				}
			})
		}
	}
}

// logGroup returns the log group of what a subscription filter would send.
func logGroup(t *testing.T, data []byte) string {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var message struct{ LogGroup string }
	if err := json.NewDecoder(zr).Decode(&message); err != nil {
		t.Fatal(err)
	}
	return message.LogGroup
}
