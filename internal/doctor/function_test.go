package doctor_test

import (
	"testing"

	"github.com/kinetel/kinetel/internal/doctor/fakeaws"
)

func TestCheckFunction(t *testing.T) {
	runCases(t, []checkCase{
		{"a function that Lambda cannot run", func(s *situation) { s.function["State"], s.function["StateReason"] = "Failed", "the subnet is gone" }, "function", []string{"error: Lambda cannot run the function: the subnet is gone*"}},
		{"an unreadable function, a stream", func(s *situation) { s.Stream, s.answers["GetFunctionConfiguration"] = "telemetry", refusal }, "function", []string{"notChecked: the function orders: AccessDeniedException: not authorized*lambda:GetFunctionConfiguration*"}},
		{"no variables of an unreadable function", func(s *situation) { s.Stream, s.answers["GetFunctionConfiguration"] = "telemetry", refusal }, "settings", []string{"notChecked: the variables: the function's configuration cannot be read*"}},
	})
}

func TestCheckLayer(t *testing.T) {
	runCases(t, []checkCase{
		{"no layer", func(s *situation) { s.function["Layers"] = nil }, "layer", []string{"error: Kinetel's layer is not on the function, which has 0 other layers*arm64/arn*"}},
		{"no layer on a version", func(s *situation) { s.function["Layers"], s.function["Version"] = nil, "7" }, "layer", []string{"error: *--function-name orders --layers ARN*publish a version, and point the alias to it"}},
		{"a layer of another name", func(s *situation) {
			s.function["Layers"] = []any{map[string]any{"Arn": layerARN("telemetry")}}
		}, "layer", []string{"ok: " + layerARN("telemetry") + ", version 0.1.0, for arm64*"}},
		{"only another layer", func(s *situation) {
			s.function["Layers"] = []any{map[string]any{"Arn": layerARN("other")}}
			s.answers["GetLayerVersionByArn"] = fakeaws.Answer{Body: `{"Description":"other things"}`}
		}, "layer", []string{"error: Kinetel's layer is not on the function, which has 1 other layers*"}},
		{"an unreadable layer of another name", func(s *situation) {
			s.function["Layers"] = []any{map[string]any{"Arn": layerARN("other")}}
			s.answers["GetLayerVersionByArn"] = refusal
		}, "layer", []string{"notChecked: the layer: none has Kinetel's name, and one cannot be read: AccessDeniedException*"}},
		{"an unreadable layer of Kinetel's name", func(s *situation) { s.answers["GetLayerVersionByArn"] = refusal }, "layer", []string{"ok: *version unknown, for arm64*"}},
		{"a layer for another architecture", func(s *situation) { s.function["Architectures"] = nil }, "layer", []string{"error: the layer * is for arm64, and the function runs on x86_64*Extension.LaunchError*x86_64/arn*"}},
		{"an old layer", func(s *situation) {
			s.answers["GetLayerVersionByArn"] = fakeaws.Answer{Body: `{"Description":"Kinetel 0.0.1: x","CompatibleArchitectures":["arm64"]}`}
		}, "layer", []string{"warning: the layer * has version 0.0.1, and this kinetel has 0.1.0*"}},
		{"a container image", func(s *situation) { s.function["PackageType"], s.function["Layers"] = "Image", nil }, "layer", []string{"notChecked: the layer: the function is a container image*"}},
	})
}

func TestCheckResources(t *testing.T) {
	runCases(t, []checkCase{
		{"large buffers", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_BUFFER_BYTES": "64MiB", "KINETEL_SPOOL_BYTES": "500MiB", "KINETEL_MAX_HOLD": "3s"})
		}, "resources", []string{
			"warning: KINETEL_BUFFER_BYTES is 64 MiB, and the function has 128 MB of memory*set KINETEL_BUFFER_BYTES to 32MiB or less*",
			"warning: KINETEL_SPOOL_BYTES is 500 MiB, and /tmp has 512 MB*", "warning: KINETEL_MAX_HOLD is 3s, and the function's time-out is 3 s*",
		}},
	})
}
