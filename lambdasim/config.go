package lambdasim

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// LogFormat is the function's log format.
type LogFormat string

// The log formats of AWS Lambda.
const (
	// LogText is the default: a function's line is a JSON string in telemetry.
	LogText LogFormat = "Text"
	// LogJSON makes a function's line an object in telemetry (schema 2022-12-13
	// and later). A line that is a JSON object stays as it is. Any other becomes
	// {"timestamp","level","requestId","message"}.
	LogJSON LogFormat = "JSON"
)

// TelemetrySupport is how the Telemetry API answers a subscription.
type TelemetrySupport int

// How the Telemetry API answers a subscription.
const (
	// TelemetryFull behaves as AWS Lambda does.
	TelemetryFull TelemetrySupport = iota
	// TelemetryNotSupported202 answers every subscription with 202 and
	// Telemetry.NotSupported, and sends nothing, as the
	// aws-lambda-runtime-interface-emulator does for ordinary functions.
	TelemetryNotSupported202
	// TelemetryNotFound404 answers every subscription with 404, as emulators
	// that are older than the Telemetry API do.
	TelemetryNotFound404
)

// Schema versions of the Telemetry API.
const (
	Schema20220701 = "2022-07-01"
	Schema20221213 = "2022-12-13"
	Schema20250129 = "2025-01-29"
)

// Process is an executable that the sandbox starts.
type Process struct {
	// Path is the executable. The base name is the name of an extension: it must
	// register with it, and the methods of a Sandbox use it.
	Path string
	// Args are the function's arguments. Extensions have none: AWS Lambda starts
	// them with their full path as the only argument.
	Args []string
	// Env is added to this process's environment, and overrides everything else.
	Env map[string]string
	// Dir is the function's working directory, and its LAMBDA_TASK_ROOT: a folder
	// with its code. The default is /. Extensions always have /.
	Dir string
}

