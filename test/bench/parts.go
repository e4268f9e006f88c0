package main

import "context"

// part is a group of figures that are measured together, and their table.
type part struct {
	name    string
	measure func(*bench, context.Context) error
	off     func(*bench) bool
	title   string
	rows    []row
}

// parts returns all parts in the order in which they are measured.
func parts() []part {
	return []part{
		{
			"read", (*bench).measureReaders, func(b *bench) bool { return b.readMegabytes == 0 || b.base != "" },
			"Commands that read telemetry", readRows(),
		},
		{
			"start", (*bench).measureStarts, func(b *bench) bool { return b.starts == 0 || b.runs == 0 },
			"Cold starts, and 20 invocations of 10 lines", startRows(),
		},
		{
			"share", (*bench).measureShare, func(b *bench) bool { return b.shareStarts == 0 },
			"Cold starts with a share of a processor", shareRows(),
		},
		{
			"busy", (*bench).measureBusy, func(b *bench) bool { return b.busy == 0 },
			"A busy function, invocations of 10 lines", busyRows(),
		},
		{
			"volume", (*bench).measureVolume, func(b *bench) bool { return b.volumeMegabytes == 0 },
			"CPU for each GB of telemetry", volumeRows(),
		},
		{
			"core", (*bench).measureCore, func(b *bench) bool { return b.volumeMegabytes == 0 },
			"Telemetry received and sent on one core", coreRows(),
		},
		{
			"burst", (*bench).measureBurst, func(b *bench) bool { return b.burstLines == 0 },
			"A burst of lines, `none`", burstRows(),
		},
		{
			"hold", (*bench).measureHolds, func(b *bench) bool { return b.holds == 0 || b.base != "" },
			"How long invocations are held", holdRows(),
		},
		{
			"outage", (*bench).measureOutage, func(b *bench) bool { return b.outageMegabytes == 0 || b.base != "" },
			"Kinesis is down while a function writes", outageRows(),
		},
		{
			"size", (*bench).measureSizes, func(*bench) bool { return false },
			"Sizes", sizeRows(),
		},
		{
			"go", (*bench).measureGo, func(b *bench) bool { return b.goCount == 0 },
			"Go benchmarks", goRows(),
		},
	}
}

func partNames() (names []string) {
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}
