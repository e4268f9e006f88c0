// Package config turns the environment into a Config. It is the only place
// that knows the names of environment variables, and it reports every problem
// at once, because a deployment that fails once a mistake is a bad evening.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinetel/internal/credentials"
)

// Flush says when telemetry is sent.
type Flush string

const (
	// FlushAdaptive holds invocations of a function that is rarely called, as
	// FlushEnd does, and none of one that is busy, as FlushInterval does.
	FlushAdaptive Flush = "adaptive"
	// FlushEnd holds each invocation, after its runtime is done, until its
	// telemetry is in Kinesis, at most MaxHold.
	FlushEnd Flush = "end"
	// FlushInterval never holds and sends in the background.
	FlushInterval Flush = "interval"
)

// Compression says how a record's lines are compressed.
type Compression string

// The compressions of ndjson records.
const (
	CompressionGzip Compression = "gzip"
	CompressionZstd Compression = "zstd"
	CompressionNone Compression = "none"
)

// PartitionKey says which records share a partition key, and with it a shard.
type PartitionKey string

const (
	// PartitionByEnvironment keeps an environment's records in order.
	PartitionByEnvironment PartitionKey = "environment"
	// PartitionByRequest gives each record the request that was open when the
	// record was begun.
	PartitionByRequest PartitionKey = "request"
	// PartitionByFunction sends all of a function to one shard.
	PartitionByFunction PartitionKey = "function"
	// PartitionRandom spreads records evenly and promises no order.
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
	// SpoolAlways keeps everything before Lambda is told that it was taken.
	SpoolAlways Spool = "always"
)

// MinHold is the shortest KINETEL_MAX_HOLD that can be kept: Lambda itself
// takes up to 25 ms to tell that a runtime is done, and nobody can end a hold
// before that.
const MinHold = 30 * time.Millisecond

// Report says where the extension's own figures go.
type Report struct {
	Events bool // into the stream: kinetel.invocation, kinetel.report
	EMF    bool // to standard output, in CloudWatch's embedded metric format
}

// Initialization is how Lambda brought the environment up.
type Initialization string

// What AWS_LAMBDA_INITIALIZATION_TYPE can say (AWS documentation, Lambda
// environment variables). Anything else is treated as the first.
const (
	OnDemand               Initialization = "on-demand"
	ProvisionedConcurrency Initialization = "provisioned-concurrency"
	SnapStart              Initialization = "snap-start"
	ManagedInstances       Initialization = "lambda-managed-instances"
)

// Format says what a Kinesis record looks like.
type Format string

const (
	// FormatNDJSON is up to 500 lines of kinetel/1.
	FormatNDJSON Format = "ndjson"
	// FormatJSON is one line of kinetel/1.
	FormatJSON Format = "json"
	// FormatOTLP is OTLP's JSON, as an exporter would send it.
	FormatOTLP Format = "otlp"
	// FormatCloudWatch is what a subscription filter of CloudWatch Logs sends.
	FormatCloudWatch Format = "cloudwatch"
	// FormatKPL is an aggregate as the Kinesis Producer Library makes it, of
	// user records with one line of kinetel/1 each.
	FormatKPL Format = "kpl"
)

// Attribute is a name and a value that the user gives to a resource.
type Attribute struct{ Name, Value string }

// Config is everything that the environment tells the extension.
type Config struct {
	// Enabled false: register, keep Lambda's loop going, do nothing else.
	Enabled bool
	// Strict true: a bad configuration fails the function's init.
	Strict bool

	StreamName string // name of the stream; also set where an ARN was given
	StreamARN  string // empty where only a name was given

	Types         []string // of telemetry: platform, function, extension
	Format        Format
	OTLPSpans     bool // with FormatOTLP: each invocation is a span too
	Compression   Compression
	PartitionKey  PartitionKey
	Flush         Flush
	FlushInterval time.Duration
	MaxHold       time.Duration // 0 never holds
	BufferBytes   int64         // for packed records that wait
	Spool         Spool
	SpoolDir      string // absolute
	SpoolBytes    int64  // on disk
	Report        Report
	LogLevel      slog.Level
	// Attributes are what OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME and
	// KINETEL_TAGS add to the resource; a name stands once.
	Attributes []Attribute

	AWS    AWS
	Lambda Lambda
}

