package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/internal/tail"
)

// Names of files in archives and what processes say are in errors and summaries. They must
// not control the terminal.
func TestEscapeSequencesDoNotReachTheTerminal(t *testing.T) {
	err := printableError{usage(fmt.Errorf("entry \x1b]0;x\a\u202e\nsecond: %w", io.ErrUnexpectedEOF))}
	if got, want := err.Error(), "entry ?]0;x??\nsecond: unexpected EOF"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if status := exitStatus(t.Context(), err, true); status != exitUsage {
		t.Errorf("status %d", status)
	}
	var out bytes.Buffer
	summary := report.Summary{Problems: []string{"a \u009b31m b"}}
	checks := []report.Check{{Name: "n", Subject: "\u009b31m", Detail: "<"}}
	if err := writeJSON(tail.New(&out, io.Discard, tail.Options{Output: tail.JSON, Terminal: true}), summary, checks); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "\u009b") || strings.Count(text, `\u009b31m`) != 2 ||
		!strings.HasPrefix(text, `{"summary":{`) || !strings.HasSuffix(text, "\n"+`{"check":{"name":"n","subject":"\u009b31m","ok":false,"detail":"<"}}`+"\n") {
		t.Errorf("%q", text)
	}
}
