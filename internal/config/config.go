// Package config turns environment variables into a Config. It is the only package
// that knows the names of environment variables. It reports all problems at once, so
// that you do not need one deployment per mistake.
//
// A value that cannot be used does not stop the extension: the default or the
// nearest bound is used instead. Only without a destination or credentials can
// nothing be shipped.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kinetel/internal/credentials"
	"kinetel/internal/flush"
	"kinetel/internal/format"
	"kinetel/internal/format/formats"
	"kinetel/internal/format/otlp"
)

// PartitionKey says which records share a partition key, and so a shard.
type PartitionKey string

const (
	// PartitionByEnvironment keeps an environment's records in order.
	PartitionByEnvironment PartitionKey = "environment"
	// PartitionByRequest uses the request that was open when the record was
	// opened.
	PartitionByRequest PartitionKey = "request"
	// PartitionByFunction sends all records of a function to one shard.
	PartitionByFunction PartitionKey = "function"
	// PartitionRandom spreads records evenly. There is no order.
	PartitionRandom PartitionKey = "random"
)

// Spool says what is kept on disk.
type Spool string

const (
	// SpoolOverflow keeps what does not fit in memory, and what cannot be sent
	// before the environment ends.
	SpoolOverflow Spool = "overflow"
	// SpoolOff keeps nothing on disk.
	SpoolOff Spool = "off"
	// SpoolAlways writes everything to disk before it is acknowledged to Lambda.
	SpoolAlways Spool = "always"
)

// Report says where the extension's own figures go.
type Report struct {
	Events bool // into the stream: kinetel.invocation, kinetel.report
	EMF    bool // to standard output, in CloudWatch's embedded metric format
}

// Initialization is how Lambda initialized the environment.
type Initialization string