// AWS is what the AWS standard variables say.
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
	IgnoreProxy     bool   // that of the environment is none
}

// Container says where credentials come from that Lambda does not give by
// variables: those of a SnapStart function.
type Container struct {
	FullURI   string // empty: there is no such place
	Token     string // secret
	TokenFile string // path of a file that has it
}

// Lambda is what Lambda says about the function.
type Lambda struct {
	RuntimeAPI      string // host:port of Lambda's APIs
	Initialization  Initialization
	Region          string // where the function runs
	FunctionName    string
	FunctionVersion string
	MemoryMB        int64  // 0: not told
	LogGroup        string // Lambda does not tell extensions; emulators do
	JSONLogs        bool   // the function's log format is JSON, as far as is told
}

// A Problem is one thing that is wrong with the environment.
type Problem struct {
	Variable string
	Value    string // as given; empty where the variable is not set
	Message  string // what would be valid
	Warning  bool   // the extension can work all the same
}

func (p Problem) String() string {
	if p.Value == "" {
		return p.Variable + ": " + p.Message
	}
	return fmt.Sprintf("%s=%q: %s", p.Variable, clip(p.Value), p.Message)
}

// clip keeps a value that was pasted into the wrong variable from filling the
// log.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

const prefix = "KINETEL_"

// known lists every variable of Kinetel's own, for the check of misspelt ones.
var known = []string{
	"KINETEL_BUFFER_BYTES",
	"KINETEL_COMPRESSION",
	"KINETEL_ENABLED",
	"KINETEL_FLUSH",
	"KINETEL_FLUSH_INTERVAL",
	"KINETEL_FORMAT",
	"KINETEL_LOG_LEVEL",
	"KINETEL_MAX_HOLD",
	"KINETEL_OTLP_SPANS",
	"KINETEL_PARTITION_KEY",
	"KINETEL_REPORT",
	"KINETEL_SPOOL",
	"KINETEL_SPOOL_BYTES",
	"KINETEL_SPOOL_DIR",
	"KINETEL_STREAM_ARN",
	"KINETEL_STREAM_NAME",
	"KINETEL_STRICT",
	"KINETEL_TAGS",
	"KINETEL_TYPES",
}

// Bounds of values that have any.
const (
	minBuffer   = 2 << 20 // one open record and one on its way
	maxBuffer   = 8 << 30 // a function has at most 10 GiB
	minSpool    = 4 << 20 // a few records of the largest size
	maxSpool    = 8 << 30 // /tmp has at most 10 GiB
	minInterval = 100 * time.Millisecond
	maxDuration = 15 * time.Minute // the longest invocation
)

// Registration is what registering needs to know; the rest can wait until that
// is done.
type Registration struct {
	RuntimeAPI     string // host:port of Lambda's APIs; empty outside Lambda
	Initialization Initialization
	Enabled        bool // as far as that can be said yet: KINETEL_ENABLED may be invalid
}

// ReadRegistration reads it from the environment.
func ReadRegistration(environ []string) Registration {
	r := Registration{Enabled: true}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case "AWS_LAMBDA_RUNTIME_API":
			r.RuntimeAPI = strings.TrimSpace(value)
		case "AWS_LAMBDA_INITIALIZATION_TYPE":
			r.Initialization = Initialization(strings.ToLower(strings.TrimSpace(value)))
		case "KINETEL_ENABLED":
			enabled, ok := parseBool(value)
			r.Enabled = enabled || !ok
		}
	}
	return r
}

