package resource

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/version"
)

// JSON returns the body of the environment's kinetel.environment event.
func (r *Resource) JSON() []byte {
	cfg := &r.Config
	var o jsontext.Object
	o.Begin("kinetel")
	writeSettings(&o, cfg)
	o.OmitEmpty = true // what follows is absent at its default
	writeSelection(&o, &cfg.Selection)
	writeRedaction(&o, &cfg.Redaction)
	o.End()
	var problems [][]byte
	for _, p := range cfg.Problems {
		problems = append(problems, problem(p))
	}
	o.Array("problems", problems)
	o.String("initializationType", cmp.Or(r.initializationType, string(cfg.Lambda.Initialization)))
	o.String("functionVersion", r.FunctionVersion)
	o.String("handler", r.Handler)
	o.String("runtimeVersion", r.runtimeVersion)
	o.String("runtimeVersionArn", r.runtimeVersionARN)
	o.Raw("attributes", r.attributes())
	return o.JSON()
}

// writeSettings writes Kinetel's version and settings.
func writeSettings(o *jsontext.Object, cfg *config.Config) {
	var report []string
	if cfg.Report.Events {
		report = append(report, "events")
	}
	if cfg.Report.EMF {
		report = append(report, "emf")
	}
	o.String("version", version.Version)
	o.String("format", string(cfg.Format))
	o.String("compression", string(cfg.Compression))
	o.String("partitionKey", string(cfg.PartitionKey))
	o.String("flush", string(cfg.Flush))
	o.Int("flushIntervalMs", cfg.FlushInterval.Milliseconds())
	o.Int("maxHoldMs", cfg.MaxHold.Milliseconds())
	o.Int("bufferBytes", cfg.BufferBytes)
	o.String("spool", string(cfg.Spool))
	o.Int("spoolBytes", cfg.SpoolBytes)
	o.Strings("types", cfg.Types)
	o.Strings("report", report)
}

func writeSelection(o *jsontext.Object, cfg *config.Selection) {
	o.String("level", cfg.Level.String())
	if cfg.Include != nil {
		o.String("include", cfg.Include.String())
	}
	if cfg.Exclude != nil {
		o.String("exclude", cfg.Exclude.String())
	}
	o.Strings("platformEvents", cfg.PlatformEvents)
	if sample := cfg.Sample; sample != nil {
		o.Raw("sample", strconv.AppendFloat(nil, sample.Share, 'f', -1, 64)) // may be 0
		if sample.ByTrace {
			o.String("sampleBy", "trace")
		}
		o.String("sampleKeep", sample.Keep()) // as KINETEL_SAMPLE_KEEP has it
	}
	o.Int("maxLines", cfg.MaxLines)
	o.Int("maxBytes", cfg.MaxBytes)
}

func writeRedaction(o *jsontext.Object, cfg *config.Redaction) {
	names := slices.Clip(cfg.Names)
	if cfg.Pattern != nil {
		names = append(names, "pattern")
	}
	if cfg.Keys != nil {
		names = append(names, "keys")
	}
	o.Strings("redact", names)
	o.Bool("redactionUnusable", cfg.Unusable)
}

// problem returns a problem with an environment variable as JSON.
func problem(p config.Problem) []byte {
	severity := "ERROR"
	if p.Severity == config.Warning {
		severity = "WARN"
	}
	var o jsontext.Object
	o.String("severity", severity) // of the line in Kinetel's log
	o.String("variable", p.Variable)
	o.OmitEmpty = true
	o.String("value", p.Value)
	o.String("used", p.Used)
	o.OmitEmpty = false
	o.String("message", p.Message)
	return o.JSON()
}
