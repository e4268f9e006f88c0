package kinesis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Class says what to do about a failed request.
type Class int

const (
	// Transient: try again after a while; the request may have landed.
	Transient Class = iota
	// Throttled: try again after a while; nothing landed.
	Throttled
	// Credentials: read the credentials again and try once more.
	Credentials
	// Denied: not to be mended by trying again soon; somebody has to act.
	Denied
	// Invalid: the request or one of its records is refused for what it is.
	Invalid
)

func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Throttled:
		return "throttled"
	case Credentials:
		return "credentials"
	case Denied:
		return "denied"
	case Invalid:
		return "invalid"
	}
	return "unknown"
}

// Error is a request that failed as a whole.
type Error struct {
	Class   Class
	Status  int    // of HTTP; 0 where no answer came
	Code    string // AWS's name of the error; empty where no answer came
	Message string // AWS's message
	// Reused means that the connection broke and had been used before: it
	// may have died while the environment was frozen, and a fresh one may
	// work at once. A request that ran out of time is not meant.
	Reused bool
	Err    error // beneath, where no answer came
}

func (e *Error) Error() string {
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Message != "":
		return fmt.Sprintf("%s (HTTP %d): %s", e.Code, e.Status, e.Message)
	}
	return fmt.Sprintf("%s (HTTP %d)", e.Code, e.Status)
}

func (e *Error) Unwrap() error { return e.Err }

// Unknown reports whether nobody can say if Kinesis has the records.
func (e *Error) Unknown() bool {
	if op := (*net.OpError)(nil); errors.As(e.Err, &op) && op.Op == "dial" {
		return false
	}
	if handshake := (*handshakeError)(nil); errors.As(e.Err, &handshake) {
		return false
	}
	return e.Class == Transient
}

// ClassOf returns the class of a request's error.
func ClassOf(err error) Class {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Class
	}
	return Transient
}

// AsDenied returns the error with the class Denied, for a caller that knows that
// it is not about the records.
func AsDenied(err error) error {
	e := (*Error)(nil)
	if !errors.As(err, &e) {
		return &Error{Class: Denied, Err: err}
	}
	denied := *e
	denied.Class = Denied
	return &denied
}

// classify maps an answer that is no success to what to do about it. The codes
// are those of the Kinesis API reference (PutRecords and common errors).
func classify(status int, code string) Class {
	switch code {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException",
		"ThrottlingException", "Throttling", "RequestLimitExceeded", "SlowDown", "TooManyRequestsException":
		return Throttled
	case "ExpiredTokenException", "ExpiredToken", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch",
		"UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature", "IncompleteSignatureException",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "RequestTimeTooSkewed":
		return Credentials
	case "AccessDeniedException", "AccessDenied", "KMSAccessDeniedException", "KMSDisabledException",
		"KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired", "ResourceNotFoundException",
		"OptInRequired", "NotAuthorized":
		return Denied
	case "InvalidArgumentException", "ValidationException", "SerializationException":
		return Invalid
	case "InternalFailure", "InternalFailureException", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException", "RequestTimeoutException":
		return Transient
	}
	switch {
	case status == 429:
		return Throttled
	case status == 408 || status >= 500:
		return Transient
	case status == 413:
		return Invalid
	case status >= 300:
		// Neither AWS's list nor a proxy's page will change in a second.
		return Denied
	}
	return Transient // a success of another kind: it may have landed
}

// codeConfiguration is the code of an error that no request was needed to find.
const codeConfiguration = "BadConfiguration"

// Mend says what somebody can do about an error, or "" where nobody has to.
func Fix(err error) string {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Class == Throttled {
		return ""
	}
	certificate, handshake := (*tls.CertificateVerificationError)(nil), (*handshakeError)(nil)
	switch {
	case e.Code == "ResourceNotFoundException":
		return "check KINETEL_STREAM_NAME and AWS_REGION; a stream of another region or account needs KINETEL_STREAM_ARN"
	case strings.HasPrefix(e.Code, "KMS"):
		return "check the state of the stream's KMS key, and that the function's role may use kms:GenerateDataKey on it"
	case strings.HasPrefix(e.Code, "AccessDenied"):
		return "allow kinesis:PutRecords on the stream to the function's role"
	case e.Class == Credentials:
		return "check the credentials that the function's role gives, that the region is the stream's, and the environment's clock"
	case e.Class == Denied && e.Status != 0:
		return "check the stream's name or ARN, that the endpoint is Kinesis, and that the role may write to the stream"
	case errors.As(err, &certificate):
		return "set AWS_CA_BUNDLE to the PEM file of the authority that signed the endpoint's certificate, or of the proxy's between"
	case e.Code == codeConfiguration:
		return "" // the error says it
	case errors.As(err, &handshake):
		return "a firewall or proxy between the function and Kinesis does not let the TLS handshake through, neither with X25519MLKEM768 nor without: check its rules (docs/operations.md)"
	case e.Status == 0 && e.Err != nil:
		return "check that the function's network reaches the endpoint: a function in a VPC needs a NAT gateway or a VPC endpoint for Kinesis"
	}
	return ""
}

// errorCode cleans what services put around an error's name:
// "com.amazonaws.kinesis#Code:http://…" is Code (AWS JSON 1.1 protocol).
func errorCode(s string) string {
	if _, after, ok := strings.Cut(s, "#"); ok {
		s = after
	}
	code, _, _ := strings.Cut(s, ":")
	code = strings.TrimSpace(code)
	// Whatever else stands there is no name, and may be anything.
	if len(code) > maxCode || strings.IndexFunc(code, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	}) >= 0 {
		return ""
	}
	return code
}

// maxCode bounds an error's name.
const maxCode = 64