// Config describes the function, its extensions and its settings. Only Function
// is required. The zero value of any other field means AWS Lambda's default, if
// AWS Lambda has one.
type Config struct {
	// Function is the bootstrap: a program that speaks the Runtime API, such as
	// one built with github.com/aws/aws-lambda-go. Required.
	Function Process
	// Extensions are started in parallel, before the function.
	Extensions []Process

	FunctionName    string // default "function"
	FunctionVersion string // default "$LATEST"
	Handler         string // default "bootstrap"
	Region          string // default "eu-west-1"
	AccountID       string // default "123456789012"
	// MemoryMB is reported, but not enforced: 128 by default, 2048 with
	// InitManagedInstances.
	MemoryMB int

	// Timeout is the function's time-out, 3 s by default. An invocation's
	// extensions have to be done within it, too.
	Timeout time.Duration
	// InitializationType is the mode of the sandbox: InitOnDemand by default.
	InitializationType InitializationType
	// MaxConcurrency, with InitManagedInstances, is how many invocations may run
	// at once: 10 by default. The function gets it as AWS_LAMBDA_MAX_CONCURRENCY,
	// and has to start as many workers.
	MaxConcurrency int
	// InitTimeout bounds Init. The default is 10 s with InitOnDemand, otherwise
	// 130 s or Timeout, whichever is longer.
	InitTimeout time.Duration
	// ShutdownTimeout bounds shutdowns and resets if there is an external
	// extension: 2 s by default. With internal extensions only, it is 500 ms.
	// Without any, the runtime is killed at once. The AWS documentation has these
	// times.
	ShutdownTimeout time.Duration
	// RuntimeShutdownTimeout is the runtime's part of ShutdownTimeout: 300 ms by
	// default, 600 ms with InitManagedInstances.
	RuntimeShutdownTimeout time.Duration
	// RetryFailedInit makes Start succeed although Init failed, as AWS Lambda
	// does on demand. The next Invoke runs Init again, within its own time-out.
	RetryFailedInit bool

	// RefuseInvoke refuses extensions that register for INVOKE, in any mode.
	// Managed Instances always do.
	RefuseInvoke bool

	// Credentials, with InitSnapStart, returns what the credentials endpoint
	// answers to a process. By default these are the keys in Env, or dummies, and
	// they expire in an hour. It is called once at a time.
	Credentials func() Credentials
	// CredentialsLifetime, with InitSnapStart and without Credentials, is how long
	// credentials are valid. Then the endpoint answers with others.
	CredentialsLifetime time.Duration

	// Env are the variables that the function's owner has configured. The function
	// and the extensions get them. They can also set AWS_REGION and the
	// credentials, which are dummies otherwise. With InitSnapStart only the
	// credentials endpoint has the credentials.
	Env map[string]string
	// LogFormat is LogText by default. With InitManagedInstances it is LogJSON.
	LogFormat LogFormat
	// TmpDir, if set, is the processes' TMPDIR. The sandbox's /tmp is this
	// machine's, so use TmpDir to give a test a folder of its own. Programs that
	// name /tmp themselves ignore it, and AWS Lambda does not set TMPDIR.
	TmpDir string
	// DisableTracing omits the X-Ray trace header of an invocation, and the
	// tracing in its events. By default every invocation has a sampled header.
	DisableTracing bool
	// DisableFreeze lets the processes run between invocations. With
	// InitManagedInstances they always do.
	DisableFreeze bool
	// FreezeDelay is the time from the end of an invocation to the freeze.
	FreezeDelay time.Duration

	// Telemetry is TelemetryFull by default.
	Telemetry TelemetrySupport
	// AcceptSchemas are the schema versions that a subscription may ask for. Any
	// other is answered with 400 ValidationError. The default is all of them;
	// Schema20250129 alone with InitManagedInstances.
	AcceptSchemas []string
	// TelemetryBacklogBytes is how many bytes of telemetry may wait for one
	// extension: 64 MiB by default, because AWS does not publish its limit. Beyond
	// it, lines of the function and of extensions are dropped, and
	// platform.logsDropped reports them.
	TelemetryBacklogBytes int
	// DropUnanswered, with InitManagedInstances, keeps no backlog, as AWS's
	// emulator of managed instances does. If a batch is ready before the last POST
	// is answered, it is dropped, platform events included. So is a POST that
	// fails. platform.logsDropped follows, and can be dropped the same way. The
	// behaviour of AWS Lambda is not documented.
	DropUnanswered bool
	// DeliveryTimeout aborts a telemetry POST that is not answered in time, and
	// sends it again. It is real time, so a freeze can exceed it. By default the
	// sandbox waits as long as the extension lives, because AWS does not publish
	// its limit.
	DeliveryTimeout time.Duration
	// ReplaceInvalidUTF8 replaces bytes of a line that are not UTF-8 by U+FFFD. By
	// default they are sent as they are. The behaviour of AWS Lambda is not
	// documented.
	ReplaceInvalidUTF8 bool
	// LateLines is how many of an invocation's last lines come after
	// platform.runtimeDone. AWS Lambda does not guarantee that lines come before
	// it.
	LateLines int
	// LateBy is how long after platform.runtimeDone the LateLines come: at once by
	// default. If the invocation ends earlier, they come with the next invocation
	// or with the shutdown.
	LateBy time.Duration

	// OnEvent is called for every telemetry event when it is emitted, in order,
	// one at a time. It must return soon. Of the sandbox it may call only
	// SignalFunction and SignalExtension.
	OnEvent func(Event)
	// KeepEvents keeps every event in memory for Sandbox.Events.
	KeepEvents bool
	// OnNotice is called for every step of the sandbox, one at a time. The rules
	// of OnEvent apply.
	OnNotice func(Notice)
	// OnDelivered is called for every batch of telemetry that an extension has
	// accepted. The rules of OnEvent apply, but batches of different extensions
	// come at the same time.
	OnDelivered func(Delivery)
	// OnDropped is called for every batch that DropUnanswered drops. The rules of
	// OnDelivered apply.
	OnDropped func(Delivery)
	// RewritePost, if set, replaces the body of a telemetry POST to an extension
	// by any number of bodies, which are sent in order. Use it to split, repeat,
	// break or lose telemetry, or to delay it: the POST waits until RewritePost
	// returns. It must not keep body.
	RewritePost func(extension string, body []byte) [][]byte
	// Stdout and Stderr get a copy of what the processes write, one Write at a
	// time.
	Stdout, Stderr io.Writer
}

