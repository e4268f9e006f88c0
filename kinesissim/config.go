package kinesissim

import (
	"cmp"
	"fmt"
	"net"
	"time"
)

// Config describes a server. Its zero value is a server without streams that accepts every
// signature and has no rate limits.
type Config struct {
	// Addr is the address to listen on: a free port of 127.0.0.1 by default. Start
	// accepts loopback addresses only, because the server keeps no secret and does
	// not limit its memory.
	Addr string
	// Region and AccountID are those of ARNs and signatures: "eu-west-1" and
	// "123456789012" by default.
	Region, AccountID string
	// Streams exist from the start.
	Streams []Stream
	// ShardLimit is how many open shards all streams may have together: 20,000 by
	// default. CreateStream, SplitShard and UpdateShardCount fail with
	// LimitExceededException if there would be more.
	ShardLimit int
	// EnforceRate limits what a shard accepts and returns in a second: 1,000
	// records or 1 MiB written, five GetRecords or 2 MiB read. A shard allows the
	// amount of one second at once.
	EnforceRate bool
	// Now is the clock for rates, arrivals, signatures, and the age of iterators
	// and records: time.Now by default. [Delay] takes real time.
	Now func() time.Time
	// Credentials has the secret key of each access key. If it is not nil, the
	// server verifies the signature of each request: version 4, for the service
	// "kinesis", in the Authorization header. If it is nil, each request only has
	// to have that header.
	Credentials map[string]string
	// ExpiredTokens are session tokens that the server refuses with
	// ExpiredTokenException.
	ExpiredTokens []string
	// TLS serves HTTPS. [Server.CertificatePEM] is the certificate to trust.
	TLS bool
	// Dir is a folder that keeps streams and records for the next start, in a file
	// that only its owner may read; empty keeps them in memory only. They survive a
	// kill of the process, but not always one of the machine. The file grows with
	// each request. Streams that the folder already has are not made again.
	Dir string
	// Intercept decides how each request ends; nil carries every request out.
	// [Server.SetIntercept] replaces it.
	Intercept Interceptor
	// OnRequest is called for every request when its outcome is known. When a
	// client has its answer, OnRequest has returned. Requests that end at the same
	// time call it at the same time.
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
