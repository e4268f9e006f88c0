// Package kinesis is the extension's own client of Kinesis Data Streams. It
// has one operation, PutRecords. The AWS SDK's client would cost every cold
// start several milliseconds (docs/adr/0002-own-kinesis-client.md). Requests
// are signed with the SDK's signer.
package kinesis

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/version"
	"github.com/kinetel/kinetel/internal/wallclock"
)

// Limits of a PutRecords request (Kinesis API reference).
const (
	MaxRecords = 500
	MaxBytes   = 10 << 20 // data before base64 and partition keys
)

// MaxConnections is how many connections a Client keeps for later requests.
const MaxConnections = 4

const (
	maxAnswer   = 4 << 20 // of bytes; 500 results take some 100 kB
	dialTimeout = 2 * time.Second
	// idleTimeout is shorter than Kinesis' own, so that Kinesis rarely closes
	// a connection just when it is needed.
	idleTimeout = 50 * time.Second
)

// Config is the stream, and how to reach it.
type Config struct {
	StreamName string
	StreamARN  string // if set, used instead of StreamName
	Region     string // of the stream
	Endpoint   string // a URL
	CABundle   string // path of a PEM file of roots that replace the system's; empty: the system's
	// Credentials has the keys to sign with. The client calls it for every attempt,
	// because a signature does not survive a freeze.
	Credentials CredentialSource
	// Proxy chooses a proxy as in http.Transport; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
	Log   logging.Logger // nil: nothing is logged
}

// CredentialSource returns the keys to sign requests with.
type CredentialSource interface {
	Get(ctx context.Context) (aws.Credentials, error)
	// Invalidate makes the next Get fetch new keys.
	Invalidate()
}

// Client puts records. It is safe for concurrent use.
type Client struct {
	cfg    Config
	signer *v4.Signer
	bodies bodies

	mu         sync.Mutex  // guards all below
	conn       *connection // nil before the first request
	mlkemWorks bool        // a handshake with ML-KEM has succeeded
	mlkemError error       // why handshakes go without it; nil once it is logged
}

// New returns a Client. It neither connects nor reads a file.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg, signer: v4.NewSigner()}
	if cfg.StreamARN != "" {
		c.bodies.destination = jsontext.AppendQuote([]byte(`"StreamARN":`), cfg.StreamARN)
	} else {
		c.bodies.destination = jsontext.AppendQuote([]byte(`"StreamName":`), cfg.StreamName)
	}
	return c
}

// CloseIdle closes the connections that are not in use.
func (c *Client) CloseIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.CloseIdleConnections()
	}
}

// InvalidateCredentials makes the next request read new credentials.
func (c *Client) InvalidateCredentials() { c.cfg.Credentials.Invalidate() }

// Result is the result of one record of a request.
type Result struct {
	SequenceNumber string // not empty: Kinesis has stored the record
	ErrorCode      string // why it has not; the record can be sent again
	ErrorMessage   string
}

// OK reports whether Kinesis has stored the record.
func (r Result) OK() bool { return r.SequenceNumber != "" }

// PutRecords sends records in one request, at most MaxRecords and MaxBytes of
// them. If Kinesis accepts the request as a whole, PutRecords returns a Result for
// each record, in their order; a Result may be a failure. Otherwise it returns an
// *Error.
func (c *Client) PutRecords(ctx context.Context, records []*pack.Record) ([]Result, error) {
	conn, err := c.connected()
	if err != nil {
		return nil, &Error{Class: Denied, Code: codeConfiguration, Err: err}
	}
	creds, err := c.cfg.Credentials.Get(ctx)
	if err != nil {
		e := &Error{Class: Credentials, Code: "NoCredentials", Err: fmt.Errorf("read credentials: %w", err)}
		e.redact(nil)
		return nil, e
	}
	body := c.bodies.encode(records)
	defer body.done()
	req, err := c.request(ctx, creds, body)
	if err != nil {
		return nil, err
	}
	results, err := c.exchange(conn, req, len(records))
	// The answer's texts and the wrapped errors may repeat the request.
	_, signature, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	secrets := []string{creds.AccessKeyID, creds.SecretAccessKey, creds.SessionToken, signature}
	if e := (*Error)(nil); errors.As(err, &e) {
		if c.cfg.Proxy != nil {
			proxy, _ := c.cfg.Proxy(req)
			secrets = append(secrets, proxySecrets(proxy)...)
		}
		e.redact(secrets)
	}
	for i := range results {
		if r := &results[i]; !r.OK() {
			r.ErrorCode, r.ErrorMessage = errorCode(r.ErrorCode), redact(r.ErrorMessage, false, secrets)
		}
	}
	return results, err
}

