package faults

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// smallBuffer needs the spool soon: 2 MiB of memory, and nothing is compressed.
func (s *scenario) smallBuffer() {
	s.settings(map[string]string{
		"KINETEL_COMPRESSION":  "none",
		"KINETEL_BUFFER_BYTES": "2MiB",
		"KINETEL_MAX_HOLD":     "50ms",
	})
}

// outageWithFlood is an outage in which some 16 MB come; then Kinesis is back.
func (s *scenario) outageWithFlood() {
	s.Helper()
	s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
	r := s.start()
	for i := range 4 {
		s.invoke(r, `{"id":"flood-%d","lines":5000,"bytes":500}`, i)
	}
	// The interval's policy lets the environment be frozen with most of the flood
	// in Lambda's own backlog.
	s.invokeUntilAcknowledged(r)
	s.invokeUntil(r, "a request", func() bool { return s.kinesis.Stats().Errors["ServiceUnavailable"] > 0 })
	s.kinesis.SetIntercept(nil)
	s.invoke(r, `{"id":"back","lines":10}`)
	s.shutdown(r)
	if reported := s.losses(); len(reported) == 0 {
		s.Errorf("nothing was reported lost: the flood was too small")
	} else {
		s.Log("reported lost: ", reported)
	}
	s.requireOnlyLogsLost(r)
}

// requireOnlyLogsLost checks that log lines were dropped before platform events.
func (s *scenario) requireOnlyLogsLost(r *sandbox.Run) {
	s.Helper()
	arrived := map[string]bool{}
	for _, e := range s.arrived() {
		arrived[e.TimeText+e.Type+string(e.Body)] = true
	}
	lost := 0
	for _, e := range r.Emitted() {
		if strings.HasPrefix(e.Type, "platform.") && !arrived[e.Time+e.Type+e.Record] {
			lost++
			if lost == 1 {
				s.Logf("one of them: %s %.100s", e.Type, e.Record)
			}
		}
	}
	if lost > 0 {
		s.Errorf("%d platform events were lost while log lines were kept", lost)
	}
}

// flood is more than there is room for.
func flood(s *scenario, _ uint64) {
	s.smallBuffer()
	s.env["KINETEL_SPOOL_BYTES"] = "4MiB"
	s.outageWithFlood()
}

// noFolder puts the spool below a file.
func noFolder(s *scenario, _ uint64) {
	file := filepath.Join(s.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no folder"), 0o600); err != nil {
		s.Fatal(err)
	}
	s.env["KINETEL_SPOOL_DIR"] = filepath.Join(file, "spool")
	s.smallBuffer()
	s.outageWithFlood()
	if !strings.Contains(s.log(), "spool") {
		s.Errorf("the log does not name the spool:\n%s", s.log())
	}
}

// fullDisk puts the spool on a file system of 1 MiB, which only root can make.
func fullDisk(s *scenario, _ uint64) {
	disk := s.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		s.Skipf("no file system can be mounted here (%v); that a spool cannot be made is tested without", err)
	}
	s.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			s.Error(err)
		}
	})
	s.env["KINETEL_SPOOL_DIR"] = filepath.Join(disk, "spool")
	s.smallBuffer()
	s.outageWithFlood()
}

// damaged changes what one process has left, before the next one reads it.
func damaged(damage func(file string, draw *rand.Rand) error) func(*scenario, uint64) {
	return func(s *scenario, seed uint64) {
		s.env["KINETEL_COMPRESSION"] = "none"
		s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
		r := s.start(lambdaShutdownTimeout)
		for i := range 4 {
			s.invoke(r, `{"id":"run-%d","lines":1000,"bytes":200}`, i)
		}
		s.shutdown(r)
		if err := damage(s.largest(""), rand.New(rand.NewPCG(seed, 3))); err != nil {
			s.Fatal(err)
		}
		s.runAgain()
		reported := s.losses()
		s.Log("reported lost: ", reported)
		if reported["spool-corrupt"] == 0 {
			s.Errorf("reported lost: %v, want some as spool-corrupt", reported)
		}
	}
}

// damagedJournal flips bytes in what a killed process had acknowledged last.
func damagedJournal(s *scenario, seed uint64) {
	s.acknowledged, s.killed = true, true
	s.env["KINETEL_FLUSH_INTERVAL"] = "15m" // a seal would empty the journal
	s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
	r := s.start(lambdaShutdownTimeout)
	ended := s.background(r, `{"id":"journal","lines":400,"bytes":200,"every":"1ms","sleep":"10s"}`)
	s.waitFor("some lines", func() bool {
		taken, _ := r.Acknowledged()
		return len(taken) > 200
	})
	if err := r.Sandbox.SignalExtension(sandbox.Extension, os.Kill); err != nil {
		s.Fatal(err)
	}
	ended()
	s.shutdown(r)
	if err := flip(s.largest("journal"), rand.New(rand.NewPCG(seed, 4))); err != nil {
		s.Fatal(err)
	}
	s.runAgain()
	s.Log("reported lost: ", s.losses())
}

// largest returns the largest file of the spool, of all or of those with a name.
func (s *scenario) largest(name string) string {
	s.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(s.folder, func(path string, entry fs.DirEntry, err error) error {
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
		s.Fatalf("the spool has no file with something in it: %v", err)
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
