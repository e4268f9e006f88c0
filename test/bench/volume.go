package main

import (
	"context"
	"fmt"
	"time"
)

// stepBodies returns how many bodies are posted before the next wait for Kinesis: their
// records fit into the buffer. What follows a wait costs more, because others use the
// caches meanwhile, so there are few waits.
func stepBodies(compression string) int {
	if compression == "none" {
		return 20
	}
	return 192
}

// measureVolume measures the processor time of an extension for each GB of telemetry that
// arrives, by compression. It waits for Kinesis again and again, so that nothing is lost
// and nothing goes through the spool.
func (b *bench) measureVolume(ctx context.Context) error {
	load := newLoad(64)
	bodies := max(b.volumeMegabytes*1e6/bodyBytes, 1)
	for _, compression := range []string{"gzip", "zstd", "none"} {
		err := inTurns(b.volumeRuns, 2, func(program int) error {
			cpu, err := b.volume(ctx, program, load, bodies, compression)
			if err != nil {
				return fmt.Errorf("%s: %w", compression, err)
			}
			b.add(program, "volume."+compression, "s/GB", cpu.Seconds()/float64(bodies*bodyBytes)*1e9)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// volume posts bodies to an extension, and returns its processor time.
func (b *bench) volume(ctx context.Context, program int, load [][]byte, bodies int, compression string) (time.Duration, error) {
	d, err := drive(ctx, b.paths[program], []string{"KINETEL_COMPRESSION=" + compression}, place{})
	defer d.close()
	if err != nil {
		return 0, err
	}
	if err := d.invoke(ctx); err != nil {
		return 0, err
	}
	for i := range bodies {
		if i > 0 && i%stepBodies(compression) == 0 {
			if err := d.settle(ctx, 20*time.Millisecond); err != nil {
				return 0, err
			}
		}
		if err := d.post(ctx, load[i%len(load)]); err != nil {
			return 0, err
		}
	}
	if err := d.finish(ctx); err != nil {
		return 0, err
	}
	cpu, err := d.shutdown(ctx, time.Minute)
	if err != nil {
		return 0, err
	}
	return cpu, d.check(program, bodies*bodyEvents)
}

// check reports events that did not arrive.
func (d *driven) check(program, events int) error {
	if !d.ships(program) {
		return nil
	}
	a, err := d.arrivals()
	if err == nil && a.arrived != events {
		err = d.failure(fmt.Sprintf("%d events of %d arrived; %d were reported lost", a.arrived, events, a.reported))
	}
	return err
}
