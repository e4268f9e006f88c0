package tail_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/tail"
)

// BenchmarkFile prints a file of full records; its MB/s are of the events' lines.
func BenchmarkFile(b *testing.B) {
	var file bytes.Buffer
	size, seq := 0, 0
	for range 20 {
		z := gzip.NewWriter(&file)
		for range 500 {
			seq++
			n, err := fmt.Fprintf(z, `{"schema":"kinetel/1","seq":%d,"time":"2026-11-22T20:15:00.123Z","type":"function","severity":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c%04x",`+
				`"body":"2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c%04x\tINFO\tuser %d signed in\n","resource":{"cloud.provider":"aws","cloud.region":"us-east-1",`+
				`"faas.name":"orders","faas.version":"$LATEST","faas.instance":"2026/11/27/[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0","service.name":"orders","service.instance.id":"e1"}}`+"\n", seq, seq/10, seq/10, 7919*seq)
			if err != nil {
				b.Fatal(err)
			}
			size += n
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
	}
	for _, output := range []string{tail.Text, tail.Raw, tail.JSON} {
		b.Run(output, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				t := tail.New(io.Discard, io.Discard, tail.Options{Output: output, Location: time.UTC})
				if err := t.File("f", bytes.NewReader(file.Bytes())); err != nil || t.Counts().Printed != int64(seq) {
					b.Fatal(t.Counts(), err)
				}
			}
		})
	}
}
