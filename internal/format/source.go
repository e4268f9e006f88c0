package format

import "kinetel/internal/environment"

// Source is what the events of a record have in common.
type Source struct {
	EnvironmentID string
	Resource      []byte // of each line: a JSON object of strings
	Details       environment.Details
}
