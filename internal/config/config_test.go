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
	"kinetel/internal/credentials"
	"kinetel/internal/flush"
	"kinetel/internal/format"
	"kinetel/internal/format/cloudwatch"
	"kinetel/internal/format/kpl"
	"kinetel/internal/format/ndjson"
	"kinetel/internal/format/otlp"
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

// with returns the environment with changes; unset removes a variable.
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
		Compression:   format.Gzip,
		PartitionKey:  config.PartitionByEnvironment,
		Flush:         flush.ModeAdaptive,
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

// initialized sets how Lambda initialized the environment.
func initialized(kind config.Initialization) func(*config.Config) {
	return func(c *config.Config) {
		c.Lambda.Initialization = kind
		c.Lambda.JSONLogs = kind == config.ManagedInstances // which have no other format
	}
}

// load is Load without the copy of the problems in the Config.
func load(environ []string) (config.Config, []config.Problem) {
	c, problems := config.Load(environ)
	c.Problems = nil
	return c, problems
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	const arn = "arn:aws:kinesis:us-east-2:123456789012:stream/other.stream_1"
	for _, tt := range []struct {
		name string
		set  vars
		want func(c *config.Config) // the difference from the defaults
	}{
		{"only the stream's name is required", nil, func(*config.Config) {}},
		{"an empty variable is like an unset one", vars{
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
			c.Flush, c.MaxHold, c.BufferBytes, c.Strict, c.LogLevel = flush.ModeInterval, time.Second, 4<<20, true, slog.LevelInfo
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
		{"a type that is named twice counts once", vars{"KINETEL_TYPES": "platform,Function,function"}, func(*config.Config) {}},
		{"only platform events", vars{"KINETEL_TYPES": "platform"}, func(c *config.Config) { c.Types = []string{"platform"} }},
		{"lines of kinetel/1", vars{"KINETEL_FORMAT": "ndjson"}, func(*config.Config) {}},
		{"one line per record", vars{"KINETEL_FORMAT": "json"}, func(c *config.Config) { c.Format = ndjson.JSONName }},
		{"OpenTelemetry", vars{"KINETEL_FORMAT": "OTLP", "KINETEL_COMPRESSION": "zstd"}, func(c *config.Config) {
			c.Format, c.Compression = otlp.Name, format.Zstd
		}},
		{"OpenTelemetry with spans", vars{"KINETEL_FORMAT": "otlp", "KINETEL_OTLP_SPANS": "true"}, func(c *config.Config) {
			c.Format, c.OTLPSpans = otlp.Name, true
		}},
		{"what a subscription filter sends", vars{"KINETEL_FORMAT": "cloudwatch", "KINETEL_COMPRESSION": "gzip"}, func(c *config.Config) { c.Format = cloudwatch.Name }},
		{"aggregates are not compressed", vars{"KINETEL_FORMAT": "kpl"}, func(c *config.Config) {
			c.Format, c.Compression = kpl.Name, format.Uncompressed
		}},
		{"Lambda's variables about the function", vars{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_GROUP_NAME": "/orders"}, func(c *config.Config) {
			c.Lambda.MemoryMB, c.Lambda.JSONLogs, c.LogGroups = 1769, true, []string{"/orders"}
		}},
		{"a memory size that is not a number", vars{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much", "AWS_LAMBDA_LOG_FORMAT": "Text"}, func(*config.Config) {}},
		{"OpenTelemetry's resource", vars{"OTEL_RESOURCE_ATTRIBUTES": " deployment.environment.name=prod , team=a%2Cb%20c,empty=,service.name=shop,"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "deployment.environment.name", Value: "prod"}, {Name: "team", Value: "a,b c"}, {Name: "service.name", Value: "shop"}}
		}},
		{"OTEL_SERVICE_NAME overrides OTEL_RESOURCE_ATTRIBUTES", vars{"OTEL_RESOURCE_ATTRIBUTES": "service.name=general,team=a", "OTEL_SERVICE_NAME": "special"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "service.name", Value: "special"}, {Name: "team", Value: "a"}}
		}},
		{"tags override the other variables", vars{"OTEL_RESOURCE_ATTRIBUTES": "team=a,stage=b", "OTEL_SERVICE_NAME": "otel", "KINETEL_TAGS": "service.name=tag,stage=c,env=prod"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "team", Value: "a"}, {Name: "stage", Value: "c"}, {Name: "service.name", Value: "tag"}, {Name: "env", Value: "prod"}}
		}},
		{"gzip", vars{"KINETEL_COMPRESSION": "gzip"}, func(*config.Config) {}},
		{"zstd", vars{"KINETEL_COMPRESSION": "zstd"}, func(c *config.Config) { c.Compression = format.Zstd }},
		{"no compression", vars{"KINETEL_COMPRESSION": "None"}, func(c *config.Config) { c.Compression = format.Uncompressed }},
		{"a key per environment", vars{"KINETEL_PARTITION_KEY": "environment"}, func(*config.Config) {}},
		{"a key per request", vars{"KINETEL_PARTITION_KEY": "request"}, func(c *config.Config) { c.PartitionKey = config.PartitionByRequest }},
		{"a key per function", vars{"KINETEL_PARTITION_KEY": "function"}, func(c *config.Config) { c.PartitionKey = config.PartitionByFunction }},
		{"random keys", vars{"KINETEL_PARTITION_KEY": "random"}, func(c *config.Config) { c.PartitionKey = config.PartitionRandom }},
		{"flush depending on the gaps between invocations", vars{"KINETEL_FLUSH": "Adaptive"}, func(*config.Config) {}},
		{"flush at the end", vars{"KINETEL_FLUSH": "end"}, func(c *config.Config) { c.Flush = flush.ModeEnd }},
		{"flush at an interval", vars{"KINETEL_FLUSH": "interval"}, func(c *config.Config) { c.Flush = flush.ModeInterval }},
		{"the shortest interval", vars{"KINETEL_FLUSH_INTERVAL": "100ms"}, func(c *config.Config) { c.FlushInterval = 100 * time.Millisecond }},
		{"the longest interval", vars{"KINETEL_FLUSH_INTERVAL": "15m"}, func(c *config.Config) { c.FlushInterval = 15 * time.Minute }},
		{"never hold", vars{"KINETEL_MAX_HOLD": "0"}, func(c *config.Config) { c.MaxHold = 0 }},
		{"the shortest hold", vars{"KINETEL_MAX_HOLD": "30ms"}, func(c *config.Config) { c.MaxHold = flush.MinHold }},
		{"hold for long", vars{"KINETEL_MAX_HOLD": "1m30.5s"}, func(c *config.Config) { c.MaxHold = 90*time.Second + 500*time.Millisecond }},
		{"a buffer in MiB", vars{"KINETEL_BUFFER_BYTES": "32MiB"}, func(c *config.Config) { c.BufferBytes = 32 << 20 }},
		{"a buffer in KiB", vars{"KINETEL_BUFFER_BYTES": "3000KiB"}, func(c *config.Config) { c.BufferBytes = 3000 << 10 }},
		{"a buffer in B", vars{"KINETEL_BUFFER_BYTES": "5000000B"}, func(c *config.Config) { c.BufferBytes = 5_000_000 }},
		{"a buffer without a unit", vars{"KINETEL_BUFFER_BYTES": "5000000"}, func(c *config.Config) { c.BufferBytes = 5_000_000 }},
		{"the smallest buffer", vars{"KINETEL_BUFFER_BYTES": "2MiB"}, func(c *config.Config) { c.BufferBytes = 2 << 20 }},
		{"the largest buffer", vars{"KINETEL_BUFFER_BYTES": "8192MiB"}, func(c *config.Config) { c.BufferBytes = 8 << 30 }},
		{"a spool for what does not fit in memory", vars{"KINETEL_SPOOL": "overflow"}, func(*config.Config) {}},
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
		{"initialized on demand", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, initialized(config.OnDemand)},
		{"initialized by provisioned concurrency", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}, initialized(config.ProvisionedConcurrency)},
		{"initialized from a snapshot", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": " SNAP-start\n"}, initialized(config.SnapStart)},
		{"initialized on Managed Instances", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}, initialized(config.ManagedInstances)},
		{"initialized in an unknown way", vars{"AWS_LAMBDA_INITIALIZATION_TYPE": "teleported"}, initialized("teleported")},
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
		{"an ARN sets name and region, but not the function's region", vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": arn}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region = arn, "other.stream_1", "us-east-2"
		}},
		{"an ARN and the same name", vars{"KINETEL_STREAM_NAME": "other.stream_1", "KINETEL_STREAM_ARN": arn}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region = arn, "other.stream_1", "us-east-2"
		}},
		{"with an ARN, AWS_REGION is not needed", vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": arn, "AWS_REGION": unset}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region, c.Lambda.Region = arn, "other.stream_1", "us-east-2", ""
		}},
		{"no session token, as outside of Lambda", vars{"AWS_SESSION_TOKEN": unset}, func(c *config.Config) { c.AWS.SessionToken = "" }},
		{"the general endpoint", vars{"AWS_ENDPOINT_URL": "http://127.0.0.1:4567"}, func(c *config.Config) { c.AWS.Endpoint = "http://127.0.0.1:4567" }},
		{"the endpoint of Kinesis overrides the general one", vars{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_KINESIS": "https://vpce.example/a"}, func(c *config.Config) {
			c.AWS.Endpoint = "https://vpce.example/a"
		}},
		{"FIPS, dual stack and a bundle", vars{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_CA_BUNDLE": "/opt/ca.pem"}, func(c *config.Config) {
			c.AWS.UseFIPS, c.AWS.UseDualStack, c.AWS.CABundle = true, true, "/opt/ca.pem"
		}},

		{"other words for true and false", vars{"KINETEL_STRICT": "yes", "KINETEL_FORMAT": "otlp", "KINETEL_OTLP_SPANS": "On", "AWS_USE_FIPS_ENDPOINT": "enabled", "AWS_USE_DUALSTACK_ENDPOINT": "n", "KINETEL_ENABLED": "T"}, func(c *config.Config) {
			c.Strict, c.Format, c.OTLPSpans, c.AWS.UseFIPS = true, otlp.Name, true, true
		}},
		{"disabled by another word", vars{"KINETEL_ENABLED": "Off"}, func(c *config.Config) { c.Enabled, c.StreamName = false, "" }},
		{"disabled in quotes", vars{"KINETEL_ENABLED": ` "false" `}, func(c *config.Config) { c.Enabled, c.StreamName = false, "" }},
		{"quotes around values", vars{
			"KINETEL_STREAM_NAME": `"telemetry"`, "KINETEL_FLUSH": `'end'`, "KINETEL_MAX_HOLD": "“1s”", "KINETEL_TAGS": `"env=prod"`, "KINETEL_BUFFER_BYTES": `' 4MiB '`, "KINETEL_FORMAT": `""`,
		}, func(c *config.Config) {
			c.Flush, c.MaxHold, c.BufferBytes = flush.ModeEnd, time.Second, 4<<20
			c.Attributes = []config.Attribute{{Name: "env", Value: "prod"}}
		}},
		{"quotes within a value are part of it", vars{"KINETEL_TAGS": `"a"=1,b="2"`}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: `"a"`, Value: "1"}, {Name: "b", Value: `"2"`}}
		}},
		{"log level warning", vars{"KINETEL_LOG_LEVEL": "WARNING"}, func(*config.Config) {}},
		{"log level err", vars{"KINETEL_LOG_LEVEL": "Err"}, func(c *config.Config) { c.LogLevel = slog.LevelError }},
		{"log level information", vars{"KINETEL_LOG_LEVEL": "Information"}, func(c *config.Config) { c.LogLevel = slog.LevelInfo }},
		{"no spool by another word", vars{"KINETEL_SPOOL": "None"}, func(c *config.Config) { c.Spool = config.SpoolOff }},
		{"a spool that is false", vars{"KINETEL_SPOOL": "false"}, func(c *config.Config) { c.Spool = config.SpoolOff }},
		{"no compression by another word", vars{"KINETEL_COMPRESSION": "off"}, func(c *config.Config) { c.Compression = format.Uncompressed }},
		{"gz", vars{"KINETEL_COMPRESSION": "GZ"}, func(*config.Config) {}},
		{"zstandard", vars{"KINETEL_COMPRESSION": "zstandard"}, func(c *config.Config) { c.Compression = format.Zstd }},
		{"JSON lines", vars{"KINETEL_FORMAT": "JSONL"}, func(*config.Config) {}},
		{"no reports by another word", vars{"KINETEL_REPORT": "none"}, func(c *config.Config) { c.Report = config.Report{} }},
		{"reports with other separators", vars{"KINETEL_REPORT": "events; emf"}, func(c *config.Config) { c.Report.EMF = true }},
		{"a report that is empty", vars{"KINETEL_REPORT": ",emf,,events,"}, func(c *config.Config) { c.Report.EMF = true }},
		{"types with empty ones", vars{"KINETEL_TYPES": "platform,,function,"}, func(*config.Config) {}},
		{"types in the plural", vars{"KINETEL_TYPES": "platform, functions"}, func(*config.Config) {}},
		{"types as a JSON array", vars{"KINETEL_TYPES": `["platform","extension"]`}, func(c *config.Config) { c.Types = []string{"platform", "extension"} }},
		{"only commas", vars{"KINETEL_TYPES": ",", "KINETEL_REPORT": " , ", "KINETEL_TAGS": ",,", "OTEL_RESOURCE_ATTRIBUTES": ","}, func(*config.Config) {}},
		{"tags with a comma at the end and empty ones", vars{"KINETEL_TAGS": ",env=prod,,team=payments,"}, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "env", Value: "prod"}, {Name: "team", Value: "payments"}}
		}},
		{"no tags", vars{"KINETEL_TAGS": "none"}, func(*config.Config) {}},
		{"a duration in capitals with a blank", vars{"KINETEL_FLUSH_INTERVAL": "1M 30 S", "KINETEL_MAX_HOLD": "250 MS"}, func(c *config.Config) {
			c.FlushInterval, c.MaxHold = 90*time.Second, 250*time.Millisecond
		}},
		{"a duration with other names of units", vars{"KINETEL_FLUSH_INTERVAL": "1.5 minutes", "KINETEL_MAX_HOLD": "2 sec"}, func(c *config.Config) {
			c.FlushInterval, c.MaxHold = 90*time.Second, 2*time.Second
		}},
		{"a hold that is off", vars{"KINETEL_MAX_HOLD": "off"}, func(c *config.Config) { c.MaxHold = 0 }},
		{"never hold, in a word", vars{"KINETEL_MAX_HOLD": "Never"}, func(c *config.Config) { c.MaxHold = 0 }},
		{"a buffer in MB", vars{"KINETEL_BUFFER_BYTES": "32MB"}, func(c *config.Config) { c.BufferBytes = 32 << 20 }},
		{"a buffer in M", vars{"KINETEL_BUFFER_BYTES": "32 m"}, func(c *config.Config) { c.BufferBytes = 32 << 20 }},
		{"a buffer as Kubernetes has it", vars{"KINETEL_BUFFER_BYTES": "32Mi"}, func(c *config.Config) { c.BufferBytes = 32 << 20 }},
		{"no log group", vars{"KINETEL_LOG_GROUP": "none"}, func(*config.Config) {}},
		{"a buffer in small letters", vars{"KINETEL_BUFFER_BYTES": "32mib"}, func(c *config.Config) { c.BufferBytes = 32 << 20 }},
		{"a buffer with a fraction", vars{"KINETEL_BUFFER_BYTES": "2.5MiB"}, func(c *config.Config) { c.BufferBytes = 2560 << 10 }},
		{"a spool in GB", vars{"KINETEL_SPOOL_BYTES": "1GB"}, func(c *config.Config) { c.SpoolBytes = 1 << 30 }},
		{"a region in capitals", vars{"AWS_REGION": "EU-WEST-1"}, func(*config.Config) {}},
		{"an ARN in the variable of the name", vars{"KINETEL_STREAM_NAME": arn}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region = arn, "other.stream_1", "us-east-2"
		}},
		{"an ARN in both variables", vars{"KINETEL_STREAM_NAME": arn, "KINETEL_STREAM_ARN": arn}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region = arn, "other.stream_1", "us-east-2"
		}},
		{"a name in the variable of the ARN", vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": "telemetry"}, func(*config.Config) {}},
		{"a name in both variables", vars{"KINETEL_STREAM_ARN": "telemetry"}, func(*config.Config) {}},
		{"name and ARN in each other's variable", vars{"KINETEL_STREAM_NAME": arn, "KINETEL_STREAM_ARN": "other.stream_1"}, func(c *config.Config) {
			c.StreamARN, c.StreamName, c.AWS.Region = arn, "other.stream_1", "us-east-2"
		}},

		{"a log group", vars{"KINETEL_LOG_GROUP": " /teams/shop.logs#1 "}, func(c *config.Config) { c.LogGroups = []string{"/teams/shop.logs#1"} }},
		{"a log group's ARN", vars{"KINETEL_LOG_GROUP": "arn:aws:logs:eu-west-1:123456789012:log-group:/shop:*"}, func(c *config.Config) { c.LogGroups = []string{"/shop"} }},
		{"a log group by OpenTelemetry's attribute", vars{"OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=/shop,team=a"}, func(c *config.Config) {
			c.LogGroups, c.Attributes = []string{"/shop"}, []config.Attribute{{Name: "team", Value: "a"}}
		}},
		{"log groups as Application Signals has them", vars{"OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=/shop & /orders&/shop"}, func(c *config.Config) {
			c.LogGroups = []string{"/shop", "/orders"}
		}},
		{"log groups, encoded", vars{"OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=%5B%22%2Fshop%22%2C%22%2Forders%22%5D"}, func(c *config.Config) {
			c.LogGroups = []string{"/shop", "/orders"}
		}},
		{"a log group by a tag", vars{"KINETEL_TAGS": "aws.log.group.names=/shop"}, func(c *config.Config) { c.LogGroups = []string{"/shop"} }},
		{"Kinetel's variable overrides the attribute, which overrides Lambda's variable", vars{
			"KINETEL_LOG_GROUP": "/own", "OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=/otel", "AWS_LAMBDA_LOG_GROUP_NAME": "/lambda",
		}, func(c *config.Config) { c.LogGroups = []string{"/own"} }},
		{"the attribute overrides Lambda's variable", vars{"OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=/otel", "AWS_LAMBDA_LOG_GROUP_NAME": "/lambda"}, func(c *config.Config) {
			c.LogGroups = []string{"/otel"}
		}},
		{"variables of other programs are ignored", vars{"KINETELX": "1", "NOT_KINETEL_FLUSH": "1"}, func(*config.Config) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := defaults()
			tt.want(&want)
			got, problems := load(lambda().with(tt.set).environ())
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
		replaced    int
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
		{"an empty member", "a..b,a.,$,.,ok", []string{"ok"}, 1},
		{"a control character", "a\tb,ok", []string{"ok"}, 1},
		{"not UTF-8", "a\xff,ok", []string{"ok"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := load(lambda().with(vars{"KINETEL_REQUEST_ID_KEYS": tt.value}).environ())
			if diff := cmp.Diff(tt.want, c.RequestIDKeys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if len(problems) != tt.replaced || config.Count(problems, config.Replaced) != tt.replaced {
				t.Errorf("problems are %v, want %d", problems, tt.replaced)
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
			c, problems := load(lambda().with(vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": arn}).environ())
			if len(problems) > 0 || c.StreamARN != arn || c.StreamName != "s" || c.AWS.Region != tt.region {
				t.Errorf("%s gives ARN %q, name %q, region %q and problems %v", arn, c.StreamARN, c.StreamName, c.AWS.Region, problems)
			}
		})
	}
}

// The default or the nearest bound replaces a value that cannot be used.
func TestAValueThatCannotBeUsedIsReplaced(t *testing.T) {
	const (
		boolean  = "must be true or false"
		interval = "must be a duration with its unit, from 100ms to 15m0s, such as 10s or 250ms"
		hold     = "must be a duration with its unit, from 0s to 15m0s, such as 500ms or 250ms"
		buffer   = "must be a size from 2MiB to 8192MiB in B, KiB or MiB, such as 16MiB"
		spool    = "must be a size from 4MiB to 8192MiB in B, KiB or MiB, such as 64MiB"
		folder   = "must be the absolute path of a folder, such as /tmp/kinetel"
		reports  = "must be a comma-separated list of events and emf, or off alone"
		tags     = "must be a list such as env=prod,team=payments"
		group    = "must be the name of a log group, such as /aws/lambda/orders"
	)
	otherwise := func(*config.Config) {}
	for _, tt := range []struct {
		name string
		set  vars // one variable, which is the one at fault
		used string
		text string
		want func(c *config.Config) // the difference from the defaults
	}{
		{"neither true nor false", vars{"KINETEL_ENABLED": "yes please"}, "true", boolean, otherwise},
		{"neither strict nor not: a typo must not fail the init", vars{"KINETEL_STRICT": "2"}, "false", boolean, otherwise},
		{"spans", vars{"KINETEL_OTLP_SPANS": "many"}, "false", boolean, otherwise},
		{"FIPS", vars{"AWS_USE_FIPS_ENDPOINT": "maybe"}, "false", boolean, otherwise},
		{"dual stack", vars{"AWS_USE_DUALSTACK_ENDPOINT": "maybe"}, "false", boolean, otherwise},
		{"an unknown type", vars{"KINETEL_TYPES": "platform,extension,lambda"}, "platform,extension", `"lambda" is not a telemetry stream; must be a comma-separated list of platform, function or extension`, func(c *config.Config) {
			c.Types = []string{"platform", "extension"}
		}},
		{"only unknown types", vars{"KINETEL_TYPES": "all"}, "platform,function", `"all" is not`, otherwise},
		{"no word at all", vars{"KINETEL_TYPES": "*"}, "platform,function", `"*" is not`, otherwise},
		{"no platform events", vars{"KINETEL_TYPES": "function"}, "platform,function", "must contain platform", otherwise},
		{"no platform events, but others", vars{"KINETEL_TYPES": "extension,function"}, "platform,extension,function", "must contain platform", func(c *config.Config) {
			c.Types = []string{"platform", "extension", "function"}
		}},
		{"an unknown format", vars{"KINETEL_FORMAT": "parquet"}, "ndjson", "must be ndjson, json, otlp, cloudwatch or kpl", otherwise},
		{"an unknown compression", vars{"KINETEL_COMPRESSION": "brotli"}, "gzip", "must be gzip, zstd or none", otherwise},
		{"an unknown partition key", vars{"KINETEL_PARTITION_KEY": "shard"}, "environment", "must be environment, request, function or random", otherwise},
		{"a flush policy of a later version", vars{"KINETEL_FLUSH": "sampled"}, "adaptive", "must be adaptive, end or interval", otherwise},
		{"a flush policy that is off", vars{"KINETEL_FLUSH": "off"}, "adaptive", "must be adaptive, end or interval", otherwise},
		{"an interval without a unit", vars{"KINETEL_FLUSH_INTERVAL": "30"}, "10s", interval, otherwise},
		{"an interval that is too short", vars{"KINETEL_FLUSH_INTERVAL": "99ms"}, "100ms", interval, func(c *config.Config) { c.FlushInterval = 100 * time.Millisecond }},
		{"no interval", vars{"KINETEL_FLUSH_INTERVAL": "0"}, "100ms", interval, func(c *config.Config) { c.FlushInterval = 100 * time.Millisecond }},
		{"an interval that is negative", vars{"KINETEL_FLUSH_INTERVAL": "-10s"}, "100ms", interval, func(c *config.Config) { c.FlushInterval = 100 * time.Millisecond }},
		{"an interval that is too long", vars{"KINETEL_FLUSH_INTERVAL": "1h"}, "15m0s", interval, func(c *config.Config) { c.FlushInterval = 15 * time.Minute }},
		{"an interval that is a little too long", vars{"KINETEL_FLUSH_INTERVAL": "15m1ns"}, "15m0s", interval, func(c *config.Config) { c.FlushInterval = 15 * time.Minute }},
		{"an interval of days", vars{"KINETEL_FLUSH_INTERVAL": "1 day"}, "15m0s", interval, func(c *config.Config) { c.FlushInterval = 15 * time.Minute }},
		{"an interval beyond what can be counted", vars{"KINETEL_FLUSH_INTERVAL": "9999999999h"}, "15m0s", interval, func(c *config.Config) { c.FlushInterval = 15 * time.Minute }},
		{"an interval that far below zero", vars{"KINETEL_FLUSH_INTERVAL": "-9999999999h"}, "100ms", interval, func(c *config.Config) { c.FlushInterval = 100 * time.Millisecond }},
		{"an interval that no number holds", vars{"KINETEL_FLUSH_INTERVAL": strings.Repeat("9", 400) + "s"}, "15m0s", interval, func(c *config.Config) { c.FlushInterval = 15 * time.Minute }},
		{"a hold that is negative", vars{"KINETEL_MAX_HOLD": "-1s"}, "0s", hold, func(c *config.Config) { c.MaxHold = 0 }},
		{"a hold that is too long", vars{"KINETEL_MAX_HOLD": "16m"}, "15m0s", hold, func(c *config.Config) { c.MaxHold = 15 * time.Minute }},
		{"a hold without a unit: these may be seconds or milliseconds", vars{"KINETEL_MAX_HOLD": "100"}, "500ms", hold, otherwise},
		{"a hold that is no duration", vars{"KINETEL_MAX_HOLD": "fast"}, "500ms", hold, otherwise},
		{"a hold of only a unit", vars{"KINETEL_MAX_HOLD": "ms"}, "500ms", hold, otherwise},
		{"a hold of infinity", vars{"KINETEL_MAX_HOLD": "inf s"}, "500ms", hold, otherwise},
		{"a buffer that is too small", vars{"KINETEL_BUFFER_BYTES": "1MiB"}, "2MiB", buffer, func(c *config.Config) { c.BufferBytes = 2 << 20 }},
		{"a buffer without the unit it was meant in", vars{"KINETEL_BUFFER_BYTES": "16"}, "2MiB", buffer, func(c *config.Config) { c.BufferBytes = 2 << 20 }},
		{"a buffer that is negative", vars{"KINETEL_BUFFER_BYTES": "-16MiB"}, "2MiB", buffer, func(c *config.Config) { c.BufferBytes = 2 << 20 }},
		{"a buffer that is too large", vars{"KINETEL_BUFFER_BYTES": "9GiB"}, "8192MiB", buffer, func(c *config.Config) { c.BufferBytes = 8 << 30 }},
		{"a buffer that overflows to 16 MiB", vars{"KINETEL_BUFFER_BYTES": "17592186044432MiB"}, "8192MiB", buffer, func(c *config.Config) { c.BufferBytes = 8 << 30 }},
		{"a buffer that no number holds", vars{"KINETEL_BUFFER_BYTES": strings.Repeat("9", 400)}, "8192MiB", buffer, func(c *config.Config) { c.BufferBytes = 8 << 30 }},
		{"a buffer that is only a unit", vars{"KINETEL_BUFFER_BYTES": "MiB"}, "16MiB", buffer, otherwise},
		{"a buffer in an unknown unit", vars{"KINETEL_BUFFER_BYTES": "1TiB"}, "16MiB", buffer, otherwise},
		{"a buffer that is no number", vars{"KINETEL_BUFFER_BYTES": "NaN"}, "16MiB", buffer, otherwise},
		{"a buffer in hexadecimal", vars{"KINETEL_BUFFER_BYTES": "0x1000000"}, "16MiB", buffer, otherwise},
		{"an unknown spool", vars{"KINETEL_SPOOL": "sometimes"}, "overflow", "must be overflow, off or always", otherwise},
		{"a spool that is true", vars{"KINETEL_SPOOL": "true"}, "overflow", "must be overflow, off or always", otherwise},
		{"a folder that depends on where one is", vars{"KINETEL_SPOOL_DIR": "spool"}, "/tmp/kinetel", folder, otherwise},
		{"a folder at home", vars{"KINETEL_SPOOL_DIR": "~/spool"}, "/tmp/kinetel", folder, otherwise},
		{"a folder as a URL", vars{"KINETEL_SPOOL_DIR": "file:///tmp"}, "/tmp/kinetel", folder, otherwise},
		{"a folder that no system has", vars{"KINETEL_SPOOL_DIR": "/tmp/a\x00b"}, "/tmp/kinetel", folder, otherwise},
		{"a spool that is one byte too small", vars{"KINETEL_SPOOL_BYTES": "4194303"}, "4MiB", spool, func(c *config.Config) { c.SpoolBytes = 4 << 20 }},
		{"a spool that is too large", vars{"KINETEL_SPOOL_BYTES": "8193MiB"}, "8192MiB", spool, func(c *config.Config) { c.SpoolBytes = 8 << 30 }},
		{"a spool that is no size", vars{"KINETEL_SPOOL_BYTES": "big"}, "64MiB", spool, otherwise},
		{"an unknown report", vars{"KINETEL_REPORT": "metrics"}, "events", reports, otherwise},
		{"a report that is on", vars{"KINETEL_REPORT": "on"}, "events", reports, otherwise},
		{"a report that is off, and is not", vars{"KINETEL_REPORT": "emf,off"}, "emf", reports, func(c *config.Config) { c.Report = config.Report{EMF: true} }},
		{"a report that is misspelt beside one that is not", vars{"KINETEL_REPORT": "evnts,emf"}, "emf", reports, func(c *config.Config) { c.Report = config.Report{EMF: true} }},
		{"an unknown log level", vars{"KINETEL_LOG_LEVEL": "chatty"}, "warn", "must be debug, info, warn or error", otherwise},
		{"a log level above the highest", vars{"KINETEL_LOG_LEVEL": "FATAL"}, "error", "must be debug, info, warn or error", func(c *config.Config) { c.LogLevel = slog.LevelError }},
		{"a log level below the lowest", vars{"KINETEL_LOG_LEVEL": "trace"}, "debug", "must be debug, info, warn or error", func(c *config.Config) { c.LogLevel = slog.LevelDebug }},
		{"a log that is off", vars{"KINETEL_LOG_LEVEL": "off"}, "error", "must be debug, info, warn or error", func(c *config.Config) { c.LogLevel = slog.LevelError }},
		{"a tag without a value", vars{"KINETEL_TAGS": "env=prod,team,a=b"}, "what can be read of it, 2 tags,", "element 2 is not name=value; " + tags, func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "env", Value: "prod"}, {Name: "a", Value: "b"}}
		}},
		{"a tag whose value is empty", vars{"KINETEL_TAGS": "env="}, "what can be read of it, 0 tags,", "element 1 is not name=value; " + tags, otherwise},
		{"a tag without a name", vars{"KINETEL_TAGS": "=prod"}, "what can be read of it, 0 tags,", tags, otherwise},
		{"a tag that is given twice: the last counts", vars{"KINETEL_TAGS": "env=prod, a=b, env =test"}, "what can be read of it, 2 tags,", "element 3 has the name of an earlier one", func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "env", Value: "test"}, {Name: "a", Value: "b"}}
		}},
		{"tags that are too long: those that fit count", vars{"KINETEL_TAGS": "env=prod,a=" + strings.Repeat("x", 2047) + ",b=c"}, "what fits, 2 of 3,", "at most 2048 bytes", func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "env", Value: "prod"}, {Name: "b", Value: "c"}}
		}},
		{"an attribute without a value", vars{"OTEL_RESOURCE_ATTRIBUTES": "env=prod,team"}, "none of it", "element 2 is not name=value", otherwise},
		{"an attribute that is encoded wrongly", vars{"OTEL_RESOURCE_ATTRIBUTES": "team=50%"}, "none of it", "%2C", otherwise},
		{"attributes that are too long", vars{"OTEL_RESOURCE_ATTRIBUTES": "a=" + strings.Repeat("x", 2047) + ",b=c"}, "what fits, 1 of 2,", "at most 2048 bytes", func(c *config.Config) {
			c.Attributes = []config.Attribute{{Name: "b", Value: "c"}}
		}},
		{"a log group with a blank", vars{"KINETEL_LOG_GROUP": "my group"}, "Lambda's default", group, otherwise},
		{"a log group that is too long", vars{"KINETEL_LOG_GROUP": strings.Repeat("x", 513)}, "Lambda's default", group, otherwise},
		{"an ARN of something else", vars{"KINETEL_LOG_GROUP": "arn:aws:s3:::logs"}, "Lambda's default", group, otherwise},
		{"a log group by an attribute, with a colon", vars{"OTEL_RESOURCE_ATTRIBUTES": "aws.log.group.names=/a:b&/c"}, "/c", group, func(c *config.Config) { c.LogGroups = []string{"/c"} }},
		{"a log group by a tag, with a colon", vars{"KINETEL_TAGS": "aws.log.group.names=/a:b"}, "Lambda's default", group, otherwise},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := load(lambda().with(tt.set).environ())
			if len(problems) != 1 || !config.Usable(problems) || problems[0].Severity != config.Replaced {
				t.Fatalf("problems are %v, want one value that is replaced", problems)
			}
			p := problems[0]
			for variable, value := range tt.set {
				if p.Variable != variable || p.Used != tt.used || !strings.Contains(p.Message, tt.text) {
					t.Errorf("problem is %+v, want one of %s with the text %q, with %q used", p, variable, tt.text, tt.used)
				}
				shown := fmt.Sprintf("%s=%q: ", variable, value)
				if variable == "KINETEL_TAGS" || variable == "OTEL_RESOURCE_ATTRIBUTES" {
					shown = variable + ": "
				}
				if len(value) < 100 && !strings.HasPrefix(p.String(), shown) {
					t.Errorf("%q does not begin with %q", p.String(), shown)
				}
			}
			want := defaults()
			tt.want(&want)
			if diff := cmp.Diff(want, c); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
		})
	}
}

