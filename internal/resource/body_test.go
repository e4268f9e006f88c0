package resource_test

import (
	"encoding/json"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/resource"
	"github.com/kinetel/kinetel/internal/version"
)

// settings is a configuration as a function has it.
func settings() config.Config {
	return config.Config{
		Format: ndjson.Name, Compression: format.Gzip, PartitionKey: config.PartitionByEnvironment,
		Flush: flush.ModeAdaptive, FlushInterval: 10 * time.Second, MaxHold: 500 * time.Millisecond,
		BufferBytes: 16 << 20, Spool: config.SpoolOverflow, SpoolBytes: 64 << 20,
		Types: []string{"platform", "function"}, Report: config.Report{Events: true},
		AWS:    config.AWS{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "token"},
		Lambda: config.Lambda{Region: "eu-west-1", MemoryMB: 256, Initialization: config.OnDemand},
	}
}

func orders(cfg config.Config) *resource.Resource {
	return &resource.Resource{
		Config: cfg, AccountID: "123456789012", FunctionName: "orders", FunctionVersion: "7", EnvironmentID: "e1",
	}
}

// started returns a platform.initStart or platform.restoreStart with this record.
func started(record string) *event.Platform { return (&event.Event{Record: []byte(record)}).Platform() }

const initStart = `{"initializationType":"on-demand","phase":"init","functionName":"orders","functionVersion":"7",` +
	`"instanceId":"2026/09/21/orders[7]0f1e2d3c","instanceMaxMemory":268435456,"runtimeVersion":"nodejs:22.v101",` +
	`"runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"}`

// sameJSON reports how the values of two JSON texts differ.
func sameJSON(t *testing.T, want string, got []byte) string {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(want), &a); err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	if err := json.Unmarshal(got, &b); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	return cmp.Diff(a, b)
}

