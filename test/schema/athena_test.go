package schematest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/schema"
)

var update = flag.Bool("update", false, "write schema/athena-row.schema.json")

const (
	eventSchema = "../../schema/kinetel-1.schema.json"
	rowSchema   = "../../schema/athena-row.schema.json"
)

func TestTheRowSchemaIsThatOfTheTable(t *testing.T) {
	want := generateRowSchema(t)
	if *update {
		if err := os.WriteFile(rowSchema, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, rowSchema); got != string(want) {
		t.Errorf("schema/athena-row.schema.json is not what schema.Columns() and the schema of an event give: run `go test ./test/schema -run RowSchema -update`; got\n%s", got)
	}
}

// generateRowSchema makes the schema of a row from the columns and the schema of an event.
func generateRowSchema(t *testing.T) []byte {
	t.Helper()
	doc, err := schemaDocument()
	if err != nil {
		t.Fatal(err)
	}
	event := inlined(doc, doc.(map[string]any)["$defs"].(map[string]any)).(map[string]any)
	properties, required := map[string]any{}, []string{}
	for _, c := range schema.Columns() {
		member := event["properties"].(map[string]any)[c.Member].(map[string]any)
		column := maps.Clone(member)
		delete(column, "description")
		switch {
		case c.Type == "bigint":
			column["exclusiveMaximum"] = json.Number("9223372036854775808")
		case c.Type == "int":
			column["maximum"] = 1<<31 - 1
		case c.Type == "string" && member["type"] != "string" && member["enum"] == nil:
			column = map[string]any{"type": "string"}
			member = map[string]any{"description": fmt.Sprintf("The member %s: of a JSON string the text, of any other value the JSON text.", c.Member)}
		}
		if !slices.Contains(event["required"].([]any), any(c.Member)) || c.Member == "body" { // a body may be null
			column = map[string]any{"anyOf": []any{column, map[string]any{"type": "null"}}}
		}
		column["description"] = member["description"]
		properties[c.Name] = column
		required = append(required, c.Name)
	}
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	err = out.Encode(map[string]any{
		"$schema": event["$schema"],
		"$id":     strings.Replace(schema.ID, "kinetel-1", "athena-row", 1),
		"title":   "A row of the Athena table of kinetel/1",
		"description": "One row of the table that Athena reads delivered events with, as a JSON object: columns by their names, NULL as null, and resource as an object. " +
			"Other columns, such as the partition column day, may follow. Generated from the table's columns and from kinetel-1.schema.json.",
		"type":       "object",
		"properties": properties,
		"required":   required,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// inlined returns a schema with the definitions in place of the references to them.
func inlined(node any, defs map[string]any) any {
	switch node := node.(type) {
	case []any:
		all := make([]any, len(node))
		for i := range node {
			all[i] = inlined(node[i], defs)
		}
		return all
	case map[string]any:
		all := map[string]any{}
		if ref, ok := node["$ref"].(string); ok {
			all = inlined(defs[strings.TrimPrefix(ref, "#/$defs/")], defs).(map[string]any)
		}
		for name, value := range node {
			if name != "$ref" && name != "$comment" {
				all[name] = inlined(value, defs)
			}
		}
		return all
	}
	return node
}

// rowOf makes the row that Athena's JSON SerDe makes of a line: a string column has the
// text of a JSON string, and the JSON text of any other value.
func rowOf(t testing.TB, line string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	row := map[string]any{}
	for _, c := range schema.Columns() {
		value := members[c.Member]
		switch {
		case value == nil || string(value) == "null":
			row[c.Name] = nil
		case c.Type == "string" && value[0] != '"':
			row[c.Name] = string(value)
		default:
			row[c.Name] = value
		}
	}
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// badRows are rows that no line makes: a good row with a column changed.
func badRows() []badEvent {
	return []badEvent{
		{"text", "a row without a column", at{"part"}, ``},
		{"text", "a number that is text", at{"seq"}, `"7"`},
		{"text", "no number", at{"seq"}, `null`},
		{"text", "a number that is no bigint", at{"seq"}, `9223372036854775808`},
		{"part", "a part that is no int", at{"parts"}, `2147483648`},
		{"text", "another time", at{"time"}, `"2026-11-22 20:15:00"`},
		{"text", "another severity", at{"severity"}, `"NOTICE"`},
		{"text", "an empty request", at{"requestid"}, `""`},
		{"object", "a body that is an object", at{"body"}, `{"level":"error"}`},
		{"extra", "an extra that is an object", at{"extra"}, `{"time":"noon"}`},
		{"text", "a resource that is text", at{"resource"}, `"{}"`},
		{"text", "a number in the resource", at{"resource", "env"}, `1`},
	}
}

// The page's table has the columns of schema.Columns().
func TestThePageHasTheTable(t *testing.T) {
	_, table, _ := strings.Cut(read(t, consumersPage), "CREATE EXTERNAL TABLE kinetel (\n")
	columns, rest, _ := strings.Cut(table, "\n)\n")
	properties, _, _ := strings.Cut(rest, "\n)\n")
	var got []schema.Column
	for _, m := range regexp.MustCompile("(?m)^ +`?(\\w+)`? +([^ ,].*?),?$").FindAllStringSubmatch(columns, -1) {
		c := schema.Column{Name: m[1], Type: m[2], Member: m[1]}
		if m := regexp.MustCompile(`'mapping\.` + c.Name + `' = '(\w+)'`).FindStringSubmatch(properties); m != nil {
			c.Member = m[1]
		}
		got = append(got, c)
	}
	if !slices.Equal(got, schema.Columns()) {
		t.Errorf("the page's table has the columns\n%v, want\n%v", got, schema.Columns())
	}
}
