package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/kinetel/kinetel/deploy/layer"
	"github.com/kinetel/kinetel/internal/version"
)

// writeSBOM lists what is in a binary as CycloneDX, which scanners of
// vulnerabilities read. It has no serial number and no time, so that the same
// binary has the same list.
func writeSBOM(arch layer.Architecture, b binary, parts []part) ([]byte, error) {
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
	bom.Metadata = &cdx.Metadata{Component: &extension}
	bom.Components = &components
	dependencies := []cdx.Dependency{{Ref: extension.BOMRef, Dependencies: &uses}}
	bom.Dependencies = &dependencies

	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_5); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
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
