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

// String returns the severity's name, or "" for SeverityUnknown.
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

// SeverityOf returns the severity for OpenTelemetry's SeverityNumber.
func SeverityOf(number int) Severity {
	if number < 1 || number > 24 {
		return SeverityUnknown
	}
	return Severity((number + 3) / 4)
}

// Number returns OpenTelemetry's SeverityNumber: the first of the four numbers of
// each name, or 0 for SeverityUnknown.
func (s Severity) Number() int { return max(4*int(s)-3, 0) }
