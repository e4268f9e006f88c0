package main

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"time"

	"github.com/klauspost/compress/flate"

	"kinetel/deploy/layer"
)

// epoch is the first time that a zip can tell.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// zipLayer zips a layer. Nothing of the time or the machine is in it.
func zipLayer(executable, notices []byte) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(dst io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(dst, flate.BestCompression)
	})
	for _, entry := range []struct {
		name string
		mode fs.FileMode
		data []byte
	}{
		{layer.Executable, 0o755, executable},
		{layer.Notices, 0o644, notices},
	} {
		header := &zip.FileHeader{Name: entry.name, Method: zip.Deflate, Modified: epoch}
		header.SetMode(entry.mode)
		dst, err := w.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := dst.Write(entry.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
