package config_test

import (
	"math/big"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
)

// anyEnviron draws environments that are plausible, odd, or broken.
func anyEnviron() *rapid.Generator[[]string] {
	name := rapid.OneOf(
		rapid.SampledFrom([]string{
			"KINETEL_BUFFER_BYTES", "KINETEL_COMPRESSION", "KINETEL_ENABLED", "KINETEL_FLUSH", "KINETEL_FLUSH_INTERVAL",
			"KINETEL_FORMAT", "KINETEL_LOG_LEVEL", "KINETEL_MAX_HOLD", "KINETEL_PARTITION_KEY", "KINETEL_STREAM_ARN",
			"KINETEL_STREAM_NAME", "KINETEL_STRICT", "KINETEL_TAGS", "KINETEL_TYPES",
			"KINETEL_SPOOL", "KINETEL_SPOOL_DIR", "KINETEL_SPOOL_BYTES", "KINETEL_REPORT", "KINETEL_LOG_GROUP", "KINETEL_REQUEST_ID_KEYS",
			"KINETEL_LEVEL", "KINETEL_INCLUDE", "KINETEL_EXCLUDE", "KINETEL_PLATFORM_EVENTS", "KINETEL_SAMPLE", "KINETEL_SAMPLE_KEEP", "KINETEL_SAMPLE_BY",
			"KINETEL_SAMPLE_MARK", "KINETEL_MAX_LINES", "KINETEL_MAX_BYTES", "KINETEL_REDACT", "KINETEL_REDACT_PATTERN", "KINETEL_REDACT_KEYS",
			"OTEL_RESOURCE_ATTRIBUTES",
			"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS",
			"AWS_USE_FIPS_ENDPOINT", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_RUNTIME_API",
			"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		}),
		rapid.StringMatching(`KINETEL_[A-Z_]{0,12}`),
		rapid.String(),
	)
	value := rapid.OneOf(
		rapid.SampledFrom([]string{
			"", " ", "true", "false", "0", "1", "platform", "platform,function,extension", "function", "ndjson", "gzip", "zstd", "none",
			"environment", "request", "function", "random", "end", "interval", "10s", "0", "-1s", "15m", "1h", "16MiB", "2MiB", "1B", "9MiB ",
			"telemetry", "arn:aws:kinesis:eu-west-1:123456789012:stream/s", "arn:::::", "eu-west-1", "a=b", "a=b,a=c", ",", "=", "http://localhost:1", "https://%",
			"overflow", "off", "always", "events", "emf", "events,emf", "emf,off", "adaptive", "5ms", "30ms", "snap-start", "on-demand", "http://127.0.0.1:1/c", "/", "WARNING", "yes", "`true`", `"no"`, "16MB", "1 day", "a=b,", "aws.log.group.names=/a&b c", "/tmp/spool", "//tmp/../spool/", "tmp", "4MiB", "8192MiB",
			"warn", "report,start", "all", "platform.x", "0.05", "5%", "-1", "1e999", "error,slow:1s", "slow:", "marked", "trace", "(", "a|b", "^$", `\d+`, "email", "jwt,email", "ssn", "password,pin",
		}),
		rapid.StringMatching(`[a-c(){}|\[\]*+?^$.\\]{0,12}`),
		rapid.StringMatching(`-?[0-9]{0,20}(\.[0-9])?[BKMG]?i?B?[hms]?s?`),
		rapid.StringN(0, 40, -1),
	)
	return rapid.Custom(func(t *rapid.T) []string {
		environ := []string{}
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			if rapid.IntRange(0, 20).Draw(t, "no assignment") == 0 {
				environ = append(environ, value.Draw(t, "text"))
				continue
			}
			environ = append(environ, name.Draw(t, "name")+"="+value.Draw(t, "value"))
		}
		return environ
	})
}

func TestLoadAcceptsAnyEnvironment(t *testing.T) {
	logGroup := regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	streamName := regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)
	rapid.Check(t, func(t *rapid.T) {
		environ := anyEnviron().Draw(t, "environ")
		c, problems := config.Load(environ)

		again, problemsAgain := config.Load(environ)
		if diff := cmp.Diff(c, again, byText()) + cmp.Diff(problems, problemsAgain); diff != "" {
			t.Fatalf("a second Load of the same environment differs (-first +second):\n%s", diff)
		}
		in := func(what string, ok bool) {
			if !ok {
				t.Fatalf("%s is out of bounds in %+v", what, c)
			}
		}
		for _, group := range c.LogGroups {
			in("LogGroups", logGroup.MatchString(group))
		}
		in("RequestIDKeys", len(c.RequestIDKeys) <= 8)
		inBounds(c, problems, in)
		in("Problems", cmp.Equal(c.Problems, problems))
		in("Types", slices.Contains(c.Types, "platform"))
		for i, one := range c.Types {
			in("Types", slices.Contains([]string{"platform", "function", "extension"}, one) && !slices.Contains(c.Types[:i], one))
		}
		in("Format", c.Format == ndjson.Name)
		in("Compression", slices.Contains([]format.Compression{format.Gzip, format.Zstd, format.Uncompressed}, c.Compression))
		in("PartitionKey", slices.Contains([]config.PartitionKey{
			config.PartitionByEnvironment, config.PartitionByRequest, config.PartitionByFunction, config.PartitionRandom,
		}, c.PartitionKey))
		in("Flush", slices.Contains([]flush.Mode{flush.ModeAdaptive, flush.ModeEnd, flush.ModeInterval}, c.Flush))
		in("FlushInterval", c.FlushInterval >= 100*time.Millisecond && c.FlushInterval <= 15*time.Minute)
		in("MaxHold", c.MaxHold >= 0 && c.MaxHold <= 15*time.Minute)
		in("BufferBytes", c.BufferBytes >= 2<<20 && c.BufferBytes <= 8<<30)
		in("Spool", c.Spool == config.SpoolOverflow || c.Spool == config.SpoolOff || c.Spool == config.SpoolAlways)
		in("SpoolDir", filepath.IsAbs(c.SpoolDir) && filepath.Clean(c.SpoolDir) == c.SpoolDir && !strings.Contains(c.SpoolDir, "\x00"))
		in("SpoolBytes", c.SpoolBytes >= 4<<20 && c.SpoolBytes <= 8<<30)
		for i, tag := range c.Attributes {
			in("Tags", tag.Name != "" && !slices.ContainsFunc(c.Attributes[:i], func(other config.Attribute) bool { return other.Name == tag.Name }))
		}
		if c.StreamARN != "" {
			in("StreamARN", strings.HasSuffix(c.StreamARN, ":stream/"+c.StreamName) && strings.Contains(c.StreamARN, ":"+c.AWS.Region+":"))
		}
		if c.Enabled && config.Usable(problems) {
			in("StreamName", streamName.MatchString(c.StreamName))
			keys := c.AWS.AccessKeyID != "" && c.AWS.SecretAccessKey != ""
			in("credentials", keys || c.AWS.AccessKeyID == "" && c.AWS.SecretAccessKey == "" && c.AWS.Container.URI != "")
			in("AWS.Region", c.AWS.Region != "")
			in("AWS.Endpoint", c.AWS.Endpoint == "" || strings.HasPrefix(strings.ToLower(c.AWS.Endpoint), "http"))
		}
		in("Report", c.Report != config.Report{} || slices.ContainsFunc(environ, func(kv string) bool {
			name, value, _ := strings.Cut(kv, "=")
			off := []string{"off", "none", "no", "n", "false", "f", "0", "disabled", "disable"}
			return name == "KINETEL_REPORT" && slices.Contains(off, strings.ToLower(strings.Trim(value, "\"'“” \t\n\v\f\r\u0085\u00a0")))
		}))
		short := slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Variable == "KINETEL_MAX_HOLD" && p.Severity == config.Warning })
		in("MaxHold", short == (c.MaxHold > 0 && c.MaxHold < flush.MinHold))
		registration := config.Registration{RuntimeAPI: c.Lambda.RuntimeAPI, Initialization: c.Lambda.Initialization, Enabled: c.Enabled}
		in("Registration", config.ReadRegistration(environ) == registration)
		for _, p := range problems {
			if p.Variable == "" || p.Message == "" || !strings.HasPrefix(p.String(), p.Variable) {
				t.Fatalf("a problem without a variable or a message: %+v", p)
			}
			if (p.Used != "") != (p.Severity == config.Replaced) {
				t.Fatalf("a problem that does not say what is used instead: %+v", p)
			}
			// Only a destination or credentials can stop shipping.
			if p.Severity == config.Fatal && !strings.HasPrefix(p.Variable, "KINETEL_STREAM_") && !strings.HasPrefix(p.Variable, "AWS_") {
				t.Fatalf("%+v stops shipping", p)
			}
		}
	})
}

