package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// describe notes what is measured, where and when.
func (b *bench) describe() {
	b.Date = time.Now().UTC().Truncate(time.Second)
	b.Machine = machine{Cores: runtime.NumCPU(), Processor: "an unknown processor", System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, found := strings.Cut(string(info), "model name"); found {
			name, _, _ := strings.Cut(rest, "\n")
			b.Machine.Processor = strings.Trim(name, "\t :")
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		b.Machine.Load, _, _ = strings.Cut(string(load), " ")
	}
	b.Commit = "unknown"
	if commit, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output(); err == nil {
		b.Commit = strings.TrimSpace(string(commit))
	}
	b.Programs = [2]string{floor: filepath.Base(b.paths[floor]), own: "Kinetel"}
}
