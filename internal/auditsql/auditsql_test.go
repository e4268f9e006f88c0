package auditsql_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/auditsql"
	"github.com/kinetel/kinetel/schema"
)

// A table that is read twice costs twice as much: Athena bills the bytes that it reads.
func TestAStatementReadsTheTableOnce(t *testing.T) {
	for _, dialect := range auditsql.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			text, err := auditsql.Statement(dialect, auditsql.Query{Table: `telemetry."kinetel"`, Where: "day >= '2026/11/26'"})
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(text, "FROM telemetry.\"kinetel\"\n  WHERE day >= '2026/11/26'\n),\n"); n != 1 {
				t.Errorf("the table and the condition are %d times in the statement", n)
			}
			// Which CTE reads which, each name once.
			for _, name := range regexp.MustCompile(`(?m)^(?:WITH )?(\w+) AS \($`).FindAllStringSubmatch(text, -1) {
				if n := len(regexp.MustCompile(`(?m)^ *FROM `+name[1]+`$`).FindAllString(text, -1)); n != 1 {
					t.Errorf("%s is read %d times", name[1], n)
				}
			}
			if strings.ContainsAny(text, "{}%;") {
				t.Error("the template shows, or more than one statement")
			}
		})
	}
}

func TestAStatementWithoutAConditionHasNone(t *testing.T) {
	text, err := auditsql.Statement("duckdb", auditsql.Query{Table: "kinetel"})
	if err != nil || !strings.Contains(text, "  FROM kinetel\n),\n") {
		t.Errorf("%v, or a condition", err)
	}
}

// The first CTE alone reads columns of the table.
func TestAStatementReadsColumnsOfTheTable(t *testing.T) {
	columns := []string{}
	for _, c := range schema.Columns() {
		columns = append(columns, c.Name)
	}
	for _, dialect := range auditsql.Dialects() {
		text, err := auditsql.Statement(dialect, auditsql.Query{Table: "kinetel"})
		if err != nil {
			t.Fatal(err)
		}
		_, decoded, _ := strings.Cut(text, "WITH decoded AS (")
		decoded, _, _ = strings.Cut(decoded, "FROM kinetel")
		decoded = regexp.MustCompile(`'[^']*'|AS \w+`).ReplaceAllString(decoded, "")
		for _, word := range regexp.MustCompile(`[a-z_]+\b[^(]`).FindAllString(decoded, -1) {
			if word = word[:len(word)-1]; word != "body" && word != "seq" && word != "type" && word != "resource" {
				t.Errorf("%s: %s reads the column %q", dialect, decoded, word)
			} else if !slices.Contains(columns, word) {
				t.Errorf("the table has no column %q", word)
			}
		}
	}
}

func TestStatementRefusesOtherDialectsAndTables(t *testing.T) {
	for _, tt := range []struct{ dialect, table, err string }{
		{"oracle", "kinetel", `the SQL dialect "oracle" is not known: use one of athena, clickhouse, duckdb, spark`},
		{"", "kinetel", `the SQL dialect "" is not known`},
		{"Spark", "kinetel", `the SQL dialect "Spark" is not known`},
		{"spark", "", `the table name "" cannot be used`},
		{"spark", "kinetel; DROP TABLE kinetel", `the table name "kinetel; DROP TABLE kinetel" cannot be used`},
		{"spark", "kinetel--", "cannot be used"},
		{"spark", "(SELECT 1)", "cannot be used"},
		{"spark", "kinetel.", "cannot be used"},
		{"spark", ".kinetel", "cannot be used"},
		{"spark", "a.b.c.d", "cannot be used"},
		{"spark", "my-table", "cannot be used"},
		{"spark", "my table", "put other characters than letters, digits, _ and $ in quotes"},
		{"spark", "`a`b`", "cannot be used"},
		{"spark", `"a"b"`, "cannot be used"},
		{"spark", "\"a\nb\"", "cannot be used"},
	} {
		text, err := auditsql.Statement(tt.dialect, auditsql.Query{Table: tt.table})
		if err == nil || !strings.Contains(err.Error(), tt.err) || text != "" {
			t.Errorf("Statement(%q, %q) returns the error %v, want %q", tt.dialect, tt.table, err, tt.err)
		}
	}
	for _, table := range []string{"kinetel", "Kinetel_2", "telemetry.kinetel", `"AwsDataCatalog"."my-db".kinetel`, "`my-db`.`kinetel`", "a.b.c"} {
		if _, err := auditsql.Statement("spark", auditsql.Query{Table: table}); err != nil {
			t.Error(err)
		}
	}
}