// The values of AWS_LAMBDA_INITIALIZATION_TYPE (AWS documentation, Lambda
// environment variables). Any other value is treated as OnDemand.
const (
	OnDemand               Initialization = "on-demand"
	ProvisionedConcurrency Initialization = "provisioned-concurrency"
	SnapStart              Initialization = "snap-start"
	ManagedInstances       Initialization = "lambda-managed-instances"
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
	Compression   format.Compression
	PartitionKey  PartitionKey
	Flush         flush.Mode
	FlushInterval time.Duration
	MaxHold       time.Duration // 0: no hold
	BufferBytes   int64         // for packed records that wait in memory
	Spool         Spool
	SpoolDir      string // absolute
	SpoolBytes    int64  // on disk
	Report        Report
	LogLevel      slog.Level
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

// AWS has the values of the AWS standard variables.
type AWS struct {
	Region          string // of the stream
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Container       Container
	Endpoint        string // overrides the endpoint; empty: AWS's own
	UseFIPS         bool
	UseDualStack    bool
	CABundle        string // path of a PEM file
	IgnoreProxy     bool   // the proxy variable is not a valid proxy URL
}

// Container says where to get credentials that Lambda does not set as variables:
// those of a SnapStart function.
type Container struct {
	FullURI   string // empty: there is no credentials endpoint
	Token     string // secret
	TokenFile string // path of a file with the token
}

// Lambda has what Lambda's variables say about the function.
type Lambda struct {
	RuntimeAPI      string // host:port of Lambda's APIs
	Initialization  Initialization
	Region          string // where the function runs
	FunctionName    string
	FunctionVersion string
	MemoryMB        int64 // 0: not known
	JSONLogs        bool  // the function's log format is JSON, as far as known
}

const prefix = "KINETEL_"

// known lists all of Kinetel's own variables, to detect misspelt ones.
var known = []string{
	"KINETEL_BUFFER_BYTES",
	"KINETEL_COMPRESSION",
	"KINETEL_ENABLED",
	"KINETEL_FLUSH",
	"KINETEL_FLUSH_INTERVAL",
	"KINETEL_FORMAT",
	"KINETEL_LOG_GROUP",
	"KINETEL_LOG_LEVEL",
	"KINETEL_MAX_HOLD",
	"KINETEL_OTLP_SPANS",
	"KINETEL_PARTITION_KEY",
	"KINETEL_REPORT",
	"KINETEL_REQUEST_ID_KEYS",
	"KINETEL_SPOOL",
	"KINETEL_SPOOL_BYTES",
	"KINETEL_SPOOL_DIR",
	"KINETEL_STREAM_ARN",
	"KINETEL_STREAM_NAME",
	"KINETEL_STRICT",
	"KINETEL_TAGS",
	"KINETEL_TYPES",
}

// Bounds of values.
const (
	minBuffer   = 2 << 20 // one open record and one that is being sent
	maxBuffer   = 8 << 30 // a function has at most 10 GiB
	minSpool    = 4 << 20 // a few records of the largest size
	maxSpool    = 8 << 30 // /tmp has at most 10 GiB
	minInterval = 100 * time.Millisecond
	maxDuration = 15 * time.Minute // the longest invocation

	// Each path is looked up in each JSON line.
	maxRequestIDKeys  = 8
	maxRequestIDKey   = 128 // bytes
	maxRequestIDDepth = 8   // members
)

// Registration is the configuration that register needs. The rest can be loaded
// after register.
type Registration struct {
	RuntimeAPI     string // host:port of Lambda's APIs; empty outside Lambda
	Initialization Initialization
	Enabled        bool
}

// ReadRegistration reads the Registration from the environment, given as os.Environ
// returns it.
func ReadRegistration(environ []string) Registration {
	r := Registration{Enabled: true}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case "AWS_LAMBDA_RUNTIME_API":
			r.RuntimeAPI = clean(value)
		case "AWS_LAMBDA_INITIALIZATION_TYPE":
			r.Initialization = Initialization(strings.ToLower(clean(value)))
		case "KINETEL_ENABLED":
			enabled, ok := parseBool(clean(value))
			r.Enabled = enabled || !ok
		}
	}
	return r
}

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
		Lambda: Lambda{
			RuntimeAPI:      l.text("AWS_LAMBDA_RUNTIME_API"),
			Region:          l.region(),
			FunctionName:    l.text("AWS_LAMBDA_FUNCTION_NAME"),
			FunctionVersion: l.text("AWS_LAMBDA_FUNCTION_VERSION"),
			JSONLogs:        strings.EqualFold(l.text("AWS_LAMBDA_LOG_FORMAT"), "JSON"),
		},
	}
	if mb, err := strconv.ParseInt(l.text("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 32); err == nil && mb > 0 {
		c.Lambda.MemoryMB = mb
	}
	c.Lambda.Initialization = ReadRegistration(environ).Initialization
	if c.Lambda.Initialization == ManagedInstances {
		c.Lambda.JSONLogs = true // Managed Instances have no other format
	}
	c.Attributes, c.LogGroups = l.logGroups(c.Attributes)
	l.records(&c)
	c.AWS = l.aws()
	l.network(&c.AWS)
	l.stream(&c)
	if c.MaxHold > 0 && c.MaxHold < flush.MinHold {
		l.warning("KINETEL_MAX_HOLD", "is too short to hold for: Lambda itself takes up to 25ms to tell that a runtime is done; no invocation is held, as with 0")
	}
	l.unknown()
	c.Problems = l.problems
	return c, l.problems
}

// loader reads values and collects their problems.
type loader struct {
	env      map[string]string
	problems []Problem
}

// text returns a variable's value without the white space and quotes around it,
// which are often pasted by mistake.
func (l *loader) text(name string) string { return clean(l.env[name]) }

func clean(v string) string {
	v = strings.TrimSpace(v)
	for _, quotes := range [...][2]string{{`"`, `"`}, {"'", "'"}, {"“", "”"}} {
		inner, begins := strings.CutPrefix(v, quotes[0])
		inner, ends := strings.CutSuffix(inner, quotes[1])
		if begins && ends && !strings.ContainsAny(inner, quotes[0]) {
			return strings.TrimSpace(inner)
		}
	}
	return v
}