func TestTheEnvironmentEventHasWhatLinesDoNotHave(t *testing.T) {
	const kinetel = `"kinetel":{"version":"` + version.Version + `","format":"ndjson","compression":"gzip","partitionKey":"environment","flush":"adaptive",` +
		`"flushIntervalMs":10000,"maxHoldMs":500,"bufferBytes":16777216,"spool":"overflow","spoolBytes":67108864,"types":["platform","function"],"report":["events"]}`
	const memory = `"faas.max_memory":268435456,"host.arch":"` + runtime.GOARCH + `"`
	for _, tt := range []struct {
		name       string
		change     func(*resource.Resource)
		handler    string
		records    []string
		attributes string
		want       string // the rest of the body
		details    environment.Details
	}{
		{
			"before the init began", nil, "", nil,
			`{"cloud.platform":"aws_lambda","cloud.resource_id":"arn:aws:lambda:eu-west-1:123456789012:function:orders:7",` + memory + `,"aws.log.group.names":["/aws/lambda/orders"]}`,
			`"initializationType":"on-demand","functionVersion":"7"`,
			environment.Details{AccountID: "123456789012", LogGroup: "/aws/lambda/orders"},
		},
		{
			"after the init began", nil, "app.handler",
			[]string{initStart},
			`{"cloud.platform":"aws_lambda","cloud.resource_id":"arn:aws:lambda:eu-west-1:123456789012:function:orders:7",` + memory +
				`,"aws.log.group.names":["/aws/lambda/orders"],"aws.log.stream.names":["2026/09/21/orders[7]0f1e2d3c"]}`,
			`"initializationType":"on-demand","functionVersion":"7","handler":"app.handler","runtimeVersion":"nodejs:22.v101","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"`,
			environment.Details{AccountID: "123456789012", LogGroup: "/aws/lambda/orders", LogStream: "2026/09/21/orders[7]0f1e2d3c"},
		},
		{
			"a restore changes the instance only", nil, "",
			[]string{initStart, `{"functionName":"orders","instanceId":"2026/09/22/orders[7]99"}`},
			`{"cloud.platform":"aws_lambda","cloud.resource_id":"arn:aws:lambda:eu-west-1:123456789012:function:orders:7",` + memory +
				`,"aws.log.group.names":["/aws/lambda/orders"],"aws.log.stream.names":["2026/09/22/orders[7]99"]}`,
			`"initializationType":"on-demand","functionVersion":"7","runtimeVersion":"nodejs:22.v101","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"`,
			environment.Details{AccountID: "123456789012", LogGroup: "/aws/lambda/orders", LogStream: "2026/09/22/orders[7]99"},
		},
		{
			"the function's own ARN, without its qualifier", nil, "",
			[]string{`{"functionArn":"arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:orders:live","runtimeVersion":7}`},
			`{"cloud.platform":"aws_lambda","cloud.resource_id":"arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:orders:7",` + memory + `,"aws.log.group.names":["/aws/lambda/orders"]}`,
			`"initializationType":"on-demand","functionVersion":"7"`,
			environment.Details{AccountID: "123456789012", LogGroup: "/aws/lambda/orders"},
		},
		{
			"another log group, JSON, in China", func(r *resource.Resource) {
				c := &r.Config
				c.LogGroups, c.Lambda.JSONLogs, c.Lambda.Region = []string{"/orders"}, true, "cn-north-1"
			}, "",
			[]string{"null"},
			`{"cloud.platform":"aws_lambda","cloud.resource_id":"arn:aws-cn:lambda:cn-north-1:123456789012:function:orders:7",` + memory + `,"aws.log.group.names":["/orders"]}`,
			`"initializationType":"on-demand","functionVersion":"7"`,
			environment.Details{AccountID: "123456789012", LogGroup: "/orders", JSONLogs: true},
		},
		{
			"log groups that the user set", func(r *resource.Resource) {
				r.Config.LogGroups = []string{"/shop", "/orders"}
			}, "",
			nil,
			`{"cloud.platform":"aws_lambda","cloud.resource_id":"arn:aws:lambda:eu-west-1:123456789012:function:orders:7",` + memory + `,"aws.log.group.names":["/shop","/orders"]}`,
			`"initializationType":"on-demand","functionVersion":"7"`,
			environment.Details{AccountID: "123456789012", LogGroup: "/shop"},
		},
		{
			"an account that Lambda does not report", func(r *resource.Resource) { r.AccountID = "" }, "",
			[]string{"not JSON"},
			`{"cloud.platform":"aws_lambda",` + memory + `,"aws.log.group.names":["/aws/lambda/orders"]}`,
			`"initializationType":"on-demand","functionVersion":"7"`,
			environment.Details{LogGroup: "/aws/lambda/orders"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := orders(settings())
			e.Handler = tt.handler
			if tt.change != nil {
				tt.change(e)
			}
			for _, record := range tt.records {
				e.Started(started(record))
			}
			if diff := sameJSON(t, `{`+kinetel+`,`+tt.want+`,"attributes":`+tt.attributes+`}`, e.JSON()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			details := e.Details()
			if diff := sameJSON(t, tt.attributes, details.Attributes); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			details.Attributes, details.Resource = nil, nil // another test has the resource
			if diff := cmp.Diff(tt.details, details); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheEnvironmentEventHasSettingsOfSelectionAndRedactionThatAreNotDefaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"the least severity", func(c *config.Config) { c.Selection.Level = event.Warn }, `"level":"WARN"`},
		{"patterns", func(c *config.Config) {
			c.Selection.Include, c.Selection.Exclude = regexp.MustCompile(`^"a\d`), regexp.MustCompile("b|c")
		}, `"include":"^\"a\\d","exclude":"b|c"`},
		{"platform events", func(c *config.Config) {
			c.Selection.PlatformEvents = []string{"platform.logsDropped", "platform.report"}
		}, `"platformEvents":["platform.logsDropped","platform.report"]`},
		{"a sample", func(c *config.Config) {
			c.Selection.Sample = &config.Sample{Share: 0.05, Error: true, Timeout: true, Cold: true}
		}, `"sample":0.05,"sampleKeep":"error,timeout,cold"`},
		{"a sample of no ordinary invocation, by trace", func(c *config.Config) {
			c.Selection.Sample = &config.Sample{ByTrace: true, Slow: 1500 * time.Millisecond, Mark: "secret"}
		}, `"sample":0,"sampleBy":"trace","sampleKeep":"slow:1.5s,marked"`},
		{"limits", func(c *config.Config) { c.Selection.MaxLines, c.Selection.MaxBytes = 1000, 1<<20 }, `"maxLines":1000,"maxBytes":1048576`},
		{"redaction by names only", func(c *config.Config) {
			c.Redaction = config.Redaction{Names: []string{"email", "jwt"}, Pattern: regexp.MustCompile("secret"), Keys: []string{"token"}}
		}, `"redact":["email","jwt","pattern","keys"]`},
		{"redaction that cannot be used", func(c *config.Config) { c.Redaction.Unusable = true }, `"redactionUnusable":true`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kinetel := func(cfg config.Config) (members map[string]any) {
				var body struct{ Kinetel map[string]any }
				if err := json.Unmarshal(orders(cfg).JSON(), &body); err != nil {
					t.Fatal(err)
				}
				return body.Kinetel
			}
			cfg := settings()
			usual := kinetel(cfg)
			tt.change(&cfg)
			got := kinetel(cfg)
			for member := range usual {
				delete(got, member)
			}
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := sameJSON(t, "{"+tt.want+"}", text); diff != "" {
				t.Errorf("further members (-want +got):\n%s", diff)
			}
		})
	}
}

// The stream reports problems with the settings, so that nobody needs the log.
func TestTheEnvironmentEventHasTheProblemsOfTheConfiguration(t *testing.T) {
	cfg := settings()
	cfg.Problems = []config.Problem{
		{Severity: config.Replaced, Variable: "KINETEL_FLUSH_INTERVAL", Value: "1h", Used: "15m0s", Message: "must be a duration"},
		{Severity: config.Replaced, Variable: "KINETEL_TAGS", Used: "1 tag", Message: "element 2 is not name=value"},
		{Severity: config.Warning, Variable: "KINETEL_REDACT", Message: "is not a variable of this version"},
		{Severity: config.Replaced, Variable: "KINETEL_FLUSH", Value: "\xff\"", Used: "adaptive", Message: "m"},
	}
	var got struct{ Problems json.RawMessage }
	if err := json.Unmarshal(orders(cfg).JSON(), &got); err != nil {
		t.Fatal(err)
	}
	const want = `[{"severity":"ERROR","variable":"KINETEL_FLUSH_INTERVAL","value":"1h","used":"15m0s","message":"must be a duration"},` +
		`{"severity":"ERROR","variable":"KINETEL_TAGS","used":"1 tag","message":"element 2 is not name=value"},` +
		`{"severity":"WARN","variable":"KINETEL_REDACT","message":"is not a variable of this version"},` +
		`{"severity":"ERROR","variable":"KINETEL_FLUSH","value":"\ufffd\"","used":"adaptive","message":"m"}]`
	if diff := sameJSON(t, want, got.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestTheEnvironmentEventHasNoSecrets(t *testing.T) {
	cfg := settings()
	cfg.Report = config.Report{Events: true, EMF: true}
	e := orders(cfg)
	e.Started(started(initStart))
	for _, text := range []string{string(e.JSON()), string(e.Details().Attributes)} {
		for _, secret := range []string{"AKIDEXAMPLE", "secret", "token"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
	if !strings.Contains(string(e.JSON()), `"report":["events","emf"]`) {
		t.Errorf("not both reports are in %s", e.JSON())
	}
}
