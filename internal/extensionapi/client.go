// Package extensionapi is a client of Lambda's Extensions API, version 2020-01-01.
package extensionapi

import (
	"bytes"
	"context"
	"fmt"
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
)

// Client is an extension's connection to Lambda. Call its methods from one
// goroutine: Lambda requires that for next.
type Client struct {
	connection *connection
	id         string // from register
}

// New returns a Client for the API at runtimeAPI, which is host:port.
func New(runtimeAPI string) *Client { return &Client{connection: newConnection(runtimeAPI)} }

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
// base name of the extension's file. sent is called as that of Next.
func (c *Client) Register(ctx context.Context, sent func(), name string, events ...string) (Function, error) {
	var f Function
	var body jsontext.Object
	body.Strings("events", events)
	r, err := c.call(ctx, sent, "register", http.MethodPost, "/register", body.JSON(), header{headerName, name}, header{headerFeature, "accountId"})
	if err != nil {
		return f, err
	}
	if c.id = r.header.Get(headerID); c.id == "" {
		return f, fmt.Errorf("register: Lambda gave no %s", headerID)
	}
	if answer := r.body; jsontext.IsObject(answer) { // missing data about the function is no reason to fail
		f.Name = jsontext.Text(jsontext.Member(answer, "functionName"))
		f.Version = jsontext.Text(jsontext.Member(answer, "functionVersion"))
		f.Handler = jsontext.Text(jsontext.Member(answer, "handler"))
		f.AccountID = jsontext.Text(jsontext.Member(answer, "accountId"))
	}
	return f, nil
}

// Next waits for the next event, however long that takes. The call also reports to
// Lambda that the extension is done with the previous event. Next calls sent, unless
// that is nil, when the request is written or has failed, and before it reads the
// response.
func (c *Client) Next(ctx context.Context, sent func()) (Event, error) {
	var e Event
	r, err := c.call(ctx, sent, "next", http.MethodGet, "/event/next", nil)
	if err != nil {
		return e, err
	}
	if !e.read(r.body) {
		return e, fmt.Errorf("next: the event cannot be read: %.200q", r.body)
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
	_, err := c.call(ctx, nil, "init/error", http.MethodPost, "/init/error", body.JSON(), header{headerErrorType, errorType})
	return err
}

// call calls a method of the Extensions API. A response with a status other than 2xx is
// an *Error.
func (c *Client) call(ctx context.Context, sent func(), call, method, at string, body []byte, headers ...header) (response, error) {
	r, err := c.send(ctx, sent, method, path+at, body, headers...)
	if err != nil {
		return r, fmt.Errorf("%s: %w", call, err)
	}
	if r.status/100 != 2 {
		return r, &Error{Call: call, Status: r.status, Type: errorType(r.body), Body: string(bytes.TrimSpace(r.body[:min(len(r.body), 500)]))}
	}
	return r, nil
}

// Send sends a request to another API of Lambda at the same address, with the identifier
// that Lambda assigned. It returns the status and the body of the response.
func (c *Client) Send(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	r, err := c.send(ctx, nil, method, path, body)
	return r.status, r.body, err
}

func (c *Client) send(ctx context.Context, sent func(), method, path string, body []byte, headers ...header) (response, error) {
	if c.id != "" {
		headers = append(headers, header{headerID, c.id})
	}
	return c.connection.send(ctx, sent, method, path, headers, body)
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