func (l *loader) boolean(name string, otherwise bool) bool {
	if l.text(name) == "" {
		return otherwise
	}
	b, ok := parseBool(l.text(name))
	if !ok {
		l.replaced(name, otherwise, "must be true or false")
		return otherwise
	}
	return b
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "1", "t", "yes", "y", "on", "enabled", "enable":
		return true, true
	case "false", "0", "f", "no", "n", "off", "disabled", "disable", "none":
		return false, true
	}
	return false, false
}

// isOff reports whether a value turns a feature off.
func isOff(s string) bool {
	value, ok := parseBool(s)
	return ok && !value
}

// canonical returns the value for a synonym.
func canonical(v string) string {
	switch v {
	case "jsonl", "jsonlines", "json-lines", "nd-json":
		return "ndjson"
	case "gz":
		return "gzip"
	case "zst", "zstandard":
		return "zstd"
	}
	return v
}

// oneOf returns a variable's value if it is valid, else the default, which is the
// first of the valid values.
func oneOf[T ~string](l *loader, name string, valid ...T) T {
	v := T(canonical(strings.ToLower(l.text(name))))
	if v == "" {
		return valid[0]
	}
	if slices.Contains(valid, v) {
		return v
	}
	names := make([]string, len(valid))
	for i, one := range valid {
		if (one == "off" || one == "none") && isOff(string(v)) {
			return one
		}
		names[i] = string(one)
	}
	l.replaced(name, valid[0], "must be %s", or(names))
	return valid[0]
}

