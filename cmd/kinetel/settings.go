package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
)

// settings returns the extension's environment and what it means: the KINETEL_ variables
// among environ, and what the demo needs. A setting with which nothing could arrive is an
// error, so that you do not have to find it among thousands of lost events.
func settings(environ []string, spool, endpoint string) (env map[string]string, cfg config.Config, err error) {
	env = map[string]string{}
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "KINETEL_") {
			env[name] = value
		}
	}
	for _, name := range []string{"KINETEL_STREAM_NAME", "KINETEL_STREAM_ARN"} {
		if env[name] != "" {
			return nil, cfg, usage(fmt.Errorf("%s is set, and the demo has a stream of its own: run it without the variable, `env -u %s make demo`", name, name))
		}
		delete(env, name)
	}
	env["KINETEL_SPOOL_DIR"] = cmp.Or(env["KINETEL_SPOOL_DIR"], spool)
	env["KINETEL_STREAM_NAME"] = demoStream
	env["AWS_ENDPOINT_URL_KINESIS"] = endpoint

	// The local Lambda sets the region and the keys.
	all := []string{"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=demo", "AWS_SECRET_ACCESS_KEY=demo"}
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	cfg, problems := config.Load(all)
	switch {
	case !cfg.Enabled:
		err = errors.New("KINETEL_ENABLED=false turns the extension off: run the demo without the variable")
	case cfg.Format == cloudwatch.Name:
		err = errors.New("KINETEL_FORMAT=cloudwatch: this format does not contain all of an event, so the demo cannot compare what arrives with what was emitted; use ndjson, json, otlp or kpl")
	case cfg.Strict && len(problems) > 0, !config.Usable(problems):
		err = fmt.Errorf("the extension would not start with these settings:%s", list(problems))
	}
	if err != nil {
		err = usage(err)
	}
	return env, cfg, err
}

// list returns a line for each problem.
func list(problems []config.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "\n  %s", p)
	}
	return b.String()
}