// inBounds checks the settings of selection and redaction.
func inBounds(c config.Config, problems []config.Problem, in func(string, bool)) {
	s, r := c.Selection, c.Redaction
	in("Level", s.Level <= event.Fatal)
	in("PlatformEvents", s.PlatformEvents == nil || slices.Contains(s.PlatformEvents, "platform.logsDropped"))
	for i, one := range s.PlatformEvents {
		in("PlatformEvents", strings.HasPrefix(one, "platform.") && !slices.Contains(s.PlatformEvents[:i], one))
	}
	if sample := s.Sample; sample != nil {
		in("Sample.Share", sample.Share >= 0 && sample.Share < 1)
		in("Sample.Slow", sample.Slow >= 0 && sample.Slow <= 15*time.Minute)
		in("Sample.Mark", len(sample.Mark) <= 256)
	}
	in("MaxLines", s.MaxLines >= 0)
	in("MaxBytes", s.MaxBytes >= 0)
	for _, one := range r.Names {
		in("Redaction.Names", regexp.MustCompile("^(email|credit-card|aws-key|jwt|ipv4|ipv6|phone|iban|bearer|password-in-url)$").MatchString(one))
	}
	in("Redaction.Keys", len(r.Keys) <= 64)
	for _, key := range r.Keys {
		in("Redaction.Keys", key != "" && len(key) <= 128 && !strings.ContainsAny(key, "\"'[]{}; "))
	}
	in("Redaction.Unusable", r.Unusable == slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Used == "KINETEL_TYPES=platform" }))
}

