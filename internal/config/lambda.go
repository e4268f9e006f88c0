package config

import (
	"strconv"
	"strings"
)

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

// Lambda has the values of Lambda's variables about the function.
type Lambda struct {
	RuntimeAPI      string // host:port of Lambda's APIs
	Initialization  Initialization
	Region          string // where the function runs
	FunctionName    string
	FunctionVersion string
	MemoryMB        int64 // 0: not known
	JSONLogs        bool  // the function's log format is JSON, as far as known
}

func (l *loader) lambda() Lambda {
	function := Lambda{
		RuntimeAPI:      l.text("AWS_LAMBDA_RUNTIME_API"),
		Initialization:  initialization(l.env["AWS_LAMBDA_INITIALIZATION_TYPE"]),
		Region:          l.region(),
		FunctionName:    l.text("AWS_LAMBDA_FUNCTION_NAME"),
		FunctionVersion: l.text("AWS_LAMBDA_FUNCTION_VERSION"),
	}
	if mb, err := strconv.ParseInt(l.text("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 32); err == nil && mb > 0 {
		function.MemoryMB = mb
	}
	// Managed Instances have no other format.
	function.JSONLogs = function.Initialization == ManagedInstances || strings.EqualFold(l.text("AWS_LAMBDA_LOG_FORMAT"), "JSON")
	return function
}

func initialization(value string) Initialization {
	return Initialization(strings.ToLower(clean(value)))
}

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
			r.Initialization = initialization(value)
		case "KINETEL_ENABLED":
			enabled, ok := parseBool(clean(value))
			r.Enabled = enabled || !ok
		}
	}
	return r
}
