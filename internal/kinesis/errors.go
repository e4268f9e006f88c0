package kinesis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Class determines what to do about a failed request.
type Class int

const (
	// Transient: retry after a while; Kinesis may have stored the records.
	Transient Class = iota
	// Throttled: retry after a while; Kinesis has stored nothing.
	Throttled
	// Credentials: read the credentials again and retry once.
	Credentials
	// Denied: retrying soon does not help; an operator has to act.
	Denied
	// Invalid: the request or one of its records is invalid.
	Invalid
)

func (c Class) String() string {
	names := [...]string{"transient", "throttled", "credentials", "denied", "invalid"}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

// Error is a request that failed as a whole.
type Error struct {
	Class   Class
	Status  int    // the HTTP status; 0 if no answer came
	Code    string // AWS's name of the error; empty if no answer came
	Message string // AWS's message
	// Reused means that the connection broke and had been used before: it
	// may have died while the environment was frozen, and a new one may work
	// at once. It is not set if the request ran out of time.
	Reused bool
	Err    error // the wrapped error, if no answer came
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

// Unknown reports whether it is unknown if Kinesis has stored the records.
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
// the records are not the reason.
func AsDenied(err error) error {
	denied := Error{Err: err}
	if e := (*Error)(nil); errors.As(err, &e) {
		denied = *e
	}
	denied.Class = Denied
	return &denied
}

// classify returns the class of an answer that is not a success. The codes are
// those of the Kinesis API reference (PutRecords and common errors).
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
	case status >= 300: // an unlisted code, or a proxy's page: a retry gets the same answer
		return Denied
	}
	return Transient // another 2xx status: Kinesis may have stored the records
}

// codeConfiguration is the code of an error that is found before any request.
const codeConfiguration = "BadConfiguration"

// Fix returns what an operator can do about an error, or "" if there is nothing to
// do or the error's text has it already.
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
		return "check the credentials of the function's role, that the region is the stream's, and the environment's clock"
	case e.Class == Denied && e.Status != 0:
		return "check the stream's name or ARN, that the endpoint is Kinesis, and that the role may write to the stream"
	case errors.As(err, &certificate):
		return "set AWS_CA_BUNDLE to the PEM file of the authority that signed the certificate of the endpoint, or of the proxy between"
	case e.Code == codeConfiguration:
		return "" // the error's text has the fix
	case errors.As(err, &handshake):
		return "a firewall or proxy between the function and Kinesis does not let the TLS handshake through, neither with X25519MLKEM768 nor without: check its rules (docs/operations.md)"
	case e.Status == 0 && e.Err != nil:
		return "check that the function's network reaches the endpoint: a function in a VPC needs a NAT gateway or a VPC endpoint for Kinesis"
	}
	return ""
}

// errorCode removes what services put around an error's name:
// "com.amazonaws.kinesis#Code:http://…" becomes Code (AWS JSON 1.1 protocol).
func errorCode(s string) string {
	code, _, _ := strings.Cut(s[strings.IndexByte(s, '#')+1:], ":")
	code = strings.TrimSpace(code)
	// A long text, or one with other characters, is not an error's name.
	if len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return ""
	}
	return code
}
