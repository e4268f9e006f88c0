package layer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WriteChecksums writes the SHA-256 of files in dist beside them, sorted by name.
func WriteChecksums(dist string, files []string) error {
	slices.Sort(files)
	var text strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dist, file))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(data), file)
	}
	return os.WriteFile(filepath.Join(dist, Checksums), []byte(text.String()), 0o644)
}

// Read reads a file of dist, and refuses it if it is not the one that the
// checksums were made of: half of a build, or of another one.
func Read(dist, file string) ([]byte, error) {
	path := filepath.Join(dist, file)
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%s: no such file; `make package` makes it", path)
	} else if err != nil {
		return nil, err
	}
	sums, err := os.ReadFile(filepath.Join(dist, Checksums))
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%s: no such file; `make package` makes it", filepath.Join(dist, Checksums))
	} else if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(sums)) {
		want, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || name != file {
			continue
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != want {
			return nil, fmt.Errorf("%s: its SHA-256 is %x, and %s has %s; `make package` makes both anew", path, got, Checksums, want)
		}
		return data, nil
	}
	return nil, fmt.Errorf("%s: %s does not list it; `make package` makes both again", path, Checksums)
}
