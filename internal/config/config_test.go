package config_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinetel/internal/config"
)

// vars is an environment, or changes to one.
type vars map[string]string

// lambda is what Lambda sets by itself, and the one thing that is required.
func lambda() vars {
	return vars{
		"KINETEL_STREAM_NAME":         "telemetry",
		"AWS_REGION":                  "eu-west-1",
		"AWS_ACCESS_KEY_ID":           "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY":       "wJalrXUtnFEMI",
		"AWS_SESSION_TOKEN":           "IQoJb3JpZ2luX2Vj",
		"AWS_LAMBDA_RUNTIME_API":      "127.0.0.1:9001",
		"AWS_LAMBDA_FUNCTION_NAME":    "orders",
		"AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"PATH":                        "/usr/bin",
	}
}

// with returns the environment with changes; unset takes a variable out.
func (v vars) with(changes vars) vars {
	for name, value := range changes {
		if value == unset {
			delete(v, name)
		} else {
			v[name] = value
		}
	}
	return v
}

const unset = "\x00unset"

func (v vars) environ() []string {
	environ := make([]string, 0, len(v))
	for name, value := range v {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// defaults is the Config of lambda().
func defaults() config.Config {
	return config.Config{
		Enabled:       true,
		StreamName:    "telemetry",
		Types:         []string{"platform", "function"},
		Format:        "ndjson",
		Compression:   config.CompressionGzip,
		PartitionKey:  config.PartitionByEnvironment,
		Flush:         config.FlushAdaptive,
		FlushInterval: 10 * time.Second,
		MaxHold:       500 * time.Millisecond,
		BufferBytes:   16 << 20,
		Spool:         config.SpoolOverflow,
		SpoolDir:      "/tmp/kinetel",
		SpoolBytes:    64 << 20,
		Report:        config.Report{Events: true},
		LogLevel:      slog.LevelWarn,
		AWS: config.AWS{
			Region:          "eu-west-1",
			AccessKeyID:     "AKIDEXAMPLE",
			SecretAccessKey: "wJalrXUtnFEMI",
			SessionToken:    "IQoJb3JpZ2luX2Vj",
		},
		Lambda: config.Lambda{
			RuntimeAPI:      "127.0.0.1:9001",
			Region:          "eu-west-1",
			FunctionName:    "orders",
			FunctionVersion: "$LATEST",
		},
	}
}

// initialized is how an environment was brought up.
func initialized(kind config.Initialization) func(*config.Config) {
	return func(c *config.Config) {
		c.Lambda.Initialization = kind
		c.Lambda.JSONLogs = kind == config.ManagedInstances // which have no other format
	}
}

// usable reports whether there is nothing worse than warnings.
func usable(problems []config.Problem) bool {
	return !slices.ContainsFunc(problems, func(p config.Problem) bool { return !p.Warning })
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	const arn = "arn:aws:kinesis:us-east-2:123456789012:stream/other.stream_1"
	for _, tt := range []struct {
		name string
		set  vars
		want func(c *config.Config) // what differs from the defaults
	}{
		{"a stream's name is all that has to be set", nil, func(*config.Config) {}},
		{"an empty variable is as good as none", vars{
			"KINETEL_ENABLED": "", "KINETEL_STRICT": "", "KINETEL_TYPES": "", "KINETEL_FORMAT": "", "KINETEL_COMPRESSION": "",
			"KINETEL_PARTITION_KEY": "", "KINETEL_FLUSH": "", "KINETEL_FLUSH_INTERVAL": "", "KINETEL_MAX_HOLD": "",
			"KINETEL_BUFFER_BYTES": "", "KINETEL_TAGS": "", "KINETEL_LOG_LEVEL": "", "KINETEL_STREAM_ARN": "",
			"KINETEL_SPOOL": "", "KINETEL_SPOOL_DIR": "", "KINETEL_SPOOL_BYTES": "", "KINETEL_REPORT": "",
			"AWS_ENDPOINT_URL": "", "AWS_USE_FIPS_ENDPOINT": "",
		}, func(*config.Config) {}},
		{"white space around a value is not part of it", vars{
			"KINETEL_STREAM_NAME": " telemetry\n", "KINETEL_FLUSH": "\tinterval ", "KINETEL_MAX_HOLD": " 1s ",
			"KINETEL_BUFFER_BYTES": " 4 MiB ", "KINETEL_STRICT": " true ", "KINETEL_LOG_LEVEL": " info ",
			"KINETEL_TAGS": " env = prod , team = payments ", "KINETEL_TYPES": " platform , extension ", "AWS_REGION": " eu-west-1 ",
			"KINETEL_SPOOL": " off ", "KINETEL_SPOOL_DIR": " /tmp/a b ", "KINETEL_SPOOL_BYTES": " 5 MiB ", "KINETEL_REPORT": "\toff\n",
		}, func(c *config.Config) {
			c.Spool, c.SpoolDir, c.SpoolBytes, c.Report = config.SpoolOff, "/tmp/a b", 5<<20, config.Report{}
			c.Flush, c.MaxHold, c.BufferBytes, c.Strict, c.LogLevel = config.FlushInterval, time.Second, 4<<20, true, slog.LevelInfo
			c.Attributes = []config.Attribute{{Name: "env", Value: "prod"}, {Name: "team", Value: "payments"}}
			c.Types = []string{"platform", "extension"}
		}},

		{"disabled", vars{"KINETEL_ENABLED": "false"}, func(c *config.Config) { c.Enabled, c.StreamName = false, "" }},
		{"disabled by a number", vars{"KINETEL_ENABLED": "0"}, func(c *config.Config) { c.Enabled, c.StreamName = false, "" }},
		{"enabled in capitals", vars{"KINETEL_ENABLED": "TRUE"}, func(*config.Config) {}},
		{"strict", vars{"KINETEL_STRICT": "true"}, func(c *config.Config) { c.Strict = true }},
		{"strict by a number", vars{"KINETEL_STRICT": "1"}, func(c *config.Config) { c.Strict = true }},

		{"all types", vars{"KINETEL_TYPES": "platform,function,extension"}, func(c *config.Config) {
			c.Types = []string{"platform", "function", "extension"}
		}},
		{"a type that is named twice stands once", vars{"KINETEL_TYPES": "platform,Function,function"}, func(*config.Config) {}},
		{"only platform events", vars{"KINETEL_TYPES": "platform"}, func(c *config.Config) { c.Types = []string{"platform"} }},
		{"lines", vars{"KINETEL_FORMAT": "ndjson"}, func(*config.Config) {}},
		{"one line a record", vars{"KINETEL_FORMAT": "json"}, func(c *config.Config) { c.Format = config.FormatJSON }},
		{"OpenTelemetry", vars{"KINETEL_FORMAT": "OTLP", "KINETEL_COMPRESSION": "zstd"}, func(c *config.Config) {
			c.Format, c.Compression = config.FormatOTLP, config.CompressionZstd
		}},
		{"OpenTelemetry with spans", vars{"KINETEL_FORMAT": "otlp", "KINETEL_OTLP_SPANS": "true"}, func(c *config.Config) {
			c.Format, c.OTLPSpans = config.FormatOTLP, true
		}},
		{"what a subscription filter sends", vars{"KINETEL_FORMAT": "cloudwatch", "KINETEL_COMPRESSION": "gzip"}, func(c *config.Config) { c.Format = config.FormatCloudWatch }},
		{"aggregates are not compressed", vars{"KINETEL_FORMAT": "kpl"}, func(c *config.Config) {
			c.Format, c.Compression = config.FormatKPL, config.CompressionNone
		}},
		{"what Lambda says of the function", vars{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_GROUP_NAME": "/orders"}, func(c *config.Config) {
			c.Lambda.MemoryMB, c.Lambda.JSONLogs, c.Lambda.LogGroup = 1769, true, "/orders"
		}},
		{"a memory size that is none", vars{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much", "AWS_LAMBDA_LOG_FORMAT": "Text"}, func(*config.Config) {}},
		{"OpenTelemetry's resource", vars{"OTEL_RESOURCE_ATTRIBUTES": " deployment.environment.name=prod , team=a%2Cb%20c,empty=,service.name=shop,"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "deployment.environment.name", Value: "prod"}, {Name: "team", Value: "a,b c"}, {Name: "service.name", Value: "shop"}}
		}},
		{"the service's own variable goes before the general one", vars{"OTEL_RESOURCE_ATTRIBUTES": "service.name=general,team=a", "OTEL_SERVICE_NAME": "special"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "service.name", Value: "special"}, {Name: "team", Value: "a"}}
		}},
		{"tags go before all", vars{"OTEL_RESOURCE_ATTRIBUTES": "team=a,stage=b", "OTEL_SERVICE_NAME": "otel", "KINETEL_TAGS": "service.name=tag,stage=c,env=prod"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "team", Value: "a"}, {Name: "stage", Value: "c"}, {Name: "service.name", Value: "tag"}, {Name: "env", Value: "prod"}}
		}},
		{"gzip", vars{"KINETEL_COMPRESSION": "gzip"}, func(*config.Config) {}},
		{"zstd", vars{"KINETEL_COMPRESSION": "zstd"}, func(c *config.Config) { c.Compression = config.CompressionZstd }},
		{"no compression", vars{"KINETEL_COMPRESSION": "None"}, func(c *config.Config) { c.Compression = config.CompressionNone }},
		{"a key an environment", vars{"KINETEL_PARTITION_KEY": "environment"}, func(*config.Config) {}},
		{"a key a request", vars{"KINETEL_PARTITION_KEY": "request"}, func(c *config.Config) { c.PartitionKey = config.PartitionByRequest }},
		{"a key a function", vars{"KINETEL_PARTITION_KEY": "function"}, func(c *config.Config) { c.PartitionKey = config.PartitionByFunction }},
		{"random keys", vars{"KINETEL_PARTITION_KEY": "random"}, func(c *config.Config) { c.PartitionKey = config.PartitionRandom }},
		{"flush as the function is called", vars{"KINETEL_FLUSH": "Adaptive"}, func(*config.Config) {}},
		{"flush at the end", vars{"KINETEL_FLUSH": "end"}, func(c *config.Config) { c.Flush = config.FlushEnd }},
		{"flush at an interval", vars{"KINETEL_FLUSH": "interval"}, func(c *config.Config) { c.Flush = config.FlushInterval }},
		{"the shortest interval", vars{"KINETEL_FLUSH_INTERVAL": "100ms"}, func(c *config.Config) { c.FlushInterval = 100 * time.Millisecond }},
		{"the longest interval", vars{"KINETEL_FLUSH_INTERVAL": "15m"}, func(c *config.Config) { c.FlushInterval = 15 * time.Minute }},
		{"never hold", vars{"KINETEL_MAX_HOLD": "0"}, func(c *config.Config) { c.MaxHold = 0 }},
		{"the shortest hold", vars{"KINETEL_MAX_HOLD": "30ms"}, func(c *config.Config) { c.MaxHold = config.MinHold }},
		{"hold for long", vars{"KINETEL_MAX_HOLD": "1m30.5s"}, func(c *config.Config) { c.MaxHold = 90*time.Second + 500*time.Millisecond }},
		{"a buffer in MiB", vars{"KINETEL_BUFFER_BYTES": "32MiB"}, func(c *config.Config) { c.BufferBytes = 32 << 20 }},
		{"a buffer in KiB", vars{"KINETEL_BUFFER_BYTES": "3000KiB"}, func(c *config.Config) { c.BufferBytes = 3000 << 10 }},
		{"a buffer in B", vars{"KINETEL_BUFFER_BYTES": "5000000B"}, func(c *config.Config) { c.BufferBytes = 5_000_000 }},
		{"a buffer without a unit", vars{"KINETEL_BUFFER_BYTES": "5000000"}, func(c *config.Config) { c.BufferBytes = 5_000_000 }},
		{"the smallest buffer", vars{"KINETEL_BUFFER_BYTES": "2MiB"}, func(c *config.Config) { c.BufferBytes = 2 << 20 }},
		{"the largest buffer", vars{"KINETEL_BUFFER_BYTES": "8192MiB"}, func(c *config.Config) { c.BufferBytes = 8 << 30 }},
		{"a spool for what memory has no room for", vars{"KINETEL_SPOOL": "overflow"}, func(*config.Config) {}},
		{"no spool", vars{"KINETEL_SPOOL": "off"}, func(c *config.Config) { c.Spool = config.SpoolOff }},
		{"a spool for everything", vars{"KINETEL_SPOOL": "Always"}, func(c *config.Config) { c.Spool = config.SpoolAlways }},
		{"a folder for the spool", vars{"KINETEL_SPOOL_DIR": "/mnt/efs/spool"}, func(c *config.Config) { c.SpoolDir = "/mnt/efs/spool" }},
		{"a folder with dots and slashes", vars{"KINETEL_SPOOL_DIR": "/mnt//efs/../spool/./a/"}, func(c *config.Config) { c.SpoolDir = "/mnt/spool/a" }},
		{"the smallest spool", vars{"KINETEL_SPOOL_BYTES": "4MiB"}, func(c *config.Config) { c.SpoolBytes = 4 << 20 }},
		{"the largest spool", vars{"KINETEL_SPOOL_BYTES": "8192MiB"}, func(c *config.Config) { c.SpoolBytes = 8 << 30 }},
		{"a spool in KiB", vars{"KINETEL_SPOOL_BYTES": "5000KiB"}, func(c *config.Config) { c.SpoolBytes = 5000 << 10 }},
		{"reports as events", vars{"KINETEL_REPORT": "events"}, func(*config.Config) {}},
		{"no reports", vars{"KINETEL_REPORT": "OFF"}, func(c *config.Config) { c.Report = config.Report{} }},
		{"reports for CloudWatch", vars{"KINETEL_REPORT": "emf"}, func(c *config.Config) { c.Report = config.Report{EMF: true} }},
		{"reports for both", vars{"KINETEL_REPORT": "events,emf"}, func(c *config.Config) { c.Report.EMF = true }},
		{"reports for both, the other way round, with blanks", vars{"KINETEL_REPORT": " EMF , Events "}, func(c *config.Config) { c.Report.EMF = true }},
		{"a report that is named twice", vars{"KINETEL_REPORT": "events,events"}, func(*config.Config) {}},
		{"brought up on demand", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, initialized(config.OnDemand)},
		{"brought up before it is called", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}, initialized(config.ProvisionedConcurrency)},
		{"brought up from a snapshot", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": " SNAP-start\n"}, initialized(config.SnapStart)},
		{"brought up on Managed Instances", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}, initialized(config.ManagedInstances)},
		{"brought up in a way of tomorrow", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "teleported"}, initialized("teleported")},
		{"log level debug", vars{"KINETEL_LOG_LEVEL": "debug"}, func(c *config.Config) { c.LogLevel = slog.LevelDebug }},
		{"log level info", vars{"KINETEL_LOG_LEVEL": "INFO"}, func(c *config.Config) { c.LogLevel = slog.LevelInfo }},
		{"log level warn", vars{"KINETEL_LOG_LEVEL": "warn"}, func(*config.Config) {}},
		{"log level error", vars{"KINETEL_LOG_LEVEL": "error"}, func(c *config.Config) { c.LogLevel = slog.LevelError }},
		{"tags in the order given", vars{"KINETEL_TAGS": "team=payments,env=prod,query=a=b"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "team", Value: "payments"}, {Name: "env", Value: "prod"}, {Name: "query", Value: "a=b"}}
		}},

		{"the longest name of a stream", vars{"KINETEL_STREAM_NAME": strings.Repeat("aZ0_.-xy", 16)}, func(c *config.Config) {
			c.StreamName = strings.Repeat("aZ0_.-xy", 16)
		}},
		{"an ARN says name and region, and leaves the function's region", vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": arn}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region = arn, "other.stream_1", "us-east-2"
		}},
		{"an ARN and the same name", vars{"KINETEL_STREAM_NAME": "other.stream_1", "KINETEL_STREAM_ARN": arn}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region = arn, "other.stream_1", "us-east-2"
		}},
		{"an ARN needs no region besides", vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": arn, "AWS_REGION": unset}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region, c.Lambda.Region = arn, "other.stream_1", "us-east-2", ""
		}},
		{"no session token, as outside of Lambda", vars{"AWS_SESSION_TOKEN": unset}, func(c *config.Config) { c.AWS.SessionToken = "" }},
		{"the general endpoint", vars{"AWS_ENDPOINT_URL": "http://127.0.0.1:4567"}, func(c *config.Config) { c.AWS.Endpoint = "http://127.0.0.1:4567" }},
		{"the endpoint of Kinesis goes first", vars{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_KINESIS": "https://vpce.example/a"}, func(c *config.Config) {
			c.AWS.Endpoint = "https://vpce.example/a"
		}},
		{"FIPS, dual stack and a bundle", vars{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_CA_BUNDLE": "/opt/ca.pem"}, func(c *config.Config) {
			c.AWS.UseFIPS, c.AWS.UseDualStack, c.AWS.CABundle = true, true, "/opt/ca.pem"
		}},
		{"a variable of another program is nobody's business", vars{"KINETELX": "1", "NOT_KINETEL_FLUSH": "1"}, func(*config.Config) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := defaults()
			tt.want(&want)
			got, problems := config.Load(lambda().with(tt.set).environ())
			if len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestIDKeys(t *testing.T) {
	eight := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	deep := "a.b.c.d.e.f.g.h"
	for _, tt := range []struct {
		name, value string
		want        []string
		warnings    int
	}{
		{"none", "", nil, 0},
		{"a member", "correlationId", []string{"correlationId"}, 0},
		{"a path", "ctx.requestId", []string{"ctx.requestId"}, 0},
		{"a list with white space, a trailing comma and empty elements", " ctx.requestId , ,req.id,", []string{"ctx.requestId", "req.id"}, 0},
		{"as jq and JSONPath have it", ".ctx.requestId,$.req.id", []string{"ctx.requestId", "req.id"}, 0},
		{"capitals and other letters count", "Ctx.requestID,größe.id", []string{"Ctx.requestID", "größe.id"}, 0},
		{"the same twice", "a.b,a.b,.a.b", []string{"a.b"}, 0},
		{"as many as there may be", strings.Join(eight, ","), eight, 0},
		{"more than there may be", strings.Join(eight, ",") + ",i,j", eight, 1},
		{"as deep as there may be", deep, []string{deep}, 0},
		{"deeper", deep + ".i,ok", []string{"ok"}, 1},
		{"as long as there may be", strings.Repeat("x", 128), []string{strings.Repeat("x", 128)}, 0},
		{"longer", strings.Repeat("x", 129) + ",ok", []string{"ok"}, 1},
		{"an empty member", "a..b,a.,$,.,ok", []string{"ok"}, 4},
		{"a control character", "a\tb,ok", []string{"ok"}, 1},
		{"not UTF-8", "a\xff,ok", []string{"ok"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := config.Load(lambda().with(vars{"KINETEL_REQUEST_ID_KEYS": tt.value}).environ())
			if diff := cmp.Diff(tt.want, c.RequestIDKeys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if len(problems) != tt.warnings || !usable(problems) {
				t.Errorf("problems are %v, want %d, all of them warnings", problems, tt.warnings)
			}
			for _, p := range problems {
				if p.Variable != "KINETEL_REQUEST_ID_KEYS" || len(p.String()) > 1000 {
					t.Errorf("problem %q", p)
				}
			}
		})
	}
}

func TestStreamARNsOfAllPartitionsAreRead(t *testing.T) {
	for _, tt := range []struct{ partition, region string }{
		{"aws", "eu-west-1"},
		{"aws", "ap-southeast-7"},
		{"aws", "mx-central-1"},
		{"aws-cn", "cn-northwest-1"},
		{"aws-us-gov", "us-gov-east-1"},
		{"aws-iso", "us-iso-east-1"},
		{"aws-iso-b", "us-isob-east-1"},
		{"aws-iso-e", "eu-isoe-west-1"},
		{"aws-iso-f", "us-isof-south-1"},
		{"aws-eusc", "eusc-de-east-1"},
	} {
		t.Run(tt.region, func(t *testing.T) {
			arn := "arn:" + tt.partition + ":kinesis:" + tt.region + ":123456789012:stream/s"
			c, problems := config.Load(lambda().with(vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": arn}).environ())
			if len(problems) > 0 || c.StreamARN != arn || c.StreamName != "s" || c.AWS.Region != tt.region {
				t.Errorf("%s gives ARN %q, name %q, region %q and problems %v", arn, c.StreamARN, c.StreamName, c.AWS.Region, problems)
			}
		})
	}
}

func TestLoadSaysWhatIsWrongAndWhatWouldBeValid(t *testing.T) {
	const (
		boolean = "true or false"
		buffer  = "must be a size from 2MiB to 8192MiB in B, KiB or MiB, such as 16MiB"
		spool   = "must be a size from 4MiB to 8192MiB in B, KiB or MiB, such as 64MiB"
		folder  = "must be the absolute path of a folder, such as /tmp/kinetel"
		someARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/"
	)
	for _, tt := range []struct {
		name      string
		set       vars // one variable, which is the one at fault
		valid     []string
		unchanged bool // the Config is that of the defaults
	}{
		{"neither true nor false", vars{"KINETEL_ENABLED": "yes please"}, []string{boolean}, true},
		{"neither strict nor not", vars{"KINETEL_STRICT": "2"}, []string{boolean}, true},
		{"an unknown type", vars{"KINETEL_TYPES": "platform,functions"}, []string{`"functions"`, "platform, function or extension"}, true},
		{"a type that is empty", vars{"KINETEL_TYPES": "platform,,function"}, []string{"platform, function or extension"}, true},
		{"no platform events", vars{"KINETEL_TYPES": "function"}, []string{"must contain platform"}, true},
		{"an unknown format", vars{"KINETEL_FORMAT": "parquet"}, []string{"ndjson, json, otlp, cloudwatch or kpl"}, true},
		{"an unknown compression", vars{"KINETEL_COMPRESSION": "brotli"}, []string{"gzip, zstd or none"}, true},
		{"an unknown partition key", vars{"KINETEL_PARTITION_KEY": "shard"}, []string{"environment, request, function or random"}, true},
		{"a flush policy of a later version", vars{"KINETEL_FLUSH": "sampled"}, []string{"adaptive, end or interval"}, true},
		{"an interval without a unit", vars{"KINETEL_FLUSH_INTERVAL": "10"}, []string{"from 100ms to 15m0s", "10s"}, true},
		{"an interval that is too short", vars{"KINETEL_FLUSH_INTERVAL": "99ms"}, []string{"from 100ms to 15m0s"}, true},
		{"an interval that is too long", vars{"KINETEL_FLUSH_INTERVAL": "15m1ns"}, []string{"from 100ms to 15m0s"}, true},
		{"an interval that is negative", vars{"KINETEL_FLUSH_INTERVAL": "-10s"}, []string{"from 100ms to 15m0s"}, true},
		{"an interval beyond what can be counted", vars{"KINETEL_FLUSH_INTERVAL": "9999999999h"}, []string{"from 100ms to 15m0s"}, true},
		{"a hold that is negative", vars{"KINETEL_MAX_HOLD": "-1ns"}, []string{"from 0s to 15m0s", "500ms"}, true},
		{"a hold that is too long", vars{"KINETEL_MAX_HOLD": "16m"}, []string{"from 0s to 15m0s"}, true},
		{"a hold that is no duration", vars{"KINETEL_MAX_HOLD": "never"}, []string{"from 0s to 15m0s"}, true},
		{"a buffer that is too small", vars{"KINETEL_BUFFER_BYTES": "2047KiB"}, []string{buffer}, true},
		{"a buffer that is too large", vars{"KINETEL_BUFFER_BYTES": "8193MiB"}, []string{buffer}, true},
		{"a buffer in a unit of another kind", vars{"KINETEL_BUFFER_BYTES": "16MB"}, []string{buffer}, true},
		{"a buffer in lower case", vars{"KINETEL_BUFFER_BYTES": "16mib"}, []string{buffer}, true},
		{"a buffer with a fraction", vars{"KINETEL_BUFFER_BYTES": "2.5MiB"}, []string{buffer}, true},
		{"a buffer that is negative", vars{"KINETEL_BUFFER_BYTES": "-16MiB"}, []string{buffer}, true},
		{"a buffer that is only a unit", vars{"KINETEL_BUFFER_BYTES": "MiB"}, []string{buffer}, true},
		{"a buffer that overflows to 16 MiB", vars{"KINETEL_BUFFER_BYTES": "17592186044432MiB"}, []string{buffer}, true},
		{"a buffer that overflows to 16 MiB in KiB", vars{"KINETEL_BUFFER_BYTES": "18014398509498368KiB"}, []string{buffer}, true},
		{"a buffer that no number holds", vars{"KINETEL_BUFFER_BYTES": "18446744073726328832"}, []string{buffer}, true},
		{"an unknown spool", vars{"KINETEL_SPOOL": "sometimes"}, []string{"must be overflow, off or always"}, true},
		{"a spool that is true", vars{"KINETEL_SPOOL": "true"}, []string{"must be overflow, off or always"}, true},
		{"a folder that depends on where one is", vars{"KINETEL_SPOOL_DIR": "spool"}, []string{folder}, true},
		{"a folder at home", vars{"KINETEL_SPOOL_DIR": "~/spool"}, []string{folder}, true},
		{"a folder that depends on its parent", vars{"KINETEL_SPOOL_DIR": "../tmp"}, []string{folder}, true},
		{"a folder as a URL", vars{"KINETEL_SPOOL_DIR": "file:///tmp"}, []string{folder}, true},
		{"a folder that no system has", vars{"KINETEL_SPOOL_DIR": "/tmp/a\x00b"}, []string{folder}, true},
		{"a spool that is too small", vars{"KINETEL_SPOOL_BYTES": "4095KiB"}, []string{spool}, true},
		{"a spool that is one byte too small", vars{"KINETEL_SPOOL_BYTES": "4194303"}, []string{spool}, true},
		{"a spool that is too large", vars{"KINETEL_SPOOL_BYTES": "8193MiB"}, []string{spool}, true},
		{"a spool in a unit of another kind", vars{"KINETEL_SPOOL_BYTES": "64M"}, []string{spool}, true},
		{"an unknown report", vars{"KINETEL_REPORT": "metrics"}, []string{"a comma-separated list of events and emf, or off"}, true},
		{"a report that is on", vars{"KINETEL_REPORT": "on"}, []string{"a comma-separated list of events and emf, or off"}, true},
		{"a report that is off, and is not", vars{"KINETEL_REPORT": "emf,off"}, []string{"or off alone"}, true},
		{"a report that is empty", vars{"KINETEL_REPORT": "emf,,events"}, []string{"a comma-separated list of events and emf"}, true},
		{"reports without a comma", vars{"KINETEL_REPORT": "events emf"}, []string{"a comma-separated list of events and emf"}, true},
		{"an unknown log level", vars{"KINETEL_LOG_LEVEL": "fatal"}, []string{"debug, info, warn or error"}, true},
		{"a tag without a value", vars{"KINETEL_TAGS": "env=prod,team"}, []string{`"team"`, "env=prod,team=payments"}, true},
		{"a tag whose value is empty", vars{"KINETEL_TAGS": "env="}, []string{`"env="`, "env=prod,team=payments"}, true},
		{"a tag without a name", vars{"KINETEL_TAGS": "=prod"}, []string{"env=prod,team=payments"}, true},
		{"a tag that is given twice", vars{"KINETEL_TAGS": "env=prod, env =test"}, []string{`"env"`, "once"}, true},
		{"tags that are too long", vars{"KINETEL_TAGS": "a=" + strings.Repeat("x", 2047)}, []string{"at most 2048"}, true},
		{"neither true nor false for FIPS", vars{"AWS_USE_FIPS_ENDPOINT": "on"}, []string{boolean}, true},
		{"neither true nor false for dual stack", vars{"AWS_USE_DUALSTACK_ENDPOINT": "on"}, []string{boolean}, true},
		{"an endpoint without a scheme", vars{"AWS_ENDPOINT_URL": "localhost:4567"}, []string{"https://kinesis.eu-west-1.amazonaws.com"}, true},
		{"an endpoint of another scheme", vars{"AWS_ENDPOINT_URL_KINESIS": "ftp://host"}, []string{"https://kinesis.eu-west-1.amazonaws.com"}, true},
		{"an endpoint without a host", vars{"AWS_ENDPOINT_URL_KINESIS": "https:///path"}, []string{"https://kinesis.eu-west-1.amazonaws.com"}, true},
		{"an endpoint that is no URL", vars{"AWS_ENDPOINT_URL_KINESIS": "http://[::1"}, []string{"https://kinesis.eu-west-1.amazonaws.com"}, true},
		{"a region that is none", vars{"AWS_REGION": "europe"}, []string{"eu-west-1"}, false},
		{"a region with a path", vars{"AWS_REGION": "eu-west-1.evil.example/"}, []string{"eu-west-1"}, false},
		{"a region without a number", vars{"AWS_REGION": "eu-west-one"}, []string{"eu-west-1"}, false},
		{"a region in capitals", vars{"AWS_REGION": "EU-WEST-1"}, []string{"eu-west-1"}, false},
		{"a stream's name with a blank", vars{"KINETEL_STREAM_NAME": "my stream"}, []string{"1 to 128 of a-z, A-Z, 0-9, _, . and -"}, false},
		{"a stream's name that is too long", vars{"KINETEL_STREAM_NAME": strings.Repeat("x", 129)}, []string{"1 to 128 of"}, false},
		{"an ARN as a name", vars{"KINETEL_STREAM_NAME": someARN + "s"}, []string{"use KINETEL_STREAM_ARN"}, false},
		{"an ARN of another name", vars{"KINETEL_STREAM_ARN": someARN + "others"}, []string{`KINETEL_STREAM_NAME="telemetry"`, "set only one"}, true},
		{"an ARN of no stream", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:123456789012:telemetry"}, []string{someARN}, true},
		{"an ARN of another service", vars{"KINETEL_STREAM_ARN": "arn:aws:firehose:eu-west-1:123456789012:stream/telemetry"}, []string{someARN}, true},
		{"an ARN without a region", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis::123456789012:stream/telemetry"}, []string{someARN}, true},
		{"an ARN of a short account", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:12345678901:stream/telemetry"}, []string{someARN}, true},
		{"an ARN of an account with letters", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:12345678901x:stream/telemetry"}, []string{someARN}, true},
		{"an ARN of a consumer", vars{"KINETEL_STREAM_ARN": someARN + "telemetry/consumer/c:1"}, []string{someARN}, true},
		{"an ARN of no cloud", vars{"KINETEL_STREAM_ARN": "arn:gcp:kinesis:eu-west-1:123456789012:stream/telemetry"}, []string{someARN}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := config.Load(lambda().with(tt.set).environ())
			if len(problems) != 1 || usable(problems) {
				t.Fatalf("problems are %v, want one that stops shipping", problems)
			}
			p := problems[0]
			for variable, value := range tt.set {
				if p.Variable != variable || p.Value != value || p.Warning {
					t.Errorf("the problem is of %s=%q (warning: %t), want %s=%q", p.Variable, p.Value, p.Warning, variable, value)
				}
				if want := fmt.Sprintf("%s=%q: ", variable, value); len(value) < 100 && !strings.HasPrefix(p.String(), want) {
					t.Errorf("%q does not begin with %q", p.String(), want)
				}
			}
			for _, part := range tt.valid {
				if !strings.Contains(p.String(), part) {
					t.Errorf("%q does not say %q", p.String(), part)
				}
			}
			if tt.unchanged {
				if diff := cmp.Diff(defaults(), c); diff != "" {
					t.Errorf("Config (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		set      vars
		variable string
		says     string
	}{
		{"no stream", vars{"KINETEL_STREAM_NAME": unset}, "KINETEL_STREAM_NAME", "KINETEL_STREAM_ARN"},
		{"a stream's name that is blank", vars{"KINETEL_STREAM_NAME": "  "}, "KINETEL_STREAM_NAME", "is not set"},
		{"no region", vars{"AWS_REGION": unset}, "AWS_REGION", "is not set"},
		{"no access key", vars{"AWS_ACCESS_KEY_ID": unset}, "AWS_ACCESS_KEY_ID", "is not set"},
		{"no secret key", vars{"AWS_SECRET_ACCESS_KEY": unset}, "AWS_SECRET_ACCESS_KEY", "is not set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := config.Load(lambda().with(tt.set).environ())
			if len(problems) != 1 || usable(problems) {
				t.Fatalf("problems are %v, want one that stops shipping", problems)
			}
			if p := problems[0]; p.Variable != tt.variable || !strings.HasPrefix(p.String(), tt.variable+": ") || !strings.Contains(p.String(), tt.says) {
				t.Errorf("%q does not say that %s is missing, or not %q", p, tt.variable, tt.says)
			}
		})
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	_, problems := config.Load([]string{
		"KINETEL_STRICT=perhaps",
		"KINETEL_TYPES=everything",
		"KINETEL_FORMAT=xml",
		"KINETEL_COMPRESSION=lzma",
		"KINETEL_PARTITION_KEY=mine",
		"KINETEL_FLUSH=often",
		"KINETEL_FLUSH_INTERVAL=1ms",
		"KINETEL_MAX_HOLD=forever",
		"KINETEL_BUFFER_BYTES=huge",
		"KINETEL_LOG_LEVEL=chatty",
		"KINETEL_REPORT=weekly",
		"KINETEL_SPOOL=somewhere",
		"KINETEL_SPOOL_BYTES=1B",
		"KINETEL_SPOOL_DIR=here",
		"KINETEL_TAGS=tags",
		"KINETEL_STREAM_NAME=not a name",
		"KINETEL_STREAM_ARN=not an ARN",
		"KINETEL_FLUSHH=end",
		"AWS_ENDPOINT_URL=nowhere",
		"AWS_USE_FIPS_ENDPOINT=maybe",
	})
	var got []string
	for _, p := range problems {
		got = append(got, p.Variable)
	}
	slices.Sort(got)
	want := []string{
		"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_USE_FIPS_ENDPOINT",
		"KINETEL_BUFFER_BYTES", "KINETEL_COMPRESSION", "KINETEL_FLUSH", "KINETEL_FLUSHH", "KINETEL_FLUSH_INTERVAL",
		"KINETEL_FORMAT", "KINETEL_LOG_LEVEL", "KINETEL_MAX_HOLD", "KINETEL_PARTITION_KEY", "KINETEL_REPORT", "KINETEL_SPOOL", "KINETEL_SPOOL_BYTES", "KINETEL_SPOOL_DIR", "KINETEL_STREAM_ARN",
		"KINETEL_STREAM_NAME", "KINETEL_STRICT", "KINETEL_TAGS", "KINETEL_TYPES",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables at fault (-want +got):\n%s", diff)
	}
}

func TestUnknownVariablesAreWarnedOf(t *testing.T) {
	for _, tt := range []struct{ name, variable, meant string }{
		{"a letter too few", "KINETEL_COMPRESION", "KINETEL_COMPRESSION"},
		{"a letter too many", "KINETEL_FLUSHH", "KINETEL_FLUSH"},
		{"letters the wrong way round", "KINETEL_STERAM_NAME", "KINETEL_STREAM_NAME"},
		{"the singular", "KINETEL_TAG", "KINETEL_TAGS"},
		{"a missing underscore", "KINETEL_STREAMARN", "KINETEL_STREAM_ARN"},
		{"lower case", "KINETEL_Strict", ""},
		{"a word left out", "KINETEL_HOLD", ""},
		{"a letter left out of the spool", "KINETEL_SPOL", "KINETEL_SPOOL"},
		{"a longer word for the folder", "KINETEL_SPOOL_DIRS", "KINETEL_SPOOL_DIR"},
		{"the singular of the spool's bytes", "KINETEL_SPOOL_BYTE", "KINETEL_SPOOL_BYTES"},
		{"the plural of reports", "KINETEL_REPORTS", "KINETEL_REPORT"},
		{"a variable of a later version", "KINETEL_SAMPLE_RATE", ""},
		{"another one", "KINETEL_REDACT_PATTERN", ""},
		{"something else", "KINETEL_FOO_BAR_BAZ", ""},
		{"only the prefix", "KINETEL_", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const value = "some-value-of-it"
			c, problems := config.Load(lambda().with(vars{tt.variable: value}).environ())
			if len(problems) != 1 || !problems[0].Warning || !usable(problems) {
				t.Fatalf("problems are %v, want one warning", problems)
			}
			p := problems[0]
			if p.Variable != tt.variable || !strings.Contains(p.String(), tt.variable) {
				t.Errorf("%q does not name %s", p, tt.variable)
			}
			if strings.Contains(p.String(), value) || p.Value != "" {
				t.Errorf("%q repeats the value", p)
			}
			if want := "did you mean " + tt.meant + "?"; tt.meant != "" && !strings.Contains(p.String(), want) {
				t.Errorf("%q does not say %q", p, want)
			}
			if tt.meant == "" && strings.Contains(p.String(), "mean") {
				t.Errorf("%q suggests something that is far off", p)
			}
			if diff := cmp.Diff(defaults(), c); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownVariablesComeInOrder(t *testing.T) {
	_, problems := config.Load(lambda().with(vars{"KINETEL_C": "", "KINETEL_A": "", "KINETEL_B": ""}).environ())
	var got []string
	for _, p := range problems {
		got = append(got, p.Variable)
	}
	if diff := cmp.Diff([]string{"KINETEL_A", "KINETEL_B", "KINETEL_C"}, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestNothingIsRequiredWhereKinetelIsDisabled(t *testing.T) {
	c, problems := config.Load([]string{"KINETEL_ENABLED=false", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001"})
	if len(problems) > 0 || c.Enabled || c.Lambda.RuntimeAPI != "127.0.0.1:9001" {
		t.Errorf("Config is %+v with problems %v", c, problems)
	}
}

func TestSecretsAreNeverRepeated(t *testing.T) {
	secrets := vars{
		"AWS_ACCESS_KEY_ID":                 "hush-hush-1",
		"AWS_SECRET_ACCESS_KEY":             "hush-hush-2",
		"AWS_SESSION_TOKEN":                 "hush-hush-3",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush-hush-4",
		"KINETEL_API_KEY":                   "hush-hush-5",
		"KINETEL_STREAM_NAMES":              "hush-hush-6",
	}
	for missing := range secrets {
		env := vars{
			"KINETEL_ENABLED": "?", "KINETEL_STREAM_NAME": "?", "KINETEL_STREAM_ARN": "?", "KINETEL_FLUSH": "?", "KINETEL_TAGS": "?",
			"AWS_REGION": "?", "AWS_ENDPOINT_URL": "?", "AWS_USE_FIPS_ENDPOINT": "?",
		}
		_, problems := config.Load(env.with(secrets).with(vars{missing: unset}).environ())
		if len(problems) < 8 {
			t.Errorf("only %d problems without %s", len(problems), missing)
		}
		for _, p := range problems {
			if strings.Contains(fmt.Sprintf("%+v %s", p, p.Value), "hush-hush") {
				t.Errorf("without %s: %v repeats a secret", missing, p)
			}
		}
	}
}

func TestALongValueDoesNotFillTheLog(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, set := range []vars{
		{"KINETEL_ENABLED": long},
		{"KINETEL_STREAM_NAME": long},
		{"KINETEL_STREAM_ARN": long},
		{"KINETEL_STREAM_NAME": long, "KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"},
		{"KINETEL_TYPES": long},
		{"KINETEL_COMPRESSION": long},
		{"KINETEL_BUFFER_BYTES": long},
		{"KINETEL_SPOOL": long},
		{"KINETEL_SPOOL_BYTES": long},
		{"KINETEL_SPOOL_DIR": long},
		{"KINETEL_REPORT": long},
		{"KINETEL_MAX_HOLD": long},
		{"KINETEL_LOG_LEVEL": long},
		{"KINETEL_TAGS": long},
		{"KINETEL_TAGS": "a=" + long},
		{"KINETEL_TAGS": long + "=1," + long + "=2"},
		{"AWS_REGION": long},
		{"AWS_ENDPOINT_URL": long},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://" + long, "AWS_ACCESS_KEY_ID": unset, "AWS_SECRET_ACCESS_KEY": unset},
	} {
		_, problems := config.Load(lambda().with(set).environ())
		if len(problems) == 0 {
			t.Errorf("no problem with %.60q", fmt.Sprint(set))
		}
		for _, p := range problems {
			if n := len(p.String()); n > 1000 {
				t.Errorf("%s is told in %d bytes: %.80s", p.Variable, n, p)
			}
		}
	}
}

func TestRegistrationIsWhatLoadSays(t *testing.T) {
	enabled := func(api string, kind config.Initialization) config.Registration {
		return config.Registration{RuntimeAPI: api, Initialization: kind, Enabled: true}
	}
	for _, tt := range []struct {
		name    string
		environ []string
		want    config.Registration
	}{
		{"in Lambda", []string{"A=b", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand"}, enabled("127.0.0.1:9001", config.OnDemand)},
		{"with white space, and capitals", []string{"AWS_LAMBDA_RUNTIME_API= 127.0.0.1:9001 ", "AWS_LAMBDA_INITIALIZATION_TYPE=\tLambda-Managed-Instances "}, enabled("127.0.0.1:9001", config.ManagedInstances)},
		{"other variables", []string{
			"AWS_LAMBDA_RUNTIME_API_X=no", "XAWS_LAMBDA_RUNTIME_API=no", "AWS_LAMBDA_INITIALIZATION_TYPE_X=no", "AWS_LAMBDA_INITIALIZATION=no", "aws_lambda_runtime_api=no",
			"KINETEL_ENABLED_X=false", "kinetel_enabled=false",
		}, enabled("", "")},
		{"without a way of being brought up", []string{"AWS_LAMBDA_RUNTIME_API=[::1]:9001"}, enabled("[::1]:9001", "")},
		{"empty", []string{"AWS_LAMBDA_RUNTIME_API=", "AWS_LAMBDA_INITIALIZATION_TYPE=", "KINETEL_ENABLED="}, enabled("", "")},
		{"what is no assignment", []string{"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_INITIALIZATION_TYPE", "KINETEL_ENABLED", ""}, enabled("", "")},
		{"a value with an equals sign", []string{"AWS_LAMBDA_RUNTIME_API=a=b", "AWS_LAMBDA_INITIALIZATION_TYPE=c=d"}, enabled("a=b", "c=d")},
		{"disabled", []string{"KINETEL_ENABLED=false"}, config.Registration{}},
		{"disabled, with white space and capitals", []string{"KINETEL_ENABLED= FALSE\n"}, config.Registration{}},
		{"disabled by a number", []string{"KINETEL_ENABLED=0"}, config.Registration{}},
		{"enabled", []string{"KINETEL_ENABLED=true"}, enabled("", "")},
		{"enabled by a number", []string{"KINETEL_ENABLED=1"}, enabled("", "")},
		{"neither true nor false: enabled, to be told of it", []string{"KINETEL_ENABLED=off"}, enabled("", "")},
		{"outside Lambda", nil, enabled("", "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := config.ReadRegistration(tt.environ)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Registration (-want +got):\n%s", diff)
			}
			c, _ := config.Load(tt.environ)
			if diff := cmp.Diff(config.Registration{RuntimeAPI: c.Lambda.RuntimeAPI, Initialization: c.Lambda.Initialization, Enabled: c.Enabled}, got); diff != "" {
				t.Errorf("Registration (-Load +got):\n%s", diff)
			}
		})
	}
}

// It works, if not as somebody may have meant it.
func TestAHoldThatIsTooShortIsWarnedOf(t *testing.T) {
	for _, tt := range []struct {
		hold string
		want time.Duration
	}{{"29.999ms", 29999 * time.Microsecond}, {"1ns", 1}, {" 5ms ", 5 * time.Millisecond}} {
		c, problems := config.Load(lambda().with(vars{"KINETEL_MAX_HOLD": tt.hold}).environ())
		if len(problems) != 1 || !problems[0].Warning || !usable(problems) || !config.Usable(problems) {
			t.Fatalf("%q: problems are %v, want one warning", tt.hold, problems)
		}
		p := problems[0].String()
		for _, part := range []string{fmt.Sprintf("KINETEL_MAX_HOLD=%q: ", strings.TrimSpace(tt.hold)), "25ms", "as with 0"} {
			if !strings.Contains(p, part) {
				t.Errorf("%q does not say %q", p, part)
			}
		}
		want := defaults()
		want.MaxHold = tt.want
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("Config (-want +got):\n%s", diff)
		}
	}
}

// The credentials of a SnapStart function are fetched when they are needed.
func TestCredentialsOfTheContainer(t *testing.T) {
	const uri = "http://127.0.0.1:9001/2021-04-23/credentials"
	noKeys := vars{"AWS_ACCESS_KEY_ID": unset, "AWS_SECRET_ACCESS_KEY": unset, "AWS_SESSION_TOKEN": unset}
	for _, tt := range []struct {
		name    string
		set     vars
		want    config.Container
		missing []string // variables that are told of
	}{
		{"with a token", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush"}, config.Container{FullURI: uri, Token: "hush"}, nil},
		{"with white space", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": " " + uri + "\n", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush\n"}, config.Container{FullURI: uri, Token: "hush"}, nil},
		{
			"with a token in a file",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/token"},
			config.Container{FullURI: uri, TokenFile: "/var/run/token"},
			nil,
		},
		{"without a token", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}, config.Container{FullURI: uri}, nil},
		{"no place to fetch them from", vars{"AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush"}, config.Container{Token: "hush"}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
		{"a place that is blank", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "  "}, config.Container{}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
		{
			"half of the keys",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"},
			config.Container{FullURI: uri},
			[]string{"AWS_SECRET_ACCESS_KEY"},
		},
		{
			"the other half",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			config.Container{FullURI: uri},
			[]string{"AWS_ACCESS_KEY_ID"},
		},
		{
			"keys, too",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			config.Container{FullURI: uri},
			nil,
		},
		{
			"a place that is none",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "/credentials"},
			config.Container{FullURI: "/credentials"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"a place on the internet, in the clear",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.7/credentials"},
			config.Container{FullURI: "http://192.0.2.7/credentials"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"a place with a password",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://u:hush@127.0.0.1/"},
			config.Container{FullURI: "http://u:hush@127.0.0.1/"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"a place that is none, where there are keys",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "/c", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			config.Container{FullURI: "/c"},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := config.Load(lambda().with(noKeys).with(tt.set).environ())
			if diff := cmp.Diff(tt.want, c.AWS.Container); diff != "" {
				t.Errorf("Container (-want +got):\n%s", diff)
			}
			var missing []string
			for _, p := range problems {
				missing = append(missing, p.Variable)
				if strings.Contains(fmt.Sprintf("%+v", p), "hush") {
					t.Errorf("%v repeats the token", p)
				}
			}
			if diff := cmp.Diff(tt.missing, missing); diff != "" || usable(problems) != (tt.missing == nil) {
				t.Errorf("problems of (-want +got):\n%s%v", diff, problems)
			}
		})
	}
}

// What has no effect is told, and keeps nobody from shipping.
func TestLoadWarnsOfWhatHasNoEffect(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  vars
		of   string   // the variable
		says []string // parts of the message
	}{
		{"a compression that subscription filters do not have", vars{"KINETEL_FORMAT": "cloudwatch", "KINETEL_COMPRESSION": "zstd"}, "KINETEL_COMPRESSION", []string{"KINETEL_FORMAT=cloudwatch", "always gzip"}},
		{"a compressed aggregate", vars{"KINETEL_FORMAT": "kpl", "KINETEL_COMPRESSION": "gzip"}, "KINETEL_COMPRESSION", []string{"KINETEL_FORMAT=kpl", "always none"}},
		{"spans of another format", vars{"KINETEL_OTLP_SPANS": "true"}, "KINETEL_OTLP_SPANS", []string{"KINETEL_FORMAT=ndjson", "otlp"}},
		{"a tag that says who it is", vars{"KINETEL_TAGS": "faas.instance=me"}, "KINETEL_TAGS", []string{`"faas.instance"`, "ignored"}},
		{"an attribute that says who it is", vars{"OTEL_RESOURCE_ATTRIBUTES": "cloud.region=mars"}, "OTEL_RESOURCE_ATTRIBUTES", []string{`"cloud.region"`, "ignored"}},
		{"an attribute without a value", vars{"OTEL_RESOURCE_ATTRIBUTES": "team"}, "OTEL_RESOURCE_ATTRIBUTES", []string{`"team"`, "name=value"}},
		{"an attribute that is encoded wrongly", vars{"OTEL_RESOURCE_ATTRIBUTES": "team=50%"}, "OTEL_RESOURCE_ATTRIBUTES", []string{"%2C", "ignored"}},
		{"far too many attributes", vars{"OTEL_RESOURCE_ATTRIBUTES": "a=" + strings.Repeat("x", 2047)}, "OTEL_RESOURCE_ATTRIBUTES", []string{"2049 bytes", "2048"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := config.Load(lambda().with(tt.set).environ())
			if len(problems) != 1 || !problems[0].Warning || !config.Usable(problems) || problems[0].Variable != tt.of {
				t.Fatalf("problems are %v, want one warning of %s", problems, tt.of)
			}
			for _, part := range tt.says {
				if !strings.Contains(problems[0].String(), part) {
					t.Errorf("%q does not say %s", problems[0], part)
				}
			}
			if want := map[config.Format]config.Compression{config.FormatCloudWatch: config.CompressionGzip, config.FormatKPL: config.CompressionNone, config.FormatNDJSON: config.CompressionGzip}[c.Format]; c.Compression != want {
				t.Errorf("compression is %s, want %s", c.Compression, want)
			}
			if c.OTLPSpans {
				t.Error("spans are asked for")
			}
			if tt.of == "OTEL_RESOURCE_ATTRIBUTES" && tt.says[0] != `"cloud.region"` && c.Attributes != nil {
				t.Errorf("attributes are %v", c.Attributes)
			}
		})
	}
}
