package locallambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
)

// stallTimeout is how long a client may take to read a chunk.
const stallTimeout = 30 * time.Second

// serveStream serves InvokeWithResponseStream.
func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request) {
	invocationType, req, failed := h.readRequest(w, r, typeSync, typeDryRun)
	switch {
	case failed != nil:
		failed.write(w)
		return
	case invocationType == typeDryRun:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set(headerVersion, h.cfg.FunctionVersion)
	stream := &eventStream{w: w, control: http.NewResponseController(w)}
	req.Stream = stream
	// The client's end does not end this, because the invocation must not write to
	// the stream after this function has returned.
	a, err := h.invoke(context.WithoutCancel(r.Context()), req)
	if err != nil {
		w.Header().Del(headerVersion)
		invokeError(err).write(w)
		return
	}
	stream.complete(a)
}

// eventStream writes a response as an event stream. It begins with the first event, so that
// an invocation that does not begin has an ordinary error.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	encoder *eventstream.Encoder // nil before the first event
	err     error                // the client is gone
}

// Write sends a chunk. The pool's Invoke calls it, one call at a time.
func (s *eventStream) Write(p []byte) (int, error) {
	s.send("PayloadChunk", "application/octet-stream", p)
	return len(p), s.err
}

// complete sends the last event.
func (s *eventStream) complete(a answer) {
	var event struct {
		ErrorCode    string `json:",omitempty"`
		ErrorDetails string `json:",omitempty"`
		LogResult    string `json:",omitempty"`
	}
	if a.FunctionError != "" {
		event.ErrorCode, event.ErrorDetails = a.FunctionError, string(a.Payload)
	}
	event.LogResult = base64.StdEncoding.EncodeToString(a.log)
	payload, err := json.Marshal(event)
	if err != nil {
		panic("locallambda: " + err.Error()) // strings: they encode
	}
	s.send("InvokeComplete", "application/json", payload)
}

func (s *eventStream) send(eventType, contentType string, payload []byte) {
	if s.encoder == nil {
		s.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
		s.encoder = eventstream.NewEncoder()
	}
	if s.err != nil {
		return
	}
	message := eventstream.Message{Payload: payload}
	message.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.EventMessageType))
	message.Headers.Set(eventstreamapi.EventTypeHeader, eventstream.StringValue(eventType))
	message.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue(contentType))
	_ = s.control.SetWriteDeadline(time.Now().Add(stallTimeout)) // a writer without deadlines is one of a test
	if s.err = s.encoder.Encode(s.w, message); s.err == nil {
		s.err = s.control.Flush()
	}
}
