package locallambda

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the AWS documentation.
const (
	maxSyncPayload    = 6 << 20
	maxEventPayload   = 1 << 20
	maxClientContext  = 3583
	maxSyncResponse   = 6<<20 + 100
	bodyTimeout       = time.Minute
	maxDrained        = 64 << 20 // of a payload that is too large
	maxReading        = 32       // payloads at once, because most of those are throttled next
	typeSync          = "RequestResponse"
	typeEvent         = "Event"
	typeDryRun        = "DryRun"
	headerInvocation  = "X-Amz-Invocation-Type"
	headerLogType     = "X-Amz-Log-Type"
	headerContext     = "X-Amz-Client-Context"
	headerTenant      = "X-Amz-Tenant-Id"
	headerRequestID   = "X-Amzn-Requestid"
	headerTrace       = "X-Amzn-Trace-Id"
	headerVersion     = "X-Amz-Executed-Version"
	headerFunctionErr = "X-Amz-Function-Error"
	headerLogResult   = "X-Amz-Log-Result"
)

var (
	validTenant = regexp.MustCompile(`^[a-zA-Z0-9._:/=+\-@ ]{1,256}$`)
	validTrace  = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;[A-Za-z]+=[\x21-\x3a\x3c-\x7e]*){0,8}$`)
)

// readRequest reads what Invoke and InvokeWithResponseStream have in common. types are the
// invocation types of the operation.
func (h *Handler) readRequest(w http.ResponseWriter, r *http.Request, types ...string) (invocationType string, req Request, failed *apiError) {
	req.RequestID = newRequestID()
	w.Header().Set(headerRequestID, req.RequestID)
	if req.Qualifier, failed = h.qualifier(r); failed != nil {
		return "", req, failed
	}
	invocationType = r.Header.Get(headerInvocation)
	switch {
	case invocationType == "":
		invocationType = typeSync
	case !slices.Contains(types, invocationType):
		return "", req, invalidValue("invocationType", invocationType, "Member must satisfy enum value set: ["+strings.Join(types, ", ")+"]")
	}
	switch logType := r.Header.Get(headerLogType); logType {
	case "", "None":
	case "Tail":
		req.TailLog = invocationType == typeSync
	default:
		return "", req, invalidValue("logType", logType, "Member must satisfy enum value set: [None, Tail]")
	}
	if req.TenantID = r.Header.Get(headerTenant); req.TenantID != "" && !validTenant.MatchString(req.TenantID) {
		return "", req, invalidValue("tenantId", req.TenantID, "Member must satisfy regular expression pattern: "+validTenant.String())
	}
	if trace := r.Header.Get(headerTrace); len(trace) <= 256 && validTrace.MatchString(trace) {
		req.Trace = trace // AWS Lambda, too, ignores any other
	}
	if invocationType == typeSync {
		if req.ClientContext, failed = clientContext(r.Header.Get(headerContext)); failed != nil {
			return "", req, failed
		}
	}
	h.reading <- struct{}{}
	req.Payload, failed = readPayload(w, r, invocationType)
	<-h.reading
	if failed != nil {
		return "", req, failed
	}
	if err := h.function.Check(req); err != nil {
		return "", req, invokeError(err)
	}
	return invocationType, req, nil
}

// clientContext decodes the header. The runtime gets the JSON in a header, too, so it must
// be in one line.
func clientContext(header string) (string, *apiError) {
	if header == "" {
		return "", nil
	}
	if len(header) > maxClientContext {
		return "", &apiError{
			http.StatusBadRequest, "InvalidRequestContentException",
			fmt.Sprintf("The client context has %d bytes in Base64. The limit is %d bytes.", len(header), maxClientContext),
		}
	}
	decoded, err := base64.StdEncoding.DecodeString(header)
	var line bytes.Buffer
	if err == nil {
		err = json.Compact(&line, decoded)
	}
	if err != nil || !utf8.Valid(decoded) || line.Len() == 0 || line.Bytes()[0] != '{' {
		return "", &apiError{
			http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.",
		}
	}
	return line.String(), nil
}

// readPayload reads and checks the body. An empty one is allowed.
func readPayload(w http.ResponseWriter, r *http.Request, invocationType string) ([]byte, *apiError) {
	limit := int64(maxSyncPayload)
	if invocationType == typeEvent {
		limit = maxEventPayload
	}
	// A writer without deadlines is one of a test.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		// A client may not look for an answer before it has sent everything.
		more, _ := io.CopyN(io.Discard, r.Body, maxDrained)
		return nil, &apiError{
			http.StatusRequestEntityTooLarge, "RequestTooLargeException",
			fmt.Sprintf("%d byte payload is too large for the %s invocation type (limit %d bytes)", int64(len(body))+more, invocationType, limit),
		}
	}
	if err == nil && len(body) > 0 {
		err = checkJSON(body)
	}
	if err != nil {
		return nil, &apiError{
			http.StatusBadRequest, "InvalidRequestContentException",
			"Could not parse request body into json: Could not parse payload into json: " + err.Error(),
		}
	}
	return body, nil
}

func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("it is not UTF-8")
	}
	if json.Valid(body) {
		return nil
	}
	err := json.Unmarshal(body, new(json.RawMessage))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w at byte %d", err, syntax.Offset)
	}
	return err
}
