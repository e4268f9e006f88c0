package main

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/kinetel/kinetel/deploy/layer"
	"github.com/kinetel/kinetel/internal/version"
)

// root is the extension's module.
const root = "../.."

// build builds a package of the extension's module, for a test.
func build(t *testing.T, arch, pkg string, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "binary")
	cmd := exec.Command("go", append(append([]string{"build", "-o", path, "-trimpath", "-tags", "nethttpomithttp2"}, flags...), pkg)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}

func arch(t *testing.T, name string) layer.Architecture {
	t.Helper()
	a, err := layer.ArchitectureOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhatDoesNotDoForALayerIsRefused(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ path, why, fix string }{
		{text, "not a Linux executable", ""},
		{build(t, "arm64", "./examples/bare-extension"), "not for x86_64", "GOARCH=amd64"},
		{build(t, "amd64", "./examples/bare-extension", "-buildmode=pie"), "dynamically linked", "CGO_ENABLED=0"},
		{filepath.Join(t.TempDir(), "nothing"), "no such file", ""},
	} {
		if _, err := inspect(tc.path, arch(t, "amd64")); err == nil || !strings.Contains(err.Error(), tc.why) || !strings.Contains(err.Error(), tc.fix) {
			t.Errorf("%v, want an error with %q and %q", err, tc.why, tc.fix)
		}
	}
}

func TestTheZip(t *testing.T) {
	executable := bytes.Repeat([]byte("executable "), 10_000)
	first, err := zipLayer(executable, []byte("notices"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := zipLayer(executable, []byte("notices"))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the same contents make another zip: %v", err)
	}
	r, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name, mode string
		data       []byte
	}{
		{"extensions/kinesis-telemetry-extension", "-rwxr-xr-x", executable},
		{"share/doc/kinesis-telemetry-extension/NOTICES.txt", "-rw-r--r--", []byte("notices")},
	} {
		f := r.File[i]
		src, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(src)
		if err != nil || !bytes.Equal(data, want.data) || f.Name != want.name || f.Mode().String() != want.mode || !f.Modified.Equal(epoch) {
			t.Errorf("entry %s, %v of %v, %d bytes, %v; want %s, %s, %d bytes", f.Name, f.Mode(), f.Modified, len(data), err, want.name, want.mode, len(want.data))
		}
	}
	if len(r.File) != 2 || len(first) > len(executable)/10 {
		t.Errorf("%d entries, %d bytes: want 2, and compressed", len(r.File), len(first))
	}
}

