package main

import (
	"bytes"
	"os"
	"testing"
)

// Every cold start reads the binary. The one for amd64 is larger than the one for arm64.
func TestTheBinaryIsSmall(t *testing.T) {
	const maxSize = 7_500_000
	binary, err := os.ReadFile(buildLayer(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(binary) > maxSize {
		t.Errorf("the binary has %d bytes, more than %d: `go tool nm -size -sort size` of a binary that is linked without -s -w lists what is large, and docs/adr has what made it small", len(binary), maxSize)
	}
	// A binary without symbols still has the names of its functions, for panics.
	if known := "github.com/kinetel/kinetel/internal/jsontext.SkipValue\x00"; !bytes.Contains(binary, []byte(known)) {
		t.Errorf("the binary does not have the name of the function %q: this test cannot find others", known)
	}
	for _, name := range []string{"encoding/json.(*decodeState)", "encoding/json.newTypeEncoder", "log/slog."} {
		if bytes.Contains(binary, []byte(name)) {
			t.Errorf("the binary has %s…, and with it up to 266 kB that start-up does not need: use internal/jsontext and internal/logging (docs/adr/0015-no-encoding-json.md)", name)
		}
	}
}