// Load reads the environment, given as os.Environ gives it. The Config always
// has a value for everything; where a Problem that is no Warning is among the
// problems, it must not be used to ship.
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
		Format:        oneOf(&l, "KINETEL_FORMAT", FormatNDJSON, FormatJSON, FormatOTLP, FormatCloudWatch, FormatKPL),
		OTLPSpans:     l.boolean("KINETEL_OTLP_SPANS", false),
		Compression:   oneOf(&l, "KINETEL_COMPRESSION", CompressionGzip, CompressionZstd, CompressionNone),
		PartitionKey:  oneOf(&l, "KINETEL_PARTITION_KEY", PartitionByEnvironment, PartitionByRequest, PartitionByFunction, PartitionRandom),
		Flush:         oneOf(&l, "KINETEL_FLUSH", FlushAdaptive, FlushEnd, FlushInterval),
		FlushInterval: l.duration("KINETEL_FLUSH_INTERVAL", 10*time.Second, minInterval),
		MaxHold:       l.duration("KINETEL_MAX_HOLD", 500*time.Millisecond, 0),
		BufferBytes:   l.size("KINETEL_BUFFER_BYTES", 16<<20, minBuffer, maxBuffer),
		Spool:         oneOf(&l, "KINETEL_SPOOL", SpoolOverflow, SpoolOff, SpoolAlways),
		SpoolDir:      l.dir("KINETEL_SPOOL_DIR", "/tmp/kinetel"),
		SpoolBytes:    l.size("KINETEL_SPOOL_BYTES", 64<<20, minSpool, maxSpool),
		Report:        l.report(),
		LogLevel:      l.level(),
		Attributes:    l.attributes(),
		Lambda: Lambda{
			RuntimeAPI:      l.text("AWS_LAMBDA_RUNTIME_API"),
			Region:          l.text("AWS_REGION"),
			FunctionName:    l.text("AWS_LAMBDA_FUNCTION_NAME"),
			FunctionVersion: l.text("AWS_LAMBDA_FUNCTION_VERSION"),
			LogGroup:        l.text("AWS_LAMBDA_LOG_GROUP_NAME"),
			JSONLogs:        strings.EqualFold(l.text("AWS_LAMBDA_LOG_FORMAT"), "JSON"),
		},
	}
	if mb, err := strconv.ParseInt(l.text("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 32); err == nil && mb > 0 {
		c.Lambda.MemoryMB = mb
	}
	c.Lambda.Initialization = ReadRegistration(environ).Initialization
	if c.Lambda.Initialization == ManagedInstances {
		c.Lambda.JSONLogs = true // there is no other format there
	}
	l.records(&c)
	c.AWS = l.aws()
	l.network(&c.AWS)
	l.stream(&c)
	if c.MaxHold > 0 && c.MaxHold < MinHold {
		l.warning("KINETEL_MAX_HOLD", "is too short to hold for: Lambda itself takes up to 25ms to tell that a runtime is done; no invocation is held, as with 0")
	}
	l.unknown()
	return c, l.problems
}