// request makes a signed request.
func (c *Client) request(ctx context.Context, creds aws.Credentials, body *body) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.Endpoint, body.reader())
	if err != nil {
		return nil, &Error{Class: Denied, Code: codeConfiguration, Err: err}
	}
	req.ContentLength = int64(len(body.text))
	req.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
	if req.URL.Path == "" {
		req.URL.Path = "/"
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecords")
	req.Header.Set("User-Agent", "kinetel/"+version.Version)
	if err := c.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(body.sum[:]), "kinesis", c.cfg.Region, time.Now()); err != nil {
		return nil, &Error{Class: Credentials, Code: "CannotSign", Err: fmt.Errorf("sign: %w", err)}
	}
	return req, nil
}

// exchange sends a request and reads its answer. If the TLS handshake fails, it
// sends the request with another kind of handshake, if that may help.
func (c *Client) exchange(conn *connection, req *http.Request, records int) ([]Result, error) {
	resp, reused, err := c.roundTrip(conn, req)
	if failed := (*handshakeError)(nil); errors.As(err, &failed) {
		if other := c.fallBack(conn, failed); other != nil && req.Context().Err() == nil {
			req.Body, _ = req.GetBody() // never fails: the body is in memory
			resp, reused, err = c.roundTrip(other, req)
		}
	}
	reused = reused && req.Context().Err() == nil
	if err != nil {
		return nil, &Error{Class: Transient, Reused: reused, Err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &Error{Class: Transient, Status: resp.StatusCode, Reused: reused, Err: fmt.Errorf("read the answer: %w", err)}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, failure(resp, answer)
	}
	return results(answer, records)
}

// roundTrip sends a request. It reports whether the connection had been used
// before. The error of a handshake is a *handshakeError.
func (c *Client) roundTrip(conn *connection, req *http.Request) (resp *http.Response, reused bool, err error) {
	connected := false
	var began atomic.Int64 // Unix time in ns of a handshake that has not succeeded; the handshake may go on after the request
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn:           func(info httptrace.GotConnInfo) { connected, reused = true, info.Reused },
		TLSHandshakeStart: func() { began.Store(time.Now().UnixNano()) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				began.Store(0)
			}
		},
	})
	// The transport is used without http.Client, which would follow redirects
	// and send signed telemetry elsewhere.
	resp, err = conn.RoundTrip(req.WithContext(ctx))
	switch at := began.Load(); {
	case err == nil:
		c.works(conn)
	case at != 0 && !connected:
		// By the wall clock: if the environment was frozen, any handshake would
		// have failed.
		lasted := wallclock.Since(time.Unix(0, at))
		err = &handshakeError{err, lasted < maxHandshake && (req.Context().Err() == nil || lasted > minUnanswered)}
	}
	return resp, reused, err
}

// failure returns the error for the answer to a refused request.
func failure(resp *http.Response, answer []byte) *Error {
	var kind, code, message string
	if jsontext.IsObject(answer) { // a proxy may answer with an HTML page; then only the status counts
		for m := jsontext.Members(answer); m.Next(); {
			switch strings.ToLower(string(m.Name)) { // services write message and Message
			case "__type":
				kind = jsontext.Text(m.Value)
			case "code":
				code = jsontext.Text(m.Value)
			case "message":
				message = jsontext.Text(m.Value)
			}
		}
	}
	code = cmp.Or(errorCode(kind), errorCode(resp.Header.Get("X-Amzn-Errortype")), errorCode(code))
	return &Error{
		Class: classify(resp.StatusCode, code), Status: resp.StatusCode,
		Code: cmp.Or(code, http.StatusText(resp.StatusCode)), Message: message,
	}
}

// results reads the answer to an accepted request. If the answer does not match
// the records, the request has failed, and Kinesis may have stored the records.
func results(answer []byte, records int) ([]Result, error) {
	refuse := func(err error) ([]Result, error) {
		return nil, &Error{Class: Transient, Status: http.StatusOK, Err: err}
	}
	if !jsontext.IsObject(answer) {
		return refuse(errors.New("the answer to PutRecords is not JSON, or not an object"))
	}
	all := make([]Result, 0, records)
	list := jsontext.Elements(jsontext.Member(answer, "Records"))
	for list.Next() {
		var r Result
		if !r.read(list.Value) {
			return refuse(fmt.Errorf("the answer to PutRecords has a result that is not an object of texts: the one for record %d", len(all)+1))
		}
		all = append(all, r)
	}
	if len(all) != records {
		return refuse(fmt.Errorf("the answer to PutRecords has the wrong number of results: %d for %d records", len(all), records))
	}
	return all, nil
}

// read reads a result. ok is false if it is not an object, or if a member is not text.
func (r *Result) read(object []byte) (ok bool) {
	m := jsontext.Members(object)
	for m.Next() {
		var to *string
		switch string(m.Name) {
		case "SequenceNumber":
			to = &r.SequenceNumber
		case "ErrorCode":
			to = &r.ErrorCode
		case "ErrorMessage":
			to = &r.ErrorMessage
		}
		if to != nil && !jsontext.ReadString(m.Value, to) {
			return false
		}
	}
	return m.Err == nil
}
