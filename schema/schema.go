// Package schema has the JSON Schema of the events that Kinetel writes, which
// docs/format.md describes in words.
package schema

import (
	"bytes"
	_ "embed"
)

// ID is the $id of the schema: the address of the file in the newest release.
const ID = "https://github.com/kinetel/kinetel/releases/latest/download/kinetel-1.schema.json"

//go:embed kinetel-1.schema.json
var kinetel1 []byte

// JSON returns the schema of an event of kinetel/1: of a line of the formats
// ndjson, json and kpl, and of what package record makes of the others (JSON
// Schema, draft 2020-12).
func JSON() []byte { return bytes.Clone(kinetel1) }
