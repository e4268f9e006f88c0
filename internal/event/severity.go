package event

// Severity is how severe a line is, in OpenTelemetry's order.
type Severity uint8

// The severities, by OpenTelemetry's short names (OpenTelemetry, logs data
// model).
const (
	SeverityUnknown Severity = iota
	Trace
	Debug
	Info
	Warn
	Error
	Fatal
)

// String returns the severity's name; "" of one that is not known.
func (s Severity) String() string {
	switch s {
	case Trace:
		return "TRACE"
	case Debug:
		return "DEBUG"
	case Info:
		return "INFO"
	case Warn:
		return "WARN"
	case Error:
		return "ERROR"
	case Fatal:
		return "FATAL"
	case SeverityUnknown:
	}
	return ""
}

// Number is OpenTelemetry's SeverityNumber: the first of the four that each name
// stands for; 0 of a severity that is not known.
func (s Severity) Number() int { return max(4*int(s)-3, 0) }
