package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// seeds returns so many seeds, of the whole matrix or without it, if the flag
// does not say otherwise.
func seeds(whole, short uint64) (list []uint64) {
	n := short
	switch {
	case *randomRuns > 0:
		n = *randomRuns
	case *wholeMatrix:
		n = whole
	}
	for seed := range n {
		list = append(list, seed)
	}
	return list
}

// killSeeds returns the seeds of the three flush policies: every third one each.
func killSeeds(m mode) (list []uint64) {
	for _, seed := range seeds(60, 9) {
		if seed%3 == map[string]uint64{flushAdaptive: 0, flushEnd: 1, flushInterval: 2}[m.flush] {
			list = append(list, seed)
		}
	}
	return list
}

// moments are what a random delay is counted from, and the longest delay.
var moments = []struct {
	name   string
	begins func(lambdasim.Notice) bool
	within time.Duration
}{
	{"init", func(n lambdasim.Notice) bool { return n.Kind == lambdasim.NoticeExec && n.Process == sandbox.Extension }, 12 * time.Millisecond},
	{"burst", func(n lambdasim.Notice) bool { return n.Kind == lambdasim.NoticeInvokeStart }, 160 * time.Millisecond},
	{"hold", func(n lambdasim.Notice) bool { return n.Kind == lambdasim.NoticeRuntimeDone }, 60 * time.Millisecond},
	{"shutdown", func(n lambdasim.Notice) bool { return n.Kind == lambdasim.NoticeShutdownSent }, 120 * time.Millisecond},
}

// kill kills the extension at an instant that the seed chooses, resets the
// environment, goes on, and ends in order. What was acknowledged to Lambda has
// to arrive.
func kill(s *scenario, seed uint64) {
	s.acknowledged, s.killed = true, true
	draw := rand.New(rand.NewPCG(seed, 1))
	moment := moments[seed/2%uint64(len(moments))]
	after := time.Duration(draw.Int64N(int64(moment.within)))
	which := draw.IntN(3) // of the moments, where there are several
	if moment.name == "init" || moment.name == "shutdown" {
		which = 0
	}
	s.Logf("%v after %s %d", after, moment.name, which)

	// A Kinesis that is slow and fails sometimes, so that records wait.
	dice := sync.OnceValue(func() func() uint64 {
		var mu sync.Mutex
		source := rand.NewPCG(seed, 2)
		return func() uint64 { mu.Lock(); defer mu.Unlock(); return source.Uint64() }
	})()
	s.kinesis.SetIntercept(func(*kinesissim.Request) *kinesissim.Answer {
		n := dice()
		delay := time.Duration(n%60) * time.Millisecond
		switch n >> 32 % 8 {
		case 0, 2:
			return kinesissim.Combine(kinesissim.Delay(delay), unavailable())
		case 1:
			return kinesissim.Combine(kinesissim.Delay(delay), kinesissim.DropAnswerAndReset())
		}
		return kinesissim.Delay(delay)
	})

	target := &target{after: after}
	r := s.start(func(c *lambdasim.Config) {
		// An extension that dies in its init is started again.
		c.RetryFailedInit = true
		c.OnNotice = func(n lambdasim.Notice) {
			if n.Kind == lambdasim.NoticeExec && n.Process == sandbox.Extension {
				target.started(n)
			}
			if moment.begins(n) {
				if which == 0 {
					target.killLater()
				}
				which--
			}
		}
	})
	for _, payload := range []string{
		`{"id":"one","lines":100,"every":"1ms"}`,
		`{"id":"two","lines":3000,"format":"mixed","sleep":"50ms"}`,
		`{"id":"three","lines":150,"every":"1ms"}`,
		`{"id":"four","lines":600}`,
	} {
		r.Invoke(payload) // one of them meets the kill
	}
	s.shutdown(r)
	target.done()
	s.kinesis.SetIntercept(nil)
	second := s.start()
	s.invoke(second, `{"id":"after","lines":40}`)
	s.shutdown(second)

	hit := false
	for _, p := range r.Sandbox.Processes() {
		hit = hit || p.Name == sandbox.Extension && p.Signal == syscall.SIGKILL
	}
	s.Logf("hit: %v", hit)
	if !hit && moment.name != "shutdown" {
		s.Error("the extension was not killed")
	}
}

// target is the process to kill. It has a handle: the number may soon be that of
// another process.
type target struct {
	after time.Duration

	mu      sync.Mutex // guards all below
	process *os.Process
	timer   *time.Timer
}

// started opens a handle of the first process.
func (v *target) started(n lambdasim.Notice) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.process != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimPrefix(n.Detail, "pid ")); err == nil {
		v.process, _ = os.FindProcess(pid) // on Linux by a pidfd, where the kernel has them
	}
}

// killLater kills the process after a while.
func (v *target) killLater() {
	v.mu.Lock()
	defer v.mu.Unlock()
	process := v.process
	v.timer = time.AfterFunc(v.after, func() { _ = process.Kill() })
}

// done releases the handle.
func (v *target) done() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.timer != nil {
		v.timer.Stop()
	}
	if v.process != nil {
		_ = v.process.Release()
	}
}
