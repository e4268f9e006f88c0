package lambdasim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
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

// received is a response as it came.
type received struct {
	// body is the response, or an error object. If a stream breaks off or is too
	// long, the client has what came before. Then that is the body, unless mode.to
	// got it.
	body      []byte
	size      int       // bytes that came
	firstByte time.Time // when the first one came
	errorType string    // empty on success
	err       error     // of reading
}

// receive reads a response to its end, and finds out whether it is an error.
func receive(r *http.Request, m mode, known, isError bool, now time.Time) received {
	got := m.read(r, now)
	// The client of a stream gets an error object beside the stream.
	withObject := !m.streaming || m.to != nil
	switch {
	case !known:
		got.errorType = "Runtime.InvalidResponseModeHeader"
		got.body = errorBody(got.errorType, "Invalid function response mode")
	case got.err == errTooLarge:
		got.errorType = "Function.ResponseSizeTooLarge"
		if withObject {
			got.body = errorBody(got.errorType, fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", m.limit))
		}
	case got.err != nil:
		got.errorType = "Runtime.TruncatedResponse"
		if withObject {
			got.body = errorBody(got.errorType, "the response was cut off: "+got.err.Error())
		}
	case r.Trailer.Get(headerFunctionErrorType) != "":
		// A streamed response that failed on the way reports it at its end.
		got.errorType = functionErrorType(r.Trailer.Get(headerFunctionErrorType))
		if m.to != nil {
			got.body = trailerError(r, got.errorType)
		}
	case isError:
		got.errorType = functionErrorType(r.Header.Get(headerFunctionErrorType))
	}
	return got
}

// read reads a response to its end. If nothing comes, its first byte came now.
func (m mode) read(r *http.Request, now time.Time) received {
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
	return received{body: buf.Bytes(), size: int(n), firstByte: from.at, err: err}
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
