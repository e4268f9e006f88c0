// Package extensionapi is a client of Lambda's Extensions API, version 2020-01-01.
package extensionapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// Kinds of events that an extension can register for.
const (
	Invoke   = "INVOKE"
	Shutdown = "SHUTDOWN"
)

const (
	path = "/2020-01-01/extension"

	headerName      = "Lambda-Extension-Name"
	headerFeature   = "Lambda-Extension-Accept-Feature"
	headerID        = "Lambda-Extension-Identifier"
	headerErrorType = "Lambda-Extension-Function-Error-Type"

	maxAnswer = 1 << 20 // bytes that are read of a response
)

// Client is an extension's connection to Lambda. Call its methods from one
// goroutine: Lambda requires that for next.
type Client struct {
	base       string
	runtimeAPI string
	http       *http.Client
	id         string // from register
}

// New returns a Client for the API at runtimeAPI, which is host:port.
func New(runtimeAPI string) *Client {
	return &Client{
		base:       "http://" + runtimeAPI + path,
		runtimeAPI: runtimeAPI,
		http: &http.Client{
			// No time-outs: the process may be frozen inside next for hours. No
			// proxy: HTTP_PROXY is for the function, not for this address.
			Transport: &http.Transport{Proxy: nil, DisableCompression: true},
		},
	}
}

// HTTP returns the HTTP client, for Lambda's other APIs at the same address.
func (c *Client) HTTP() *http.Client { return c.http }

// ID returns the identifier that Lambda assigned at the registration.
func (c *Client) ID() string { return c.id }

// Function is what Lambda's answer to register contains about the function.
type Function struct {
	Name, Version, Handler string
	AccountID              string // empty if Lambda does not send it
}

// Event is what next returns.
type Event struct {
	Type           string // Invoke or Shutdown
	DeadlineMs     int64
	RequestID      string // of an Invoke
	FunctionARN    string
	Trace          Trace
	ShutdownReason string // spindown, timeout or failure, in upper or lower case; others are possible
}

// Trace is the trace that an Invoke is part of, in the format of the X-Ray header
// (Root=…;Parent=…;Sampled=…); empty if Lambda sends none.
type Trace string

// Deadline returns when the invocation times out, or when Lambda sends SIGKILL after
// a Shutdown.
func (e Event) Deadline() time.Time { return time.UnixMilli(e.DeadlineMs) }

// InvalidEventType is the Type of the Error if Lambda does not allow the extension to
// register for some kind of event.
const InvalidEventType = "Extension.InvalidEventType"

// Error is an error that Lambda answered.
type Error struct {
	Call   string // register, next, …
	Status int    // of the HTTP response
	Type   string // errorType in the response; empty: none
	Body   string // of the response
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: Lambda answered %d: %s", e.Call, e.Status, e.Body)
}

// Register registers the extension for the given kinds of events. name must be the
// base name of the extension's file.
func (c *Client) Register(ctx context.Context, name string, events ...string) (Function, error) {
	var f Function
	var body jsontext.Object
	body.Strings("events", events)
	header, answer, err := c.call(ctx, "register", http.MethodPost, "/register", body.JSON(), map[string]string{
		headerName:     name,
		headerFeature:  "accountId",
		"Content-Type": "application/json",
	})
	if err != nil {
		return f, err
	}
	if c.id = header.Get(headerID); c.id == "" {
		return f, fmt.Errorf("register: Lambda gave no %s", headerID)
	}
	if jsontext.IsObject(answer) { // missing data about the function is no reason to fail
		f.Name = jsontext.Text(jsontext.Member(answer, "functionName"))
		f.Version = jsontext.Text(jsontext.Member(answer, "functionVersion"))
		f.Handler = jsontext.Text(jsontext.Member(answer, "handler"))
		f.AccountID = jsontext.Text(jsontext.Member(answer, "accountId"))
	}
	return f, nil
}

// Next waits for the next event, however long that takes. The call also reports to
// Lambda that the extension is done with the previous event.
func (c *Client) Next(ctx context.Context) (Event, error) {
	var e Event
	_, answer, err := c.call(ctx, "next", http.MethodGet, "/event/next", nil, nil)
	if err != nil {
		return e, err
	}
	if !e.read(answer) {
		return e, fmt.Errorf("next: the event cannot be read: %.200q", answer)
	}
	return e, nil
}

// read reads an event. ok is false if the text is not a JSON object, or if a member
// other than the trace has the wrong type.
func (e *Event) read(text []byte) (ok bool) {
	ok = jsontext.IsObject(text)
	for m := jsontext.Members(text); ok && m.Next(); {
		switch string(m.Name) {
		case "eventType":
			ok = jsontext.ReadString(m.Value, &e.Type)
		case "deadlineMs":
			ok = jsontext.ReadInt(m.Value, &e.DeadlineMs)
		case "requestId":
			ok = jsontext.ReadString(m.Value, &e.RequestID)
		case "invokedFunctionArn":
			ok = jsontext.ReadString(m.Value, &e.FunctionARN)
		case "tracing":
			e.Trace = Trace(jsontext.Text(jsontext.Member(m.Value, "value")))
		case "shutdownReason":
			ok = jsontext.ReadString(m.Value, &e.ShutdownReason)
		}
	}
	return ok
}

// InitError reports to Lambda that the extension cannot be initialised, which fails
// the function's init. errorType has the form Extension.Reason. The process must
// end afterwards.
func (c *Client) InitError(ctx context.Context, errorType, message string) error {
	var body jsontext.Object
	body.String("errorMessage", message)
	body.String("errorType", errorType)
	_, _, err := c.call(ctx, "init/error", http.MethodPost, "/init/error", body.JSON(), map[string]string{
		headerErrorType: errorType,
		"Content-Type":  "application/json",
	})
	return err
}

func (c *Client) call(ctx context.Context, call, method, path string, body []byte, header map[string]string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", call, err)
	}
	if c.id != "" {
		req.Header.Set(headerID, c.id)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", call, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: read the answer: %w", call, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, &Error{Call: call, Status: resp.StatusCode, Type: errorType(answer), Body: string(bytes.TrimSpace(answer[:min(len(answer), 500)]))}
	}
	return resp.Header, answer, nil
}

// errorType returns the errorType of a response. It does not need valid JSON: the
// aws-lambda-runtime-interface-emulator inserts its message without escaping it.
func errorType(answer []byte) string {
	_, rest, _ := bytes.Cut(answer, []byte(`"errorType"`))
	value, ok := bytes.CutPrefix(bytes.TrimLeft(rest, ": \t\r\n"), []byte{'"'})
	end := bytes.IndexByte(value, '"')
	if !ok || end < 0 {
		return ""
	}
	return string(value[:end])
}
