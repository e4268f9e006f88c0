// Package schematest validates what Kinetel writes against its schema. Every test
// that makes a Kinesis record calls [Check] with the record's data.
package schematest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/schema"
)

// Check fails the test unless each event of the data of one Kinesis record, of
// any format, fulfils the schema. It is strict where the schema leaves room for
// later versions: in the bodies of Kinetel's own events no member and no word
// may be that the schema does not name, so that none is written without being
// documented. It is safe for concurrent use.
func Check(t Test, data []byte) {
	t.Helper()
	if err := Validate(data); err != nil {
		t.Error(err)
	}
}

// Test is what Check needs of a test: of testing's, or of rapid's.
type Test interface {
	Helper()
	Error(args ...any)
}

// Validate is Check where there is no test at hand.
func Validate(data []byte) error {
	v, err := strict()
	if err != nil {
		return err
	}
	return v.record(data)
}

// strict and asPublished are compiled once a process: that takes some
// milliseconds, and an event some microseconds.
var (
	strict = sync.OnceValues(func() (*validator, error) {
		doc, err := schemaDocument()
		if err != nil {
			return nil, err
		}
		closeBodies(doc)
		return compile(doc)
	})
	asPublished = sync.OnceValues(func() (*validator, error) {
		doc, err := schemaDocument()
		if err != nil {
			return nil, err
		}
		return compile(doc)
	})
)

// schemaDocument returns the published schema, which the caller may change.
func schemaDocument() (any, error) { return unmarshal(schema.JSON()) }

func unmarshal(text []byte) (any, error) { return jsonschema.UnmarshalJSON(bytes.NewReader(text)) }

type validator struct{ schema *jsonschema.Schema }

func compile(doc any) (*validator, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(schema.ID, doc); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(schema.ID)
	if err != nil {
		return nil, err
	}
	return &validator{compiled}, nil
}

// closeBodies makes a schema refuse members that it does not name: of
// objects in its definitions the properties, of words the examples.
func closeBodies(doc any) {
	root, _ := doc.(map[string]any)
	var visit func(node any)
	visit = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, one := range node {
				visit(one)
			}
		case map[string]any:
			if _, ok := node["properties"].(map[string]any); ok && node["type"] == "object" {
				node["additionalProperties"] = false
			}
			if pattern, _ := node["pattern"].(string); strings.HasPrefix(pattern, "^[a-z]") && node["examples"] != nil {
				node["enum"] = node["examples"]
			}
			for _, one := range node {
				visit(one)
			}
		}
	}
	visit(root["$defs"])
}

// record checks the data of one Kinesis record.
func (v *validator) record(data []byte) error {
	lines, ofLines, err := payloadOf(data)
	if err != nil {
		return err
	}
	if !jsontext.ValidUnicode(lines) {
		return errors.New("a payload that is not UTF-8, or has half a surrogate pair")
	}
	if !ofLines { // what it is decoded to has to do
		return v.decoded(data)
	}
	if len(lines) == 0 {
		return errors.New("a record without an event")
	}
	for line := range bytes.Lines(lines) {
		if err := inOrder(line); err != nil {
			return fmt.Errorf("%w in the line %.300q", err, line)
		}
		if err := v.event(line); err != nil {
			return err
		}
	}
	return nil
}

// decoded checks what the data of a record is decoded to.
func (v *validator) decoded(data []byte) error {
	events, err := record.Decode(data)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return errors.New("a record without an event")
	}
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("seq %d: %w", e.Seq, err)
		}
		if err := v.event(text); err != nil {
			return err
		}
	}
	return nil
}

// event checks the JSON text of one event.
func (v *validator) event(text []byte) error {
	instance, err := unmarshal(text)
	if err != nil {
		return fmt.Errorf("%w in %.300q", err, text)
	}
	if err := v.schema.Validate(instance); err != nil {
		return fmt.Errorf("%w in %.300q", err, text)
	}
	// What a schema cannot express.
	e := instance.(map[string]any)
	if number(e, "part") > number(e, "parts") {
		return fmt.Errorf("more parts than there are in %.300q", text)
	}
	body, _ := e["body"].(map[string]any)
	switch e["type"] {
	case "kinetel.loss", "kinetel.invocation", "kinetel.limit", "kinetel.span":
		first, last := number(body, "firstSeq"), number(body, "lastSeq")
		if first > last || first > 0 && max(number(body, "count"), number(body, "events")) > last-first+1 {
			return fmt.Errorf("more events than numbers in %.300q", text)
		}
		if body["requestId"] != nil && body["requestId"] != e["requestId"] {
			return fmt.Errorf("the body has another requestId in %.300q", text)
		}
	}
	return nil
}

// number returns a member that counts; 0 where there is none.
func number(object map[string]any, name string) uint64 {
	text, _ := object[name].(json.Number)
	n, _ := strconv.ParseUint(text.String(), 10, 64)
	return n
}

// payloadOf returns a record before compression, and whether it is of lines;
// those of an aggregate get line feeds.
func payloadOf(data []byte) (payload []byte, ofLines bool, err error) {
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, false, err
		}
		if data, err = io.ReadAll(z); err != nil {
			return nil, false, err
		}
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, false, err
		}
		defer z.Close()
		if data, err = z.DecodeAll(data, nil); err != nil {
			return nil, false, err
		}
	case bytes.HasPrefix(data, []byte(kpl.Magic)):
		_, err := kpl.Read(data, func(line []byte) error {
			payload = append(append(payload, line...), '\n')
			return nil
		})
		return payload, true, err
	}
	f, known := formats.Of(data)
	return data, !known || f.Append == nil, nil
}

// envelope returns the members of a line, in the order in which they always are.
func envelope() []string {
	return []string{
		"schema", "seq", "time", "type", "severity", "requestId", "traceId", "part", "parts", "body", "bodyBase64", "extra", "resource",
	}
}

// errOrder means a line with members that are not where they should be.
var errOrder = errors.New("members are not in the order of kinetel/1, or there is white space between them")

// inOrder checks the order of a line's members, by which tools find the seq and
// the type without reading JSON.
func inOrder(line []byte) error {
	left, end := envelope(), 0
	m := jsontext.Members(line)
	m.CheckStrings = true
	for m.Next() {
		at := slices.Index(left, string(m.Name))
		if at < 0 || m.Start != end+1 || m.End-len(m.Value) != m.Start+len(m.Name)+len(`"":`) {
			return errOrder
		}
		left, end = left[at+1:], m.End
	}
	if m.Err != nil || string(line[end:]) != "}\n" {
		return errOrder
	}
	return nil
}
