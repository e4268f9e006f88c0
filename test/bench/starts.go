package main

import (
	"context"
	"strconv"

	"github.com/kinetel/kinetel/lambdasim"
)

// disabled is Kinetel with KINETEL_ENABLED=false. Its figures have names of their own.
const disabled = 2

// measureStarts measures cold starts, and runs of 20 invocations of 10 lines.
func (b *bench) measureStarts(ctx context.Context) error {
	err := inTurns(b.starts, 3, func(program int) error {
		p, err := b.once(ctx, program, 0)
		if err != nil {
			return err
		}
		b.addEnabled(program, "start.register", "ms", milliseconds(p.Registered))
		b.addEnabled(program, "start.next", "ms", milliseconds(p.FirstNext))
		b.addEnabled(program, "start.cpu", "ms", milliseconds(p.FirstNextCPU))
		return nil
	})
	if err != nil {
		return err
	}
	return inTurns(b.runs, 3, func(program int) error {
		p, err := b.once(ctx, program, 20)
		if err != nil {
			return err
		}
		b.addEnabled(program, "run.peak", "MB", float64(p.MaxRSSKiB)*1024/1e6)
		b.addEnabled(program, "run.cpu", "ms", milliseconds(p.CPU))
		return nil
	})
}

// addEnabled adds a value of one of the three to the figures that have it.
func (b *bench) addEnabled(program int, figure, unit string, v float64) {
	if program != disabled {
		b.add(program, figure, unit, v)
	}
	if program != own {
		b.add(min(program, own), "disabled."+figure, unit, v)
	}
}

// once runs an extension through a cold start and invocations of 10 lines.
func (b *bench) once(ctx context.Context, program, invocations int) (p lambdasim.ProcessReport, err error) {
	env := map[string]string{"KINETEL_ENABLED": strconv.FormatBool(program != disabled)}
	s, err := b.start(ctx, b.paths[min(program, own)], env, nil)
	if err != nil {
		return p, err
	}
	defer s.close(ctx)
	for range invocations {
		if _, err := s.invoke(ctx, 10, 0); err != nil {
			return p, err
		}
	}
	return s.end(ctx)
}

// measureBusy measures a busy function: invocations of 10 lines, one after the other.
func (b *bench) measureBusy(ctx context.Context) error {
	return inTurns(b.busyRuns, 2, func(program int) error {
		s, err := b.start(ctx, b.paths[program], nil, nil)
		if err != nil {
			return err
		}
		defer s.close(ctx)
		for range b.busy {
			if _, err := s.invoke(ctx, 10, 0); err != nil {
				return err
			}
		}
		p, err := s.process()
		if err != nil {
			return err
		}
		now, peak, err := resident(p.PID)
		if err != nil {
			return err
		}
		b.add(program, "busy.memory", "MB", now)
		b.add(program, "busy.peak", "MB", peak)
		b.add(program, "busy.cpu", "ms", milliseconds(p.CPU-p.FirstNextCPU)/float64(b.busy))
		_, err = s.end(ctx)
		return err
	})
}
