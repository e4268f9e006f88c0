// Package formats runs one recorded day of a function through the extension's
// process, in every format by compression by partition key, and has independent
// software read the stream: jq behind zcat or zstd, OpenTelemetry's
// pdata, and aws-kinesis-agg.
//
// It needs jq, zcat and zstd. Aggregates are read by Node, where
// KINETEL_KINESIS_AGG names the folder of the npm package, as `make integration`
// does; without, package record alone reads them.
package formats

import (
	"os"
	"testing"

	"github.com/kinetel/kinetel/test/sandbox"
)

var binaries sandbox.Binaries // set once by TestMain

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m, &binaries)) }
