package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/logging"
)

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
		{"a parent of spans", vars{"KINETEL_OTLP_PARENT": "always"}, "auto", "must be auto, link or none", otherwise},
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
		{"a log level above the highest", vars{"KINETEL_LOG_LEVEL": "FATAL"}, "error", "must be debug, info, warn or error", func(c *config.Config) { c.LogLevel = logging.LevelError }},
		{"a log level below the lowest", vars{"KINETEL_LOG_LEVEL": "trace"}, "debug", "must be debug, info, warn or error", func(c *config.Config) { c.LogLevel = logging.LevelDebug }},
		{"a log that is off", vars{"KINETEL_LOG_LEVEL": "off"}, "error", "must be debug, info, warn or error", func(c *config.Config) { c.LogLevel = logging.LevelError }},
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
		"KINETEL_LEVEL=loud",
		"KINETEL_INCLUDE=(",
		"KINETEL_EXCLUDE=(",
		"KINETEL_PLATFORM_EVENTS=ends",
		"KINETEL_SAMPLE=few",
		"KINETEL_SAMPLE_BY=user",
		"KINETEL_SAMPLE_KEEP=best",
		"KINETEL_SAMPLE_MARK=" + strings.Repeat("m", 257),
		"KINETEL_MAX_LINES=many",
		"KINETEL_MAX_BYTES=many",
		"KINETEL_REDACT=all",
		"KINETEL_REDACT_PATTERN=(",
		"KINETEL_REDACT_KEYS={",
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
		"KINETEL_BUFFER_BYTES", "KINETEL_COMPRESSION", "KINETEL_EXCLUDE", "KINETEL_FLUSH", "KINETEL_FLUSHH", "KINETEL_FLUSH_INTERVAL",
		"KINETEL_FORMAT", "KINETEL_INCLUDE", "KINETEL_LEVEL", "KINETEL_LOG_GROUP", "KINETEL_LOG_LEVEL", "KINETEL_MAX_BYTES", "KINETEL_MAX_HOLD", "KINETEL_MAX_LINES", "KINETEL_PARTITION_KEY",
		"KINETEL_PLATFORM_EVENTS", "KINETEL_REDACT", "KINETEL_REDACT_KEYS", "KINETEL_REDACT_PATTERN", "KINETEL_REPORT", "KINETEL_REQUEST_ID_KEYS",
		"KINETEL_SAMPLE", "KINETEL_SAMPLE_BY", "KINETEL_SAMPLE_BY", "KINETEL_SAMPLE_KEEP", "KINETEL_SAMPLE_KEEP", "KINETEL_SAMPLE_MARK", "KINETEL_SAMPLE_MARK",
		"KINETEL_SPOOL", "KINETEL_SPOOL_BYTES", "KINETEL_SPOOL_DIR", "KINETEL_STREAM_ARN",
		"KINETEL_STREAM_NAME", "KINETEL_STRICT", "KINETEL_TAGS", "KINETEL_TYPES", "OTEL_RESOURCE_ATTRIBUTES",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables at fault (-want +got):\n%s", diff)
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
		"AWS_USE_FIPS_ENDPOINT", "KINETEL_LEVEL", "KINETEL_SAMPLE", "KINETEL_SAMPLE_BY", "KINETEL_SAMPLE_KEEP", "KINETEL_MAX_LINES", "KINETEL_MAX_BYTES",
		"KINETEL_PLATFORM_EVENTS", "KINETEL_REDACT",
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
	for _, name := range []string{"KINETEL_INCLUDE", "KINETEL_EXCLUDE", "KINETEL_REDACT_PATTERN"} {
		for _, value := range anywhere {
			check(name, "("+value, "hunter2", "IOSFODNN", "rXUtnFEMI", "d41d8cd9", "16C7e42F", "dozjgNryP4")
		}
	}
	for _, value := range anywhere {
		check("KINETEL_REDACT_KEYS", "["+value, "hunter2", "IOSFODNN", "rXUtnFEMI", "d41d8cd9", "16C7e42F", "dozjgNryP4")
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
		{"KINETEL_LEVEL": long},
		{"KINETEL_INCLUDE": "(" + long},
		{"KINETEL_PLATFORM_EVENTS": long},
		{"KINETEL_SAMPLE": long},
		{"KINETEL_SAMPLE": "0.5", "KINETEL_SAMPLE_KEEP": long},
		{"KINETEL_SAMPLE": "0.5", "KINETEL_SAMPLE_MARK": long},
		{"KINETEL_MAX_BYTES": long},
		{"KINETEL_REDACT": long},
		{"KINETEL_REDACT_PATTERN": "(" + long},
		{"KINETEL_REDACT_KEYS": long},
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
