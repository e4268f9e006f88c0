package main

import (
	"context"
	"time"
)

// measureCore measures how much telemetry an extension receives and sends on one core, with
// gzip. This process works on the others. Bodies follow each other without a pause.
func (b *bench) measureCore(ctx context.Context) error {
	last, leave, err := b.leaveProcessor()
	if err != nil {
		return err
	}
	defer leave()
	load := newLoad(64)
	return inTurns(b.volumeRuns, 2, func(program int) error { return b.core(ctx, program, load, place{processors: last}) })
}

func (b *bench) core(ctx context.Context, program int, load [][]byte, at place) error {
	d, err := drive(ctx, b.paths[program], []string{"KINETEL_COMPRESSION=gzip"}, at)
	defer d.close()
	if err != nil {
		return err
	}
	if err := d.invoke(ctx); err != nil {
		return err
	}
	bodies := max(b.volumeMegabytes*1e6/bodyBytes, 1)
	began := time.Now()
	ended, err := d.postEvenly(ctx, load, bodies, 0)
	if err != nil {
		return err
	}
	if err := d.finish(ctx); err != nil {
		return err
	}
	if _, err := d.shutdown(ctx, time.Minute); err != nil {
		return err
	}
	arrived := bodies * bodyEvents
	if d.ships(program) {
		a, err := d.arrivals()
		if err != nil {
			return err
		}
		b.add(program, "core.lost", events, float64(arrived-a.arrived))
		arrived, ended = a.arrived, time.Unix(0, d.lastPut.Load())
	}
	b.add(program, "core.speed", "MB/s", float64(arrived)/bodyEvents*bodyBytes/1e6/ended.Sub(began).Seconds())
	return nil
}
