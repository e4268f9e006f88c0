package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/logging"
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
		OTLPParent:    otlp.ParentAuto,
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
		LogLevel:      logging.LevelWarn,
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
			c.Flush, c.MaxHold, c.BufferBytes, c.Strict, c.LogLevel = flush.ModeInterval, time.Second, 4<<20, true, logging.LevelInfo
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
		{"spans without a parent", vars{"KINETEL_FORMAT": "otlp", "KINETEL_OTLP_SPANS": "true", "KINETEL_OTLP_PARENT": "off"}, func(c *config.Config) {
			c.Format, c.OTLPSpans, c.OTLPParent = otlp.Name, true, otlp.ParentNone
		}},
		{"spans with a link", vars{"KINETEL_FORMAT": "otlp", "KINETEL_OTLP_SPANS": "true", "KINETEL_OTLP_PARENT": "Link"}, func(c *config.Config) {
			c.Format, c.OTLPSpans, c.OTLPParent = otlp.Name, true, otlp.ParentLink
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
		{"log level debug", vars{"KINETEL_LOG_LEVEL": "debug"}, func(c *config.Config) { c.LogLevel = logging.LevelDebug }},
		{"log level info", vars{"KINETEL_LOG_LEVEL": "INFO"}, func(c *config.Config) { c.LogLevel = logging.LevelInfo }},
		{"log level warn", vars{"KINETEL_LOG_LEVEL": "warn"}, func(*config.Config) {}},
		{"log level error", vars{"KINETEL_LOG_LEVEL": "error"}, func(c *config.Config) { c.LogLevel = logging.LevelError }},
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
		{"log level err", vars{"KINETEL_LOG_LEVEL": "Err"}, func(c *config.Config) { c.LogLevel = logging.LevelError }},
		{"log level information", vars{"KINETEL_LOG_LEVEL": "Information"}, func(c *config.Config) { c.LogLevel = logging.LevelInfo }},
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

func TestNothingIsRequiredIfKinetelIsDisabled(t *testing.T) {
	c, problems := load([]string{"KINETEL_ENABLED=false", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001"})
	if len(problems) > 0 || c.Enabled || c.Lambda.RuntimeAPI != "127.0.0.1:9001" {
		t.Errorf("Config is %+v with problems %v", c, problems)
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
		{"a parent without spans", vars{"KINETEL_FORMAT": "otlp", "KINETEL_OTLP_PARENT": "link"}, "KINETEL_OTLP_PARENT", []string{"KINETEL_OTLP_SPANS=true"}},
		{"a tag that identifies the environment", vars{"KINETEL_TAGS": "service.instance.id=me"}, "KINETEL_TAGS", []string{`"service.instance.id"`, "ignored"}},
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
			if want := map[format.Name]format.Compression{cloudwatch.Name: format.Gzip, kpl.Name: format.Uncompressed, ndjson.Name: format.Gzip, otlp.Name: format.Gzip}[c.Format]; c.Compression != want {
				t.Errorf("compression is %s, want %s", c.Compression, want)
			}
			if c.OTLPSpans {
				t.Error("OTLPSpans is true")
			}
		})
	}
}
