package main

import (
	"encoding/json"
	"os"
	"path/filepath"
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

// load reads raw values.
func (r *results) load(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, r)
}
