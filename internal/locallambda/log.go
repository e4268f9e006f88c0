package locallambda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/kinetel/kinetel/lambdasim"
)

// tailSize is how much of its log a client gets.
const tailSize = 4 << 10

// AppendLog appends the lines that Lambda writes to CloudWatch Logs for an event: the line
// of the function or of an extension, INIT_START, START, END and REPORT with the text
// format, and the events themselves with the JSON format. It appends nothing for other
// events.
func AppendLog(dst []byte, e lambdasim.Event, format lambdasim.LogFormat) []byte {
	switch e.Type {
	case "function", "extension":
		return appendLine(dst, e.Record)
	case "platform.initStart", "platform.start", "platform.report":
	default:
		return dst
	}
	if format == lambdasim.LogJSON {
		return append(append(dst, e.Raw...), '\n')
	}
	var r platformRecord
	if err := json.Unmarshal(e.Record, &r); err != nil {
		return dst // lambdasim writes valid records
	}
	switch e.Type {
	case "platform.initStart":
		return fmt.Appendf(dst, "INIT_START Runtime Version: %s\tRuntime Version ARN: %s\n", r.RuntimeVersion, r.RuntimeVersionARN)
	case "platform.start":
		return fmt.Appendf(dst, "START RequestId: %s Version: %s\n", r.RequestID, r.Version)
	}
	return r.appendReport(fmt.Appendf(dst, "END RequestId: %s\n", r.RequestID))
}

// appendLine appends a line, which is a JSON string, or with the JSON log format an object.
func appendLine(dst []byte, record json.RawMessage) []byte {
	var line string
	if len(record) > 0 && record[0] == '"' && json.Unmarshal(record, &line) == nil {
		return append(append(dst, line...), '\n')
	}
	return append(append(dst, record...), '\n')
}

// platformRecord has the fields of platform events that are in log lines.
type platformRecord struct {
	RequestID         string `json:"requestId"`
	Version           string `json:"version"`
	RuntimeVersion    string `json:"runtimeVersion"`
	RuntimeVersionARN string `json:"runtimeVersionArn"`
	Status            string `json:"status"`
	ErrorType         string `json:"errorType"`
	Metrics           struct {
		DurationMs        float64 `json:"durationMs"`
		BilledDurationMs  int64   `json:"billedDurationMs"`
		MemorySizeMB      int     `json:"memorySizeMB"`
		MaxMemoryUsedMB   int     `json:"maxMemoryUsedMB"`
		InitDurationMs    float64 `json:"initDurationMs"`
		RestoreDurationMs float64 `json:"restoreDurationMs"`
	} `json:"metrics"`
	Tracing struct {
		Value string `json:"value"`
	} `json:"tracing"`
}

// appendReport appends the REPORT line, and the line of a traced request.
func (r *platformRecord) appendReport(dst []byte) []byte {
	m := &r.Metrics
	dst = fmt.Appendf(dst, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		r.RequestID, m.DurationMs, m.BilledDurationMs, m.MemorySizeMB, m.MaxMemoryUsedMB)
	if m.InitDurationMs > 0 {
		dst = fmt.Appendf(dst, "Init Duration: %.2f ms\t", m.InitDurationMs)
	}
	if m.RestoreDurationMs > 0 {
		dst = fmt.Appendf(dst, "Restore Duration: %.2f ms\t", m.RestoreDurationMs)
	}
	if r.Status != "" && r.Status != string(lambdasim.StatusSuccess) {
		dst = fmt.Appendf(dst, "Status: %s\t", r.Status)
		if r.ErrorType != "" && r.Status != string(lambdasim.StatusTimeout) {
			dst = fmt.Appendf(dst, "Error Type: %s\t", r.ErrorType)
		}
	}
	dst = append(dst, '\n')
	if root, sampled := traceRoot(r.Tracing.Value); sampled {
		dst = fmt.Appendf(dst, "XRAY TraceId: %s\tSampled: true\t\n", root)
	}
	return dst
}

// traceRoot returns the trace id of an X-Ray header, and whether the trace is sampled.
func traceRoot(header string) (root string, sampled bool) {
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "Root":
			root = value
		case "Sampled":
			sampled = value == "1"
		}
	}
	return root, sampled && root != ""
}

// tails collects the ends of the logs of those invocations whose clients want them.
type tails struct {
	format lambdasim.LogFormat

	mu   sync.Mutex
	open map[string][]byte // by request id
}

func (t *tails) begin(requestID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[string][]byte)
	}
	t.open[requestID] = []byte{}
}

// end returns the last 4 KB.
func (t *tails) end(requestID string) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	log := t.open[requestID]
	delete(t.open, requestID)
	return lastBytes(log)
}

func lastBytes(log []byte) []byte { return log[max(len(log)-tailSize, 0):] }

// add is for lambdasim.Config.OnEvent.
func (t *tails) add(e lambdasim.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) == 0 {
		return
	}
	if e.RequestID != "" {
		t.addTo(e.RequestID, e)
		return
	}
	// With managed instances only the line itself can say whose it is.
	for id := range t.open {
		if bytes.Contains(e.Record, []byte(id)) {
			t.addTo(id, e)
		}
	}
}

func (t *tails) addTo(requestID string, e lambdasim.Event) {
	log, open := t.open[requestID]
	if !open {
		return
	}
	log = AppendLog(log, e, t.format)
	if len(log) > 64<<10 {
		log = append([]byte(nil), lastBytes(log)...)
	}
	t.open[requestID] = log
}
