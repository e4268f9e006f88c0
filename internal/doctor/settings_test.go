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
