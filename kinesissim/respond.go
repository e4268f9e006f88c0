package kinesissim

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
)

func (x *exchange) encode(out any, failure *apiError) []byte {
	switch {
	case failure == nil && out == nil, failure == errNoAnswer:
		return nil
	case failure == nil:
	case failure.xml:
		return fmt.Appendf(nil, "<%s>\n  <Message>%s</Message>\n</%[1]s>\n", failure.kind, failure.message)
	case failure.message == "":
		out = map[string]string{"__type": failure.kind}
	default:
		out = map[string]string{"__type": failure.kind, "message": failure.message}
	}
	return x.marshal(out)
}

// respond sends an answer, as much of it as the ending allows.
func (c *connection) respond(w http.ResponseWriter, x *exchange, failure *apiError, body []byte, ending ending) {
	if ending == endReset || ending == endDrop {
		c.end(w, ending)
		return
	}
	h := w.Header()
	if ending == endClose && x.http2 {
		h.Set("Connection", "close") // is not sent, but ends the connection
		ending = endNone
	}
	x.identify(h)
	if failure == nil || !failure.xml {
		h.Set("Content-Type", x.contentType())
	} else {
		h["Content-Type"] = nil
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(x.Status)
	if ending == endCut {
		body = body[:min(x.answer.cut, len(body))]
	}
	if _, err := w.Write(body); err != nil {
		return // the client went away
	}
	if ending == endCut || ending == endClose {
		_ = http.NewResponseController(w).Flush()
		c.end(w, ending)
	}
}

// identify adds the headers that every answer has.
func (x *exchange) identify(h http.Header) {
	// Kinesis' own spelling, for clients that compare names exactly.
	h["x-amzn-RequestId"] = []string{x.RequestID}
	h["x-amz-id-2"] = []string{base64.StdEncoding.EncodeToString([]byte(x.RequestID + x.RequestID))}
}

// newRequestID makes a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
