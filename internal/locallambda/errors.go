package locallambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// apiError is an error of the API, as the AWS SDKs expect it.
type apiError struct {
	status  int
	name    string
	message string
}

func invalidValue(field, value, constraint string) *apiError {
	return &apiError{
		http.StatusBadRequest, "ValidationException",
		fmt.Sprintf("1 validation error detected: Value '%.300s' at '%s' failed to satisfy constraint: %s", value, field, constraint),
	}
}

// invokeError is the error of the API for an error of Pool.Invoke.
func invokeError(err error) *apiError {
	switch {
	case errors.Is(err, ErrThrottled):
		return &apiError{http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."}
	case errors.Is(err, ErrNoTenant):
		return &apiError{
			http.StatusBadRequest, "InvalidParameterValueException",
			"The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.",
		}
	case errors.Is(err, ErrTenant):
		return &apiError{
			http.StatusBadRequest, "InvalidParameterValueException",
			"The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again.",
		}
	}
	return &apiError{http.StatusInternalServerError, "ServiceException", err.Error()}
}

// write answers with the error. Its fields are spelled as in the service model: the SDKs
// look for the message in both spellings, and AWS Lambda has either.
func (e *apiError) write(w http.ResponseWriter) {
	body := map[string]string{"Type": "User"}
	switch e.name {
	case "ResourceNotFoundException":
		body["Message"] = e.message
	case "ServiceException":
		body["Message"], body["Type"] = e.message, "Service"
	case "TooManyRequestsException":
		body["message"], body["Reason"] = e.message, "ReservedFunctionConcurrentInvocationLimitExceeded"
	default:
		body["message"] = e.message
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		panic("locallambda: " + err.Error()) // strings: they encode
	}
	w.Header().Set("X-Amzn-Errortype", e.name)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_, _ = w.Write(encoded) // the client may be gone
}

func serveUnknown(w http.ResponseWriter, r *http.Request) {
	(&apiError{
		http.StatusNotFound, "UnknownOperationException",
		fmt.Sprintf("%s %.300s is not served here. The operations are Invoke (POST /2015-03-31/functions/NAME/invocations) and "+
			"InvokeWithResponseStream (POST /2021-11-15/functions/NAME/response-streaming-invocations).", r.Method, r.URL.Path),
	}).write(w)
}

// onlyLocal refuses what web pages can send: requests of another origin, and requests to a
// name that its owner lets point to this machine.
func onlyLocal(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&apiError{http.StatusForbidden, "AccessDeniedException", "requests of web pages of another origin are not served"}).write(w)
	}))
	next = protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			(&apiError{
				http.StatusForbidden, "AccessDeniedException",
				fmt.Sprintf("the host %.100q is not served: use 127.0.0.1 or localhost", r.Host),
			}).write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocal(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
