package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// buildBase builds the extension of another revision in a folder, which takes the place of
// the floor.
func (b *bench) buildBase(ctx context.Context, revision, dir string) error {
	b.base = filepath.Join(dir, "base")
	if err := os.Mkdir(b.base, 0o700); err != nil {
		return err
	}
	const extension = "bin/kinesis-telemetry-extension"
	archive := filepath.Join(dir, "base.tar")
	for _, args := range [][]string{
		{"git", "archive", "-o", archive, revision},
		{"tar", "-xf", archive, "-C", b.base},
		{"make", "-C", b.base, extension},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s of %s: %w\n%s", args[0], revision, err, out)
		}
	}
	b.paths[floor] = filepath.Join(b.base, extension)
	b.Revision, b.Programs = revision, [2]string{floor: revision, own: "new"}
	return nil
}
