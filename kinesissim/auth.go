package kinesissim

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	service       = "kinesis"
	algorithm     = "AWS4-HMAC-SHA256"
	amzDateLayout = "20060102T150405Z"
	maxSkew       = 5 * time.Minute
)

func expiredToken() *apiError {
	return badRequest("ExpiredTokenException", "The security token included in the request is expired")
}

func incompleteSignature(problem, header string) *apiError {
	return badRequest("IncompleteSignatureException", "%s Authorization=%s", problem, shorten(header))
}

func invalidSignature(format string, args ...any) *apiError {
	return badRequest("InvalidSignatureException", format, args...)
}

// SetCredentials replaces Config.Credentials, as when keys are rotated. With nil, the server
// does not verify signatures any more.
func (s *Server) SetCredentials(secrets map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials = maps.Clone(secrets)
}

// ExpireToken adds a session token to Config.ExpiredTokens.
func (s *Server) ExpireToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired[token] = true
}

// authenticate checks the sender of a request. It reads signatures in the
// Authorization header, not in the query.
func (s *Server) authenticate(r *http.Request, body []byte) *apiError {
	header := r.Header.Get("Authorization")
	if header == "" {
		return badRequest("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	token := r.Header.Get("X-Amz-Security-Token")
	s.mu.Lock()
	expired := s.expired[token]
	secrets := s.credentials // replaced, never changed
	s.mu.Unlock()
	if secrets == nil {
		if expired {
			return expiredToken()
		}
		return nil
	}

	a, failure := parseAuthorization(header)
	if failure != nil {
		return failure
	}
	secret, known := secrets[a.accessKey]
	if !known {
		return badRequest("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	stamp := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse(amzDateLayout, stamp)
	if err != nil {
		return incompleteSignature("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.", header)
	}
	if failure := s.checkScope(a, stamp); failure != nil {
		return failure
	}
	if failure := a.covers(r.Header); failure != nil {
		return failure
	}
	if failure := s.checkClock(signed); failure != nil {
		return failure
	}

	again := sign(r, body, a, secret, stamp)
	if subtle.ConstantTimeCompare([]byte(again), []byte(a.signature)) != 1 {
		return invalidSignature("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if expired {
		return expiredToken()
	}
	return nil
}

// authorization is a parsed Authorization header.
type authorization struct {
	accessKey     string
	scope         [4]string // date, region, service, aws4_request
	signedHeaders []string  // in lower case
	signature     string
}

func parseAuthorization(header string) (a authorization, failure *apiError) {
	kind, rest, _ := strings.Cut(header, " ")
	if kind != algorithm {
		return a, incompleteSignature("Unsupported AWS 'algorithm': '"+shorten(kind)+"'.", header)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[k] = v
	}
	var problems []string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			problems = append(problems, "Authorization header requires '"+name+"' parameter.")
		}
	}
	if problems != nil {
		return a, incompleteSignature(strings.Join(problems, " "), header)
	}
	credential := strings.Split(parts["Credential"], "/")
	if len(credential) != 5 {
		return a, incompleteSignature("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '"+
			shorten(parts["Credential"])+"'.", header)
	}
	a.accessKey = credential[0]
	copy(a.scope[:], credential[1:])
	a.signedHeaders = strings.Split(strings.ToLower(parts["SignedHeaders"]), ";")
	a.signature = parts["Signature"]
	return a, nil
}

// checkScope checks the date, region and service that a signature is for.
func (s *Server) checkScope(a authorization, stamp string) *apiError {
	date, region, svc, term := a.scope[0], a.scope[1], a.scope[2], a.scope[3]
	switch {
	case region != s.cfg.Region:
		return invalidSignature("Credential should be scoped to a valid region, not '%s'. ", shorten(region))
	case svc != service:
		return invalidSignature("Credential should be scoped to correct service: '%s'. ", service)
	case term != "aws4_request":
		return invalidSignature("Credential should be scoped with a valid terminator: 'aws4_request', not '%s'. ", shorten(term))
	case date != stamp[:8]:
		return invalidSignature("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			shorten(date), stamp[:8], stamp)
	}
	return nil
}

// covers checks that the host and all x-amz headers are signed.
func (a authorization) covers(h http.Header) *apiError {
	must := []string{"host"}
	if slices.Contains(a.signedHeaders, ":authority") {
		must[0] = ":authority" // the host's name in HTTP/2
	}
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") {
			must = append(must, name)
		}
	}
	slices.Sort(must)
	for _, name := range must {
		if !slices.Contains(a.signedHeaders, name) {
			return invalidSignature("'%s' must be a 'SignedHeader' in the AWS Authorization.", http.CanonicalHeaderKey(name))
		}
	}
	return nil
}

func (s *Server) checkClock(signed time.Time) *apiError {
	now := s.cfg.Now().UTC()
	text := func(t time.Time) string { return t.Format(amzDateLayout) }
	if earliest := now.Add(-maxSkew).Truncate(time.Second); signed.Before(earliest) {
		return invalidSignature("Signature expired: %s is now earlier than %s (%s - 5 min.)", text(signed), text(earliest), text(now))
	}
	if latest := now.Add(maxSkew); signed.After(latest) {
		return invalidSignature("Signature not yet current: %s is still later than %s (%s + 5 min.)", text(signed), text(latest), text(now))
	}
	return nil
}

// sign returns the signature that a request should have: of the headers that its sender
// signed, with the sender's secret. The signer of the SDK for Go chooses the headers itself,
// and so cannot sign what others do, such as :authority.
func sign(r *http.Request, body []byte, a authorization, secret, stamp string) string {
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") + "\n"
	for _, name := range a.signedHeaders {
		var values []string
		switch name {
		case "host", ":authority":
			values = []string{r.Host}
		case "content-length":
			values = []string{strconv.Itoa(len(body))}
		case "transfer-encoding":
			values = r.TransferEncoding
		default:
			values = r.Header.Values(name)
		}
		var words []string
		for _, v := range values {
			words = append(words, strings.Join(strings.Fields(v), " "))
		}
		canonical += name + ":" + strings.Join(words, ",") + "\n"
	}
	canonical += "\n" + strings.Join(a.signedHeaders, ";") + "\n" + hexSum(body)
	text := algorithm + "\n" + stamp + "\n" + strings.Join(a.scope[:], "/") + "\n" + hexSum([]byte(canonical))
	key := []byte("AWS4" + secret)
	for _, part := range a.scope {
		key = hmacSum(key, part)
	}
	return hex.EncodeToString(hmacSum(key, text))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hmacSum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
