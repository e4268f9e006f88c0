package streamreader_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/kinesissim"
)

// subscriptions is a client of HTTP that changes the first SubscribeToShard.
type subscriptions struct {
	*http.Client
	change func(r *http.Request) (*http.Response, error)
	calls  atomic.Int64
}

func (s *subscriptions) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".SubscribeToShard") && s.calls.Add(1) == 1 {
		return s.change(r)
	}
	return s.Client.Do(r)
}

// cutBody ends with an error when the reader has read so many bytes.
type cutBody struct {
	io.ReadCloser
	left int
	cut  func()
	once sync.Once
}

func (c *cutBody) Read(b []byte) (int, error) {
	if c.left == 0 {
		c.once.Do(c.cut)
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

func message(t *testing.T, kind, name string) string {
	m := eventstream.Message{Payload: []byte("{}")}
	m.Headers.Set(":message-type", eventstream.StringValue(kind))
	m.Headers.Set(":"+kind+"-type", eventstream.StringValue(name))
	m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
		t.Error(err)
	}
	return b.String()
}

func TestASubscriptionThatFailsIsMadeAgainWithoutALoss(t *testing.T) {
	for _, name := range []string{"refused", "cut", "cut at once", "internal failure"} {
		if testing.Short() && (name == "cut" || name == "internal failure") { // each waits for seconds
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, cfg, c := start(t, 1, kinesissim.Config{})
			again := &subscriptions{Client: cfg.HTTPClient.(*http.Client)}
			again.change = func(r *http.Request) (*http.Response, error) {
				switch name {
				case "refused": // an earlier subscription of the consumer has not ended yet
					put(t, c, 1, 3)
					return answer(400, `{"__type":"ResourceInUseException","message":"in use"}`), nil
				case "internal failure":
					put(t, c, 1, 3)
					out := answer(200, message(t, "event", "initial-response")+message(t, "exception", "InternalFailureException"))
					out.Header.Set("Content-Type", "application/vnd.amazon.eventstream")
					return out, nil
				}
				left := 200
				if name == "cut at once" {
					left = 10
				}
				out, err := again.Client.Do(r)
				if err == nil {
					out.Body = &cutBody{ReadCloser: out.Body, left: left, cut: func() { put(t, c, 1, 3) }}
				}
				return out, err
			}
			cfg.HTTPClient = again
			r := streamreader.New(streamreader.Config{AWS: cfg, Stream: "telemetry", From: streamreader.Position{Latest: true}, Follow: true, Consumer: "tail"})
			check(t, []string{"0001", "0002", "0003"}, collect(t, r, 3))
			if again.calls.Load() < 2 {
				t.Errorf("%d subscriptions", again.calls.Load())
			}
		})
	}
}
