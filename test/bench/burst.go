package main

import (
	"context"
	"time"
)

// burstStep is how often memory is read in a burst.
const burstStep = 50 * time.Millisecond

// measureBurst measures what a burst of lines costs: events that are lost, and memory.
func (b *bench) measureBurst(ctx context.Context) error {
	load := newLoad(64)
	return inTurns(b.burstRuns, 2, func(program int) error { return b.burst(ctx, program, load) })
}

func (b *bench) burst(ctx context.Context, program int, load [][]byte) error {
	d, err := drive(ctx, b.paths[program], []string{"KINETEL_COMPRESSION=none"}, place{})
	defer d.close()
	if err != nil {
		return err
	}
	pid := d.cmd.Process.Pid
	// Memory before a burst is that after a small invocation.
	if err := d.invoke(ctx); err != nil {
		return err
	}
	if err := d.finish(ctx); err != nil {
		return err
	}
	before, _, err := resident(pid)
	if err != nil {
		return err
	}
	if err := d.invoke(ctx); err != nil {
		return err
	}
	memory := sampleMemory(ctx, pid, burstStep)
	bodies := max(b.burstLines/bodyEvents, 1)
	began := time.Now()
	ended, err := d.postEvenly(ctx, load, bodies, b.burstTime)
	if err == nil {
		err = d.finish(ctx)
	}
	if err == nil {
		err = wait(ctx, time.Second)
	}
	samples, _ := memory()
	if err != nil {
		return err
	}
	after, peak, err := resident(pid)
	if err != nil {
		return err
	}
	b.add(program, "burst.took", "s", ended.Sub(began).Seconds())
	b.add(program, "burst.before", "MB", before)
	b.add(program, "burst.peak", "MB", peak)
	b.add(program, "burst.after", "MB", after)
	b.add(program, "burst.kept", "MB", after-before)
	if len(b.find("burst.before").Values[program]) == 1 {
		b.add(program, "burst.memory", "MB", samples...) // of the first run
	}
	return b.burstArrivals(ctx, d, program, bodies)
}

// burstArrivals ends the extension, and adds what a burst cost in all.
func (b *bench) burstArrivals(ctx context.Context, d *driven, program, bodies int) error {
	cpu, err := d.shutdown(ctx, 2*time.Second) // as much as Lambda gives extensions
	if err != nil {
		return err
	}
	b.add(program, "burst.cpu", "s/GB", cpu.Seconds()/float64(bodies*bodyBytes)*1e9)
	if !d.ships(program) {
		return nil
	}
	a, err := d.arrivals()
	if err != nil {
		return err
	}
	b.add(program, "burst.lost", events, float64(bodies*bodyEvents-a.arrived))
	b.add(program, "burst.silent", events, float64(a.silent))
	return nil
}

// postEvenly posts bodies spread over a time. A body whose time has come waits for the
// answer to the one before. It returns when the last one was answered.
func (d *driven) postEvenly(ctx context.Context, load [][]byte, bodies int, over time.Duration) (ended time.Time, err error) {
	began := time.Now()
	for i := range bodies {
		due := began.Add(over * time.Duration(i) / time.Duration(bodies))
		if early := time.Until(due); early > 0 {
			if err := wait(ctx, early); err != nil {
				return ended, err
			}
		}
		if err := d.post(ctx, load[i%len(load)]); err != nil {
			return ended, err
		}
	}
	return time.Now(), nil
}
