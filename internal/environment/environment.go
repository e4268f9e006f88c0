// Package environment identifies a Lambda execution environment: one sandbox of a
// function, with its own sequence numbers.
package environment

import (
	"sync/atomic"

	"github.com/kinetel/kinetel/internal/ledger"
)

// Environment is what the events of one execution environment have in common.
// Recovered events of an earlier process have the Environment of that process.
type Environment struct {
	ID     string // service.instance.id
	Ledger *ledger.Ledger

	details atomic.Pointer[Details]
}

// New returns an environment without a ledger.
func New(id string, d Details) *Environment {
	e := &Environment{ID: id}
	e.Describe(d)
	return e
}

// Details describe an environment. They are incomplete until its platform.initStart
// event arrives.
type Details struct {
	Resource  []byte // of each line: a JSON object of strings
	AccountID string // empty if Lambda does not provide it
	LogGroup  string // of CloudWatch Logs
	LogStream string
	// JSONLogs means that the function's log format is JSON. Then CloudWatch Logs
	// has platform events as JSON, too.
	JSONLogs bool
	// SpanParent is the value of KINETEL_OTLP_PARENT; empty: the default.
	SpanParent string
	// Attributes are further attributes of the OpenTelemetry resource: a JSON object
	// with the names of the semantic conventions.
	Attributes []byte
}

// Describe sets the details. It is safe for concurrent use.
func (e *Environment) Describe(d Details) { e.details.Store(&d) }

// Details returns the details of the last call of Describe.
func (e *Environment) Details() Details {
	if d := e.details.Load(); d != nil {
		return *d
	}
	return Details{}
}
