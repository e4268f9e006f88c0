// Package config reads the extension's configuration from environment variables. It is
// the only package that knows their names. It reports all problems at once, so
// that you do not need one deployment per mistake.
//
// A value that cannot be used does not stop the extension: the default or the
// nearest bound is used instead. Only without a destination or credentials can
// nothing be shipped. If a setting of redaction cannot be used, no function or
// extension line may be shipped.
package config

import (
	"slices"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/logging"
)

// Attribute is a name and a value that the user adds to the resource.
type Attribute struct{ Name, Value string }

// Config is the extension's whole configuration.
type Config struct {
	// Enabled, if false, means: register, run Lambda's event loop, do nothing else.
	Enabled bool
	// Strict, if true, means: an unusable configuration fails the function's init.
	Strict bool

	StreamName string // name of the stream; also set if an ARN was given
	StreamARN  string // empty if only a name was given

	Types         []string // of telemetry: platform, function, extension
	Format        format.Name
	OTLPSpans     bool // with otlp: each invocation is a span too
	OTLPParent    otlp.Parent
	Compression   format.Compression
	PartitionKey  PartitionKey
	Flush         flush.Mode
	FlushInterval time.Duration
	MaxHold       time.Duration // 0: no hold
	BufferBytes   int64         // for packed records that wait in memory
	Spool         Spool
	SpoolDir      string // absolute
	SpoolBytes    int64  // on disk
	Selection     Selection
	Redaction     Redaction
	Report        Report
	LogLevel      logging.Level
	// Attributes are those that OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME and
	// KINETEL_TAGS add to the resource. Names are unique.
	Attributes []Attribute
	// RequestIDKeys are paths of members, such as ctx.requestId, that contain the
	// request id in a JSON line, in addition to the built-in ones.
	RequestIDKeys []string
	// LogGroups are the CloudWatch log groups of the function's lines; empty means
	// Lambda's default.
	LogGroups []string
	// Problems are the problems that Load returned.
	Problems []Problem

	AWS    AWS
	Lambda Lambda
}

// Bounds of sizes and durations.
const (
	minBuffer   = 2 << 20 // one open record and one that is being sent
	maxBuffer   = 8 << 30 // a function has at most 10 GiB
	minSpool    = 4 << 20 // a few records of the largest size
	maxSpool    = 8 << 30 // /tmp has at most 10 GiB
	minInterval = 100 * time.Millisecond
	maxDuration = 15 * time.Minute // the longest invocation
)

// Load reads the environment, given as os.Environ returns it. The Config always has
// a value for every setting. If a Problem is Fatal, do not use it to ship.
func Load(environ []string) (Config, []Problem) {
	l := loader{env: make(map[string]string, len(environ))}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			l.env[name] = value
		}
	}

	c := Config{
		Enabled:       l.boolean("KINETEL_ENABLED", true),
		Strict:        l.boolean("KINETEL_STRICT", false),
		Types:         l.types(),
		Format:        oneOf(&l, "KINETEL_FORMAT", formats.Names()...),
		OTLPSpans:     l.boolean("KINETEL_OTLP_SPANS", false),
		OTLPParent:    oneOf(&l, "KINETEL_OTLP_PARENT", otlp.ParentAuto, otlp.ParentLink, otlp.ParentNone),
		Compression:   oneOf(&l, "KINETEL_COMPRESSION", format.Gzip, format.Zstd, format.Uncompressed),
		PartitionKey:  oneOf(&l, "KINETEL_PARTITION_KEY", PartitionByEnvironment, PartitionByRequest, PartitionByFunction, PartitionRandom),
		Flush:         oneOf(&l, "KINETEL_FLUSH", flush.ModeAdaptive, flush.ModeEnd, flush.ModeInterval),
		FlushInterval: l.duration("KINETEL_FLUSH_INTERVAL", 10*time.Second, minInterval),
		MaxHold:       l.duration("KINETEL_MAX_HOLD", 500*time.Millisecond, 0),
		BufferBytes:   l.size("KINETEL_BUFFER_BYTES", 16<<20, minBuffer, maxBuffer),
		Spool:         oneOf(&l, "KINETEL_SPOOL", SpoolOverflow, SpoolOff, SpoolAlways),
		SpoolDir:      l.dir("KINETEL_SPOOL_DIR", "/tmp/kinetel"),
		SpoolBytes:    l.size("KINETEL_SPOOL_BYTES", 64<<20, minSpool, maxSpool),
		Report:        l.report(),
		LogLevel:      l.level(),
		Attributes:    l.attributes(),
		RequestIDKeys: l.requestIDKeys(),
		Lambda:        l.lambda(),
	}
	c.Attributes, c.LogGroups = l.logGroups(c.Attributes)
	l.records(&c)
	l.selection(&c)
	l.redaction(&c.Redaction)
	c.AWS = l.aws()
	l.stream(&c)
	if c.MaxHold > 0 && c.MaxHold < flush.MinHold {
		l.warning("KINETEL_MAX_HOLD", "is too short to hold for: Lambda itself takes up to 25ms to report that a runtime is done; no invocation is held, as with 0")
	}
	l.unknown(&c.Redaction)
	c.Problems = l.problems
	return c, l.problems
}

// records sets the settings that the format determines.
func (l *loader) records(c *Config) {
	if c.OTLPSpans && c.Format != otlp.Name {
		l.warning("KINETEL_OTLP_SPANS", "has no effect with KINETEL_FORMAT=%s; set that to %s", c.Format, otlp.Name)
		c.OTLPSpans = false
	}
	if !c.OTLPSpans && c.OTLPParent != otlp.ParentAuto {
		l.noEffect("KINETEL_OTLP_SPANS=true", "KINETEL_OTLP_PARENT")
	}
	f := formats.Named(c.Format)
	if slices.Contains(f.Compressions, c.Compression) {
		return
	}
	c.Compression = f.Compressions[0]
	if l.text("KINETEL_COMPRESSION") != "" {
		l.warning("KINETEL_COMPRESSION", "has no effect with KINETEL_FORMAT=%s, which is always %s: %s", c.Format, c.Compression, f.Why)
	}
}
