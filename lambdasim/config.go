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

// LogFormat is how the function is configured to log.
type LogFormat string

// The log formats of AWS Lambda.
const (
	// LogText is the default: a function's line is a JSON string in telemetry.
	LogText LogFormat = "Text"
	// LogJSON makes a function's line an object in telemetry (schema 2022-12-13
	// and later): the line itself where it is a JSON object, and otherwise
	// {"timestamp","level","requestId","message"}.
	LogJSON LogFormat = "JSON"
)

// TelemetrySupport is how the Telemetry API answers a subscription.
type TelemetrySupport int

// How the Telemetry API answers a subscription.
const (
	// TelemetryFull is AWS Lambda's behaviour.
	TelemetryFull TelemetrySupport = iota
	// TelemetryNotSupported202 answers every subscription with 202 and
	// Telemetry.NotSupported, and sends nothing, as the
	// aws-lambda-runtime-interface-emulator does in its classic mode.
	TelemetryNotSupported202
	// TelemetryNotFound404 does not know the path, as emulators older than the
	// Telemetry API.
	TelemetryNotFound404
)

// Tracing is whether invocations carry an X-Ray trace header.
type Tracing int

// Whether invocations carry an X-Ray trace header.
const (
	// TracingOn gives every invocation a sampled trace header.
	TracingOn Tracing = iota
	// TracingOff leaves the header and the events' tracing out.
	TracingOff
)

// Schema versions of the Telemetry API.
const (
	Schema20220701 = "2022-07-01"
	Schema20221213 = "2022-12-13"
	Schema20250129 = "2025-01-29"
)

// Process is an executable that the sandbox starts.
type Process struct {
	// Path is the executable. An extension must register under the base name
	// of it, which is also how a Sandbox's methods call it.
	Path string
	// Args are the function's arguments. Extensions get none: AWS Lambda starts
	// them with their full path as the only argument.
	Args []string
	// Env is added to this process's environment, over everything else.
	Env map[string]string
}