// Usable reports whether problems leave a configuration that can be used.
func Usable(problems []Problem) bool {
	return !slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// loader collects values and what is wrong with them.
type loader struct {
	env      map[string]string
	problems []Problem
}

// text returns a variable's value without white space around it, which is
// never meant and easily pasted.
func (l *loader) text(name string) string { return strings.TrimSpace(l.env[name]) }

func (l *loader) problem(name, format string, args ...any) {
	l.problems = append(l.problems, Problem{Variable: name, Value: l.text(name), Message: fmt.Sprintf(format, args...)})
}

// warning is problem where the extension can work all the same.
func (l *loader) warning(name, format string, args ...any) {
	l.problem(name, format, args...)
	l.problems[len(l.problems)-1].Warning = true
}

func (l *loader) boolean(name string, otherwise bool) bool {
	if l.text(name) == "" {
		return otherwise
	}
	b, ok := parseBool(l.text(name))
	if !ok {
		l.problem(name, "must be true or false")
		return otherwise
	}
	return b
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

// oneOf returns a variable's value if it is one of the valid ones; the first
// of them is the default.
func oneOf[T ~string](l *loader, name string, valid ...T) T {
	v := T(strings.ToLower(l.text(name)))
	if v == "" {
		return valid[0]
	}
	if slices.Contains(valid, v) {
		return v
	}
	names := make([]string, len(valid))
	for i, one := range valid {
		names[i] = string(one)
	}
	l.problem(name, "must be %s", or(names))
	return valid[0]
}

func or(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func (l *loader) types() []string {
	const name = "KINETEL_TYPES"
	valid := []string{"platform", "function", "extension"}
	otherwise := valid[:2]
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	var types []string
	for one := range strings.SplitSeq(v, ",") {
		one = strings.ToLower(strings.TrimSpace(one))
		switch {
		case !slices.Contains(valid, one):
			l.problem(name, "%q is not a telemetry stream; must be a comma-separated list of %s", clip(one), or(valid))
			return otherwise
		case !slices.Contains(types, one):
			types = append(types, one)
		}
	}
	if !slices.Contains(types, "platform") {
		// Without platform.runtimeDone nobody can know when an invocation
		// ended, and waiting for it would hold the function to its time-out.
		l.problem(name, "must contain platform, whose events tell when an invocation ends")
		return otherwise
	}
	return types
}

func (l *loader) report() (r Report) {
	const name = "KINETEL_REPORT"
	otherwise := Report{Events: true}
	v := strings.ToLower(l.text(name))
	switch v {
	case "":
		return otherwise
	case "off":
		return Report{}
	}
	for one := range strings.SplitSeq(v, ",") {
		switch strings.TrimSpace(one) {
		case "events":
			r.Events = true
		case "emf":
			r.EMF = true
		default:
			l.problem(name, "must be a comma-separated list of events and emf, or off alone")
			return otherwise
		}
	}
	return r
}

func (l *loader) duration(name string, otherwise, least time.Duration) time.Duration {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > maxDuration {
		l.problem(name, "must be a duration from %s to %s, such as %s or 250ms", least, maxDuration, otherwise)
		return otherwise
	}
	return d
}

func (l *loader) size(name string, otherwise, least, most int64) int64 {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	n, ok := parseSize(v)
	if !ok || n < least || n > most {
		l.problem(name, "must be a size from %dMiB to %dMiB in B, KiB or MiB, such as %dMiB", least>>20, most>>20, otherwise>>20)
		return otherwise
	}
	return n
}

func (l *loader) dir(name, otherwise string) string {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	if !filepath.IsAbs(v) || strings.ContainsRune(v, 0) {
		l.problem(name, "must be the absolute path of a folder, such as %s", otherwise)
		return otherwise
	}
	return filepath.Clean(v)
}

// parseSize reads a whole number with the unit B, KiB or MiB.
func parseSize(s string) (int64, bool) {
	unit := int64(1)
	digits := s
	for _, u := range []struct {
		suffix string
		unit   int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, unit = strings.TrimSpace(rest), u.unit
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

func (l *loader) level() slog.Level {
	const name = "KINETEL_LOG_LEVEL"
	switch strings.ToLower(l.text(name)) {
	case "", "warn":
		return slog.LevelWarn
	case "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "error":
		return slog.LevelError
	}
	l.problem(name, "must be debug, info, warn or error")
	return slog.LevelWarn
}

func (l *loader) aws() AWS {
	a := AWS{
		Region:          l.text("AWS_REGION"),
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
	// A service's own variable goes before the general one (AWS SDKs and
	// Tools reference guide, service-specific endpoints).
	for _, name := range []string{"AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"} {
		v := l.text(name)
		if v == "" {
			continue
		}
		u, err := url.Parse(v)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			l.problem(name, "must be a URL such as https://kinesis.eu-west-1.amazonaws.com")
			if strings.Contains(v, "@") {
				l.problems[len(l.problems)-1].Value = "" // it may have a password
			}
		} else {
			a.Endpoint = v
		}
		break
	}
	return a
}

// The shapes of names are checked by hand: compiled expressions would cost
// every cold start.

// isStreamName: 1 to 128 of a-z, A-Z, 0-9, _, . and - (Kinesis API reference).
func isStreamName(s string) bool {
	return s != "" && len(s) <= 128 && only(s, func(c byte) bool {
		return isLower(c) || isDigit(c) || c >= 'A' && c <= 'Z' || c == '_' || c == '.' || c == '-'
	})
}

// isRegion: parts of lower-case letters, and a number as the last one.
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

// records settles what of a format's settings is not for choice.
func (l *loader) records(c *Config) {
	if c.OTLPSpans && c.Format != FormatOTLP {
		l.warning("KINETEL_OTLP_SPANS", "has no effect with KINETEL_FORMAT=%s; set that to %s", c.Format, FormatOTLP)
		c.OTLPSpans = false
	}
	is, because := c.Compression, ""
	switch c.Format {
	case FormatCloudWatch:
		is, because = CompressionGzip, "consumers of subscription filters read gzip"
	case FormatKPL:
		is, because = CompressionNone, "consumers of aggregates read no compression"
	case FormatNDJSON, FormatJSON, FormatOTLP:
	}
	if is != c.Compression && l.text("KINETEL_COMPRESSION") != "" {
		l.warning("KINETEL_COMPRESSION", "has no effect with KINETEL_FORMAT=%s, which is always %s: %s", c.Format, is, because)
	}
	c.Compression = is
}

// stream settles name, ARN, region and credentials, which must agree. A
// function that is not to be shipped needs none of them.
func (l *loader) stream(c *Config) {
	if !c.Enabled {
		return
	}
	name, arn := l.text("KINETEL_STREAM_NAME"), l.text("KINETEL_STREAM_ARN")
	switch {
	case name == "" && arn == "":
		l.problem("KINETEL_STREAM_NAME", "is not set; set it, or KINETEL_STREAM_ARN, to the Kinesis data stream to write to")
	case name != "" && !isStreamName(name):
		l.problem("KINETEL_STREAM_NAME", "is not a stream's name: 1 to 128 of a-z, A-Z, 0-9, _, . and -; for an ARN use KINETEL_STREAM_ARN")
	}
	c.StreamName = name
	if arn != "" {
		region, named, ok := parseStreamARN(arn)
		switch {
		case !ok:
			l.problem("KINETEL_STREAM_ARN", "is not a stream's ARN, such as arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry")
		case name != "" && name != named:
			l.problem("KINETEL_STREAM_ARN", "names another stream than KINETEL_STREAM_NAME=%q; set only one of them", clip(name))
		default:
			c.StreamARN, c.StreamName = arn, named
			// The stream may be in another region than the function.
			c.AWS.Region = region
		}
	}
	switch {
	case c.AWS.Region == "":
		l.problem("AWS_REGION", "is not set, though Lambda always sets it; needed to find Kinesis")
	case !isRegion(c.AWS.Region):
		l.problem("AWS_REGION", "is not a region's name, such as eu-west-1")
	}
	if c.AWS.AccessKeyID == "" && c.AWS.SecretAccessKey == "" && c.AWS.Container.FullURI != "" {
		// They are fetched when they are needed.
		if err := credentials.CheckURI(c.AWS.Container.FullURI); err != nil {
			l.problem(credentials.VariableURI, "%s", errors.Unwrap(err).Error())
			if strings.Contains(c.AWS.Container.FullURI, "@") {
				l.problems[len(l.problems)-1].Value = "" // it may have a password
			}
		}
		return
	}
	for _, one := range []struct{ name, value string }{
		{"AWS_ACCESS_KEY_ID", c.AWS.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", c.AWS.SecretAccessKey},
	} {
		if one.value == "" {
			l.problem(one.name, "is not set, though Lambda sets it from the function's role; needed to sign requests to Kinesis")
		}
	}
}

// unknown warns of variables that look like Kinetel's and are not.
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
		// The value is not repeated: nobody knows what it is.
		l.problems = append(l.problems, Problem{Variable: name, Message: message, Warning: true})
	}
}

// nearest returns the known variable that takes the fewest edits to reach, or
// "" where none is near.
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
	if least > 2+(len(name)-len(prefix))/5 {
		return ""
	}
	return best
}

// distance is the Levenshtein distance.
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
