package functioncode

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// What an archive may contain. AWS Lambda allows 250 MB for the function and its layers
// together.
const (
	maxUnpacked = 250 << 20 // bytes
	maxEntries  = 50_000
	maxLink     = 4096 // bytes of a link's target
)

// unzip unpacks an archive into a folder, over what is there, as Lambda does with layers.
// No entry and no link can lead out of the folder, and the files have at most limit bytes.
// They keep their permissions.
func unzip(archive, dir string, limit int64) error {
	r, err := zip.OpenReader(archive)
	if errors.Is(err, zip.ErrFormat) {
		return fmt.Errorf("%s is a damaged zip archive (%w): make it again", archive, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	defer r.Close()
	if len(r.File) > maxEntries {
		return fmt.Errorf("%s has %d entries; at most %d are unpacked", archive, len(r.File), maxEntries)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := limit
	for _, f := range r.File {
		n, err := unpack(root, f, left)
		if err == nil && n > left {
			err = fmt.Errorf("the archive has more than %d bytes of files", limit)
		}
		if err != nil {
			return fmt.Errorf("%s: entry %q: %w", archive, f.Name, err)
		}
		left -= n
	}
	// Where a link leads depends on links that come later.
	for _, f := range r.File {
		if f.Mode().Type() != fs.ModeSymlink {
			continue
		}
		if _, err := root.Stat(path.Clean(f.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: entry %q: the link leads out of the archive: %w", archive, f.Name, err)
		}
	}
	return nil
}

// unpack writes one entry, and returns its size. That is at most one byte above the limit.
func unpack(root *os.Root, f *zip.File, limit int64) (int64, error) {
	name := path.Clean(f.Name)
	if !filepath.IsLocal(name) || strings.Contains(name, `\`) {
		return 0, errors.New("the name leads out of the archive")
	}
	if f.FileInfo().IsDir() {
		return 0, root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return 0, err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	content, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer content.Close()
	switch mode := f.Mode(); {
	case mode.IsRegular():
		return writeFile(root, name, mode.Perm(), content, limit)
	case mode.Type() == fs.ModeSymlink:
		target, err := io.ReadAll(io.LimitReader(content, maxLink))
		if err != nil {
			return 0, err
		}
		return 0, root.Symlink(string(target), name)
	default:
		return 0, fmt.Errorf("it is no file, folder or link: %v", mode)
	}
}

func writeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader, limit int64) (int64, error) {
	// Archives from Windows have no permissions for reading either.
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o600)
	if err != nil {
		return 0, err
	}
	// The header's size need not be true.
	n, err := io.Copy(file, io.LimitReader(content, limit+1))
	if closed := file.Close(); err == nil {
		err = closed
	}
	return n, err
}