func or(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// splitNames splits a list of names. It accepts many separators.
func splitNames(v string) []string {
	return strings.FieldsFunc(strings.ToLower(v), func(c rune) bool { return strings.ContainsRune(" ,;|+[]\"'\t\n", c) })
}

// chosen returns the valid names in a list, in its order, and the first word that is
// not valid. A plural is the same as its singular.
func chosen(list string, valid ...string) (names []string, unknown string) {
	for _, word := range splitNames(list) {
		i := slices.IndexFunc(valid, func(one string) bool {
			return strings.TrimSuffix(one, "s") == strings.TrimSuffix(word, "s")
		})
		switch {
		case i < 0 && unknown == "":
			unknown = word
		case i >= 0 && !slices.Contains(names, valid[i]):
			names = append(names, valid[i])
		}
	}
	return names, unknown
}

func (l *loader) types() []string {
	const name = "KINETEL_TYPES"
	valid := []string{"platform", "function", "extension"}
	types, unknown := chosen(l.text(name), valid...)
	if len(types) == 0 {
		types = valid[:2]
	}
	platform := slices.Contains(types, "platform")
	if !platform {
		// Without platform.runtimeDone the extension cannot know when an
		// invocation ended, and would hold each one until its time-out.
		types = append([]string{"platform"}, types...)
	}
	switch used := strings.Join(types, ","); {
	case unknown != "":
		l.replaced(name, used, "%s is not a telemetry stream; must be a comma-separated list of %s", l.quote(name, unknown), or(valid))
	case !platform:
		l.replaced(name, used, "must contain platform, whose events say when an invocation ends")
	}
	return types
}

func (l *loader) report() Report {
	const name = "KINETEL_REPORT"
	v := l.text(name)
	if isOff(v) {
		return Report{}
	}
	list, unknown := chosen(v, "events", "emf")
	if len(list) == 0 {
		list = []string{"events"}
	}
	if unknown != "" {
		l.replaced(name, strings.Join(list, ","), "must be a comma-separated list of events and emf, or off alone")
	}
	return Report{Events: slices.Contains(list, "events"), EMF: slices.Contains(list, "emf")}
}

func (l *loader) duration(name string, otherwise, least time.Duration) time.Duration {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	if least == 0 && (isOff(v) || strings.EqualFold(v, "never")) {
		return 0
	}
	d, ok := parseDuration(v)
	used := min(max(d, least), maxDuration)
	if !ok {
		used = otherwise
	}
	if !ok || used != d {
		l.replaced(name, used, "must be a duration with its unit, from %s to %s, such as %s or 250ms", least, maxDuration, otherwise)
	}
	return used
}

// parseDuration parses durations in Go's format, also in capitals and with blanks,
// and a number with another common name of a unit. If a value does not fit into a
// Duration, only its sign is right.
func parseDuration(s string) (time.Duration, bool) {
	s = strings.ToLower(strings.Join(strings.Fields(s), ""))
	if d, err := time.ParseDuration(s); err == nil {
		return d, true
	}
	end := strings.IndexFunc(s, unicode.IsLetter)
	if end < 0 {
		return 0, false // the unit is not known
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	for _, one := range [...]struct {
		names string
		unit  time.Duration
	}{
		{" ns us µs μs ", time.Nanosecond}, // only reached if the value does not fit into a Duration
		{" ms msec msecs millis millisecond milliseconds ", time.Millisecond},
		{" s sec secs second seconds ", time.Second},
		{" m min mins minute minutes ", time.Minute},
		{" h hr hrs hour hours ", time.Hour},
		{" d day days ", 24 * time.Hour},
	} {
		if strings.Contains(one.names, " "+s[end:]+" ") {
			return time.Duration(min(max(n*float64(one.unit), -largest), largest)), true
		}
	}
	return 0, false
}

func (l *loader) size(name string, otherwise, least, most int64) int64 {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	n, ok := parseSize(v)
	used := min(max(n, least), most)
	if !ok {
		used = otherwise
	}
	if !ok || used != n {
		l.replaced(name, fmt.Sprintf("%dMiB", used>>20), "must be a size from %dMiB to %dMiB in B, KiB or MiB, such as %dMiB", least>>20, most>>20, otherwise>>20)
	}
	return used
}

// requestIDKeys parses paths such as ctx.requestId, also in the notation of jq and
// JSONPath: .ctx.requestId and $.ctx.requestId.
func (l *loader) requestIDKeys() (keys []string) {
	const name = "KINETEL_REQUEST_ID_KEYS"
	wrong := false
	for _, one := range elements(l.text(name)) {
		key := strings.TrimPrefix(strings.TrimPrefix(one, "$"), ".")
		members := strings.Split(key, ".")
		switch {
		case slices.Contains(keys, key):
		case len(keys) == maxRequestIDKeys || len(key) > maxRequestIDKey || len(members) > maxRequestIDDepth || slices.Contains(members, "") || !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
			wrong = true
		default:
			keys = append(keys, key)
		}
	}
	if wrong {
		l.replaced(name, fmt.Sprintf("what can be read of it, %d paths,", len(keys)),
			"must be a list of at most %d paths of members, such as ctx.requestId, each of at most %d names and %d bytes", maxRequestIDKeys, maxRequestIDDepth, maxRequestIDKey)
	}
	return keys
}

func (l *loader) dir(name, otherwise string) string {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	if !filepath.IsAbs(v) || strings.ContainsRune(v, 0) {
		l.replaced(name, otherwise, "must be the absolute path of a folder, such as %s", otherwise)
		return otherwise
	}
	return filepath.Clean(v)
}

// parseSize parses a number of bytes, KiB, MiB or GiB. The units may also be written
// K or KB and so on: AWS uses powers of two under these names as well. If a value does
// not fit into an int64, only its sign is right.
func parseSize(s string) (int64, bool) {
	s = strings.ToLower(s)
	digits := s
	if i := strings.IndexAny(s, "kmgb "); i >= 0 {
		digits = s[:i]
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(digits, letters) {
		return 0, false
	}
	switch strings.TrimSpace(s[len(digits):]) {
	case "", "b":
	case "k", "ki", "kb", "kib":
		n *= 1 << 10
	case "m", "mi", "mb", "mib":
		n *= 1 << 20
	case "g", "gi", "gb", "gib":
		n *= 1 << 30
	default:
		return 0, false
	}
	return int64(min(max(n, -largest), largest)), true
}

// letters are the characters that ParseFloat accepts in numbers that are not decimal.
const letters = "abcdefghijklmnopqrstuvwxyz_"

// largest is greater than all bounds and fits into an int64.
const largest = float64(1 << 62)

func (l *loader) level() slog.Level {
	const name = "KINETEL_LOG_LEVEL"
	level := slog.LevelWarn
	switch strings.ToLower(l.text(name)) {
	case "", "warn", "warning":
		return slog.LevelWarn
	case "debug":
		return slog.LevelDebug
	case "info", "information", "informational":
		return slog.LevelInfo
	case "error", "err":
		return slog.LevelError
	case "trace", "verbose", "all": // use the nearest level
		level = slog.LevelDebug
	case "fatal", "critical", "panic", "off", "none", "silent":
		level = slog.LevelError
	}
	l.replaced(name, strings.ToLower(level.String()), "must be debug, info, warn or error")
	return level
}

// region returns AWS_REGION in lower case, as in host names and signatures.
func (l *loader) region() string { return strings.ToLower(l.text("AWS_REGION")) }

func (l *loader) aws() AWS {
	a := AWS{
		Region:          l.region(),
		AccessKeyID:     l.text("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: l.text("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    l.text("AWS_SESSION_TOKEN"),
		Container: Container{
			FullURI:   l.text("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
			Token:     l.text("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
			TokenFile: l.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
		},
		UseFIPS:      l.boolean("AWS_USE_FIPS_ENDPOINT", false),
		UseDualStack: l.boolean("AWS_USE_DUALSTACK_ENDPOINT", false),
		CABundle:     l.text("AWS_CA_BUNDLE"),
	}
	// A service's own variable has priority over the general one (AWS SDKs and
	// Tools reference guide, service-specific endpoints).
	for _, name := range []string{"AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"} {
		v := l.text(name)
		if v == "" {
			continue
		}
		u, err := url.Parse(v)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			// Do not use AWS's endpoint instead: a function with another endpoint
			// may not be able to reach AWS's, or must not send there.
			l.fatal(name, "must be a URL such as https://kinesis.eu-west-1.amazonaws.com")
		} else {
			a.Endpoint = v
		}
		break
	}
	return a
}

// Names are checked without regular expressions: compiling these would cost time in
// every cold start.

// isStreamName reports whether s is a stream's name: 1 to 128 of a-z, A-Z, 0-9, _, .
// and - (Kinesis API reference).
func isStreamName(s string) bool {
	return s != "" && len(s) <= 128 && only(s, func(c byte) bool {
		return isLower(c) || isDigit(c) || c >= 'A' && c <= 'Z' || c == '_' || c == '.' || c == '-'
	})
}

// isRegion reports whether s is a region's name: parts of lower-case letters, and a
// number as the last part.
func isRegion(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) < 3 {
		return false
	}
	last := len(parts) - 1
	for _, one := range parts[:last] {
		if one == "" || !only(one, isLower) {
			return false
		}
	}
	return parts[last] != "" && only(parts[last], isDigit)
}

// parseStreamARN returns the region and name in a stream's ARN,
// arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME.
func parseStreamARN(arn string) (region, name string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") || parts[2] != "kinesis" {
		return "", "", false
	}
	name, isStream := strings.CutPrefix(parts[5], "stream/")
	ok = isStream && isStreamName(name) && isRegion(parts[3]) && len(parts[4]) == 12 && only(parts[4], isDigit)
	return parts[3], name, ok
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func only(s string, valid func(byte) bool) bool {
	for i := range len(s) {
		if !valid(s[i]) {
			return false
		}
	}
	return true
}

// records sets the settings that the format determines.
func (l *loader) records(c *Config) {
	if c.OTLPSpans && c.Format != otlp.Name {
		l.warning("KINETEL_OTLP_SPANS", "has no effect with KINETEL_FORMAT=%s; set that to %s", c.Format, otlp.Name)
		c.OTLPSpans = false
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

// stream checks and sets the stream's name and ARN, the region and the credentials,
// which must agree. If Kinetel is disabled, it needs none of them.
func (l *loader) stream(c *Config) {
	if !c.Enabled {
		return
	}
	nameIn, arnIn := "KINETEL_STREAM_NAME", "KINETEL_STREAM_ARN"
	name, arn := l.text(nameIn), l.text(arnIn)
	switch {
	case name == arn && strings.HasPrefix(arn, "arn:"):
		name = ""
	case name == arn:
		arn = ""
	}
	// A name in the variable of the ARN, or the reverse, is recognized and used.
	if strings.HasPrefix(name, "arn:") && (arn == "" || isStreamName(arn)) || name == "" && isStreamName(arn) {
		name, arn, nameIn, arnIn = arn, name, arnIn, nameIn
	}
	switch {
	case name == "" && arn == "":
		l.fatal(nameIn, "is not set; set it, or KINETEL_STREAM_ARN, to the Kinesis data stream to write to")
	case name != "" && !isStreamName(name):
		l.fatal(nameIn, "is not a stream's name: 1 to 128 of a-z, A-Z, 0-9, _, . and -, nor its ARN")
	}
	c.StreamName = name
	if arn != "" {
		region, named, ok := parseStreamARN(arn)
		switch {
		case !ok:
			l.fatal(arnIn, "is not a stream's ARN, such as arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry")
		case name != "" && name != named:
			l.fatal(arnIn, "names another stream than %s=%s; set only one of them", nameIn, l.quote(nameIn, name))
		default:
			c.StreamARN, c.StreamName = arn, named
			// The stream may be in another region than the function.
			c.AWS.Region = region
		}
	}
	switch {
	case c.AWS.Region == "":
		l.fatal("AWS_REGION", "is not set, though Lambda always sets it; needed to find Kinesis")
	case !isRegion(c.AWS.Region):
		l.fatal("AWS_REGION", "is not a region's name, such as eu-west-1")
	}
	if c.AWS.AccessKeyID == "" && c.AWS.SecretAccessKey == "" && c.AWS.Container.FullURI != "" {
		// The credentials are fetched when they are needed.
		if err := credentials.CheckURI(c.AWS.Container.FullURI); err != nil {
			l.fatal(credentials.VariableURI, "%s", errors.Unwrap(err).Error())
		}
		return
	}
	for _, one := range []struct{ name, value string }{
		{"AWS_ACCESS_KEY_ID", c.AWS.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", c.AWS.SecretAccessKey},
	} {
		if one.value == "" {
			l.fatal(one.name, "is not set, though Lambda sets it from the function's role; needed to sign requests to Kinesis")
		}
	}
}

// unknown warns about variables with Kinetel's prefix that are not known.
func (l *loader) unknown() {
	var names []string
	for name := range l.env {
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		message := "is not a variable of this version and is ignored"
		if near := nearest(name); near != "" {
			message += "; did you mean " + near + "?"
		}
		// Do not log the value: it may be a secret.
		l.problems = append(l.problems, Problem{Severity: Warning, Variable: name, Message: message})
	}
}

// nearest returns the known variable with the fewest edits from name, or "" if none
// is near.
func nearest(name string) string {
	best, least := "", len(name)
	for _, one := range known {
		if name != prefix && strings.HasPrefix(one, name) {
			return one
		}
		if d := distance(name[len(prefix):], one[len(prefix):]); d < least {
			best, least = one, d
		}
	}
	if least > 1+(len(name)-len(prefix))/4 {
		return ""
	}
	return best
}

// distance returns the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
