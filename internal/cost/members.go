package cost

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/kinetel/kinetel/record"
)

// maxRecord is how large a record of Kinesis can be. A larger gzip member is what Firehose
// or another program compressed.
const maxRecord = 10 << 20

// File measures a file of records. Each gzip member is a record; other data does not show
// where records end. An error is that of reading.
func (m *Meter) File(in io.Reader) error {
	counted := &countingReader{in: in}
	for e, err := range record.Events(&memberReader{meter: m, counted: counted, in: bufio.NewReader(counted)}) {
		if _, damaged := errors.AsType[*record.Error](err); damaged {
			m.Unreadable++
			continue
		}
		if err != nil {
			return err
		}
		m.Add(e)
	}
	return nil
}

type countingReader struct {
	in io.Reader
	n  int
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.n += n
	return n, err
}

// memberReader decompresses gzip members one by one, and passes on everything from the
// first other data on.
type memberReader struct {
	meter   *Meter
	counted *countingReader
	in      *bufio.Reader // of counted
	zip     *gzip.Reader
	start   int  // of the member
	inside  bool // a member is open
	rest    bool // what follows is passed on
}

func (r *memberReader) Read(b []byte) (int, error) {
	for {
		if r.rest {
			return r.in.Read(b)
		}
		if !r.inside {
			if err := r.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := r.zip.Read(b)
		switch {
		case err == io.EOF:
			r.end()
			err = nil
		case err != nil:
			err = fmt.Errorf("the gzip member at byte %d is damaged: %w", r.start, err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next opens the next member, if there is one.
func (r *memberReader) next() (err error) {
	head, err := r.in.Peek(3)
	if len(head) == 0 {
		return err
	}
	if !bytes.Equal(head, []byte("\x1f\x8b\x08")) {
		r.rest, r.meter.NoRecords = true, true
		return nil
	}
	r.start = r.offset()
	if r.zip == nil {
		r.zip, err = gzip.NewReader(r.in)
	} else {
		err = r.zip.Reset(r.in)
	}
	if err != nil {
		return fmt.Errorf("the gzip member at byte %d is damaged: %w", r.start, err)
	}
	r.zip.Multistream(false)
	r.inside = true
	return nil
}

func (r *memberReader) end() {
	r.inside = false
	size := r.offset() - r.start
	r.meter.AddRecord(size)
	if size > maxRecord {
		r.meter.NoRecords = true
	}
}

func (r *memberReader) offset() int { return r.counted.n - r.in.Buffered() }