// A missing destination cannot be replaced.
func TestADestinationThatCannotBeUsedIsFatal(t *testing.T) {
	const (
		endpoint = "must be a URL such as https://kinesis.eu-west-1.amazonaws.com"
		someARN  = "arn:aws:kinesis:eu-west-1:123456789012:stream/"
	)
	for _, tt := range []struct {
		name string
		set  vars // one variable, which is the one at fault
		text []string
	}{
		{"an endpoint without a scheme", vars{"AWS_ENDPOINT_URL": "localhost:4567"}, []string{endpoint}},
		{"an endpoint of another scheme", vars{"AWS_ENDPOINT_URL_KINESIS": "ftp://host"}, []string{endpoint}},
		{"an endpoint without a host", vars{"AWS_ENDPOINT_URL_KINESIS": "https:///path"}, []string{endpoint}},
		{"an endpoint that is no URL", vars{"AWS_ENDPOINT_URL_KINESIS": "http://[::1"}, []string{endpoint}},
		{"a region that does not exist", vars{"AWS_REGION": "europe"}, []string{"eu-west-1"}},
		{"a region with a path", vars{"AWS_REGION": "eu-west-1.evil.example/"}, []string{"eu-west-1"}},
		{"a region without a number", vars{"AWS_REGION": "eu-west-one"}, []string{"eu-west-1"}},
		{"a stream's name with a blank", vars{"KINETEL_STREAM_NAME": "my stream"}, []string{"1 to 128 of a-z, A-Z, 0-9, _, . and -"}},
		{"a stream's name that is too long", vars{"KINETEL_STREAM_NAME": strings.Repeat("x", 129)}, []string{"1 to 128 of"}},
		{"an ARN of no stream, as a name", vars{"KINETEL_STREAM_NAME": "arn:aws:sqs:eu-west-1:123456789012:queue"}, []string{someARN}},
		{"an ARN of another name", vars{"KINETEL_STREAM_ARN": someARN + "others"}, []string{`KINETEL_STREAM_NAME="telemetry"`, "set only one"}},
		{"another name as an ARN", vars{"KINETEL_STREAM_ARN": "others"}, []string{someARN}},
		{"an ARN of no stream", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:123456789012:telemetry"}, []string{someARN}},
		{"an ARN of another service", vars{"KINETEL_STREAM_ARN": "arn:aws:firehose:eu-west-1:123456789012:stream/telemetry"}, []string{someARN}},
		{"an ARN without a region", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis::123456789012:stream/telemetry"}, []string{someARN}},
		{"an ARN of a short account", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:12345678901:stream/telemetry"}, []string{someARN}},
		{"an ARN of an account with letters", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:12345678901x:stream/telemetry"}, []string{someARN}},
		{"an ARN of a consumer", vars{"KINETEL_STREAM_ARN": someARN + "telemetry/consumer/c:1"}, []string{someARN}},
		{"an ARN of no cloud", vars{"KINETEL_STREAM_ARN": "arn:gcp:kinesis:eu-west-1:123456789012:stream/telemetry"}, []string{someARN}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := load(lambda().with(tt.set).environ())
			if len(problems) != 1 || config.Usable(problems) || problems[0].Severity != config.Fatal {
				t.Fatalf("problems are %v, want one that stops shipping", problems)
			}
			p := problems[0]
			for variable, value := range tt.set {
				if p.Variable != variable || p.Used != "" || len(value) < 100 && p.Value != value {
					t.Errorf("the problem is %+v, want one of %s=%q", p, variable, value)
				}
			}
			for _, part := range tt.text {
				if !strings.Contains(p.String(), part) {
					t.Errorf("%q does not contain %q", p.String(), part)
				}
			}
		})
	}
}

func TestAMissingVariableIsReportedByName(t *testing.T) {
	for _, tt := range []struct {
		name     string
		set      vars
		variable string
		text     string
	}{
		{"no stream", vars{"KINETEL_STREAM_NAME": unset}, "KINETEL_STREAM_NAME", "KINETEL_STREAM_ARN"},
		{"a stream's name that is blank", vars{"KINETEL_STREAM_NAME": "  "}, "KINETEL_STREAM_NAME", "is not set"},
		{"no region", vars{"AWS_REGION": unset}, "AWS_REGION", "is not set"},
		{"no access key", vars{"AWS_ACCESS_KEY_ID": unset}, "AWS_ACCESS_KEY_ID", "is not set"},
		{"no secret key", vars{"AWS_SECRET_ACCESS_KEY": unset}, "AWS_SECRET_ACCESS_KEY", "is not set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := load(lambda().with(tt.set).environ())
			if len(problems) != 1 || config.Usable(problems) {
				t.Fatalf("problems are %v, want one that stops shipping", problems)
			}
			if p := problems[0]; p.Variable != tt.variable || !strings.HasPrefix(p.String(), tt.variable+": ") || !strings.Contains(p.String(), tt.text) {
				t.Errorf("%q does not contain that %s is missing, or not %q", p, tt.variable, tt.text)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	_, problems := load([]string{
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
		"KINETEL_LOG_GROUP=our group",
		"KINETEL_REQUEST_ID_KEYS=a..b",
		"OTEL_RESOURCE_ATTRIBUTES=tags",
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
		"KINETEL_FORMAT", "KINETEL_LOG_GROUP", "KINETEL_LOG_LEVEL", "KINETEL_MAX_HOLD", "KINETEL_PARTITION_KEY", "KINETEL_REPORT", "KINETEL_REQUEST_ID_KEYS", "KINETEL_SPOOL", "KINETEL_SPOOL_BYTES", "KINETEL_SPOOL_DIR", "KINETEL_STREAM_ARN",
		"KINETEL_STREAM_NAME", "KINETEL_STRICT", "KINETEL_TAGS", "KINETEL_TYPES", "OTEL_RESOURCE_ATTRIBUTES",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables at fault (-want +got):\n%s", diff)
	}
}

func TestAnUnknownVariableIsReportedWithTheNearestKnownOne(t *testing.T) {
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
		{"redaction, which must not be mistaken for KINETEL_REPORT", "KINETEL_REDACT", ""},
		{"a level", "KINETEL_LEVEL", ""},
		{"a sample", "KINETEL_SAMPLE", ""},
		{"something else", "KINETEL_FOO_BAR_BAZ", ""},
		{"only the prefix", "KINETEL_", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const value = "some-value-of-it"
			c, problems := load(lambda().with(vars{tt.variable: value}).environ())
			if len(problems) != 1 || problems[0].Severity != config.Warning {
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
				t.Errorf("%q does not contain %q", p, want)
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

func TestNoVariableOfKinetelIsReportedAsUnknown(t *testing.T) {
	set := vars{}
	for _, name := range []string{
		"BUFFER_BYTES", "COMPRESSION", "ENABLED", "FLUSH", "FLUSH_INTERVAL", "FORMAT", "LOG_GROUP", "LOG_LEVEL", "MAX_HOLD",
		"OTLP_SPANS", "PARTITION_KEY", "REPORT", "REQUEST_ID_KEYS", "SPOOL", "SPOOL_BYTES", "SPOOL_DIR", "STREAM_ARN", "STREAM_NAME",
		"STRICT", "TAGS", "TYPES",
	} {
		set["KINETEL_"+name] = ""
	}
	for _, enabled := range []string{"true", "false"} {
		set["KINETEL_ENABLED"], set["KINETEL_STREAM_NAME"] = enabled, "telemetry"
		if _, problems := load(lambda().with(set).environ()); len(problems) > 0 {
			t.Errorf("KINETEL_ENABLED=%s: problems are %v", enabled, problems)
		}
	}
}

func TestUnknownVariablesAreReportedInOrder(t *testing.T) {
	_, problems := load(lambda().with(vars{"KINETEL_C": "", "KINETEL_A": "", "KINETEL_B": ""}).environ())
	var got []string
	for _, p := range problems {
		got = append(got, p.Variable)
	}
	if diff := cmp.Diff([]string{"KINETEL_A", "KINETEL_B", "KINETEL_C"}, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestNothingIsRequiredIfKinetelIsDisabled(t *testing.T) {
	c, problems := load([]string{"KINETEL_ENABLED=false", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001"})
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
		_, problems := load(env.with(secrets).with(vars{missing: unset}).environ())
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

// A secret can be in the wrong variable, or in a tag.
func TestValuesThatMayBeSecretAreNeverRepeated(t *testing.T) {
	anywhere := []string{ // which none of the variables below can use
		"AKIAIOSFODNN7EXAMPLE!", "ASIAIOSFODNNEXAMPLEX?", "key: AKIAIOSFODNN7EXAMPLE",
		"!wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
		"?ghp_16C7e42F292c6912E7710c838347Ae178B4a", "d41d8cd98f00b204e9800998ecf8427e!",
		"password=hunter2!", "Bearer hunter2", "DB_PWD: hunter2", "secret hunter2", "hunter2@db.example",
		"https://user:hunter2@example.com\x00", "apiKey=hunter2!", "platform,token=hunter2", "ctx..hunter2.token",
	}
	variables := []string{
		"KINETEL_ENABLED", "KINETEL_STRICT", "KINETEL_TYPES", "KINETEL_FORMAT", "KINETEL_COMPRESSION", "KINETEL_PARTITION_KEY", "KINETEL_FLUSH",
		"KINETEL_FLUSH_INTERVAL", "KINETEL_MAX_HOLD", "KINETEL_BUFFER_BYTES", "KINETEL_SPOOL", "KINETEL_SPOOL_DIR", "KINETEL_SPOOL_BYTES",
		"KINETEL_REPORT", "KINETEL_LOG_LEVEL", "KINETEL_STREAM_NAME", "KINETEL_STREAM_ARN", "AWS_REGION", "AWS_ENDPOINT_URL",
		"AWS_USE_FIPS_ENDPOINT",
	}
	check := func(name, value string, parts ...string) {
		t.Helper()
		_, problems := load(lambda().with(vars{name: value}).environ())
		usable := name == "KINETEL_STREAM_NAME" || name == "OTEL_RESOURCE_ATTRIBUTES" // in some cases
		if len(problems) == 0 && !usable {
			t.Errorf("no problem with %s=%q", name, value)
		}
		for _, p := range problems {
			for _, part := range append(parts, value) {
				if text := fmt.Sprintf("%+v %s", p, p.Value); strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
					t.Errorf("%s=%q: %q repeats it", name, value, text)
				}
			}
		}
	}
	for _, value := range anywhere {
		for _, name := range variables {
			check(name, value, "hunter2", "IOSFODNN", "rXUtnFEMI", "d41d8cd9", "16C7e42F", "dozjgNryP4")
		}
	}
	for _, name := range []string{"KINETEL_TAGS", "OTEL_RESOURCE_ATTRIBUTES"} {
		for _, value := range []string{
			"env=prod,hush", "env=prod,password=hush%,hush", "hush=", "=hush", "hush=1,hush=2,%", "a=" + strings.Repeat("hush", 600), "aws.log.group.names=hu:sh,hush",
		} {
			check(name, value, "hush", "hu:sh")
		}
	}
	// What is no secret helps to find the mistake.
	for name, value := range map[string]string{"KINETEL_PARTITION_KEY": "shard", "KINETEL_FLUSH_INTERVAL": "1h", "KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:123456789012:telemetry"} {
		_, problems := load(lambda().with(vars{name: value}).environ())
		if len(problems) != 1 || problems[0].Value != value {
			t.Errorf("%s=%q: problems are %+v", name, value, problems)
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
		_, problems := load(lambda().with(set).environ())
		if len(problems) == 0 {
			t.Errorf("no problem with %.60q", fmt.Sprint(set))
		}
		for _, p := range problems {
			if n := len(p.String()); n > 1000 {
				t.Errorf("the problem of %s has %d bytes: %.80s", p.Variable, n, p)
			}
		}
	}
}

func TestRegistrationAgreesWithLoad(t *testing.T) {
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
		{"without a way of initialization", []string{"AWS_LAMBDA_RUNTIME_API=[::1]:9001"}, enabled("[::1]:9001", "")},
		{"empty", []string{"AWS_LAMBDA_RUNTIME_API=", "AWS_LAMBDA_INITIALIZATION_TYPE=", "KINETEL_ENABLED="}, enabled("", "")},
		{"elements that are not assignments", []string{"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_INITIALIZATION_TYPE", "KINETEL_ENABLED", ""}, enabled("", "")},
		{"a value with an equals sign", []string{"AWS_LAMBDA_RUNTIME_API=a=b", "AWS_LAMBDA_INITIALIZATION_TYPE=c=d"}, enabled("a=b", "c=d")},
		{"disabled", []string{"KINETEL_ENABLED=false"}, config.Registration{}},
		{"disabled, with white space and capitals", []string{"KINETEL_ENABLED= FALSE\n"}, config.Registration{}},
		{"disabled by a number", []string{"KINETEL_ENABLED=0"}, config.Registration{}},
		{"enabled", []string{"KINETEL_ENABLED=true"}, enabled("", "")},
		{"enabled by a number", []string{"KINETEL_ENABLED=1"}, enabled("", "")},
		{"disabled by other words", []string{"KINETEL_ENABLED=off"}, config.Registration{}},
		{"disabled in quotes", []string{`KINETEL_ENABLED='No'`}, config.Registration{}},
		{"enabled by other words", []string{"KINETEL_ENABLED=on"}, enabled("", "")},
		{"in quotes", []string{`AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001"`, `AWS_LAMBDA_INITIALIZATION_TYPE="on-demand"`}, enabled("127.0.0.1:9001", config.OnDemand)},
		{"neither true nor false: enabled", []string{"KINETEL_ENABLED=nope"}, enabled("", "")},
		{"outside Lambda", nil, enabled("", "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := config.ReadRegistration(tt.environ)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Registration (-want +got):\n%s", diff)
			}
			c, _ := load(tt.environ)
			if diff := cmp.Diff(config.Registration{RuntimeAPI: c.Lambda.RuntimeAPI, Initialization: c.Lambda.Initialization, Enabled: c.Enabled}, got); diff != "" {
				t.Errorf("Registration (-Load +got):\n%s", diff)
			}
		})
	}
}

// The value works, but probably not as the user meant it.
func TestAHoldThatIsTooShortIsReported(t *testing.T) {
	for _, tt := range []struct {
		hold string
		want time.Duration
	}{{"29.999ms", 29999 * time.Microsecond}, {"1ns", 1}, {" 5ms ", 5 * time.Millisecond}} {
		c, problems := load(lambda().with(vars{"KINETEL_MAX_HOLD": tt.hold}).environ())
		if len(problems) != 1 || problems[0].Severity != config.Warning {
			t.Fatalf("%q: problems are %v, want one warning", tt.hold, problems)
		}
		p := problems[0].String()
		for _, part := range []string{fmt.Sprintf("KINETEL_MAX_HOLD=%q: ", strings.TrimSpace(tt.hold)), "25ms", "as with 0"} {
			if !strings.Contains(p, part) {
				t.Errorf("%q does not contain %q", p, part)
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
func TestCredentialsFromTheContainerEndpoint(t *testing.T) {
	const uri = "http://127.0.0.1:9001/2021-04-23/credentials"
	noKeys := vars{"AWS_ACCESS_KEY_ID": unset, "AWS_SECRET_ACCESS_KEY": unset, "AWS_SESSION_TOKEN": unset}
	for _, tt := range []struct {
		name    string
		set     vars
		want    credentials.ContainerOptions
		missing []string // variables that are reported
	}{
		{"with a token", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush"}, credentials.ContainerOptions{URI: uri, Token: "hush"}, nil},
		{"with white space", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": " " + uri + "\n", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush\n"}, credentials.ContainerOptions{URI: uri, Token: "hush"}, nil},
		{
			"with a token in a file",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/token"},
			credentials.ContainerOptions{URI: uri, TokenFile: "/var/run/token"},
			nil,
		},
		{"without a token", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}, credentials.ContainerOptions{URI: uri}, nil},
		{"no address", vars{"AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush"}, credentials.ContainerOptions{Token: "hush"}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
		{"a blank address", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "  "}, credentials.ContainerOptions{}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
		{
			"half of the keys",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"},
			credentials.ContainerOptions{URI: uri},
			[]string{"AWS_SECRET_ACCESS_KEY"},
		},
		{
			"the other half",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			credentials.ContainerOptions{URI: uri},
			[]string{"AWS_ACCESS_KEY_ID"},
		},
		{
			"with keys as well",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			credentials.ContainerOptions{URI: uri},
			nil,
		},
		{
			"an address that is not a URL",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "/credentials"},
			credentials.ContainerOptions{URI: "/credentials"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"an address on the internet without TLS",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.7/credentials"},
			credentials.ContainerOptions{URI: "http://192.0.2.7/credentials"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"an address with a password",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://u:hush@127.0.0.1/"},
			credentials.ContainerOptions{URI: "http://u:hush@127.0.0.1/"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"an address that is not a URL, with keys",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "/c", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			credentials.ContainerOptions{URI: "/c"},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := load(lambda().with(noKeys).with(tt.set).environ())
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
			if diff := cmp.Diff(tt.missing, missing); diff != "" || config.Usable(problems) != (tt.missing == nil) {
				t.Errorf("problems of (-want +got):\n%s%v", diff, problems)
			}
		})
	}
}

// Such a setting does not prevent shipping.
func TestASettingWithoutEffectIsReported(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  vars
		of   string   // the variable
		text []string // parts of the message
	}{
		{"a compression that subscription filters do not have", vars{"KINETEL_FORMAT": "cloudwatch", "KINETEL_COMPRESSION": "zstd"}, "KINETEL_COMPRESSION", []string{"KINETEL_FORMAT=cloudwatch", "always gzip"}},
		{"a compressed aggregate", vars{"KINETEL_FORMAT": "kpl", "KINETEL_COMPRESSION": "gzip"}, "KINETEL_COMPRESSION", []string{"KINETEL_FORMAT=kpl", "always none"}},
		{"spans of another format", vars{"KINETEL_OTLP_SPANS": "true"}, "KINETEL_OTLP_SPANS", []string{"KINETEL_FORMAT=ndjson", "otlp"}},
		{"a tag that identifies the environment", vars{"KINETEL_TAGS": "faas.instance=me"}, "KINETEL_TAGS", []string{`"faas.instance"`, "ignored"}},
		{"an attribute that identifies the environment", vars{"OTEL_RESOURCE_ATTRIBUTES": "cloud.region=mars"}, "OTEL_RESOURCE_ATTRIBUTES", []string{`"cloud.region"`, "ignored"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := load(lambda().with(tt.set).environ())
			if len(problems) != 1 || problems[0].Severity != config.Warning || problems[0].Variable != tt.of {
				t.Fatalf("problems are %v, want one warning of %s", problems, tt.of)
			}
			for _, part := range tt.text {
				if !strings.Contains(problems[0].String(), part) {
					t.Errorf("%q does not say %s", problems[0], part)
				}
			}
			if want := map[format.Name]format.Compression{cloudwatch.Name: format.Gzip, kpl.Name: format.Uncompressed, ndjson.Name: format.Gzip}[c.Format]; c.Compression != want {
				t.Errorf("compression is %s, want %s", c.Compression, want)
			}
			if c.OTLPSpans {
				t.Error("OTLPSpans is true")
			}
		})
	}
}
