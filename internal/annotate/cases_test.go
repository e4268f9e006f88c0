package annotate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// TestSeverityOfLoggers reads lines as loggers of all runtimes write them. A case is a
// record and the severity that a reader expects: none if it is empty, any if it is
// null.
func TestSeverityOfLoggers(t *testing.T) {
	reported, err := os.ReadFile("testdata/severity.jsonl") // lines that were observed
	if err != nil {
		t.Fatal(err)
	}
	others, err := os.ReadFile("testdata/loggers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(append(reported, others...)) {
		var c struct {
			Name     string
			Record   json.RawMessage
			Severity *string
		}
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Name, func(t *testing.T) {
			for _, record := range []string{string(c.Record), asText(string(c.Record))} {
				if c.Record[0] == '"' {
					record = string(c.Record)
				}
				got := severityOf(t, record).String()
				if c.Severity != nil && got != *c.Severity {
					t.Errorf("%s is %q, want %q", record, got, *c.Severity)
				}
			}
		})
	}
}
