package credentials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/regularfile"
	"github.com/kinetel/kinetel/internal/version"
)

const (
	attempts       = 3
	attemptTimeout = time.Second
	firstWait      = 50 * time.Millisecond // bounds the first wait between attempts; doubles

	maxAnswer = 64 << 10 // bytes
	maxToken  = 16 << 10 // bytes of the token's file
)

// ContainerOptions are the endpoint's address and the token to send to it, from the
// environment variables named below (AWS SDKs and Tools reference guide, container
// credential provider).
type ContainerOptions struct {
	URI       string // AWS_CONTAINER_CREDENTIALS_FULL_URI; must pass CheckURI
	Token     string // AWS_CONTAINER_AUTHORIZATION_TOKEN; empty: none is sent
	TokenFile string // AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; if set, used instead of Token
}

// Container returns a Source that fetches keys from a local endpoint, and again
// some minutes before they expire. It does nothing before the first Get.
func Container(opt ContainerOptions) *Source {
	return &Source{endpoint: &endpoint{opt: opt}}
}

// endpoint is a client of the credentials endpoint. One goroutine at a time may use
// it.
type endpoint struct {
	opt       ContainerOptions
	transport *http.Transport // nil before the first fetch
}

// fetch fetches keys, with up to tries attempts.
func (e *endpoint) fetch(ctx context.Context, tries int) (aws.Credentials, error) {
	// The configuration has checked the URI already. Check it again, because
	// the token is sent there.
	if err := CheckURI(e.opt.URI); err != nil {
		return aws.Credentials{}, fmt.Errorf("%s: %w", VariableURI, err)
	}
	// Read the token's file for every fetch: its owner may renew the token.
	token, err := e.token()
	if err != nil {
		return aws.Credentials{}, err
	}
	for n := 1; ; n++ {
		keys, final, err := e.attempt(ctx, token)
		if err == nil {
			return keys, nil
		}
		if final || n >= tries || !wait(ctx, rand.N(firstWait<<(n-1))) {
			return aws.Credentials{}, fmt.Errorf("fetch keys from %s: %w", VariableURI, err)
		}
	}
}

// wait waits for d or until ctx ends. It reports whether ctx has not ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// attempt makes one request for keys. If it fails, final means that another attempt
// would fail too.
func (e *endpoint) attempt(ctx context.Context, token string) (keys aws.Credentials, final bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.opt.URI, nil)
	if err != nil {
		return keys, true, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "kinetel/"+version.Version)
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	// The transport is used without http.Client, which would follow a redirect
	// and send the token elsewhere.
	resp, err := e.connect().RoundTrip(req)
	if err != nil {
		return keys, errors.Is(err, errElsewhere), err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return keys, resp.StatusCode < 500, refusal(resp.StatusCode, answer)
	case err != nil:
		return keys, false, fmt.Errorf("read the answer: %w", err)
	case len(answer) > maxAnswer:
		return keys, true, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	keys, err = read(answer)
	return keys, true, err
}

// errElsewhere is final: localhost resolves to an address that is not local.
var errElsewhere = errors.New("the host's address is not on this machine")

// connect returns the transport, and makes it if there is none. The transport uses
// no proxy, because the configured proxy is the function's. It keeps no connection
// open: with one request an hour it would not stay open, and it would not survive a
// snapshot.
func (e *endpoint) connect() *http.Transport {
	if e.transport == nil {
		dialer := net.Dialer{Timeout: attemptTimeout}
		if strings.HasPrefix(strings.ToLower(e.opt.URI), "http:") {
			// The token must not leave the machine in clear text, whatever
			// address the name localhost resolves to.
			dialer.Control = func(_, address string, _ syscall.RawConn) error {
				if to, err := netip.ParseAddrPort(address); err != nil || !local(to.Addr()) {
					return errElsewhere
				}
				return nil
			}
		}
		e.transport = &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    attemptTimeout,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxAnswer,
		}
	}
	return e.transport
}

// token returns what to send as Authorization, or "".
func (e *endpoint) token() (string, error) {
	token, from := e.opt.Token, "AWS_CONTAINER_AUTHORIZATION_TOKEN"
	if file := e.opt.TokenFile; file != "" {
		from = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
		content, err := regularfile.Read(file, maxToken)
		if err == nil && len(content) == 0 {
			err = errors.New("the file is empty")
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", from, err)
		}
		token = string(content)
	}
	// A line break would begin another header. Nothing is trimmed, as in the
	// AWS SDKs.
	if strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("%s: the token must not contain a line break, not even at its end", from)
	}
	return token, nil
}

// refusal returns the error for an answer without keys. Of the body it includes only
// the code, and only if it looks like a code: the rest may have secrets.
func refusal(status int, answer []byte) error {
	var code string
	if jsontext.IsObject(answer) {
		for m := jsontext.Members(answer); m.Next(); {
			if strings.EqualFold(string(m.Name), "code") {
				code = jsontext.Text(m.Value)
			}
		}
	}
	text := fmt.Sprintf("it answered HTTP %d", status)
	if code != "" && len(code) <= 64 && strings.Trim(code, codeCharacters) == "" {
		text += " " + code
	}
	switch {
	case status/100 == 3:
		text += "; redirects are not followed"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		text += "; check AWS_CONTAINER_AUTHORIZATION_TOKEN"
	}
	return errors.New(text)
}

// codeCharacters are the characters of error codes.
const codeCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// read parses an answer. Its errors include nothing from the answer.
func read(answer []byte) (aws.Credentials, error) {
	keys := aws.Credentials{Source: "container"}
	var expiration string
	ok := jsontext.IsObject(answer)
	for m := jsontext.Members(answer); ok && m.Next(); {
		var to *string
		switch string(m.Name) {
		case "AccessKeyId":
			to = &keys.AccessKeyID
		case "SecretAccessKey":
			to = &keys.SecretAccessKey
		case "Token":
			to = &keys.SessionToken
		case "Expiration":
			to = &expiration
		}
		ok = to == nil || jsontext.ReadString(m.Value, to)
	}
	if !ok {
		return aws.Credentials{}, errors.New("the answer is not a JSON object of texts")
	}
	if keys.AccessKeyID == "" || keys.SecretAccessKey == "" {
		return aws.Credentials{}, errors.New("the answer has no AccessKeyId and SecretAccessKey")
	}
	if expiration != "" { // without it the keys do not expire, as in the AWS SDKs
		expires, err := time.Parse(time.RFC3339, expiration)
		if err != nil {
			return aws.Credentials{}, errors.New("the answer's Expiration is not a time of RFC 3339")
		}
		keys.CanExpire, keys.Expires = true, expires
	}
	return keys, nil
}
