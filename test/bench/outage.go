package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
)

// What an outage is like: a function that writes a megabyte a second, and a
// Kinesis that is down for ten minutes of it.
const (
	outageBuffer = 16 << 20 // KINETEL_BUFFER_BYTES' default
	outageBound  = outageBuffer + 16_000_000
	outageLines  = 3700
	outageBytes  = 270
)

// outageModes are settings of KINETEL_SPOOL and KINETEL_COMPRESSION.
func outageModes() [][2]string {
	return [][2]string{{"overflow", "gzip"}, {"overflow", "none"}, {"off", "none"}, {"always", "none"}, {"off", "zstd"}}
}

// measureOutage measures the extension's memory while Kinesis is down. In compressed
// time the invocations follow each other at once; otherwise one begins every
// second.
func (b *bench) measureOutage(ctx context.Context) error {
	modes := outageModes()
	outages, errs := make([]outage, len(modes)), make([]error, len(modes))
	var running sync.WaitGroup
	for i, mode := range modes {
		once := func() { outages[i], errs[i] = b.outage(ctx, mode[0], mode[1]) }
		if b.outageReal { // which leaves the machine time for all at once
			running.Go(once)
		} else {
			once()
		}
	}
	running.Wait()
	for i, o := range outages {
		figure := outageFigure(modes[i])
		b.add(own, figure+".peak", "MB", o.peak)
		b.add(own, figure+".held", "ms", milliseconds(o.held))
		b.add(own, figure+".disk", "MB", o.disk)
	}
	return errors.Join(errs...)
}

func outageFigure(mode [2]string) string { return "outage." + mode[0] + "." + mode[1] }

// outage is what one costs.
type outage struct {
	peak, disk float64 // MB
	held       time.Duration
}

func (b *bench) outage(ctx context.Context, spool, compression string) (o outage, err error) {
	env := map[string]string{"KINETEL_SPOOL": spool, "KINETEL_COMPRESSION": compression}
	sandbox, err := b.start(ctx, b.paths[own], env, kinesissim.Refuse(503, "ServiceUnavailable", "down"))
	if err != nil {
		return o, err
	}
	defer sandbox.close(ctx)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for range b.outageMegabytes {
		result, err := sandbox.invoke(ctx, outageLines, outageBytes)
		if err != nil {
			return o, err
		}
		o.held += result.Held
		if b.outageReal {
			select {
			case <-second.C:
			case <-ctx.Done():
				return o, ctx.Err()
			}
		}
	}
	o.held /= time.Duration(b.outageMegabytes)
	o.disk = float64(folderSize(sandbox.spool)) / 1e6
	p, err := sandbox.end(ctx)
	o.peak = float64(p.MaxRSSKiB) * 1024 / 1e6
	return o, err
}

// folderSize adds up the files below a folder.
func folderSize(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // a file may go while we look
		}
		if info, err := entry.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}
