package lambdasim

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Dummy credentials, recognisable as such. Config.Env may override them.
const (
	dummyAccessKey    = "AKIAIOSFODNN7EXAMPLE"
	dummySecretKey    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	dummySessionToken = "lambdasim-session-token"
)

// commonEnv is what extensions and the runtime both see. Nothing of the host's
// environment is in it, because nothing of it is there on AWS Lambda.
//
// Sources: AWS documentation ("Using the Lambda Extensions API", "Using Lambda
// environment variables") and the aws-lambda-runtime-interface-emulator's
// environment package, which strips every key that begins with an underscore.
func (s *Sandbox) commonEnv() map[string]string {
	cfg := &s.cfg
	env := map[string]string{
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH":                 "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"AWS_LAMBDA_RUNTIME_API":          s.addr,
		"AWS_REGION":                      cfg.Region,
		"AWS_DEFAULT_REGION":              cfg.Region,
		"AWS_ACCESS_KEY_ID":               dummyAccessKey,
		"AWS_SECRET_ACCESS_KEY":           dummySecretKey,
		"AWS_SESSION_TOKEN":               dummySessionToken,
		"AWS_LAMBDA_FUNCTION_NAME":        cfg.FunctionName,
		"AWS_LAMBDA_FUNCTION_VERSION":     cfg.FunctionVersion,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(cfg.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  string(cfg.InitializationType),
	}
	if cfg.TmpDir != "" {
		env["TMPDIR"] = cfg.TmpDir
	}
	if cfg.managed() {
		// Extensions see these, too, by the emulator's code; on demand that is
		// not known.
		env["AWS_LAMBDA_LOG_FORMAT"], env["AWS_LAMBDA_LOG_LEVEL"] = "JSON", "INFO"
	}
	maps.Copy(env, cfg.Env)
	if cfg.snapStart() {
		for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
			delete(env, key) // the endpoint gives them
		}
		env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://" + s.addr + credentialsPath
		env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = s.credentials.token
	}
	return env
}

// extensionEnv is an extension's environment: the common part without the
// variables that AWS Lambda keeps from extensions.
func (s *Sandbox) extensionEnv(p Process) []string {
	env := s.commonEnv()
	for _, key := range []string{
		"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_EXECUTION_ENV",
		"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_XRAY_CONTEXT_MISSING", "AWS_XRAY_DAEMON_ADDRESS",
		"AWS_LAMBDA_MAX_CONCURRENCY",
	} {
		delete(env, key)
	}
	maps.DeleteFunc(env, func(key, _ string) bool { return strings.HasPrefix(key, "_") })
	maps.Copy(env, p.Env)
	return environ(env)
}

// functionEnv is the runtime's environment. _X_AMZN_TRACE_ID is not in it: the
// runtime client sets it at each invocation.
func (s *Sandbox) functionEnv(p Process) []string {
	env := s.commonEnv()
	env["_HANDLER"] = s.cfg.Handler
	env["LAMBDA_TASK_ROOT"] = cmp.Or(p.Dir, "/var/task")
	env["LAMBDA_RUNTIME_DIR"] = "/var/runtime"
	env["AWS_EXECUTION_ENV"] = "AWS_Lambda_provided.al2023"
	if !s.cfg.snapStart() {
		// A snapshot does not know the stream of the environments to come.
		env["AWS_LAMBDA_LOG_GROUP_NAME"] = "/aws/lambda/" + s.cfg.FunctionName
		env["AWS_LAMBDA_LOG_STREAM_NAME"] = s.InstanceID()
	}
	env["AWS_XRAY_CONTEXT_MISSING"] = "LOG_ERROR"
	env["AWS_XRAY_DAEMON_ADDRESS"] = "169.254.79.129:2000"
	env["_AWS_XRAY_DAEMON_ADDRESS"] = "169.254.79.129"
	env["_AWS_XRAY_DAEMON_PORT"] = "2000"
	if s.cfg.LogFormat == LogJSON && !s.cfg.managed() {
		env["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
		env["AWS_LAMBDA_LOG_LEVEL"] = "INFO"
	}
	if s.cfg.managed() {
		env["AWS_LAMBDA_MAX_CONCURRENCY"] = strconv.Itoa(s.cfg.MaxConcurrency)
	}
	maps.Copy(env, p.Env)
	return environ(env)
}

func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		list = append(list, key+"="+env[key])
	}
	return list
}
