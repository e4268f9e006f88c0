package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// measureReaders measures kinetel tail and kinetel audit with a gzip file of events. A
// speed is that of one core: megabytes of the events' lines for each second of processor
// time in user mode.
func (b *bench) measureReaders(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kinetel-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "events.gz")
	size, err := writeEvents(file, b.readMegabytes*1e6)
	if err != nil {
		return err
	}
	for _, args := range readers() {
		for range readRuns {
			cmd := exec.CommandContext(ctx, b.kinetel, append(args, file)...)
			var stderr strings.Builder
			cmd.Stderr = &stderr // standard output is the null device
			if err := cmd.Start(); err != nil {
				return err
			}
			// The peak in rusage is at least that of this process.
			memory := sampleMemory(ctx, cmd.Process.Pid, 5*time.Millisecond)
			err := cmd.Wait()
			_, peak := memory()
			if err != nil {
				return fmt.Errorf("kinetel %s: %w\n%.500s", args[0], err, stderr.String())
			}
			user := max(cmd.ProcessState.UserTime(), time.Millisecond) // by the kernel's ticks, it can be 0
			b.add(own, readFigure(args)+".speed", "MB/s", float64(size)/1e6/user.Seconds())
			b.add(own, readFigure(args)+".peak", "MB", peak)
		}
	}
	return nil
}

// readers are the arguments of kinetel.
func readers() [][]string {
	return [][]string{{"tail", "-o", "text"}, {"tail", "-o", "raw"}, {"audit"}}
}

func readFigure(args []string) string { return "read." + strings.Join(args, " ") }

const (
	readRuns     = 3
	recordEvents = 500
	environments = 20
)

// writeEvents writes a gzip file with so many bytes of events, a member for each record.
func writeEvents(name string, most int) (size int, err error) {
	file, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(file)
	z := gzip.NewWriter(out)
	at := time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)
	for n, events := 0, 0; size < most; n++ {
		z.Reset(out)
		for i := range recordEvents {
			seq := n/environments*recordEvents + i + 1
			id := fmt.Sprintf("8476a536-e9f4-11e8-9739-2dfe%08x", events/10)
			// An error comes again from Close.
			written, _ := fmt.Fprintf(z, `{"schema":"kinetel/1","seq":%d,"time":"%s","type":"function","severity":"INFO","requestId":"%s",`+
				`"body":"2026-11-22T20:15:00.123Z\t%s\tINFO\tuser %d signed in\n","resource":{"cloud.provider":"aws","cloud.region":"us-east-1",`+
				`"faas.name":"orders","faas.version":"$LATEST","faas.instance":"2026/11/27/[$LATEST]%032x","service.name":"orders","service.instance.id":"%032x"}}`+"\n",
				seq, at.Add(time.Duration(events)*time.Millisecond).Format("2006-01-02T15:04:05.000Z"), id, id, 7919*seq, n%environments, n%environments+1)
			events++
			size += written
		}
		if err := z.Close(); err != nil {
			return 0, errors.Join(err, file.Close())
		}
	}
	return size, errors.Join(out.Flush(), file.Close())
}
