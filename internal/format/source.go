package format

// Source is what the events of a record have in common besides their lines'
// resource.
type Source struct {
	EnvironmentID string
	Resource      []byte // of each line: a JSON object of strings
	Details       Details
}

// Details say more about an environment than its lines do. They are not complete
// before its platform.initStart has come.
type Details struct {
	AccountID string `json:"accountId,omitempty"` // empty where Lambda does not tell it
	LogGroup  string `json:"logGroup,omitempty"`  // of CloudWatch Logs
	LogStream string `json:"logStream,omitempty"`
	// JSONLogs: the function's log format is JSON, so that CloudWatch Logs has
	// platform events as JSON too.
	JSONLogs bool `json:"jsonLogs,omitempty"`
	// Attributes are further ones of OpenTelemetry's resource: a JSON object,
	// by the names of the semantic conventions.
	Attributes []byte `json:"attributes,omitempty"`
}
