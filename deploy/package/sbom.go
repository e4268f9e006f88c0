package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/kinetel/kinetel/deploy/layer"
	"github.com/kinetel/kinetel/internal/version"
)

// writeSBOM lists what is in a binary as CycloneDX, which scanners of
// vulnerabilities read. The same binary and time give the same list.
func writeSBOM(arch layer.Architecture, b binary, parts []part, created time.Time) ([]byte, error) {
	sum := sha256.Sum256(b.data)
	extension := cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: layer.Extension, Version: version.Version,
		BOMRef:      "pkg:golang/" + b.info.Main.Path + "@" + version.Version + "?goarch=" + arch.Go + "&goos=linux#" + strings.TrimPrefix(b.info.Path, b.info.Main.Path+"/"),
		Description: layer.Description(),
		Hashes:      &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
	}
	extension.PackageURL = extension.BOMRef
	var settings []cdx.Property
	for _, s := range b.info.Settings {
		if s.Key == "-gcflags" { // of which Go keeps the last one only
			continue
		}
		settings = append(settings, cdx.Property{Name: "kinetel:build:" + s.Key, Value: s.Value})
	}
	settings = append(settings, cdx.Property{Name: "kinetel:build:go", Value: b.info.GoVersion})
	extension.Properties = &settings

	var components []cdx.Component
	var uses []string
	for _, p := range parts {
		if p.path == b.info.Main.Path {
			extension.Licenses = licensesOf(p)
			continue
		}
		url := "pkg:golang/" + p.path + "@" + p.version
		components = append(components, cdx.Component{
			Type: cdx.ComponentTypeLibrary, Name: p.path, Version: p.version,
			BOMRef: url, PackageURL: url, Scope: cdx.ScopeRequired, Licenses: licensesOf(p),
		})
		uses = append(uses, url)
	}

	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: created.UTC().Format(time.RFC3339),
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{
			Type: cdx.ComponentTypeApplication, Name: b.info.Main.Path + "/deploy/package", Version: version.Version,
		}}},
		Component: &extension,
		Supplier:  &cdx.OrganizationalEntity{Name: "Kinetel", URL: &[]string{"https://" + b.info.Main.Path}},
	}
	bom.Components = &components
	dependencies := []cdx.Dependency{{Ref: extension.BOMRef, Dependencies: &uses}}
	bom.Dependencies = &dependencies

	text, err := encode(bom)
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = serialNumber(text)
	return encode(bom)
}

func encode(bom *cdx.BOM) ([]byte, error) {
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_5)
	return out.Bytes(), err
}

// serialNumber returns a UUID of version 8 (RFC 9562): the SHA-256 of an SBOM without
// its serial number. So another SBOM has another one, and the same SBOM the same one.
func serialNumber(sbom []byte) string {
	id := sha256.Sum256(sbom)
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// createdAt returns the time of the SBOM: that of SOURCE_DATE_EPOCH
// (reproducible-builds.org), in seconds since 1970. Without one it is the time of the
// files in the zip, because the time of the build would make each SBOM another one.
func createdAt(sourceDateEpoch string) (time.Time, error) {
	if sourceDateEpoch == "" {
		return epoch, nil
	}
	seconds, err := strconv.ParseInt(sourceDateEpoch, 10, 64)
	if err != nil || seconds < 0 || seconds >= 1<<34 { // years have four digits
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: it must be whole seconds since 1970, such as the output of git log -1 --format=%%ct", sourceDateEpoch)
	}
	return time.Unix(seconds, 0), nil
}

// licensesOf are all the licences that a part's files name.
func licensesOf(p part) *cdx.Licenses {
	var ids []string
	for _, l := range p.licenses {
		for _, id := range l.spdx {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	var all cdx.Licenses
	for _, id := range ids {
		all = append(all, cdx.LicenseChoice{License: &cdx.License{ID: id}})
	}
	return &all
}