// withDefaults returns cfg with every default filled in and every path made
// absolute. All problems are reported together.
func (cfg Config) withDefaults() (Config, error) {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	orString := func(value *string, def string) {
		if *value == "" {
			*value = def
		}
	}
	orDuration := func(name string, value *time.Duration, def time.Duration) {
		if *value < 0 {
			problem("%s is negative: %v", name, *value)
		}
		if *value == 0 {
			*value = def
		}
	}
	orString(&cfg.FunctionName, "function")
	orString(&cfg.FunctionVersion, "$LATEST")
	orString(&cfg.Handler, "bootstrap")
	orString(&cfg.Region, "eu-west-1")
	orString(&cfg.AccountID, "123456789012")
	orDuration("Timeout", &cfg.Timeout, 3*time.Second)
	cfg.applyMode(problem)
	orDuration("InitTimeout", &cfg.InitTimeout, 10*time.Second)
	orDuration("ShutdownTimeout", &cfg.ShutdownTimeout, 2*time.Second)
	orDuration("RuntimeShutdownTimeout", &cfg.RuntimeShutdownTimeout, 300*time.Millisecond)
	orDuration("FreezeDelay", &cfg.FreezeDelay, 0)
	orDuration("DeliveryTimeout", &cfg.DeliveryTimeout, 0)
	orDuration("LateBy", &cfg.LateBy, 0)
	orDuration("CredentialsLifetime", &cfg.CredentialsLifetime, 0)
	if cfg.Timeout > 15*time.Minute {
		problem("Timeout is %v; AWS Lambda allows 15 minutes", cfg.Timeout)
	}
	switch {
	case cfg.MemoryMB == 0:
		cfg.MemoryMB = 128
	case cfg.MemoryMB < 128:
		problem("MemoryMB is %d; AWS Lambda's least is 128", cfg.MemoryMB)
	}
	switch cfg.LogFormat {
	case "":
		cfg.LogFormat = LogText
	case LogText, LogJSON:
	default:
		problem("LogFormat is %q, want %q or %q", cfg.LogFormat, LogText, LogJSON)
	}
	switch cfg.Telemetry {
	case TelemetryFull, TelemetryNotSupported202, TelemetryNotFound404:
	default:
		problem("Telemetry is %d, which is not a TelemetrySupport", cfg.Telemetry)
	}
	if cfg.AcceptSchemas == nil {
		cfg.AcceptSchemas = []string{Schema20220701, Schema20221213, Schema20250129}
	}
	for _, version := range cfg.AcceptSchemas {
		if _, known := schemaIndex(version); !known {
			problem("AcceptSchemas: %q is no schema version", version)
		}
	}
	switch {
	case cfg.TelemetryBacklogBytes == 0:
		cfg.TelemetryBacklogBytes = 64 << 20
	case cfg.TelemetryBacklogBytes < 0:
		problem("TelemetryBacklogBytes is negative: %d", cfg.TelemetryBacklogBytes)
	}
	if cfg.LateLines < 0 {
		problem("LateLines is negative: %d", cfg.LateLines)
	}
	if cfg.TmpDir != "" {
		if abs, err := filepath.Abs(cfg.TmpDir); err != nil {
			problem("TmpDir: %w", err)
		} else {
			cfg.TmpDir = abs
		}
	}
	cfg.Env = maps.Clone(cfg.Env)
	if err := cfg.Function.check(); err != nil {
		problem("Function: %w", err)
	}
	extensions := make([]Process, len(cfg.Extensions))
	names := make(map[string]bool)
	for i, ext := range cfg.Extensions {
		if err := ext.check(); err != nil {
			problem("Extensions[%d]: %w", i, err)
		}
		if len(ext.Args) > 0 {
			problem("Extensions[%d]: AWS Lambda gives extensions no arguments", i)
		}
		if ext.Dir != "" {
			problem("Extensions[%d]: Dir is for the function only", i)
		}
		if name := filepath.Base(ext.Path); names[name] {
			problem("Extensions[%d]: a second extension is named %q", i, name)
		} else {
			names[name] = true
		}
		extensions[i] = ext
	}
	cfg.Extensions = extensions
	if len(problems) > 0 {
		return cfg, fmt.Errorf("lambdasim: configuration: %w", errors.Join(problems...))
	}
	return cfg, nil
}

// check makes the path absolute and looks whether it is a file. Whether it can
// be executed is found out by executing it: that is Extension.LaunchError or
// Runtime.InvalidEntrypoint, which belong to Init.
func (p *Process) check() error {
	if p.Path == "" {
		return errors.New("no Path")
	}
	abs, err := filepath.Abs(p.Path)
	if err != nil {
		return err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory", abs)
	}
	p.Path = abs
	if p.Dir == "" {
		return nil
	}
	if p.Dir, err = filepath.Abs(p.Dir); err != nil {
		return err
	}
	if info, err = os.Stat(p.Dir); err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", p.Dir)
	}
	return err
}
