package faults

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kinetel/internal/event"
	"kinetel/kinesissim"
	"kinetel/lambdasim"
	"kinetel/test/rig"
)

// empty deletes everything in the spool's folder, as a handler does that begins
// with emptying /tmp.
func (w *world) empty() {
	entries, err := os.ReadDir(w.folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Error(err)
	}
	for _, e := range entries {
		// A folder is not empty if the extension writes into it at that moment.
		if err := os.RemoveAll(filepath.Join(w.folder, e.Name())); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			w.Error(err)
		}
	}
}

// tidy empties the spool's folder at each invocation.
func (w *world) tidy(c *lambdasim.Config) {
	c.OnNotice = func(n lambdasim.Notice) {
		if n.Kind == lambdasim.NoticeInvokeStart {
			w.empty()
		}
	}
}

func tidied(w *world, _ uint64) {
	r := w.start(w.tidy)
	w.traffic(r)
	w.invoke(r, `{"id":"burst","lines":2000}`)
	w.shutdown(r)
	if strings.Contains(w.log(), "ERROR") {
		w.Errorf("the log:\n%s", w.log())
	}
}

// tidiedOutage has records on disk only when they are deleted. Those are lost,
// which is reported at once: the next process knows nothing of them.
func tidiedOutage(w *world, _ uint64) {
	w.cramped()
	w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
	r := w.start(w.tidy)
	for range 4 {
		w.invoke(r, `{"id":"flood","lines":2000,"bytes":500}`)
	}
	w.taken(r)
	w.goOn(r, "a request", func() bool { return w.kinesis.Stats().Errors["ServiceUnavailable"] > 0 })
	w.kinesis.SetIntercept(nil)
	w.invoke(r, `{"id":"back","lines":10}`)
	w.shutdown(r)
	reported := w.losses()
	w.Log("reported as lost: ", reported)
	if w.spool != spoolOff && reported["spool-corrupt"] == 0 {
		w.Error("no record was on disk only when it was deleted; the run proves nothing")
	}
}

// tidiedToTheEnd ends while Kinesis is away: what the log claims to be on disk
// has to be there.
func tidiedToTheEnd(w *world, _ uint64) {
	w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
	r := w.start(hasty, w.tidy, func(c *lambdasim.Config) {
		tidy := c.OnNotice
		c.OnNotice = func(n lambdasim.Notice) {
			tidy(n)
			if n.Kind == lambdasim.NoticeShutdownSent {
				w.empty()
			}
		}
	})
	w.traffic(r)
	w.shutdown(r)
	w.after()
}

// tidiedKill deletes what was acknowledged, goes on, and kills the extension.
// What was acknowledged has to arrive from the next process.
func tidiedKill(w *world, seed uint64) {
	w.acknowledged, w.killed = true, true
	w.env["KINETEL_FLUSH_INTERVAL"] = "1m" // a cut would empty the journal
	if seed%2 == 1 {
		w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
	}
	r := w.start(hasty, w.tidy)
	w.invoke(r, `{"id":"before","lines":100}`)
	ended := w.background(r, `{"id":"tidied","lines":5000,"bytes":200,"every":"1ms","sleep":"10s"}`)
	for range 3 {
		before, _ := r.Acknowledged()
		w.await("some lines", func() bool {
			taken, _ := r.Acknowledged()
			return len(taken) > len(before)+200
		})
		w.empty()
	}
	before, _ := r.Acknowledged()
	w.await("bodies that are taken after that", func() bool {
		taken, _ := r.Acknowledged()
		return len(taken) > len(before)+100
	})
	if err := r.Sandbox.KillExtension(rig.Extension, syscall.SIGKILL); err != nil {
		w.Fatal(err)
	}
	w.kinesis.SetIntercept(nil)
	ended()
	w.shutdown(r)
	w.after()
}

// hostileSpool puts things into the spool's folder, beside what a process has
// left there, that must neither be waited for nor followed nor believed.
func hostileSpool(w *world, _ uint64) {
	w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
	r := w.start(hasty)
	w.traffic(r)
	w.shutdown(r)
	folders, err := filepath.Glob(filepath.Join(w.folder, "*", "*"))
	if err != nil || len(folders) == 0 {
		w.Fatalf("nothing is left in %s: %v", w.folder, err)
	}
	head, err := os.ReadFile("../../internal/spool/testdata/quadratic-head.seg")
	if err != nil {
		w.Fatal(err)
	}
	segment, injection := bytes.Repeat(head, 36<<20/len(head)), injectedReason(w)
	beside := filepath.Dir(folders[0])
	for _, left := range folders {
		path := filepath.Join(left, "manifest")
		err = errors.Join(err, os.RemoveAll(path), syscall.Mkfifo(path, 0o600), os.MkdirAll(filepath.Join(left, "00000077.seg", "x"), 0o700),
			syscall.Mkfifo(filepath.Join(left, "00000078.seg"), 0o600))
	}
	for name, make := range map[string]func(dir string) error{
		"0": func(dir string) error { return os.WriteFile(filepath.Join(dir, "00000001.seg"), segment, 0o600) },
		"1": func(dir string) error { return os.WriteFile(filepath.Join(dir, "journal"), segment, 0o600) },
		"2": func(dir string) error { return os.WriteFile(filepath.Join(dir, "00000001.seg"), injection, 0o600) },
		"3": func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "meta"), 0o600) },
		"4": func(dir string) error { return os.Symlink("/dev/zero", filepath.Join(dir, "meta")) },
		"5": func(dir string) error { return os.Mkdir(filepath.Join(dir, "journal"), 0o700) },
		"6": func(dir string) error { return os.Symlink("/dev/zero", filepath.Join(dir, "00000001.seg")) },
	} {
		dir := filepath.Join(beside, strings.Repeat(name, 32))
		err = errors.Join(err, os.Mkdir(dir, 0o700), make(dir))
	}
	err = errors.Join(err, syscall.Mkfifo(filepath.Join(beside, strings.Repeat("7", 32)), 0o600), os.Symlink("/", filepath.Join(beside, strings.Repeat("8", 32))))
	if err != nil {
		w.Fatal(err)
	}
	w.kinesis.SetIntercept(nil)
	began := time.Now()
	w.after()
	w.Logf("the second sandbox took %v", time.Since(began))
	for _, e := range w.arrived() {
		if strings.Contains(string(e.Body), "forged") || e.Resource["faas.name"] == "payments" {
			w.Errorf("a line that a neighbour wrote has left: %s", e.Body)
		}
		if e.Type == event.TypeLoss {
			w.Logf("%v: %s", e.Environment(), e.Body)
		}
	}
}

// injectedReason is a segment with a loss whose reason goes on with lines.
func injectedReason(w *world) []byte {
	b, err := os.ReadFile("testdata/loss-reason-injection.seg")
	if err != nil {
		w.Fatal(err)
	}
	return b
}
