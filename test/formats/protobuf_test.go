package formats

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// protobufLogs has Google's own parser read a payload of logs. It refuses members that
// OTLP does not have, and must read what OpenTelemetry's own library reads.
func (c *check) protobufLogs(payload []byte, logs plog.Logs) {
	c.Helper()
	binary, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
	if err != nil {
		c.Fatal(err)
	}
	got, want := &logspb.LogsData{}, &logspb.LogsData{}
	c.parse(payload, binary, got, want)
	c.equal(payload, got, want)
}

func (c *check) protobufTraces(payload []byte, traces ptrace.Traces) {
	c.Helper()
	binary, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		c.Fatal(err)
	}
	got, want := &tracepb.TracesData{}, &tracepb.TracesData{}
	c.parse(payload, binary, got, want)
	for _, of := range got.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, span := range scope.Spans {
				if span.Status == nil {
					span.Status = &tracepb.Status{} // OpenTelemetry's library always has one
				}
			}
		}
	}
	c.equal(payload, got, want)
}

// parse parses a payload, and the same as OpenTelemetry's library writes it.
func (c *check) parse(payload, binary []byte, got, want proto.Message) {
	c.Helper()
	if err := protojson.Unmarshal(base64IDs(c, payload), got); err != nil {
		c.Fatalf("%v in %s", err, clip(payload))
	}
	if err := proto.Unmarshal(binary, want); err != nil {
		c.Fatal(err)
	}
}

func (c *check) equal(payload []byte, got, want proto.Message) {
	c.Helper()
	if !proto.Equal(want, got) {
		c.Errorf("Google's parser and OpenTelemetry's library do not read the same in %s", clip(payload))
	}
}

// base64IDs returns a payload in the JSON of protocol buffers. OTLP/JSON differs from that
// in one way that matters to a parser: ids are hexadecimal digits, all other bytes are
// base64 (OTLP specification, JSON Protobuf Encoding). No text of a user can have these
// names here: OTLP has such text in values, never in names.
func base64IDs(c *check, payload []byte) []byte {
	c.Helper()
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		c.Fatalf("%v in %s", err, clip(payload))
	}
	var convert func(any)
	convert = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, one := range value {
				convert(one)
			}
		case map[string]any:
			for name, one := range value {
				switch name {
				case "traceId", "spanId", "parentSpanId":
					id, err := hex.DecodeString(one.(string))
					if err != nil {
						c.Fatalf("the id %v: %v", one, err)
					}
					value[name] = base64.StdEncoding.EncodeToString(id)
				default:
					convert(one)
				}
			}
		}
	}
	convert(tree)
	text, err := json.Marshal(tree)
	if err != nil {
		c.Fatal(err)
	}
	return text
}
