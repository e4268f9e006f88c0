// Command package makes the files of a release from binaries of the extension. For each
// architecture: the zip of the layer, the licences of everything in it, and an SBOM
// (CycloneDX). Also the JSON Schemas, and the checksums of all files. The same binaries
// give the same bytes. SOURCE_DATE_EPOCH is the time of the SBOMs.
//
//	package --dist dist amd64=dist/build/amd64 arm64=dist/build/arm64
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/deploy/layer"
)

func main() { os.Exit(run()) }

// run is the whole program; it returns the exit status.
func run() int {
	if err := newCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		return 1
	}
	return 0
}

func newCommand() *cobra.Command {
	var dist, source string
	cmd := &cobra.Command{
		Use:           "package [flags] ARCHITECTURE=BINARY...",
		Short:         "Make the layers' zips, licences, SBOMs and checksums",
		Args:          cobra.MinimumNArgs(1),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			created, err := createdAt(os.Getenv("SOURCE_DATE_EPOCH"))
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dist, 0o755); err != nil {
				return err
			}
			var files []string
			for _, arg := range args {
				name, binary, ok := strings.Cut(arg, "=")
				if !ok {
					return fmt.Errorf("%q: must be an architecture, an equals sign and the file of its binary", arg)
				}
				arch, err := layer.ArchitectureOf(name)
				if err != nil {
					return err
				}
				made, err := pack(dist, source, arch, binary, created)
				if err != nil {
					return err
				}
				for _, file := range made {
					info, err := os.Stat(filepath.Join(dist, file))
					if err != nil {
						return err
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%9d  %s\n", info.Size(), filepath.Join(dist, file))
				}
				files = append(files, made...)
			}
			schemas, err := copySchemas(dist, source)
			if err != nil {
				return err
			}
			files = append(files, schemas...)
			return layer.WriteChecksums(dist, files)
		},
	}
	cmd.Flags().StringVar(&dist, "dist", "dist", "the `folder` to write to")
	cmd.Flags().StringVar(&source, "source", ".", "the `folder` of the extension's module")
	return cmd
}

// copySchemas copies the JSON Schemas and returns their names. Their $id is the address
// of this file in the newest release.
func copySchemas(dist, source string) (names []string, err error) {
	paths, err := filepath.Glob(filepath.Join(source, "schema", "*.schema.json"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has no file *.schema.json: --source must be the folder of the extension's module", filepath.Join(source, "schema"))
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(path)
		if err := os.WriteFile(filepath.Join(dist, name), data, 0o644); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// pack makes an architecture's files and returns their names.
func pack(dist, source string, arch layer.Architecture, binary string, created time.Time) ([]string, error) {
	b, err := inspect(binary, arch)
	if err != nil {
		return nil, err
	}
	parts, err := partsOf(source, b)
	if err != nil {
		return nil, err
	}
	notices := writeNotices(parts)
	zipped, err := zipLayer(b.data, notices)
	if err != nil {
		return nil, err
	}
	if len(zipped) >= layer.MaxZip {
		return nil, fmt.Errorf("%s has %d bytes, and the layer must stay under %d (docs/adr/0012)", arch.Zip(), len(zipped), layer.MaxZip)
	}
	sbom, err := writeSBOM(arch, b, parts, created)
	if err != nil {
		return nil, err
	}
	contents := []struct {
		name string
		data []byte
	}{{arch.Zip(), zipped}, {arch.NoticesFile(), notices}, {arch.SBOM(), sbom}}
	var made []string
	for _, c := range contents {
		if err := os.WriteFile(filepath.Join(dist, c.name), c.data, 0o644); err != nil {
			return nil, err
		}
		made = append(made, c.name)
	}
	return made, nil
}
