package pack

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/kinetel/kinetel/internal/format"
)

// compressor compresses one record after the other. It creates an encoder when the
// first record needs it: encoders take memory and time, and a cold start should not
// pay for them. The same lines always give the same bytes.
type compressor struct {
	kind format.Compression
	gzip *gzip.Writer
	zstd *zstd.Encoder
	out  bytes.Buffer
}

// compress returns the compressed lines in newly allocated memory of exactly their
// size.
func (c *compressor) compress(lines []byte) ([]byte, error) {
	switch c.kind {
	case format.Uncompressed:
		return bytes.Clone(lines), nil
	case format.Zstd:
		if c.zstd == nil {
			// One goroutine, and a window no larger than a record.
			enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
			if err != nil {
				return nil, fmt.Errorf("make a zstd encoder: %w", err)
			}
			c.zstd = enc
		}
		return bytes.Clone(c.zstd.EncodeAll(lines, c.out.AvailableBuffer())), nil
	default:
		c.out.Reset()
		if c.gzip == nil {
			w, err := gzip.NewWriterLevel(&c.out, gzipLevel)
			if err != nil {
				return nil, fmt.Errorf("make a gzip encoder: %w", err)
			}
			c.gzip = w
		} else {
			c.gzip.Reset(&c.out)
		}
		if _, err := c.gzip.Write(lines); err != nil {
			return nil, fmt.Errorf("compress %d bytes: %w", len(lines), err)
		}
		if err := c.gzip.Close(); err != nil {
			return nil, fmt.Errorf("compress %d bytes: %w", len(lines), err)
		}
		return bytes.Clone(c.out.Bytes()), nil
	}
}

// gzipLevel is the fastest level that looks for matches. Higher levels make records
// a few per cent smaller and take several times as long (make bench).
const gzipLevel = gzip.BestSpeed
