package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kinetel/kinetel/deploy/layer"
	"github.com/kinetel/kinetel/internal/version"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"publish": func() { os.Exit(run()) }})
}

// What the command line says, without an AWS.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// No credentials, and nothing that could be reached.
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
				env.Setenv(name, "")
			}
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			if want, err := os.ReadFile(filepath.Join(env.WorkDir, "want")); err == nil {
				want = bytes.ReplaceAll(want, []byte("VERSION"), []byte(version.Version))
				if err := os.WriteFile(filepath.Join(env.WorkDir, "want"), want, 0o644); err != nil {
					return err
				}
			}
			return makeDist(filepath.Join(env.WorkDir, "dist"), "one")
		},
	})
}

// makeDist makes a folder as package does, with zips that are none.
func makeDist(dir, content string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var files []string
	for _, a := range layer.Architectures {
		files = append(files, a.Zip())
		if err := os.WriteFile(filepath.Join(dir, a.Zip()), fmt.Appendf(nil, "%s for %s", content, a.Go), 0o644); err != nil {
			return err
		}
	}
	return layer.WriteChecksums(dir, files)
}
