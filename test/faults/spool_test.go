package faults

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kinetel/kinesissim"
	"kinetel/test/sandbox"
)

// cramped needs the spool soon: 2 MiB of memory, and nothing is compressed.
func (w *world) cramped() {
	w.settings(map[string]string{
		"KINETEL_COMPRESSION":  "none",
		"KINETEL_BUFFER_BYTES": "2MiB",
		"KINETEL_MAX_HOLD":     "50ms",
	})
}

// outageWithFlood is an outage in which some 16 MB come; then Kinesis is back.
func (w *world) outageWithFlood() {
	w.Helper()
	w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
	r := w.start()
	for i := range 4 {
		w.invoke(r, `{"id":"flood-%d","lines":5000,"bytes":500}`, i)
	}
	// The interval's policy lets the environment be frozen with most of the flood
	// in Lambda's own backlog.
	w.taken(r)
	w.goOn(r, "a request", func() bool { return w.kinesis.Stats().Errors["ServiceUnavailable"] > 0 })
	w.kinesis.SetIntercept(nil)
	w.invoke(r, `{"id":"back","lines":10}`)
	w.shutdown(r)
	if told := w.losses(); len(told) == 0 {
		w.Errorf("nothing was reported lost, so the flood was none")
	} else {
		w.Log("reported lost: ", told)
	}
	w.onlyLines(r)
}

// onlyLines checks that lines went before platform events.
func (w *world) onlyLines(r *sandbox.Run) {
	w.Helper()
	arrived := map[string]bool{}
	for _, e := range w.arrived() {
		arrived[e.Time+e.Type+string(e.Body)] = true
	}
	lost := 0
	for _, e := range r.Emitted() {
		if strings.HasPrefix(e.Type, "platform.") && !arrived[e.Time+e.Type+e.Record] {
			lost++
			if lost == 1 {
				w.Logf("one of them: %s %.100s", e.Type, e.Record)
			}
		}
	}
	if lost > 0 {
		w.Errorf("%d platform events were lost, with lines left to give up", lost)
	}
}

// flood is more than there is room for.
func flood(w *world, _ uint64) {
	w.cramped()
	w.env["KINETEL_SPOOL_BYTES"] = "4MiB"
	w.outageWithFlood()
}

// noFolder puts the spool below a file.
func noFolder(w *world, _ uint64) {
	file := filepath.Join(w.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no folder"), 0o600); err != nil {
		w.Fatal(err)
	}
	w.env["KINETEL_SPOOL_DIR"] = filepath.Join(file, "spool")
	w.cramped()
	w.outageWithFlood()
	if !strings.Contains(w.log(), "spool") {
		w.Errorf("the log does not tell of the spool:\n%s", w.log())
	}
}

// fullDisk puts the spool on a file system of 1 MiB, which only root can make.
func fullDisk(w *world, _ uint64) {
	disk := w.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		w.Skipf("no file system can be mounted here (%v); that a spool cannot be made is tested without", err)
	}
	w.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			w.Error(err)
		}
	})
	w.env["KINETEL_SPOOL_DIR"] = filepath.Join(disk, "spool")
	w.cramped()
	w.outageWithFlood()
}

// damaged changes what one process has left, before the next one reads it.
func damaged(damage func(file string, draw *rand.Rand) error) func(*world, uint64) {
	return func(w *world, seed uint64) {
		w.env["KINETEL_COMPRESSION"] = "none"
		w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
		r := w.start(hasty)
		for i := range 4 {
			w.invoke(r, `{"id":"run-%d","lines":1000,"bytes":200}`, i)
		}
		w.shutdown(r)
		if err := damage(w.largest(""), rand.New(rand.NewPCG(seed, 3))); err != nil {
			w.Fatal(err)
		}
		w.after()
		told := w.losses()
		w.Log("reported lost: ", told)
		if told["spool-corrupt"] == 0 {
			w.Errorf("reported lost: %v, want some as spool-corrupt", told)
		}
	}
}

// damagedJournal flips bytes in what a killed process had acknowledged last.
func damagedJournal(w *world, seed uint64) {
	w.acknowledged, w.killed = true, true
	w.env["KINETEL_FLUSH_INTERVAL"] = "1m" // a cut would empty the journal
	w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
	r := w.start(hasty)
	ended := w.background(r, `{"id":"journal","lines":400,"bytes":200,"every":"1ms","sleep":"10s"}`)
	w.await("some lines", func() bool {
		taken, _ := r.Acknowledged()
		return len(taken) > 200
	})
	if err := r.Sandbox.KillExtension(sandbox.Extension, syscall.SIGKILL); err != nil {
		w.Fatal(err)
	}
	ended()
	w.shutdown(r)
	if err := flip(w.largest("journal"), rand.New(rand.NewPCG(seed, 4))); err != nil {
		w.Fatal(err)
	}
	w.after()
	w.Log("reported lost: ", w.losses())
}

// largest returns the largest file of the spool, of all or of those with a name.
func (w *world) largest(name string) string {
	w.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(w.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name != "" && entry.Name() != name {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil || size == 0 {
		w.Fatalf("the spool has no file with something in it: %v", err)
	}
	return largest
}

// flip changes up to 16 bytes, anywhere.
func flip(file string, draw *rand.Rand) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	at := draw.IntN(len(data))
	for i := range min(1+draw.IntN(16), len(data)-at) {
		data[at+i] ^= byte(1 + draw.IntN(255))
	}
	return os.WriteFile(file, data, 0o600)
}

// truncate takes the end, up to half of it.
func truncate(file string, draw *rand.Rand) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	half := info.Size() / 2
	if err := os.Truncate(file, half+draw.Int64N(half)); err != nil {
		return fmt.Errorf("truncate: %w", err)
	}
	return nil
}
