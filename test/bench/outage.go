package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
)

// What an outage is like: a function that writes a megabyte a second, and a
// Kinesis that is down for ten minutes of it.
const (
	outageBuffer = 16 << 20 // KINETEL_BUFFER_BYTES' default
	outageBound  = outageBuffer + 16_000_000
	outageLines  = 3700
	outageBytes  = 270
)

// outage measures the extension's memory while Kinesis is down. In compressed
// time the invocations follow each other at once; otherwise one begins every
// second.
func (b bench) outage(ctx context.Context) error {
	how := "in compressed time"
	if b.outageReal {
		how = "in real time"
	}
	fmt.Printf("\nKinesis down for %d invocations of 1 MB of logs each, one a second, %s\n\n", b.outageMegabytes, how)
	modes := []struct{ spool, compression string }{
		{"overflow", "gzip"}, {"overflow", "none"}, {"off", "none"}, {"always", "none"}, {"off", "zstd"},
	}
	rows, errs := make([]string, len(modes)), make([]error, len(modes))
	var running sync.WaitGroup
	for i, mode := range modes {
		once := func() { rows[i], errs[i] = b.outageOnce(ctx, mode.spool, mode.compression) }
		if b.outageReal { // which leaves the machine time for all at once
			running.Go(once)
		} else {
			once()
		}
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "spool\tcompression\tlogs\ttook\tresident memory, peak\tbound\theld, mean\tspool on disk\t")
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	return w.Flush()
}

// outageOnce returns a row of the table.
func (b bench) outageOnce(ctx context.Context, spool, compression string) (string, error) {
	const stream = "bench"
	kinesis, err := kinesissim.Start(ctx, kinesissim.Config{
		Streams:   []kinesissim.Stream{{Name: stream, Shards: 1}},
		Intercept: kinesissim.AnswerAll(kinesissim.Refuse(503, "ServiceUnavailable", "down")),
	})
	if err != nil {
		return "", err
	}
	defer kinesis.Close()
	dir, err := os.MkdirTemp("", "kinetel-bench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		Function:   lambdasim.Process{Path: b.function},
		Extensions: []lambdasim.Process{{Path: b.extension}},
		Timeout:    time.Minute,
		Env: map[string]string{
			"KINETEL_STREAM_NAME":      stream,
			"KINETEL_SPOOL":            spool,
			"KINETEL_SPOOL_DIR":        dir,
			"KINETEL_COMPRESSION":      compression,
			"AWS_ENDPOINT_URL_KINESIS": kinesis.URL(),
		},
	})
	if err != nil {
		return "", err
	}
	defer func() { _, _ = sandbox.Shutdown(context.WithoutCancel(ctx)) }()

	began := time.Now()
	var held time.Duration
	payload := fmt.Appendf(nil, `{"id":"outage","lines":%d,"bytes":%d,"format":"mixed"}`, outageLines, outageBytes)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for range b.outageMegabytes {
		result, err := sandbox.Invoke(ctx, payload)
		if err != nil {
			return "", err
		}
		held += result.Held
		if b.outageReal {
			select {
			case <-second.C:
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}
	took := time.Since(began)
	disk := folderSize(dir)
	if _, err := sandbox.Shutdown(ctx); err != nil {
		return "", err
	}
	for _, p := range sandbox.Processes() {
		if p.Name != filepath.Base(b.extension) {
			continue
		}
		if p.ExitCode != 0 {
			return "", fmt.Errorf("%s ended with status %d", p.Name, p.ExitCode)
		}
		return fmt.Sprintf("%s\t%s\t%d MB\t%s\t%.1f MB\t%.1f MB\t%s\t%.1f MB\t", spool, compression,
			b.outageMegabytes*outageLines*outageBytes/1_000_000, took.Round(time.Second),
			float64(p.MaxRSSKiB)*1024/1e6, outageBound/1e6, (held / time.Duration(b.outageMegabytes)).Round(10*time.Microsecond), float64(disk)/1e6), nil
	}
	return "", errors.New("the extension was not there")
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
