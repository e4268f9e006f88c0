package doctor_test

import (
	"testing"
)

func TestCheckSettings(t *testing.T) {
	runCases(t, []checkCase{
		{"no stream", func(s *situation) { variables(s, map[string]string{"KINETEL_FORMAT": "json"}) }, "settings", []string{"error: KINETEL_STREAM_NAME: is not set; set it, or KINETEL_STREAM_ARN*without it nothing can be shipped*"}},
		{"a value that is replaced", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_MAX_HOLD": "5 parsecs"})
		}, "settings", []string{`warning: KINETEL_MAX_HOLD="5 parsecs": must be a duration*Kinetel uses "500ms"*KINETEL_MAX_HOLD*`}},
		{"a misspelt variable", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_FORMATS": "hunter2"})
		}, "settings", []string{"warning: KINETEL_FORMATS: is not a variable of this version*did you mean KINETEL_FORMAT?*"}},
		{"a problem with KINETEL_STRICT", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_STRICT": "true", "KINETEL_FORMAT": "xml"})
		}, "settings", []string{`error: KINETEL_FORMAT="xml"*Extension.ConfigInvalid*`}},
		{"what is left out", func(s *situation) {
			variables(s, map[string]string{
				"KINETEL_STREAM_NAME": "telemetry", "KINETEL_LEVEL": "warn", "KINETEL_INCLUDE": "order", "KINETEL_EXCLUDE": "ping", "KINETEL_PLATFORM_EVENTS": "report",
				"KINETEL_SAMPLE": "0.07", "KINETEL_SAMPLE_KEEP": "error,slow:1s", "KINETEL_SAMPLE_BY": "trace", "KINETEL_MAX_LINES": "1000", "KINETEL_MAX_BYTES": "1MiB",
			})
		}, "settings", []string{
			`ok: not shipped by the settings: function lines below WARN; function lines without a match of "order"; function lines with a match of "ping"; platform events but platform.logsDropped, platform.report; ` +
				`lines of all but 7 % of the invocations, by trace (always kept: error,slow:1s); lines of an invocation after 1000, but its last 100; lines of an invocation after 1048576 bytes, but its last 100*`,
			"ok: stream telemetry*",
		}},
		{"what is redacted", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_REDACT": "email,jwt", "KINETEL_REDACT_PATTERN": "cust-[0-9]+", "KINETEL_REDACT_KEYS": "pin,puk"})
		}, "settings", []string{`ok: redacted: email, jwt, matches of KINETEL_REDACT_PATTERN, members named pin, puk*`, "ok: stream telemetry*"}},
		{"redaction that cannot be used", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_REDACT": "email,ssn"})
		}, "settings", []string{
			`warning: KINETEL_REDACT="email,ssn": "ssn" is not a built-in pattern*no function or extension line is shipped*KINETEL_TYPES=platform*`,
			"error: redaction cannot be used | no line of the function and of extensions is shipped*",
		}},
		{"a sample without function lines", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_TYPES": "platform", "KINETEL_SAMPLE_KEEP": "none"})
		}, "settings", []string{`warning: KINETEL_SAMPLE_KEEP="none": has no effect without a KINETEL_SAMPLE below 1*`}},
		{"turned off", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_ENABLED": "false"})
		}, "settings", []string{"warning: KINETEL_ENABLED turns Kinetel off | nothing is shipped*", "ok: stream telemetry*"}},
		{"variables that Lambda does not show", func(s *situation) {
			s.function["Environment"] = map[string]any{"Error": map[string]any{"ErrorCode": "AccessDeniedException", "Message": "kms:Decrypt"}}
		}, "settings", []string{"notChecked: the variables: they are encrypted: AccessDeniedException: kms:Decrypt*"}},
		{"the environment", func(s *situation) { environment(s, "KINETEL_STREAM_NAME=telemetry", "KINETEL_FORMAT=otlp") }, "settings", []string{"ok: stream telemetry, format otlp, gzip*"}},
		{"no variables here, a stream", func(s *situation) { environment(s); s.Stream = "telemetry" }, "settings", []string{"notChecked: the variables: there are none of Kinetel's here*--function NAME"}},
	})
}
