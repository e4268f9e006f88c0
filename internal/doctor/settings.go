package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/kinetel/kinetel/internal/config"
)

// checkSettings reads the variables as the extension does.
func (d *diagnosis) checkSettings(context.Context) {
	env, err := d.variables()
	own := slices.ContainsFunc(slices.Collect(maps.Keys(env)), func(name string) bool { return strings.HasPrefix(name, "KINETEL_") })
	d.complete(env)
	cfg, problems := load(env)
	if !cfg.Enabled {
		d.add(Warning, "KINETEL_ENABLED turns Kinetel off", "nothing is shipped", "remove the variable KINETEL_ENABLED from the function")
		// The destination is read only if Kinetel is on.
		delete(env, "KINETEL_ENABLED")
		cfg, problems = load(env)
	}
	d.config = cfg
	switch {
	case err != nil:
		d.skip("the variables", err, "")
		return
	case !own && d.Function == "":
		d.skip("the variables", errors.New("there are none of Kinetel's here"), "name the function: --function NAME")
		return
	}
	for _, p := range problems {
		d.problem(p)
	}
	d.selection()
	d.report.Stream = cmp.Or(d.streamARN(), cfg.StreamName)
	if len(problems) == 0 {
		d.ok("stream %s, format %s, %s, partition key %s, flush %s, spool %s", cmp.Or(cfg.StreamARN, cfg.StreamName), cfg.Format, cfg.Compression, cfg.PartitionKey, cfg.Flush, cfg.Spool)
	}
}

// problem adds a finding for a problem of the variables.
func (d *diagnosis) problem(p config.Problem) {
	level, why := Warning, "the setting has no effect, or less than it seems"
	switch p.Severity {
	case config.Replaced:
		why = fmt.Sprintf("the value is not used; Kinetel uses %q", p.Used)
	case config.Fatal:
		level, why = Error, "without it nothing can be shipped"
	}
	if d.config.Strict {
		level, why = Error, "KINETEL_STRICT=true: the function fails with Extension.ConfigInvalid"
	}
	d.add(level, p.String(), why, "correct the variable "+p.Variable+" of the function; docs/configuration.md has all values")
}

// variables returns those of the function or of the environment. The error says why
// they are not those of the extension.
func (d *diagnosis) variables() (map[string]string, error) {
	env := map[string]string{}
	switch f := d.function; {
	case d.Function == "":
		for _, kv := range d.Environ {
			name, value, _ := strings.Cut(kv, "=")
			env[name] = value
		}
	case f == nil:
		return env, errors.New("the function's configuration cannot be read")
	case f.Environment != nil && f.Environment.Error != nil:
		return env, fmt.Errorf("they are encrypted: %s: %s; allow yourself kms:Decrypt on the key of the variables", value(f.Environment.Error.ErrorCode), value(f.Environment.Error.Message))
	case f.Environment != nil:
		maps.Copy(env, f.Environment.Variables)
	}
	return env, nil
}

// complete adds the variables that Lambda sets, and the stream of the options.
func (d *diagnosis) complete(env map[string]string) {
	if d.Stream != "" {
		delete(env, "KINETEL_STREAM_ARN")
		env["KINETEL_STREAM_NAME"] = d.Stream
	}
	if d.Clients != nil {
		env["AWS_REGION"] = d.Clients.config.Region
	}
	// Here credentials may come from a profile. Their check is another one.
	if env["AWS_ACCESS_KEY_ID"] == "" && env["AWS_SECRET_ACCESS_KEY"] == "" && env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "" {
		env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "unused", "unused"
	}
	f := d.function
	if f == nil {
		return
	}
	env["AWS_REGION"] = cmp.Or(d.functionARN.Region, env["AWS_REGION"])
	env["AWS_LAMBDA_FUNCTION_NAME"] = value(f.FunctionName)
	env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = fmt.Sprint(value(f.MemorySize))
	if f.LoggingConfig != nil {
		env["AWS_LAMBDA_LOG_FORMAT"] = string(f.LoggingConfig.LogFormat)
	}
	switch {
	case f.CapacityProviderConfig != nil:
		env["AWS_LAMBDA_INITIALIZATION_TYPE"] = string(config.ManagedInstances)
	case f.SnapStart != nil && f.SnapStart.OptimizationStatus == types.SnapStartOptimizationStatusOn:
		env["AWS_LAMBDA_INITIALIZATION_TYPE"] = string(config.SnapStart)
	}
}

func load(env map[string]string) (config.Config, []config.Problem) {
	environ := make([]string, 0, len(env))
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	return config.Load(environ)
}
