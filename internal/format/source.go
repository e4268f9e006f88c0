package format

// Source is what the events of a record have in common.
type Source struct {
	EnvironmentID string
	Resource      []byte // of each line: a JSON object of strings
	Details       Details
}

// Details describe an environment further than its lines do. They are incomplete
// until its platform.initStart event arrives.
type Details struct {
	AccountID string `json:"accountId,omitempty"` // empty if Lambda does not provide it
	LogGroup  string `json:"logGroup,omitempty"`  // of CloudWatch Logs
	LogStream string `json:"logStream,omitempty"`
	// JSONLogs means that the function's log format is JSON. Then CloudWatch Logs
	// has platform events as JSON, too.
	JSONLogs bool `json:"jsonLogs,omitempty"`
	// Attributes are further attributes of the OpenTelemetry resource: a JSON object
	// with the names of the semantic conventions.
	Attributes []byte `json:"attributes,omitempty"`
}
