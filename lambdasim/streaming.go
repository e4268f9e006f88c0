package lambdasim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
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
	limit     int64     // of the response's size, in bytes
	to        io.Writer // gets the response as it comes, if set
}

// responseMode reads the header. An unknown mode fails the invocation.
func responseMode(header string) (m mode, known bool) {
	if header == "streaming" {
		return mode{streaming: true, limit: maxStreamed}, true
	}
	return mode{limit: maxBuffered}, header == ""
}

// streamed is m for a client that wants a stream. Then every response is
// streamed, whatever the runtime announces, as in the
// aws-lambda-runtime-interface-emulator.
func (m mode) streamed(to io.Writer) mode {
	return mode{streaming: true, limit: maxStreamed, to: to}
}

// readResponse reads a response to its end. It returns its body, unless m.to gets
// it, its size, and when its first byte came: now, if there is none. If a stream
// breaks off or is too long, the client has what came before, so this returns
// that.
func readResponse(r *http.Request, m mode, now time.Time) (body []byte, size int, firstByte time.Time, err error) {
	from := &firstRead{from: r.Body}
	var buf bytes.Buffer
	var to io.Writer = &buf
	if m.to != nil {
		to = m.to
	}
	n, err := io.Copy(to, io.LimitReader(from, m.limit))
	if err == nil && n == m.limit {
		var more [1]byte
		if k, _ := io.ReadFull(from, more[:]); k > 0 {
			err = errTooLarge
		}
	}
	if from.at.IsZero() {
		from.at = now
	}
	return buf.Bytes(), int(n), from.at, err
}

// trailerError is the error object in the trailer of a streamed response, or one
// with its type only.
func trailerError(r *http.Request, errorType string) []byte {
	body, err := base64.StdEncoding.DecodeString(r.Trailer.Get(headerFunctionErrorBody))
	if err != nil || !json.Valid(body) {
		return errorBody(errorType, "the function failed while it streamed its response")
	}
	return body
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
