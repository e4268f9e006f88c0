package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// measureSizes notes the sizes of the binaries, and of the layers if there are any.
func (b *bench) measureSizes(context.Context) error {
	for program, path := range b.paths {
		if err := b.addSize(program, "size.binary", path); err != nil {
			return err
		}
	}
	for _, machine := range []string{"amd64", "arm64"} {
		err := b.addSize(own, "size.layer."+machine, filepath.Join("dist", "kinesis-telemetry-extension-"+machine+".zip"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (b *bench) addSize(program int, figure, file string) error {
	info, err := os.Stat(file)
	if err == nil {
		b.add(program, figure, "MB", float64(info.Size())/1e6)
	}
	return err
}
