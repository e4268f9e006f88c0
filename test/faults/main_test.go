// Package faults runs the real extension process beside a real function process
// in the local Lambda, into the embedded Kinesis, through one fault after the
// other, with both flush policies and every way to spool; and compares what
// Lambda emitted with the stream, and with what was reported lost.
//
// Without flags every fault is run at least once. -faults.all runs the whole
// matrix (`make test-faults`).
package faults

import (
	"flag"
	"os"
	"testing"

	"github.com/kinetel/kinetel/test/sandbox"
)

var binaries sandbox.Binaries // set once by TestMain

var (
	wholeMatrix = flag.Bool("faults.all", false, "run every fault with every flush policy and every spool mode")
	tableFile   = flag.String("faults.table", "", "write the table into this `file`, between its two marker comments where it has them")
	randomRuns  = flag.Uint64("faults.seeds", 0, "run the random faults with `n` seeds (0: SIGKILL 8, and 56 with -faults.all; damage 1 and 6)")
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m, &binaries)) }
