package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/resource"
	"github.com/kinetel/kinetel/record"
	schematest "github.com/kinetel/kinetel/test/schema"
)

// shapes are the kinds of functions of which testdata has telemetry, each in a
// file with one body a line, as Lambda posts them (AWS documentation, Telemetry
// API event schema reference), and what is to be seen in each.
var shapes = map[string]struct {
	types    []string // in the order of the bodies
	parts    []string // that records have, to the letter
	requests int      // that are named
}{
	"provisioned-concurrency": {
		types: []string{
			"platform.initStart", "platform.telemetrySubscription", "function", "platform.initRuntimeDone", "platform.extension",
			"platform.initReport", "platform.start", "function", "platform.runtimeDone",
			"platform.report", "platform.start", "function", "platform.runtimeDone", "platform.report",
		},
		parts:    []string{`"initializationType":"provisioned-concurrency"`, `"durationMs":3380.512`},
		requests: 2,
	},
	"snapstart": {
		types: []string{
			"platform.initStart", "platform.telemetrySubscription", "function", "platform.initRuntimeDone", "platform.initReport",
			"platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport", "platform.start", "function", "platform.runtimeDone",
			"platform.report", "platform.start", "platform.runtimeDone", "platform.report",
		},
		parts:    []string{`"initializationType":"snap-start"`, `"instanceMaxMemory":"268435456"`, `"restoreDurationMs":201.7`, `世界 \u2028 \ud83c\udf88`},
		requests: 2,
	},
	"snapstart-bare": {
		types: []string{"platform.initStart", "platform.initRuntimeDone", "platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport"},
		parts: []string{`{}`, `"errorType":"Runtime.ExitError"`},
	},
	"response-streaming": {
		types: []string{
			"platform.start", "function", "platform.runtimeDone", "platform.report", "platform.start", "platform.runtimeDone", "platform.report",
		},
		parts:    []string{`"producedBytes":20971520`, `"producedBytes":0`, `{"name":"responseLatency",`, `{"name":"responseDuration","start":"2026-09-21T10:00:00:560Z"`, `"Runtime.TruncatedResponse"`},
		requests: 2,
	},
	"durable-function": {
		types: []string{
			"platform.initStart", "platform.telemetrySubscription", "platform.initRuntimeDone", "platform.extension", "platform.initReport",
			"platform.start", "function", "function", "platform.runtimeDone",
			"platform.report", "platform.start", "function", "platform.runtimeDone",
			"platform.report", "platform.start", "function", "platform.runtimeDone", "platform.report",
		},
		parts:    []string{`:function:orders:3/durable-execution/order-4711/0b6c8d2e-`, `"error":{"name":"CardError","stack":[`, `"result":null`},
		requests: 3,
	},
	"managed-instances": {
		types: []string{
			"platform.initStart", "platform.telemetrySubscription", "platform.extension", "platform.initRuntimeDone", "platform.initReport",
			"platform.start", "platform.start", "function", "function", "platform.start", "platform.report",
			"function", "platform.report", "function", "platform.report", "function", "platform.report",
		},
		parts:    []string{`"events":["SHUTDOWN"]`, `"metrics":{"durationMs":12.345}`, `"status":"timeout","metrics":{"durationMs":30000},"errorType":"Sandbox.Timedout"`},
		requests: 4,
	},
	"tenant-isolation": {
		types:    []string{"platform.start", "function", "platform.runtimeDone", "platform.report"},
		parts:    []string{`"tenantId":"blue"`},
		requests: 1,
	},
	"reset": {
		types: []string{
			"platform.start", "function", "platform.runtimeDone", "platform.report",
			"platform.initStart", "platform.telemetrySubscription", "platform.initRuntimeDone", "platform.extension", "platform.initReport", "platform.start",
			"platform.runtimeDone", "platform.logsDropped", "platform.report",
			"platform.initStart", "platform.initRuntimeDone", "platform.initReport", "platform.extension", "platform.fault",
		},
		parts:    []string{`"phase":"invoke"`, `"durationMs":3000.00`, `"state":"LaunchError","events":[]`, `signal: killed\nRuntime.ExitError"`},
		requests: 2,
	},
}

// shape reads the bodies of a file.
func shape(t *testing.T, name string) (bodies [][]byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		bodies = append(bodies, bytes.TrimSpace(line))
	}
	return bodies
}

