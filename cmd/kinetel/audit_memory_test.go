package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	maxResident           = 96 << 20
	generatedEnvironments = 200
)

// A gigabyte of events of 200 environments, whose records come in another order, is read in
// little memory. The binary has no race detector, which takes memory of its own.
func TestAuditOfAGigabyteTakesLittleMemory(t *testing.T) {
	size := 1_000_000_000
	if testing.Short() {
		size /= 20
	}
	kinetel := filepath.Join(t.TempDir(), "kinetel")
	if out, err := exec.Command("go", "build", "-o", kinetel, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(kinetel, "audit", "-")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w := bufio.NewWriterSize(in, 1<<20)
	events, written := writeEvents(w, size)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	err = cmd.Wait()
	took := time.Since(began)
	want := fmt.Sprintf("complete: %d events of %d environments, 0 duplicates; 0 missing\n", events, generatedEnvironments)
	if err != nil || !strings.HasPrefix(out.String(), want) {
		t.Fatalf("%v, want %s%.500s", err, want, out.String())
	}
	resident := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	t.Logf("%d MB in %v with the test's own work, %v of CPU: %d MB resident",
		written/1e6, took.Round(100*time.Millisecond), cmd.ProcessState.UserTime().Round(100*time.Millisecond), resident>>20)
	if resident > maxResident {
		t.Errorf("%d MB resident, want at most %d", resident>>20, maxResident>>20)
	}
}

// writeEvents writes about so many bytes of events. Each second record of an environment
// comes before its predecessor.
func writeEvents(w *bufio.Writer, size int) (events, written int) {
	const batch = 50
	at := time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)
	for round := 0; written < size || round%2 == 1; round++ {
		for e := range generatedEnvironments {
			for i := range batch {
				seq := (round^1)*batch + i + 1
				n, _ := fmt.Fprintf(w, `{"schema":"kinetel/1","seq":%d,"time":%q,"type":"function","severity":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c%04x",`+
					`"body":"2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\tuser %d signed in\n","resource":{"cloud.provider":"aws","cloud.region":"eu-west-1",`+
					`"faas.name":"orders","faas.version":"$LATEST","service.name":"orders","service.instance.id":"%032x"}}`+"\n",
					seq, at.Add(time.Duration(seq)*time.Millisecond).Format("2006-01-02T15:04:05.000Z"), seq%65536, 7919*seq, e+1)
				written += n // an error comes again from Flush
				events++
			}
		}
	}
	return events, written
}