// Config describes the function, its extensions and its settings. Only Function
// is required; the zero value of every other field is AWS Lambda's default,
// where AWS Lambda has one.
type Config struct {
	// Function is the bootstrap: a program that speaks the Runtime API, such as
	// one built with github.com/aws/aws-lambda-go. Required.
	Function Process
	// Extensions are started in parallel, before the function.
	Extensions []Process

	FunctionName    string // "function"
	FunctionVersion string // "$LATEST"
	Handler         string // "bootstrap"
	Region          string // "eu-west-1"
	AccountID       string // "123456789012"
	MemoryMB        int    // 128, for managed instances 2048; reported, not enforced

	// Timeout is the function's time-out: 3s. It covers the runtime and the
	// extensions of an invocation.
	Timeout time.Duration
	// InitializationType is the mode of the sandbox: InitOnDemand by default.
	InitializationType InitializationType
	// MaxConcurrency is how many invocations may run at once with
	// InitManagedInstances: 10. The function has it as
	// AWS_LAMBDA_MAX_CONCURRENCY, and is to start as many workers.
	MaxConcurrency int
	// InitTimeout bounds Init: 10s on demand; else 130s or Timeout, whichever
	// is longer.
	InitTimeout time.Duration
	// ShutdownTimeout bounds Shutdown and resets with at least one external
	// extension: 2s. With internal extensions only it is 500 ms, and without
	// any the runtime is killed at once, as the AWS documentation says.
	ShutdownTimeout time.Duration
	// RuntimeShutdownTimeout is the runtime's part of ShutdownTimeout: 300ms,
	// for managed instances 600ms.
	RuntimeShutdownTimeout time.Duration
	// RetryFailedInit makes Start succeed although Init failed, as AWS Lambda
	// does on demand: the next Invoke then runs Init again, in its own time.
	RetryFailedInit bool

	// RefuseInvoke refuses extensions that register for INVOKE, as Managed
	// Instances do, whatever InitializationType is.
	RefuseInvoke bool

	// Credentials, with InitSnapStart, is asked for the credentials that the
	// endpoint gives, each time that a process asks. By default they are those
	// of Env, or dummies, and expire in an hour. Calls are one at a time.
	Credentials func() (id, secret, token string, expires time.Time)
	// CredentialsLifetime, with InitSnapStart and without Credentials, makes the
	// credentials expire after that time; the endpoint then gives others.
	CredentialsLifetime time.Duration

	// Env are the variables that the function's owner configured; the function
	// and the extensions get them. They also override AWS_REGION and the
	// credentials, which are dummies otherwise. With InitSnapStart the endpoint
	// gives those credentials, and the processes' environments have none.
	Env map[string]string
	// LogFormat is LogText by default. Managed instances have LogJSON only.
	LogFormat LogFormat
	// TmpDir, where set, is given to the processes as TMPDIR. AWS Lambda has no
	// such variable; but the sandbox's /tmp is this machine's, and a test may
	// want its own. Programs that use /tmp by that name do not notice.
	TmpDir string
	// Tracing is TracingOn by default.
	Tracing Tracing
	// DisableFreeze leaves the processes running between invocations. Managed
	// instances are never frozen.
	DisableFreeze bool
	// FreezeDelay is waited between the end of an invocation and the freeze.
	FreezeDelay time.Duration

	// Telemetry is TelemetryFull by default.
	Telemetry TelemetrySupport
	// AcceptSchemas are the schema versions that a subscription may ask for;
	// all known ones by default, for managed instances Schema20250129. Others
	// are answered with 400 ValidationError.
	AcceptSchemas []string
	// TelemetryBacklogBytes is how much may wait for one subscriber before
	// function and extension lines are dropped for it, which
	// platform.logsDropped then reports. 64 MiB by default; AWS does not
	// publish its own.
	TelemetryBacklogBytes int
	// DropUnanswered, with InitManagedInstances, keeps no backlog, as AWS's
	// emulator of managed instances: a batch that is full, or whose time-out
	// passed, while the last POST is not answered is dropped whole, platform
	// events among it. platform.logsDropped follows, which can be dropped the same
	// way. A POST that fails is dropped, too, and not made again. What AWS Lambda
	// does there is not documented.
	DropUnanswered bool
	// DeliveryTimeout aborts a telemetry POST that was not answered, and sends it
	// again. It counts real time, so a freeze can make it fire. By
	// default a POST is waited for as long as its extension lives; AWS does not
	// publish its own.
	DeliveryTimeout time.Duration
	// ReplaceInvalidUTF8 sends U+FFFD for bytes of a line that are no UTF-8.
	// By default they are sent raw. What AWS Lambda does is not documented.
	ReplaceInvalidUTF8 bool
	// LateLines holds the last lines of every invocation back, this many, until
	// platform.runtimeDone was emitted: AWS Lambda does not guarantee that lines
	// come before it.
	LateLines int
	// LateBy is how long after platform.runtimeDone the LateLines come: at once
	// by default. Where the invocation ends earlier, they come with the next
	// invocation or with the shutdown.
	LateBy time.Duration

	// OnEvent is called with every telemetry event at the moment that it is
	// emitted, in order, one at a time. It must be quick and must not call the
	// sandbox, except KillFunction, KillExtension and TerminateExtension.
	OnEvent func(Event)
	// KeepEvents keeps every event in memory for Sandbox.Events.
	KeepEvents bool
	// OnNotice is called with what the sandbox does, as it does it, one at a
	// time. The rules of OnEvent hold.
	OnNotice func(Notice)
	// OnDelivered is called with every batch of telemetry when an extension has
	// accepted it: what is in no Delivery was never acknowledged. The rules of
	// OnEvent hold, except that different extensions' batches come at the same
	// time.
	OnDelivered func(Delivery)
	// OnDropped is called with every batch that DropUnanswered has dropped. The
	// rules of OnDelivered hold.
	OnDropped func(Delivery)
	// Deliver, where set, rewrites a telemetry POST for the named extension
	// into any number of POSTs, sent in order: to split, repeat, break or
	// swallow it. It must not keep body. It may take its time, which makes the
	// delivery slow, but must return.
	Deliver func(ext string, body []byte) [][]byte
	// Stdout and Stderr get a copy of what the processes write. Calls are one
	// at a time.
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
		problem("Telemetry is %d, which is no TelemetrySupport", cfg.Telemetry)
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
	return nil
}
