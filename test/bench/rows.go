package main

import "strings"

// row is a figure of a table.
type row struct {
	title  string
	figure string
	goal   goal
}

func readRows() (rows []row) {
	for _, args := range readers() {
		name := "`kinetel " + strings.Join(args, " ") + "`"
		rows = append(rows, row{name + ", of a core", readFigure(args) + ".speed", goal{}}, row{name + ": memory, peak", readFigure(args) + ".peak", goal{}})
	}
	return rows
}

func startRows() []row {
	return []row{
		{"exec to register", "start.register", atMostRatio(1.08)},
		{"exec to first `next`", "start.next", atMostRatio(1.25)},
		{"CPU until first `next`", "start.cpu", atMostRatio(1.25)},
		{"memory of 20 invocations, peak", "run.peak", atMost(10)},
		{"CPU of 20 invocations, whole run", "run.cpu", goal{}},
		{"disabled: exec to first `next`", "disabled.start.next", atMostRatio(1)},
		{"disabled: CPU until first `next`", "disabled.start.cpu", atMostRatio(1)},
		{"disabled: memory of 20 invocations, peak", "disabled.run.peak", goal{}},
		{"disabled: CPU of 20 invocations, whole run", "disabled.run.cpu", goal{}},
	}
}

func shareRows() []row {
	return []row{
		{"exec to register", "share.register", atMostRatio(1.08)},
		{"exec to first `next`", "share.next", atMostRatio(1.25)},
	}
}

func busyRows() []row {
	return []row{
		{"CPU of an invocation", "busy.cpu", atMostRatio(1.5)},
		{"resident memory afterwards", "busy.memory", atMostRatio(1.05)},
		{"resident memory, peak", "busy.peak", goal{}},
	}
}

func volumeRows() []row {
	return []row{
		{"`gzip`", "volume.gzip", atMost(5)},
		{"`zstd`", "volume.zstd", atMost(4.5)},
		{"`none`", "volume.none", atMost(10)},
	}
}

func coreRows() []row {
	return []row{
		{"`gzip`", "core.speed", atLeast(80)},
		{"events lost", "core.lost", atMost(0)},
	}
}

func burstRows() []row {
	return []row{
		{"events lost, reported or not", "burst.lost", atMost(0)},
		{"events lost without a report", "burst.silent", atMost(0)},
		{"time until the last event was accepted", "burst.took", goal{}},
		{"CPU for a GB", "burst.cpu", goal{}},
		{"resident memory before", "burst.before", goal{}},
		{"resident memory, peak", "burst.peak", goal{}},
		{"resident memory 1 s later", "burst.after", goal{}},
		{"of it more than before", "burst.kept", atMost(1)},
	}
}

func holdRows() []row {
	// 0 ms to the precision of a clock that two processes share: what the local Lambda
	// sees of an extension that has called next long before.
	const nothing = 0.5
	return []row{
		{"busy function, gaps of 10 ms: p50", "held.busy.p50", atMost(nothing)},
		{"busy function, gaps of 10 ms: p99", "held.busy.p99", atMost(2)},
		{"rare invocations, gaps of 2 s: p50", "held.rare.p50", goal{}},
		{"of it beyond Lambda's buffer (25 ms) and the median request", "held.rare.beyond", atMost(3)},
		{"Kinesis takes 1.5 s, `KINETEL_MAX_HOLD=200ms`: longest", "held.slow.max", atMost(205)},
		{"Kinesis denies: p50 after the third", "held.denied", atMost(nothing)},
		{"Kinesis is down: p50 after the third", "held.down", atMost(nothing)},
		{"Kinesis answers 503: p50 after the third", "held.503", atMost(nothing)},
	}
}

func outageRows() (rows []row) {
	for _, mode := range outageModes() {
		name := "spool `" + mode[0] + "`, `" + mode[1] + "`: "
		rows = append(rows, row{name + "memory, peak", outageFigure(mode) + ".peak", atMost(outageBound / 1e6)},
			row{name + "held, mean", outageFigure(mode) + ".held", goal{}})
	}
	return rows
}

func sizeRows() []row {
	return []row{
		{"binary", "size.binary", atMost(7.5)},
		{"layer for x86_64, zipped", "size.layer.amd64", atMost(3)},
		{"layer for arm64, zipped", "size.layer.arm64", atMost(3)},
	}
}

func goRows() []row {
	return []row{
		{"allocations for an event, from the body to the closed record", "go.allocations", goal{}},
		{"telemetry decoded, annotated and packed, `gzip`", "go.telemetry", goal{}},
	}
}
