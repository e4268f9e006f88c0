package kinesissim

import (
	"cmp"
	"fmt"
	"net"
	"time"
)

// Config is how a server behaves. Its zero value is a server without streams
// that accepts every signature and has no rate limits.
type Config struct {
	// Addr is where to listen; empty means "127.0.0.1:0", a port that is
	// free. Start refuses all but loopback addresses, because the server
	// keeps no secret and bounds no memory.
	Addr string
	// Region and AccountID are those of the ARNs and of the signatures;
	// empty means "eu-west-1" and "123456789012".
	Region, AccountID string
	// Streams are made at the start.
	Streams []Stream
	// ShardLimit is how many shards all streams together may have before
	// CreateStream fails with LimitExceededException; zero means 20,000.
	ShardLimit int
	// EnforceRate makes a shard refuse more than 1,000 records or 1 MiB in a
	// second. A shard accepts one second's worth at once.
	EnforceRate bool
	// Now is the clock for rates, arrivals, signatures, and the age of
	// iterators and records; nil means time.Now. [Delay] does not follow it.
	Now func() time.Time
	// Credentials holds the secret of every access key that exists. When it
	// is not nil, the server verifies each request's signature: version 4,
	// for the service "kinesis", in the Authorization header. When it is nil,
	// the server only demands the header.
	Credentials map[string]string
	// ExpiredTokens are session tokens to refuse with ExpiredTokenException.
	ExpiredTokens []string
	// TLS serves HTTPS. Start makes an authority and a certificate by it, see
	// [Server.CertificatePEM].
	TLS bool
	// Intercept decides how each request ends; nil carries every request out.
	// [Server.SetIntercept] replaces it.
	Intercept Interceptor
	// OnRequest is called for every request when its outcome is known, before
	// its answer is sent: when a client has an answer, OnRequest has returned.
	// Requests that end at the same time call it at the same time.
	OnRequest func(Observation)
}

// loopback checks an address. It does not ask a resolver for "localhost".
func loopback(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("kinesissim: address %q: %w", addr, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("kinesissim: address %q is not of the loopback", addr)
	}
	return net.JoinHostPort(host, port), nil
}

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:0")
	c.Region = cmp.Or(c.Region, "eu-west-1")
	c.AccountID = cmp.Or(c.AccountID, "123456789012")
	c.ShardLimit = cmp.Or(c.ShardLimit, 20000)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
