package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// evidence is the name, without an extension, of the files that go with a document.
func evidence(document string) string {
	name := strings.TrimSuffix(filepath.Base(document), ".md")
	return filepath.Join(filepath.Dir(document), "evidence", name)
}

// writeDocument writes the tables into a document, and the picture beside it.
func (r *results) writeDocument(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	replaced, err := r.replaceBlocks(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := r.writePlot(evidence(file) + ".png"); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(replaced), 0o644)
}

// replaceBlocks replaces what is between <!-- NAME --> and <!-- /NAME -->, for each part and
// for "measured". What is outside of them stays.
func (r *results) replaceBlocks(text string) (string, error) {
	text, err := replaceBlock(text, "measured", r.heading()+".\n")
	for _, p := range parts() {
		if err != nil {
			return "", err
		}
		cells := p.table(r)
		if len(cells) == 1 {
			return "", fmt.Errorf("part %s was not measured, and the document has figures of one run only", p.name)
		}
		text, err = replaceBlock(text, p.name, p.note(r)+markdown(cells))
	}
	return text, err
}

func replaceBlock(text, name, block string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, found := strings.Cut(text, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", fmt.Errorf("it has no %s … %s", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + block + end + after, nil
}

// markdown writes a table, with numbers to the right.
func markdown(cells [][]string) string {
	var b strings.Builder
	for i, line := range cells {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			b.WriteString("|---" + strings.Repeat("|--:", len(line)-1) + "|\n")
		}
	}
	return b.String()
}
