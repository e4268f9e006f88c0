package regularfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kinetel/kinetel/internal/regularfile"
)

func TestARegularFileIsReadUpToTheLimit(t *testing.T) {
	dir := t.TempDir()
	path := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, content := range []string{"", "token", strings.Repeat("x", 1024)} {
		got, err := regularfile.Read(path("file", content), 1024)
		if err != nil || string(got) != content {
			t.Errorf("%d bytes, error %v, want %d bytes", len(got), err, len(content))
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{path("large", strings.Repeat("x", 1025)), dir, fifo, "/dev/zero"} {
		if got, err := regularfile.Read(other, 1024); err == nil || !strings.Contains(err.Error(), "not a regular file of at most 1 KiB") || got != nil {
			t.Errorf("%s: %d bytes, error %v", other, len(got), err)
		}
	}
	if _, err := regularfile.Read(filepath.Join(dir, "missing"), 1024); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want %v", err, fs.ErrNotExist)
	}
}
