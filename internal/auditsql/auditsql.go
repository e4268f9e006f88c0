// Package auditsql proves completeness with SQL, on the table that Firehose fills. Its
// statements have the rules of package audit; an engine runs them on more events than one
// process can read.
//
// Where they differ: a number that does not fit into a bigint of 64 bits is ignored, as
// the table's column seq ignores it.
package auditsql

import (
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

//go:embed audit.sql.tmpl
var statement string

// Query says what a statement reads.
type Query struct {
	// Table has the columns seq, type, body and resource of schema.Columns. It is written
	// as the statement is to have it, such as kinetel or "telemetry"."kinetel".
	Table string
	// Where is a condition on the rows, such as day >= '2026/11/26'. It goes into the
	// statement unchanged. Without one the statement reads all.
	Where string
	// Whole means that the rows have everything of their environments, from their start.
	Whole bool
}

// dialect is what engines spell differently.
type dialect struct {
	attribute string // the attribute %s of resource, NULL or empty if there is none
	seq       string // seq as a bigint, NULL if it is none
	integer   string // the member %s of body as a bigint, NULL if it is none
	text      string // the member %s of body as text
	path      string // how a path into body begins; empty if it is a list of arguments
}

func dialects() map[string]dialect {
	return map[string]dialect{
		// Athena's engine 3 is Trino. Trino's resource['…'] fails if there is no such key.
		"athena": {
			attribute: "element_at(resource, '%s')",
			seq:       "TRY_CAST(seq AS bigint)",
			integer:   "TRY_CAST(json_extract_scalar(body, '%s') AS bigint)",
			text:      "json_extract_scalar(body, '%s')",
			path:      "$.",
		},
		"spark": {
			attribute: "element_at(resource, '%s')",
			seq:       "TRY_CAST(seq AS bigint)",
			integer:   "TRY_CAST(get_json_object(body, '%s') AS bigint)",
			text:      "get_json_object(body, '%s')",
			path:      "$.",
		},
		// body can be JSON or text. DuckDB's functions fail if text is not JSON.
		"duckdb": {
			attribute: "resource['%s']",
			seq:       "TRY_CAST(seq AS bigint)",
			integer:   "TRY_CAST(CASE WHEN json_valid(body) THEN body ->> '%s' END AS bigint)",
			text:      "CASE WHEN json_valid(body) THEN body ->> '%s' END",
			path:      "$.",
		},
		"clickhouse": {
			attribute: "resource['%s']",
			seq:       "accurateCastOrNull(seq, 'Int64')",
			integer:   "JSONExtract(body, '%s', 'Nullable(Int64)')",
			text:      "JSONExtractRaw(body, '%s')",
		},
	}
}

// Dialects returns the names of the dialects.
func Dialects() []string { return slices.Sorted(maps.Keys(dialects())) }

// tableName matches names with up to two qualifiers, quoted or not.
var tableName = regexp.MustCompile("^(([A-Za-z_][A-Za-z0-9_$]*|\"[^\"\x00-\x1f]+\"|`[^`\x00-\x1f]+`)(\\.|$)){1,3}$")

// Statement returns the statement, in a dialect, that finds the environments that are not
// complete.
func Statement(name string, q Query) (string, error) {
	d, ok := dialects()[name]
	if !ok {
		return "", fmt.Errorf("the SQL dialect %q is not known: use one of %s", name, strings.Join(Dialects(), ", "))
	}
	if !tableName.MatchString(q.Table) || strings.HasSuffix(q.Table, ".") {
		return "", fmt.Errorf("the table name %q cannot be used: write it as in a query, such as kinetel or telemetry.kinetel, and put other characters than letters, digits, _ and $ in quotes", q.Table)
	}
	t := template.Must(template.New("audit").Funcs(template.FuncMap{
		"seq":       func() string { return d.seq },
		"attribute": func(name string) string { return fmt.Sprintf(d.attribute, name) },
		"integer":   func(path ...string) string { return fmt.Sprintf(d.integer, d.pathOf(path)) },
		"text":      func(path ...string) string { return fmt.Sprintf(d.text, d.pathOf(path)) },
	}).Parse(statement))
	var text strings.Builder
	err := t.Execute(&text, q)
	return text.String(), err
}

func (d dialect) pathOf(members []string) string {
	if d.path == "" {
		return strings.Join(members, "', '")
	}
	return d.path + strings.Join(members, ".")
}
