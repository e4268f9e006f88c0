package lambdasim

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// The two ways in which a function answers. A runtime that streams announces it in a
// header, except aws-lambda-go, which sends every response in chunks as they
// come; so the time of the first byte is taken in both.

const (
	maxBuffered = 6<<20 + 100 // 6 MB and some
	maxStreamed = 200 << 20   // AWS documentation, "Response streaming for Lambda functions"
)

// mode is how a response comes.
type mode struct {
	streaming bool
	limit     int64 // of the response's size, in bytes
}

// responseMode reads the header. An unknown mode fails the invocation.
func responseMode(header string) (m mode, known bool) {
	if header == "streaming" {
		return mode{streaming: true, limit: maxStreamed}, true
	}
	return mode{limit: maxBuffered}, header == ""
}

// readResponse reads a response to its end, and returns when its first byte
// came: now, where there is none. Of a stream that breaks off, or is too long,
// the client has what came before, and so this returns it.
func readResponse(r *http.Request, m mode, now time.Time) (body []byte, firstByte time.Time, err error) {
	from := &firstRead{from: r.Body}
	var buf bytes.Buffer
	_, err = buf.ReadFrom(io.LimitReader(from, m.limit+1))
	body = buf.Bytes()
	if err == nil && int64(len(body)) > m.limit {
		body, err = body[:m.limit], errTooLarge
	}
	if from.at.IsZero() {
		from.at = now
	}
	return body, from.at, err
}

// firstRead notes when the first byte came.
type firstRead struct {
	from io.Reader
	at   time.Time
}

func (f *firstRead) Read(p []byte) (int, error) {
	n, err := f.from.Read(p)
	if n > 0 && f.at.IsZero() {
		f.at = time.Now()
	}
	return n, err
}
