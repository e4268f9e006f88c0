package extensionapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxAnswer = 1 << 20 // bytes that are read of a response's body
	maxHeader = 1 << 20 // and about as many of what is around it
	// maxInformation is how many responses with a status of 1xx may precede the
	// response.
	maxInformation = 8
)

// connection is an HTTP/1.1 connection to Lambda for one request at a time. It writes a
// request with one system call, and runs in the goroutine that calls it: http.Transport
// takes three goroutines and their threads, which is a fifth of what a start costs
// (docs/adr/0016-start-up.md).
type connection struct {
	address string // host:port
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	conn   net.Conn // nil: none is open
	limit  io.LimitedReader
	reader *bufio.Reader // of limit, which reads from conn
}

// newConnection returns a connection that is opened by the first request. It has no
// time-outs, because the process may be frozen for hours while it waits for a response.
// It uses no proxy: HTTP_PROXY is for the function, not for this address.
func newConnection(address string) *connection {
	dialer := net.Dialer{KeepAlive: -1}
	return &connection{address: address, dial: dialer.DialContext}
}

// response is a response of Lambda.
type response struct {
	status int
	header http.Header
	body   []byte // at most maxAnswer bytes
}

// header is a header of a request.
type header struct{ name, value string }

// send sends a request and waits for its response. It calls sent, unless that is nil,
// once: when the request is written or has failed. If Lambda has closed the connection
// since the last request, send opens another one.
func (c *connection) send(ctx context.Context, sent func(), method, path string, headers []header, body []byte) (response, error) {
	if sent == nil {
		sent = func() {}
	}
	sent = sync.OnceFunc(sent)
	defer sent()
	request, err := c.request(method, path, headers, body)
	if err != nil {
		return response{}, err
	}
	for {
		reused := c.conn != nil
		r, err := c.try(ctx, request, sent)
		switch {
		case err == nil:
			return r, nil
		case ctx.Err() != nil:
			return r, ctx.Err()
		case !reused || c.limit.N < maxHeader+maxAnswer: // a part of a response arrived
			return r, err
		}
	}
}

// request returns the bytes of a request.
func (c *connection) request(method, path string, headers []header, body []byte) ([]byte, error) {
	b := append(make([]byte, 0, 512), method+" "+path+" HTTP/1.1\r\nHost: "+c.address+"\r\n"...)
	for _, h := range headers {
		if strings.ContainsAny(h.value, "\r\n\x00") {
			return nil, fmt.Errorf("the header %s cannot have the value %q: it has a line break or a zero byte", h.name, h.value)
		}
		b = append(b, h.name+": "+h.value+"\r\n"...)
	}
	if body != nil {
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	}
	return append(append(b, "\r\n"...), body...), nil
}

// try sends a request once. After an error the connection is closed.
func (c *connection) try(ctx context.Context, request []byte, sent func()) (r response, err error) {
	keep := false
	defer func() {
		if !keep {
			c.close()
		}
	}()
	c.limit.N = maxHeader + maxAnswer
	if c.conn == nil {
		if c.conn, err = c.dial(ctx, "tcp", c.address); err != nil {
			return r, err
		}
		c.limit.R = c.conn
		if c.reader == nil {
			c.reader = bufio.NewReader(&c.limit)
		}
		c.reader.Reset(&c.limit)
	}
	conn := c.conn
	interrupt := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		keep = interrupt() && keep
	}()
	if _, err = conn.Write(request); err != nil {
		return r, err
	}
	sent()
	r, keep, err = c.read()
	return r, err
}

// read reads a response. keep reports whether the connection can be used again.
func (c *connection) read() (r response, keep bool, err error) {
	var resp *http.Response
	for n := 0; ; n++ {
		if resp, err = http.ReadResponse(c.reader, nil); err != nil {
			return r, false, err
		}
		if resp.StatusCode/100 != 1 {
			break
		}
		if n == maxInformation {
			return r, false, fmt.Errorf("more than %d responses with a status of 1xx", maxInformation)
		}
	}
	// Do not close the body: that would read the rest of it, which may have no end.
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return r, false, fmt.Errorf("read the answer: %w", err)
	}
	r.status, r.header = resp.StatusCode, resp.Header
	return r, !resp.Close && len(r.body) < maxAnswer && c.reader.Buffered() == 0, nil
}

// close closes the connection, if one is open.
func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
