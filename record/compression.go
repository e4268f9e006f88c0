package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	kpl "github.com/kinetel/kinetel/internal/format/kpl/decode"
)

// How records begin that are not plain text (RFC 1952, RFC 8878). No line has these
// bytes: they are not UTF-8.
const (
	gzipStart = "\x1f\x8b\x08"
	zstdStart = "\x28\xb5\x2f\xfd"
)

// maxWindow is the largest window of zstd that is accepted. Kinetel uses 1 MiB. Every
// decoder should support 8 MiB (RFC 8878, section 3.1.1.1.2).
const maxWindow = 8 << 20

func starts() [3]string { return [...]string{gzipStart, zstdStart, kpl.Start} }

// startOf returns how the data begins; empty: it is plain text.
func startOf(data []byte) string {
	for _, start := range starts() {
		if bytes.HasPrefix(data, []byte(start)) {
			return start
		}
	}
	return ""
}

// nextStart returns where the next record that is not plain text starts; -1: nowhere.
func nextStart(data []byte) (next int) {
	next = -1
	for _, start := range starts() {
		if i := bytes.Index(data, []byte(start)); i >= 0 && (next < 0 || i < next) {
			next = i
		}
	}
	return next
}

// plain reads up to the next start of a record that is not plain text.
type plain struct{ in *bufio.Reader }

func (p plain) Read(b []byte) (int, error) {
	for want := 1; ; {
		head, err := p.in.Peek(want)
		if len(head) == want { // there is no end yet: it may be long until more arrives
			head, err = p.in.Peek(p.in.Buffered())
		}
		n := len(head)
		if err == nil {
			n -= cutStart(head)
		}
		if i := nextStart(head); i >= 0 {
			n, err = i, io.EOF
		}
		if n > 0 {
			return p.in.Read(b[:min(n, len(b))])
		}
		if err != nil {
			return 0, err
		}
		want = len(head) + 1
	}
}

// cutStart returns how many of the last bytes may be the beginning of the next start.
func cutStart(data []byte) int {
	for n := min(len(data), len(zstdStart)-1); n > 0; n-- {
		for _, start := range starts() {
			if strings.HasPrefix(start, string(data[len(data)-n:])) {
				return n
			}
		}
	}
	return 0
}

// decompressors are reused from record to record.
type decompressors struct {
	zip *gzip.Reader
	zst *zstd.Decoder
}

func (d *decompressors) close() {
	if d.zst != nil {
		d.zst.Close()
	}
}

// open returns the text of the next record, which begins with start. It reads nothing
// behind the record. It consumes some data even if it returns an error.
func (d *decompressors) open(start string, in *bufio.Reader) (io.Reader, error) {
	switch start {
	case gzipStart:
		return d.gzip(in)
	case zstdStart:
		return d.zstd(in)
	case kpl.Start: // is never compressed, and reaches to the end
		return in, nil
	}
	return plain{in}, nil
}

func (d *decompressors) gzip(in *bufio.Reader) (_ io.Reader, err error) {
	if d.zip == nil {
		d.zip, err = gzip.NewReader(in)
	} else {
		err = d.zip.Reset(in)
	}
	if err != nil {
		return nil, err
	}
	d.zip.Multistream(false)
	return d.zip, nil
}

func (d *decompressors) zstd(in *bufio.Reader) (_ io.Reader, err error) {
	var header zstd.Header
	head, _ := in.Peek(zstd.HeaderMaxSize)
	err = header.Decode(head)
	if _, discardErr := in.Discard(len(zstdStart)); err != nil || discardErr != nil {
		return nil, errors.Join(err, discardErr)
	}
	one := io.MultiReader(strings.NewReader(zstdStart), &frame{in: in, left: header.HeaderSize - len(zstdStart), checksum: header.HasCheckSum})
	if d.zst != nil {
		return d.zst, d.zst.Reset(one)
	}
	d.zst, err = zstd.NewReader(one, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	return d.zst, err
}

// frame reads the rest of one frame of zstd. The decoder alone would read into the next
// record.
type frame struct {
	in       *bufio.Reader
	left     int // bytes of the header, or of the current block
	last     bool
	checksum bool
}

func (f *frame) Read(b []byte) (int, error) {
	for f.left == 0 {
		if f.last {
			return 0, io.EOF
		}
		// A block's header has 3 bytes: last, type, size (RFC 8878, section 3.1.1.2).
		head, err := f.in.Peek(3)
		if err != nil {
			return 0, err // the decoder knows that the frame has not ended
		}
		bits := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		const rle = 1 // one byte, which is repeated
		f.last, f.left = bits&1 == 1, 3+bits>>3
		if bits>>1&3 == rle {
			f.left = 3 + 1
		}
		if f.last && f.checksum {
			f.left += 4
		}
	}
	n, err := f.in.Read(b[:min(f.left, len(b))])
	f.left -= n
	return n, err
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