// packed passes bodies through a Decoder and a Packer, and decodes the records.
// Each body's memory is written over afterwards.
func packed(t *testing.T, compression format.Compression, key config.PartitionKey, bodies [][]byte) (events []record.Event) {
	t.Helper()
	id := resource.Resource{Config: config.Config{Lambda: config.Lambda{Region: "eu-west-1"}}, AccountID: "123456789012", FunctionName: "orders", FunctionVersion: "7", EnvironmentID: "e1"}
	env := environment.New(id.EnvironmentID, id.Details())
	env.Ledger = ledger.New(&ledger.Account{}, nil)
	packer := pack.New(pack.Options{
		Environment: env, FunctionName: "orders", Compression: compression, PartitionKey: key, Log: slog.New(slog.DiscardHandler),
		Push: func(r *pack.Record) {
			decoded, err := record.Decode(r.Data)
			if err != nil {
				t.Errorf("a record cannot be read: %v", err)
			}
			schematest.Check(t, r.Data)
			events = append(events, decoded...)
		},
	})
	d := NewDecoder(func(ev *event.Event) { packer.Add(ev) }, nil)
	for _, body := range bodies {
		memory := bytes.Clone(body)
		d.Decode(memory, received)
		clear(memory)
		packer.Commit(d.Fragment())
	}
	d.Close(received)
	packer.Seal()
	return events
}

// decodedEvent is an event as encoding/json reads it.
type decodedEvent struct {
	Time   string          `json:"time"`
	Type   string          `json:"type"`
	Record json.RawMessage `json:"record"`
}

func wantDecoded(t *testing.T, bodies [][]byte, got []record.Event) {
	t.Helper()
	var want []decodedEvent
	for _, body := range bodies {
		var events []decodedEvent
		if err := json.Unmarshal(body, &events); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		want = append(want, events...)
	}
	if len(got) != len(want) {
		t.Fatalf("%d events of %d came back", len(got), len(want))
	}
	for i, e := range got {
		w := want[i]
		if e.TimeText != w.Time || e.Type != w.Type || !bytes.Equal(e.Body, w.Record) || e.Seq != uint64(i+1) || e.InstanceID() != "e1" || len(e.Extra)+e.Part > 0 {
			t.Errorf("event %d is %+v\nwith the body %s\nwant %s %s\n%s", i+1, e, e.Body, w.Time, w.Type, w.Record)
		}
	}
}

func TestTelemetryOfEveryKindOfFunctionStaysByteForByte(t *testing.T) {
	for name, tt := range shapes {
		t.Run(name, func(t *testing.T) {
			bodies := shape(t, name)
			for _, compression := range []format.Compression{format.Gzip, format.Zstd, format.Uncompressed} {
				for _, key := range []config.PartitionKey{config.PartitionByEnvironment, config.PartitionByRequest} {
					wantDecoded(t, bodies, packed(t, compression, key, bodies))
				}
			}

			// The file has these types and requests.
			var types []string
			requests := map[string]bool{}
			for _, e := range packed(t, format.Uncompressed, config.PartitionByEnvironment, bodies) {
				types = append(types, e.Type)
				if id := jsontext.Member(e.Body, "requestId"); id != nil {
					requests[string(id)] = true
				}
			}
			if diff := cmp.Diff(tt.types, types); diff != "" || len(requests) != tt.requests {
				t.Errorf("%d requests, want %d; types (-want +got):\n%s", len(requests), tt.requests, diff)
			}
			all := string(bytes.Join(bodies, nil))
			for _, part := range tt.parts {
				if !strings.Contains(all, part) {
					t.Errorf("there is no %s", part)
				}
			}
		})
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(shapes) {
		t.Errorf("there are %d files for %d shapes: %v", len(files), len(shapes), err)
	}
}

// However the same events are spread over bodies, and wherever Lambda cuts one of
// them, they come back the same.
func TestTelemetryOfEveryKindOfFunctionStaysWholeWhereverItIsSplit(t *testing.T) {
	for name := range shapes {
		t.Run(name, func(t *testing.T) {
			bodies := shape(t, name)
			var all []json.RawMessage
			for _, body := range bodies {
				var events []json.RawMessage
				if err := json.Unmarshal(body, &events); err != nil {
					t.Fatal(err)
				}
				all = append(all, events...)
			}
			join := func(events []json.RawMessage) []byte {
				texts := make([][]byte, len(events))
				for i, one := range events {
					texts[i] = one
				}
				return slices.Concat([]byte("["), bytes.Join(texts, []byte(",")), []byte("]"))
			}
			wantDecoded(t, bodies, packed(t, format.Uncompressed, config.PartitionByRequest, [][]byte{join(all)}))
			var single [][]byte
			for i := range all {
				single = append(single, join(all[i:i+1]))
			}
			wantDecoded(t, bodies, packed(t, format.Uncompressed, config.PartitionByRequest, single))

			const record = `"record":`
			for i, one := range all {
				envelope := bytes.Index(one, []byte(record)) + len(record)
				for _, place := range []int{envelope + 1, (envelope + len(one)) / 2, len(one) - 2} {
					if place <= envelope || place >= len(one)-1 {
						continue // it has no such middle
					}
					first := append(join(append(slices.Clone(all[:i]), one[:place])), ']')
					first = slices.Concat(first[:len(first)-2], []byte("}]"))
					second := slices.Concat([]byte("["), one[:envelope], join(append([]json.RawMessage{one[place:]}, all[i+1:]...))[1:])
					got := packed(t, format.Uncompressed, config.PartitionByEnvironment, [][]byte{first, second})
					wantDecoded(t, bodies, got)
				}
			}
		})
	}
}
