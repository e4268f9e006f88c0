package main

import "context"

// part is a group of figures that are measured together, and their table.
type part struct {
	name    string
	title   string
	off     func(*bench) bool
	measure func(*bench, context.Context) error
	rows    []row
}

// row is a figure of a table.
type row struct {
	title  string
	figure string
	goal   goal
}

func parts() []part {
	return []part{
		{
			"volume", "Processor time for each GB of telemetry, events of 270 B", func(b *bench) bool { return b.volumeMegabytes == 0 }, (*bench).measureVolume,
			[]row{
				{"CPU for a GB, gzip", "volume.gzip", atMost(5)},
				{"CPU for a GB, zstd", "volume.zstd", atMost(4.5)},
				{"CPU for a GB, none", "volume.none", atMost(10)},
			},
		},
		{
			"burst", "A burst of 600,000 lines in 4 s, without compression", func(b *bench) bool { return b.burstLines == 0 }, (*bench).measureBurst,
			[]row{
				{"burst: events lost", "burst.lost", atMost(0)},
				{"burst: events lost without a report", "burst.silent", atMost(0)},
				{"burst: time until the last event was accepted", "burst.took", goal{}},
				{"burst: CPU for a GB", "burst.cpu", goal{}},
				{"burst: resident memory before", "burst.before", goal{}},
				{"burst: resident memory, peak", "burst.peak", goal{}},
				{"burst: resident memory 1 s later", "burst.after", goal{}},
				{"burst: memory not given back 1 s later", "burst.kept", atMost(1)},
			},
		},
	}
}

func partNames() (names []string) {
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}
