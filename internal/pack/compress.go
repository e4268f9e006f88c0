package pack

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/kinetel/kinetel/internal/deflate"
	"github.com/kinetel/kinetel/internal/format"
)

// compressor compresses one record after the other. The encoders take memory when the
// first record needs it. The same lines always give the same bytes.
type compressor struct {
	kind format.Compression
	gzip deflate.Encoder
	zstd *zstd.Encoder
	out  []byte // buffer
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
		c.out = c.zstd.EncodeAll(lines, c.out[:0])
	default:
		c.out = c.gzip.Gzip(c.out[:0], lines)
	}
	data := bytes.Clone(c.out)
	if cap(c.out) > maxKept {
		c.out = nil // release the memory of a record that is hardly compressed
	}
	return data, nil
}

// maxKept is the size of the largest buffer that is kept for the next record.
const maxKept = 256 << 10
