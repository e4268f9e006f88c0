package kinesis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/kinetel/kinetel/internal/regularfile"
)

const (
	// mlkemTimeout bounds a handshake that offers X25519MLKEM768, as Go does by
	// default. Its ClientHello is some 1,500 bytes long and takes two TCP
	// segments, and some firewalls drop it. The timeout is short, so that there
	// is time for a handshake without ML-KEM before the shipper cancels the
	// request. tlsTimeout bounds a handshake without ML-KEM.
	mlkemTimeout = 1500 * time.Millisecond
	tlsTimeout   = 3 * time.Second
	// maxHandshake is longer than a handshake can last, unless the environment
	// was frozen. A handshake that was cancelled after more than minUnanswered is
	// taken as one that gets no answer.
	maxHandshake  = tlsTimeout + time.Second
	minUnanswered = time.Second
)

// maxBundle bounds AWS_CA_BUNDLE. All the authorities of the Web take 220 kB.
const maxBundle = 4 << 20

// connection is a transport and the kind of its TLS handshakes.
type connection struct {
	*http.Transport
	mlkem bool // the handshakes offer X25519MLKEM768
}

// connect makes and sets the transport, for handshakes with or without ML-KEM. The
// caller holds mu.
func (c *Client) connect(mlkem bool) error {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		Proxy:               c.cfg.Proxy,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: mlkemTimeout,
		MaxIdleConnsPerHost: MaxConnections,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if !mlkem {
		transport.TLSHandshakeTimeout = tlsTimeout
		// Go's default without ML-KEM. In FIPS mode Go leaves out the curves that
		// the mode excludes.
		transport.TLSClientConfig.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	}
	if c.cfg.CABundle != "" {
		pem, err := regularfile.Read(c.cfg.CABundle, maxBundle)
		if err != nil {
			return fmt.Errorf("read AWS_CA_BUNDLE: %w", err)
		}
		// It replaces the system's roots, as in the AWS SDKs.
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("AWS_CA_BUNDLE=%q: the file has no PEM certificate", c.cfg.CABundle)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if c.conn != nil {
		c.conn.CloseIdleConnections()
	}
	c.conn = &connection{transport, mlkem}
	return nil
}

// connected returns the transport, and makes it if there is none.
func (c *Client) connected() (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		if err := c.connect(true); err != nil {
			return nil, err
		}
	}
	return c.conn, nil
}

// handshakeError is the error of a TLS handshake: no request was sent.
type handshakeError struct {
	error
	offer bool // the key exchanges that it offered may be the reason
}

func (e *handshakeError) Unwrap() error { return e.error }

// works records that an answer came, so the handshake before it succeeded.
func (c *Client) works(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case conn.mlkem:
		c.mlkemWorks = true
	case c.mlkemError != nil:
		if c.cfg.Log != nil {
			c.cfg.Log.Warn("the TLS handshake with X25519MLKEM768 failed, and one without it succeeded: a firewall or proxy between drops its ClientHello, which is larger than one TCP segment; this process goes on without X25519MLKEM768 (docs/operations.md)", "error", c.mlkemError.Error())
		}
		c.mlkemError = nil // logged
	}
}

// fallBack returns the transport to retry with after a failed handshake, or nil if
// a retry would not help. Until a handshake has succeeded, handshakes with and
// without ML-KEM alternate.
func (c *Client) fallBack(failed *connection, err *handshakeError) *connection {
	if certificate := (*tls.CertificateVerificationError)(nil); !err.offer || errors.As(err, &certificate) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.conn != failed: // another request has replaced it already
	case failed.mlkem && !c.mlkemWorks:
		if c.connect(false) != nil {
			return nil
		}
		c.mlkemError = err
	case !failed.mlkem && c.mlkemError != nil: // perhaps ML-KEM is not the reason
		_ = c.connect(true)
		c.mlkemError = nil
		return nil
	default:
		return nil
	}
	return c.conn
}
