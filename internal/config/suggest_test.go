package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
)

func TestAnUnknownVariableIsReportedWithTheNearestKnownOne(t *testing.T) {
	for _, tt := range []struct{ name, variable, meant string }{
		{"a letter too few", "KINETEL_COMPRESION", "KINETEL_COMPRESSION"},
		{"a letter too many", "KINETEL_FLUSHH", "KINETEL_FLUSH"},
		{"letters the wrong way round", "KINETEL_STERAM_NAME", "KINETEL_STREAM_NAME"},
		{"the singular", "KINETEL_TAG", "KINETEL_TAGS"},
		{"a missing underscore", "KINETEL_STREAMARN", "KINETEL_STREAM_ARN"},
		{"lower case", "KINETEL_Strict", ""},
		{"a word left out", "KINETEL_HOLD", ""},
		{"a letter left out of the spool", "KINETEL_SPOL", "KINETEL_SPOOL"},
		{"a longer word for the folder", "KINETEL_SPOOL_DIRS", "KINETEL_SPOOL_DIR"},
		{"the singular of the spool's bytes", "KINETEL_SPOOL_BYTE", "KINETEL_SPOOL_BYTES"},
		{"the plural of reports", "KINETEL_REPORTS", "KINETEL_REPORT"},
		{"a word too many", "KINETEL_SAMPLE_RATE", "KINETEL_SAMPLE"},
		{"a word too many, and a misspelled one is nearer", "KINETEL_SAMPLE_KEPT", "KINETEL_SAMPLE_KEEP"},
		{"a level", "KINETEL_LEVL", "KINETEL_LEVEL"},
		{"a filter in the plural", "KINETEL_EXCLUDES", "KINETEL_EXCLUDE"},
		{"types of platform events in the singular", "KINETEL_PLATFORM_EVENT", "KINETEL_PLATFORM_EVENTS"},
		{"a limit in the singular", "KINETEL_MAX_LINE", "KINETEL_MAX_LINES"},
		{"a variable of a later version", "KINETEL_BATCH_EVENTS", ""},
		{"something else", "KINETEL_FOO_BAR_BAZ", ""},
		{"only the prefix", "KINETEL_", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const value = "some-value-of-it"
			c, problems := load(lambda().with(vars{tt.variable: value}).environ())
			if len(problems) != 1 || problems[0].Severity != config.Warning {
				t.Fatalf("problems are %v, want one warning", problems)
			}
			p := problems[0]
			if p.Variable != tt.variable || !strings.Contains(p.String(), tt.variable) {
				t.Errorf("%q does not name %s", p, tt.variable)
			}
			if strings.Contains(p.String(), value) || p.Value != "" {
				t.Errorf("%q repeats the value", p)
			}
			if want := "did you mean " + tt.meant + "?"; tt.meant != "" && !strings.Contains(p.String(), want) {
				t.Errorf("%q does not contain %q", p, want)
			}
			if tt.meant == "" && strings.Contains(p.String(), "mean") {
				t.Errorf("%q suggests something that is far off", p)
			}
			if diff := cmp.Diff(defaults(), c); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoVariableOfKinetelIsReportedAsUnknown(t *testing.T) {
	set := vars{}
	for _, name := range []string{
		"BUFFER_BYTES", "COMPRESSION", "ENABLED", "EXCLUDE", "FLUSH", "FLUSH_INTERVAL", "FORMAT", "INCLUDE", "LEVEL", "LOG_GROUP", "LOG_LEVEL", "MAX_BYTES", "MAX_HOLD", "MAX_LINES",
		"OTLP_PARENT", "OTLP_SPANS", "PARTITION_KEY", "PLATFORM_EVENTS", "REDACT", "REDACT_KEYS", "REDACT_PATTERN", "REPORT", "REQUEST_ID_KEYS",
		"SAMPLE", "SAMPLE_BY", "SAMPLE_KEEP", "SAMPLE_MARK", "SPOOL", "SPOOL_BYTES", "SPOOL_DIR", "STREAM_ARN", "STREAM_NAME",
		"STRICT", "TAGS", "TYPES",
	} {
		set["KINETEL_"+name] = ""
	}
	for _, enabled := range []string{"true", "false"} {
		set["KINETEL_ENABLED"], set["KINETEL_STREAM_NAME"] = enabled, "telemetry"
		if _, problems := load(lambda().with(set).environ()); len(problems) > 0 {
			t.Errorf("KINETEL_ENABLED=%s: problems are %v", enabled, problems)
		}
	}
}

func TestUnknownVariablesAreReportedInOrder(t *testing.T) {
	_, problems := load(lambda().with(vars{"KINETEL_C": "", "KINETEL_A": "", "KINETEL_B": ""}).environ())
	var got []string
	for _, p := range problems {
		got = append(got, p.Variable)
	}
	if diff := cmp.Diff([]string{"KINETEL_A", "KINETEL_B", "KINETEL_C"}, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
