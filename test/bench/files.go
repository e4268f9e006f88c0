package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// save writes the raw values, and what the Go benchmarks printed, into files of this name
// and an extension.
func (b *bench) save(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(b.results)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(name+".txt", b.goPrinted[own], 0o644)
}

// load reads what save has written. file is the one with the raw values.
func (b *bench) load(file string) (err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	b.results = results{}
	if err := json.Unmarshal(text, &b.results); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	b.goPrinted[own], err = os.ReadFile(strings.TrimSuffix(file, ".json") + ".txt")
	return err
}
