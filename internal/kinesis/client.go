// Package kinesis is the extension's own client of Kinesis Data Streams. It
// knows one operation, PutRecords, because the AWS SDK's client costs every
// cold start several milliseconds (docs/adr/0002-own-kinesis-client.md).
// Signing is the SDK's.
package kinesis

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"kinetel/internal/event"
	"kinetel/internal/pack"
	"kinetel/internal/version"
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
	tlsTimeout  = 3 * time.Second
	// idleTimeout is shorter than Kinesis' own, so that a connection is
	// rarely closed by the other side just when it is needed.
	idleTimeout = 50 * time.Second
)

// Config says where to put and as whom.
type Config struct {
	StreamName string
	StreamARN  string // takes the name's place where it is set
	Region     string // of the stream
	Endpoint   string // a URL
	CABundle   string // path of a PEM file of more roots; empty: the system's only
	// Credentials are what requests are signed with. They are asked for with
	// every attempt, because a signature does not survive a freeze.
	Credentials CredentialSource
	// Proxy chooses a proxy as http.Transport does; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
}

// CredentialSource is where the keys come from.
type CredentialSource interface {
	Get(ctx context.Context) (aws.Credentials, error)
	// Renew forgets what Get may have kept.
	Renew()
}

// Client puts records. It is safe for concurrent use.
type Client struct {
	cfg    Config
	signer *v4.Signer

	mu        sync.Mutex
	transport *http.Transport // nil before the first request; guarded by mu
}

// New returns a Client. It connects nowhere and reads nothing.
func New(cfg Config) *Client {
	return &Client{cfg: cfg, signer: v4.NewSigner()}
}

// connect makes the transport for the first request.
func (c *Client) connect() error {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		Proxy:               c.cfg.Proxy,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: tlsTimeout,
		MaxIdleConnsPerHost: MaxConnections,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
	}
	if c.cfg.CABundle != "" {
		pem, err := os.ReadFile(c.cfg.CABundle)
		if err != nil {
			return fmt.Errorf("read AWS_CA_BUNDLE: %w", err)
		}
		// It replaces the system's roots, as in the AWS SDKs.
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("AWS_CA_BUNDLE=%q: the file has no PEM certificate", c.cfg.CABundle)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	c.transport = transport
	return nil
}

// CloseIdle drops the connections that are not in use.
func (c *Client) CloseIdle() {
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// Renew has the credentials read anew with the next request.
func (c *Client) Renew() { c.cfg.Credentials.Renew() }

// Result is what became of one record of a request.
type Result struct {
	SequenceNumber string // not empty: Kinesis has the record
	ErrorCode      string // why not; the record can be tried again
	ErrorMessage   string
}

// OK reports whether Kinesis has the record.
func (r Result) OK() bool { return r.SequenceNumber != "" }

// PutRecords sends records in one request, at most MaxRecords and MaxBytes of
// them. Where the request as a whole was accepted there is a Result for each
// record, in their order, and a Result may be a failure; otherwise there is an
// *Error.
func (c *Client) PutRecords(ctx context.Context, records []*pack.Record) ([]Result, error) {
	if c.transport == nil {
		if err := c.connect(); err != nil {
			return nil, &Error{Class: Denied, Code: codeConfiguration, Err: err}
		}
	}
	creds, err := c.cfg.Credentials.Get(ctx)
	if err != nil {
		return nil, &Error{Class: Credentials, Code: "NoCredentials", Err: fmt.Errorf("read credentials: %w", err)}
	}

	reused := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
	})
	// Each request has a body of its own: the transport may go on reading it
	// after RoundTrip has returned.
	body := c.encode(records)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, &Error{Class: Denied, Code: codeConfiguration, Err: err}
	}
	if req.URL.Path == "" {
		req.URL.Path = "/"
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecords")
	req.Header.Set("User-Agent", "kinetel/"+version.Version)
	hash := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(hash[:]), "kinesis", c.cfg.Region, time.Now()); err != nil {
		return nil, &Error{Class: Credentials, Code: "CannotSign", Err: fmt.Errorf("sign: %w", err)}
	}

	// The transport is used without http.Client: redirects would carry
	// signed telemetry elsewhere.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, &Error{Class: Transient, Reused: reused && ctx.Err() == nil, Err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &Error{Class: Transient, Status: resp.StatusCode, Reused: reused && ctx.Err() == nil, Err: fmt.Errorf("read the answer: %w", err)}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, failure(resp, answer)
	}
	return results(answer, len(records))
}

// encode returns the request's body (Kinesis API reference, PutRecords).
func (c *Client) encode(records []*pack.Record) []byte {
	n := 256
	for _, r := range records {
		n += base64.StdEncoding.EncodedLen(len(r.Data)) + len(r.PartitionKey) + 64
	}
	b := append(make([]byte, 0, n), `{"Records":[`...)
	for i, r := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Data":"`...)
		b = base64.StdEncoding.AppendEncode(b, r.Data)
		b = append(b, `","PartitionKey":`...)
		b = event.AppendQuoted(b, r.PartitionKey)
		b = append(b, '}')
	}
	if c.cfg.StreamARN != "" {
		b = append(b, `],"StreamARN":`...)
		b = event.AppendQuoted(b, c.cfg.StreamARN)
	} else {
		b = append(b, `],"StreamName":`...)
		b = event.AppendQuoted(b, c.cfg.StreamName)
	}
	return append(b, '}')
}

// failure reads the answer of a request that was refused.
func failure(resp *http.Response, answer []byte) *Error {
	var body struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// A proxy may answer with a page; then the status has to do. Names are
	// matched whatever their case: services write message and Message.
	_ = json.Unmarshal(answer, &body)
	code := errorCode(body.Type)
	if code == "" {
		code = errorCode(resp.Header.Get("X-Amzn-Errortype"))
	}
	if code == "" {
		code = errorCode(body.Code)
	}
	e := &Error{Status: resp.StatusCode, Code: code, Message: body.Message, Class: classify(resp.StatusCode, code)}
	if code == "" {
		e.Code = http.StatusText(resp.StatusCode)
	}
	if len(e.Message) > 500 {
		e.Message = e.Message[:500] + "…"
	}
	return e
}

var (
	errUnreadable = errors.New("the answer to PutRecords is not JSON")
	errMismatch   = errors.New("the answer to PutRecords has another number of results than the request had records")
)

// results reads the answer of a request that was accepted. One that cannot be
// matched to the records is a failed call, and the records may have landed.
func results(answer []byte, records int) ([]Result, error) {
	var body struct {
		Records []Result
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return nil, &Error{Class: Transient, Status: http.StatusOK, Err: fmt.Errorf("%w: %w", errUnreadable, err)}
	}
	if len(body.Records) != records {
		return nil, &Error{Class: Transient, Status: http.StatusOK, Err: fmt.Errorf("%w: %d for %d", errMismatch, len(body.Records), records)}
	}
	return body.Records, nil
}
