package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const document = "../../docs/performance.md"

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// measured returns the raw values of the document.
func measured(t *testing.T) *results {
	t.Helper()
	var b bench
	if err := b.load(evidence(document) + ".json"); err != nil {
		t.Fatal(err)
	}
	return &b.results
}

func TestTheDocumentHasTheFigures(t *testing.T) {
	text := readText(t, document)
	want, err := measured(t).replaceBlocks(text)
	if err != nil {
		t.Fatal(err)
	}
	if text != want {
		t.Errorf("%s has other tables than its raw values; `go run ./test/bench -from docs/evidence/performance.json -document docs/performance.md` writes:\n%s", document, want)
	}
}

func TestDocumentIsWritten(t *testing.T) {
	r := measured(t)
	r.Commit = "another"
	r.find("volume.gzip").Values[own] = []float64{123}
	file := filepath.Join(t.TempDir(), "performance.md")
	before := readText(t, document)
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(evidence(file)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.writeDocument(file); err != nil {
		t.Fatal(err)
	}
	text := readText(t, file)
	for _, wanted := range []string{" at another, ", "| 123 s/GB |", "## A busy function\n"} {
		if !strings.Contains(text, wanted) {
			t.Errorf("the document has no %q:\n%s", wanted, text)
		}
	}
	if lines, was := strings.Count(text, "\n"), strings.Count(before, "\n"); lines != was {
		t.Errorf("the document has %d lines, and had %d", lines, was)
	}
	if png := readText(t, evidence(file)+".png"); !bytes.HasPrefix([]byte(png), []byte("\x89PNG")) {
		t.Errorf("the picture is no PNG: %.10q", png)
	}
}

func TestDocumentNeedsAllBlocksAndAllParts(t *testing.T) {
	text, r := readText(t, document), measured(t)
	for name, broken := range map[string]string{
		"it has no <!-- burst --> … <!-- /burst -->":       strings.Replace(text, "<!-- burst -->", "", 1),
		"it has no <!-- measured --> … <!-- /measured -->": strings.Replace(text, "<!-- /measured -->", "", 1),
	} {
		if _, err := r.replaceBlocks(broken); err == nil || err.Error() != name {
			t.Errorf("error %v, want %s", err, name)
		}
	}
	r.find("volume.gzip").Values[own], r.find("volume.zstd").Values[own], r.find("volume.none").Values[own] = nil, nil, nil
	if _, err := r.replaceBlocks(text); err == nil || !strings.Contains(err.Error(), "part volume was not measured") {
		t.Errorf("a part without figures: %v", err)
	}
	if err := r.writePlot(filepath.Join(t.TempDir(), "p.png")); err == nil || !strings.Contains(err.Error(), "volume.gzip was not measured for both programs") {
		t.Errorf("a picture without figures: %v", err)
	}
}

func TestEachRowHasAFigureOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range parts() {
		for _, row := range p.rows {
			if seen[row.figure] {
				t.Errorf("%s is in two rows", row.figure)
			}
			seen[row.figure] = true
		}
	}
}
