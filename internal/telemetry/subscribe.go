package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// schemas are the schemas of telemetry, the preferred one first. The second is for
// platforms that do not support the first.
var schemas = [...]string{"2025-01-29", "2022-12-13"}

// What the subscription asks Lambda for (AWS documentation, Telemetry API
// reference; docs/adr/0004-subscription-limits.md has the measurements).
const (
	// maxItems is the minimum that Lambda accepts: a body of typical lines stays
	// at some 300 kB, and so does the memory for reading it.
	maxItems = 1000
	// maxBytes is the maximum that Lambda accepts: longer lines are split over
	// two bodies.
	maxBytes = 1 << 20
	// timeoutMs is the minimum that Lambda accepts. A hold that waits for
	// platform.runtimeDone also waits for this, and the customer pays for it.
	timeoutMs = 25

	// On Managed Instances no invocation is held, and Lambda can drop a whole
	// batch that is ready while the answer to the previous one is outstanding. So
	// fewer batches are better.
	managedItems     = MaxItems
	managedTimeoutMs = 100
)

// MaxItems is the maximum number of events in one POST.
const MaxItems = 10000

// maxRefusal is how many bytes of an answer are logged.
const maxRefusal = 2048

// ErrNotSupported means that there is no Telemetry API, as in AWS's own local
// emulator, which answers 202, or 404 in older versions.
var ErrNotSupported = errors.New("the Telemetry API is not supported here")

// API sends requests to Lambda; *extensionapi.Client is one.
type API interface {
	// Send returns the status and the body of the response. It adds the identifier of
	// the extension to the request.
	Send(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error)
}

// Subscribe asks Lambda to post telemetry of the given types to destination, the
// URI of a Listener. It returns the schema that Lambda accepted. Call it after
// register and before the first next. managed means that this is a managed instance.
func Subscribe(ctx context.Context, api API, destination string, managed bool, types []string) (schema string, err error) {
	var refused error
	for _, schema = range schemas {
		status, answer, err := subscribe(ctx, api, schema, destination, managed, types)
		switch {
		case err != nil:
			return "", err
		case status == http.StatusOK:
			return schema, nil
		case status == http.StatusAccepted || status == http.StatusNotFound:
			return "", fmt.Errorf("%w (it answered %d)", ErrNotSupported, status)
		}
		refused = fmt.Errorf("subscribe to telemetry with schema %s: Lambda answered %d: %s", schema, status, answer)
		if status != http.StatusBadRequest {
			break // the schema is not the reason
		}
	}
	return "", refused
}

func subscribe(ctx context.Context, api API, schema, destination string, managed bool, types []string) (status int, answer string, err error) {
	items, timeout := maxItems, timeoutMs
	if managed {
		items, timeout = managedItems, managedTimeoutMs
	}
	var body jsontext.Object
	body.String("schemaVersion", schema)
	body.Strings("types", types)
	body.Begin("buffering")
	body.Int("maxItems", int64(items))
	body.Int("maxBytes", maxBytes)
	body.Int("timeoutMs", int64(timeout))
	body.End()
	body.Begin("destination")
	body.String("protocol", "HTTP")
	body.String("URI", destination)
	body.End()
	// No trailing slash: AWS's emulator matches paths exactly.
	status, text, err := api.Send(ctx, http.MethodPut, "/2022-07-01/telemetry", body.JSON())
	if err != nil {
		return 0, "", fmt.Errorf("subscribe to telemetry: %w", err)
	}
	// The answer is logged, and the destination is a secret.
	_, secret, _ := strings.Cut(strings.TrimPrefix(destination, "http://"), "/")
	// It is not parsed: emulators do not always escape it.
	answer = string(bytes.TrimSpace(text[:min(len(text), maxRefusal)]))
	if secret != "" {
		answer = strings.ReplaceAll(answer, secret, "...")
	}
	return status, answer, nil
}
