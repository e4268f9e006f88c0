package lambdasim

import (
	"slices"
	"time"
)

// InitializationType is the mode of the sandbox. Processes get it as
// AWS_LAMBDA_INITIALIZATION_TYPE, and the events of Init contain it.
type InitializationType string

// The initialization types of AWS Lambda.
const (
	// InitOnDemand is the default: Init, then one invocation at a time.
	InitOnDemand InitializationType = "on-demand"
	// InitProvisionedConcurrency runs Init long before the first invocation: it
	// may take minutes, and platform.initReport comes with that invocation.
	InitProvisionedConcurrency InitializationType = "provisioned-concurrency"
	// InitSnapStart runs Init when a version is published, which is what Start
	// does, and then takes a snapshot. The first invocation restores it. Processes
	// get their credentials from an endpoint.
	InitSnapStart InitializationType = "snap-start"
	// InitManagedInstances is AWS Lambda Managed Instances: many invocations at
	// once, no freeze, and no INVOKE event for extensions.
	InitManagedInstances InitializationType = "lambda-managed-instances"
)

// applyMode fills in the defaults that depend on the initialization type, and
// reports what does not go with it.
//
// Sources: AWS documentation ("Lambda execution environment lifecycle", "Lambda
// Managed Instances"), and for the times of a managed instance's shutdown the
// aws-lambda-runtime-interface-emulator.
func (cfg *Config) applyMode(problem func(format string, args ...any)) {
	switch cfg.InitializationType {
	case "":
		cfg.InitializationType = InitOnDemand
	case InitOnDemand, InitProvisionedConcurrency, InitSnapStart, InitManagedInstances:
	default:
		problem("InitializationType is %q, want %q, %q, %q or %q", cfg.InitializationType,
			InitOnDemand, InitProvisionedConcurrency, InitSnapStart, InitManagedInstances)
		return
	}
	if cfg.InitTimeout == 0 && cfg.InitializationType != InitOnDemand {
		cfg.InitTimeout = min(max(130*time.Second, cfg.Timeout), 15*time.Minute)
	}
	if !cfg.snapStart() && (cfg.Credentials != nil || cfg.CredentialsLifetime != 0) {
		problem("Credentials and CredentialsLifetime are for %s only", InitSnapStart)
	}
	if cfg.RetryFailedInit && (cfg.managed() || cfg.snapStart()) {
		problem("RetryFailedInit: there is no second Init with %s", cfg.InitializationType)
	}
	if cfg.DropUnanswered && !cfg.managed() {
		problem("DropUnanswered is for %s only", InitManagedInstances)
	}
	if cfg.managed() {
		cfg.applyManaged(problem)
	} else if cfg.MaxConcurrency != 0 {
		problem("MaxConcurrency is for %s only", InitManagedInstances)
	}
}

func (cfg *Config) applyManaged(problem func(format string, args ...any)) {
	switch {
	case cfg.MaxConcurrency == 0:
		cfg.MaxConcurrency = 10
	case cfg.MaxConcurrency < 0:
		problem("MaxConcurrency is negative: %d", cfg.MaxConcurrency)
	}
	switch {
	case cfg.MemoryMB == 0:
		cfg.MemoryMB = 2048
	case cfg.MemoryMB < 2048:
		problem("MemoryMB is %d; the least of %s is 2048", cfg.MemoryMB, InitManagedInstances)
	}
	switch cfg.LogFormat {
	case "":
		cfg.LogFormat = LogJSON
	case LogText:
		problem("LogFormat is %q; %s logs in JSON only", cfg.LogFormat, InitManagedInstances)
	}
	switch {
	case cfg.AcceptSchemas == nil:
		cfg.AcceptSchemas = []string{Schema20250129}
	case !slices.Equal(cfg.AcceptSchemas, []string{Schema20250129}):
		problem("AcceptSchemas is %v; %s knows %s only", cfg.AcceptSchemas, InitManagedInstances, Schema20250129)
	}
	if cfg.LateLines != 0 {
		problem("LateLines: with %s there is no platform.runtimeDone to be late for", InitManagedInstances)
	}
	if cfg.RuntimeShutdownTimeout == 0 {
		cfg.RuntimeShutdownTimeout = 600 * time.Millisecond
	}
	cfg.DisableFreeze = true
}

func (cfg *Config) managed() bool   { return cfg.InitializationType == InitManagedInstances }
func (cfg *Config) snapStart() bool { return cfg.InitializationType == InitSnapStart }

// delaysInitReport reports whether platform.initReport waits for the first
// invocation.
func (cfg *Config) delaysInitReport() bool {
	return cfg.InitializationType == InitProvisionedConcurrency || cfg.snapStart()
}
