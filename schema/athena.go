package schema

// Column is a column of the table that Athena reads delivered events with.
type Column struct {
	Name string // in lower case, as Hive folds it
	Type string // of Hive
	// Member is the event's member. The JSON SerDe maps it to the column if the names
	// differ in case.
	Member string
}

// Columns returns the columns of the table, in their order. Each has a member of the
// event; body and extra are JSON text. The templates in deploy define the same table.
func Columns() []Column {
	return []Column{
		{"seq", "bigint", "seq"},
		{"time", "string", "time"},
		{"type", "string", "type"},
		{"severity", "string", "severity"},
		{"requestid", "string", "requestId"},
		{"traceid", "string", "traceId"},
		{"part", "int", "part"},
		{"parts", "int", "parts"},
		{"body", "string", "body"},
		{"extra", "string", "extra"},
		{"resource", "map<string,string>", "resource"},
	}
}
