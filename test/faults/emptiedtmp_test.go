package faults

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// empty deletes everything in the spool's folder, as a handler does that begins
// with emptying /tmp.
func (s *scenario) empty() {
	entries, err := os.ReadDir(s.folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Error(err)
	}
	for _, e := range entries {
		// A folder is not empty if the extension writes into it at that moment.
		if err := os.RemoveAll(filepath.Join(s.folder, e.Name())); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			s.Error(err)
		}
	}
}

// tidy empties the spool's folder at each invocation.
func (s *scenario) emptyAtInvoke(c *lambdasim.Config) {
	c.OnNotice = func(n lambdasim.Notice) {
		if n.Kind == lambdasim.NoticeInvokeStart {
			s.empty()
		}
	}
}

func emptiedTmp(s *scenario, _ uint64) {
	r := s.start(s.emptyAtInvoke)
	s.traffic(r)
	s.invoke(r, `{"id":"burst","lines":2000}`)
	s.shutdown(r)
	if strings.Contains(s.log(), "ERROR") {
		s.Errorf("the log:\n%s", s.log())
	}
}

// emptiedTmpOutage has records on disk only when they are deleted. Those are lost,
// which is reported at once: the next process knows nothing of them.
func emptiedTmpOutage(s *scenario, _ uint64) {
	s.smallBuffer()
	s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
	r := s.start(s.emptyAtInvoke)
	for n := range 20 {
		s.invoke(r, `{"id":"flood","lines":2000,"bytes":500}`)
		if n >= 3 && (s.spool == spoolOff || strings.Contains(s.log(), "spool-corrupt")) {
			break
		}
	}
	s.invokeUntilAcknowledged(r)
	s.invokeUntil(r, "a request", func() bool { return s.kinesis.Stats().Errors["ServiceUnavailable"] > 0 })
	s.kinesis.SetIntercept(nil)
	s.invoke(r, `{"id":"back","lines":10}`)
	s.shutdown(r)
	reported := s.losses()
	s.Log("reported as lost: ", reported)
	if s.spool != spoolOff && reported["spool-corrupt"] == 0 {
		s.Error("no record was on disk only when it was deleted; the run proves nothing")
	}
}

// emptiedTmpToTheEnd ends while Kinesis is away: what the log claims to be on disk
// has to be there.
func emptiedTmpToTheEnd(s *scenario, _ uint64) {
	s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
	r := s.start(lambdaShutdownTimeout, s.emptyAtInvoke, func(c *lambdasim.Config) {
		tidy := c.OnNotice
		c.OnNotice = func(n lambdasim.Notice) {
			tidy(n)
			if n.Kind == lambdasim.NoticeShutdownSent {
				s.empty()
			}
		}
	})
	s.traffic(r)
	s.shutdown(r)
	s.runAgain()
}

// emptiedTmpKill deletes what was acknowledged, goes on, and kills the extension.
// What was acknowledged has to arrive from the next process.
func emptiedTmpKill(s *scenario, seed uint64) {
	s.acknowledged, s.killed = true, true
	s.env["KINETEL_FLUSH_INTERVAL"] = "15m" // a seal would empty the journal
	if seed%2 == 1 {
		s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
	}
	r := s.start(lambdaShutdownTimeout, s.emptyAtInvoke)
	s.invoke(r, `{"id":"before","lines":100}`)
	ended := s.background(r, `{"id":"emptiedTmp","lines":5000,"bytes":200,"every":"1ms","sleep":"10s"}`)
	for range 3 {
		before, _ := r.Acknowledged()
		s.waitFor("some lines", func() bool {
			taken, _ := r.Acknowledged()
			return len(taken) > len(before)+200
		})
		s.empty()
	}
	before, _ := r.Acknowledged()
	s.waitFor("bodies that are accepted after that", func() bool {
		taken, _ := r.Acknowledged()
		return len(taken) > len(before)+100
	})
	if err := r.Sandbox.SignalExtension(sandbox.Extension, os.Kill); err != nil {
		s.Fatal(err)
	}
	s.kinesis.SetIntercept(nil)
	ended()
	s.shutdown(r)
	s.runAgain()
}

// hostileSpool puts things into the spool's folder, beside what a process has
// left there, that must neither be waited for nor followed nor believed.
func hostileSpool(s *scenario, _ uint64) {
	s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
	r := s.start(lambdaShutdownTimeout)
	s.traffic(r)
	s.shutdown(r)
	folders, err := filepath.Glob(filepath.Join(s.folder, "*", "*"))
	if err != nil || len(folders) == 0 {
		s.Fatalf("nothing is left in %s: %v", s.folder, err)
	}
	head, err := os.ReadFile("../../internal/spool/testdata/quadratic-head.seg")
	if err != nil {
		s.Fatal(err)
	}
	segment, injection := bytes.Repeat(head, 36<<20/len(head)), injectedReason(s)
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
		s.Fatal(err)
	}
	s.kinesis.SetIntercept(nil)
	began := time.Now()
	s.runAgain()
	s.Logf("the second sandbox took %v", time.Since(began))
	if strings.Contains(s.log(), "stays on disk for the next process") {
		s.runAgain() // this machine was busy: the second one had no time to read 64 MiB
	}
	for _, e := range s.arrived() {
		if strings.Contains(string(e.Body), "forged") || e.Resource["faas.name"] == "payments" {
			s.Errorf("a line that a neighbour wrote has left: %s", e.Body)
		}
		if e.Type == event.TypeLoss {
			s.Logf("%v: %s", e.InstanceID(), e.Body)
		}
	}
}

// injectedReason is a segment with a loss whose reason goes on with lines.
func injectedReason(s *scenario) []byte {
	b, err := os.ReadFile("testdata/loss-reason-injection.seg")
	if err != nil {
		s.Fatal(err)
	}
	return b
}
