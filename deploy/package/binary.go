package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/kinetel/kinetel/deploy/layer"
)

// binary is an extension's executable, and what it says of itself.
type binary struct {
	data []byte
	info *debug.BuildInfo
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// inspect reads a binary and refuses one that does not do for a layer: one for
// another machine, or one that needs a library of the runtime that it lands in.
func inspect(path string, arch layer.Architecture) (binary, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return binary{}, err
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return binary{}, fmt.Errorf("%s: not a Linux executable: %w", path, err)
	}
	if file.Machine != machines[arch.Go] {
		return binary{}, fmt.Errorf("%s: built for %v, not for %s; build it with GOARCH=%s", path, file.Machine, arch.Lambda, arch.Go)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return binary{}, fmt.Errorf("%s: dynamically linked, and would not start on every runtime; build it with CGO_ENABLED=0", path)
		}
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return binary{}, fmt.Errorf("%s: %w", path, err)
	}
	return binary{data, info}, nil
}