// The list is held against what the binary says of itself.
func TestPartsLicencesAndSBOM(t *testing.T) {
	path := build(t, "arm64", "./cmd/kinesis-telemetry-extension")
	b, err := inspect(path, arch(t, "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	b.info.GoVersion += "-X:experiment" // as GOEXPERIMENT=experiment does
	parts, err := partsOf(root, b)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{info.Main.Path + " " + version.Version, "std " + strings.TrimPrefix(runtime.Version(), "go")}
	for _, dep := range info.Deps {
		want = append(want, dep.Path+" "+dep.Version)
	}
	var got []string
	for _, p := range parts {
		got = append(got, p.path+" "+p.version)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("parts %q, want %q", got, want)
	}

	// What has terms of its own within a module is found: snappy's in compress.
	notices := string(writeNotices(parts))
	for _, text := range []string{
		"Apache License", "Copyright 2009 The Go Authors", "github.com/klauspost/compress v",
		"internal/snapref/LICENSE", "Copyright (c) 2011 The Snappy-Go Authors", "github.com/aws/smithy-go v", "NOTICE.txt",
	} {
		if !strings.Contains(notices, text) {
			t.Errorf("the notices say nothing of %q", text)
		}
	}

	created := time.Date(2026, 11, 27, 1, 2, 3, 0, time.FixedZone("", 3600))
	sbom, err := writeSBOM(arch(t, "arm64"), b, parts, created)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(sbom), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Name != layer.Extension || c.Version != version.Version || (*c.Licenses)[0].License.ID != "Apache-2.0" {
		t.Errorf("the SBOM is of %+v", c)
	}
	var listed []string
	for _, c := range *bom.Components {
		listed = append(listed, c.Name+" "+c.Version)
		if c.PackageURL != "pkg:golang/"+c.Name+"@"+c.Version || c.Licenses == nil || len(*c.Licenses) == 0 {
			t.Errorf("component %+v has another purl or no licence", c)
		}
		for _, l := range *c.Licenses {
			if l.License.ID == "GooglePatentsFile" {
				t.Errorf("%s: %s is no identifier of SPDX", c.Name, l.License.ID)
			}
		}
	}
	if !slices.Equal(listed, want[1:]) {
		t.Errorf("the SBOM lists %q, want %q", listed, want[1:])
	}
	tool := (*bom.Metadata.Tools.Components)[0]
	if m := bom.Metadata; m.Timestamp != "2026-11-27T00:02:03Z" || tool.Name != "github.com/kinetel/kinetel/deploy/package" || tool.Version != version.Version ||
		m.Supplier.Name != "Kinetel" || (*m.Supplier.URL)[0] != "https://github.com/kinetel/kinetel" {
		t.Errorf("the SBOM is of %s, made by %+v, supplied by %+v", m.Timestamp, tool, m.Supplier)
	}
	if again, err := writeSBOM(arch(t, "arm64"), b, parts, created.UTC()); err != nil || !bytes.Equal(again, sbom) {
		t.Errorf("the same binary has another SBOM: %v", err)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(bom.SerialNumber) {
		t.Errorf("the serial number %s is no UUID of version 8", bom.SerialNumber)
	}
	b.data = append(b.data, 0)
	if other, err := writeSBOM(arch(t, "arm64"), b, parts, created); err != nil || bytes.Contains(other, []byte(bom.SerialNumber)) {
		t.Errorf("another binary has an SBOM of the same serial number: %v", err)
	}
}

func TestTheTimeOfTheSBOM(t *testing.T) {
	for value, want := range map[string]time.Time{
		"":           time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC),
		"0":          time.Unix(0, 0),
		"1795514400": time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC),
	} {
		if got, err := createdAt(value); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", value, got, err, want)
		}
	}
	for _, value := range []string{"now", "-1", "1.5", "17179869184", "2026-11-24"} {
		if got, err := createdAt(value); err == nil || !strings.Contains(err.Error(), value) || !strings.Contains(err.Error(), "whole seconds") {
			t.Errorf("%q: %v, %v, want an error that names it", value, got, err)
		}
	}
}

func TestTheSchemasOfARelease(t *testing.T) {
	dist := t.TempDir()
	names, err := copySchemas(dist, root)
	if want := []string{"athena-row.schema.json", "kinetel-1.schema.json"}; err != nil || !slices.Equal(names, want) {
		t.Fatalf("the schemas are %q, %v; want %q", names, err, want)
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			ID string `json:"$id"`
		}
		if err := json.Unmarshal(data, &schema); err != nil || schema.ID != "https://github.com/kinetel/kinetel/releases/latest/download/"+name {
			t.Errorf("%s has the $id %q, %v; want the address of a release's file", name, schema.ID, err)
		}
	}
	if _, err := copySchemas(dist, t.TempDir()); err == nil || !strings.Contains(err.Error(), "--source") {
		t.Errorf("a folder without schemas gives %v", err)
	}
}

// A licence that nobody has looked at must not be passed on unseen.
func TestAModuleWithoutALicence(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"README": "Apache License", "LICENSE": "Ask me first."} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := licensesIn(dir, map[string]bool{dir: true})
	if err != nil || len(found) != 1 || found[0].file != "LICENSE" || len(found[0].spdx) != 0 {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestBadArguments(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "requires at least 1 arg"},
		{[]string{"amd64"}, `"amd64": must be an architecture, an equals sign and the file`},
		{[]string{"mips=x"}, `architecture "mips"`},
		{[]string{"amd64=nowhere"}, "nowhere: no such file"},
	} {
		cmd := newCommand()
		cmd.SetArgs(append(tc.args, "--dist", t.TempDir()))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q", tc.args, err, tc.want)
		}
	}
}
