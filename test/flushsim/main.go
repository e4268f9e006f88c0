// Command flushsim simulates the modes of KINETEL_FLUSH over patterns of invocations:
// how long invocations are held, and when telemetry arrives. It runs the policy of
// package flush in simulated environments, and writes a table and, with -png, a
// picture. docs/evidence/flush.md has both, and the assumptions.
//
// The environments are Lambda's as far as telemetry is concerned: they are
// frozen while no process works in them, and then nothing goes on, no request and no
// timer; telemetry comes 25 ms after it was made or after the next thaw; an
// environment that was idle for long gets a SHUTDOWN. Beside the policy, the
// extension is a model of packages lifecycle, pack and ship.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	a := usual()
	flag.DurationVar(&a.policy.Interval, "interval", a.policy.Interval, "KINETEL_FLUSH_INTERVAL")
	flag.DurationVar(&a.policy.MaxHold, "max-hold", a.policy.MaxHold, "KINETEL_MAX_HOLD")
	flag.DurationVar(&a.put, "put", a.put, "what a request takes, the median")
	flag.BoolVar(&a.kept, "kept", a.kept, "answers that came while the environment was frozen for long are not lost")
	seed := flag.Uint64("seed", 1, "of chance")
	png := flag.String("png", "", "draw the figures into this `file`, too")
	flag.Parse()

	all := compare(a, patterns(), *seed)
	writeTable(os.Stdout, all)
	if *png == "" {
		return
	}
	if err := writePlot(*png, all, a.policy.MaxHold); err != nil {
		fmt.Fprintln(os.Stderr, "flushsim:", err)
		os.Exit(1)
	}
}
