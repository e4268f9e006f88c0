package kinesis

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/pack"
)

// bodies makes the bodies of requests. Uncompressed records are encoded and hashed at
// twice their size, so both are done in one pass, and memory is used again.
type bodies struct {
	destination []byte // the member that names the stream, in JSON
	spare       sync.Pool
	once        sync.Once
	pairs       [1 << 12]uint16 // two characters of base64, for 12 bits
}

// body is the body of one request. The transport may read it again, and may go on reading
// after the answer. So each reader counts, and the last one gives the memory back.
type body struct {
	text  []byte
	sum   [sha256.Size]byte
	users atomic.Int32
	from  *bodies
}

// encode returns the body for records (Kinesis API reference, PutRecords). The caller uses
// it until it calls done.
func (s *bodies) encode(records []*pack.Record) *body {
	s.once.Do(s.fill)
	n := 64 + len(s.destination)
	for _, r := range records {
		n += base64.StdEncoding.EncodedLen(len(r.Data)) + 2*len(r.PartitionKey) + 64
	}
	var b []byte
	if spare, ok := s.spare.Get().(*[]byte); ok && cap(*spare) >= n {
		b = (*spare)[:0]
	} else {
		b = make([]byte, 0, n)
	}
	hash := sha256.New()
	hashed := 0
	b = append(b, `{"Records":[`...)
	for i, r := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Data":"`...)
		for data := r.Data; len(data) > 0; {
			part := data[:min(len(data), maxPart)]
			data = data[len(part):]
			b = s.appendBase64(b, part)
			hash.Write(b[hashed:]) // while it is in the cache
			hashed = len(b)
		}
		b = append(b, `","PartitionKey":`...)
		b = jsontext.AppendQuote(b, r.PartitionKey)
		b = append(b, '}')
	}
	b = append(append(b, "],"...), s.destination...)
	b = append(b, '}')
	hash.Write(b[hashed:])
	made := &body{text: b, from: s}
	hash.Sum(made.sum[:0])
	made.users.Store(1)
	return made
}

// maxPart is how many bytes are encoded before they are hashed: some that base64 needs no
// padding for.
const maxPart = 24 << 10

// fill makes the table.
func (s *bodies) fill() {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range s.pairs {
		s.pairs[i] = uint16(alphabet[i>>6]) | uint16(alphabet[i&63])<<8
	}
}

// appendBase64 is base64.StdEncoding.AppendEncode in two fifths of its time.
func (s *bodies) appendBase64(b, data []byte) []byte {
	for len(data) >= 8 { // six of them become eight
		w := binary.BigEndian.Uint64(data)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.pairs[w>>52])|uint64(s.pairs[w>>40&0xfff])<<16|uint64(s.pairs[w>>28&0xfff])<<32|uint64(s.pairs[w>>16&0xfff])<<48)
		data = data[6:]
	}
	return base64.StdEncoding.AppendEncode(b, data)
}

// reader returns a reader of the body.
func (b *body) reader() io.ReadCloser {
	b.users.Add(1)
	return &bodyReader{rest: b.text, body: b}
}

// done gives the memory back as soon as every reader is closed.
func (b *body) done() {
	if b.users.Add(-1) == 0 {
		b.from.spare.Put(&b.text)
	}
}

// bodyReader may be closed more than once, and while it is read: the transport does that
// if a request is cancelled.
type bodyReader struct {
	mu   sync.Mutex // guards all below
	rest []byte
	body *body // nil: closed
}

func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *bodyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body != nil {
		r.body.done()
		r.rest, r.body = nil, nil
	}
	return nil
}
