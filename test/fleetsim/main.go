// Command fleetsim simulates a fleet of environments and one Kinesis stream that fails
// for a while: how many requests the fleet makes, when its backlog is gone, and what is
// lost with which buffer. Each environment runs the real decisions of
// package breaker. It writes tables and, with -png, a picture; docs/evidence/fleet.md
// has both, and the assumptions.
//
// Beside the breaker, an environment is a model of packages pack, queue, spool and
// ship: records are closed at the interval or when they are full, one request is
// under way at a time, and what waits is bounded by the buffer and the spool. The
// shards of the stream are token buckets.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	base := usual()
	flag.IntVar(&base.environments, "environments", base.environments, "how many; a fifth of them in the tables by headroom and by buffer")
	flag.Float64Var(&base.median, "rate", base.median, "compressed bytes a second of the median environment")
	flag.DurationVar(&base.outage, "outage", base.outage, "how long the stream fails")
	flag.Uint64Var(&base.seed, "seed", base.seed, "of chance")
	png := flag.String("png", "", "draw the figures into this `file`, too")
	sizes := flag.Bool("sizes", false, "write instead what log lines come to when they are packed, and how many shards that takes")
	flag.Parse()
	if *sizes {
		writeSizes(os.Stdout)
		return
	}

	s := investigate(base, runtime.GOMAXPROCS(0))
	s.writeTables(os.Stdout)
	if *png == "" {
		return
	}
	if err := s.writePlot(*png); err != nil {
		fmt.Fprintln(os.Stderr, "fleetsim:", err)
		os.Exit(1)
	}
}
