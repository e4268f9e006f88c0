// Package layer defines the names, files and contents of Kinetel's Lambda layers;
// package makes the layers and publish publishes them.
package layer

import (
	"fmt"
	"path/filepath"

	"github.com/kinetel/kinetel/internal/version"
)

const (
	// Extension is the name of the extension's file, and the name that Lambda shows.
	Extension = "kinesis-telemetry-extension"
	// Executable is the path of the extension in a layer. Lambda unpacks layers to
	// /opt and starts each file in /opt/extensions (Lambda Extensions API).
	Executable = "extensions/" + Extension
	// Notices is the path of the licences in a layer.
	Notices = "share/doc/" + Extension + "/NOTICES.txt"
	// License is the layer's licence as an SPDX identifier.
	License = "Apache-2.0"
	// Checksums is the file that has the SHA-256 of all others, in the format of
	// sha256sum.
	Checksums = "SHA256SUMS"
	// MaxZip is the largest size of a zip in bytes.
	MaxZip = 3_000_000
)

// Architecture is an instruction set that Lambda has.
type Architecture struct {
	Go     string // as Go calls it, and the files in dist
	Lambda string // as Lambda calls it, and the layers
}

// Architectures are all there are. The first one is Lambda's own default.
var Architectures = []Architecture{{"amd64", "x86_64"}, {"arm64", "arm64"}}

// ArchitectureOf finds an architecture by either of its names.
func ArchitectureOf(name string) (Architecture, error) {
	for _, a := range Architectures {
		if name == a.Go || name == a.Lambda {
			return a, nil
		}
	}
	return Architecture{}, fmt.Errorf("architecture %q: Lambda has x86_64 (amd64) and arm64", name)
}

// Zip is the name of the layer's file in dist.
func (a Architecture) Zip() string { return Extension + "-" + a.Go + ".zip" }

// SBOM is the file that lists what is in the extension (CycloneDX).
func (a Architecture) SBOM() string { return Extension + "-" + a.Go + ".cdx.json" }

// NoticesFile is the file beside the zip that has the same text as Notices in it.
func (a Architecture) NoticesFile() string { return Extension + "-" + a.Go + ".NOTICES.txt" }

// Name is what the layer is called in AWS.
func (a Architecture) Name() string { return Extension + "-" + a.Lambda }

// Description is what Lambda shows beside a version of a layer.
func Description() string {
	return "Kinetel " + version.Version + ": sends Lambda telemetry to Kinesis"
}

// Parameter is the name of the SSM parameter that has the ARN of the newest
// version; prefix is "/telemetry/kinesis" by default.
func (a Architecture) Parameter(prefix string) string {
	return prefix + "/extension/" + a.Lambda + "/arn"
}

// DefaultParameter is the name of the parameter with the layer of the default
// architecture.
func DefaultParameter(prefix string) string { return prefix + "/extension/arn" }

// Prefix is the default prefix of the parameters.
const Prefix = "/telemetry/kinesis"

// Path is the path of a file in dist.
func Path(dist, file string) string { return filepath.Join(dist, file) }