func TestASizeIsItsNumberTimesItsUnit(t *testing.T) {
	units := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
	number := rapid.OneOf(
		rapid.Uint64Range(0, 10_000),
		rapid.Uint64Range(0, 1<<34),
		rapid.Uint64(), // most overflow in some unit
		// Products just above 64 bits, in MiB and in KiB.
		rapid.Map(rapid.Uint64Range(2, 64), func(n uint64) uint64 { return 1<<44 + n }),
		rapid.Map(rapid.Uint64Range(2048, 65536), func(n uint64) uint64 { return 1<<54 + n }),
	)
	rapid.Check(t, func(t *rapid.T) {
		n := number.Draw(t, "number")
		unit := rapid.SampledFrom([]string{"", "B", "KiB", "MiB"}).Draw(t, "unit")
		blank := rapid.SampledFrom([]string{"", " "}).Draw(t, "blank")
		size := strconv.FormatUint(n, 10) + blank + unit

		for _, tt := range []struct {
			name  string
			least int64
			got   func(config.Config) int64
		}{
			{"KINETEL_BUFFER_BYTES", 2 << 20, func(c config.Config) int64 { return c.BufferBytes }},
			{"KINETEL_SPOOL_BYTES", 4 << 20, func(c config.Config) int64 { return c.SpoolBytes }},
		} {
			product := new(big.Int).Mul(new(big.Int).SetUint64(n), big.NewInt(units[unit]))
			want, valid := product.Int64(), true
			if product.Cmp(big.NewInt(tt.least)) < 0 {
				want, valid = tt.least, false
			} else if product.Cmp(big.NewInt(8<<30)) > 0 {
				want, valid = 8<<30, false
			}
			c, problems := config.Load(lambda().with(vars{tt.name: size}).environ())
			if got := tt.got(c); got != want || (len(problems) == 0) != valid {
				t.Fatalf("%s=%q gives %d bytes and problems %v, want %d and valid: %t", tt.name, size, got, problems, want, valid)
			}
		}
	})
}
