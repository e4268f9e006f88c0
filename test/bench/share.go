package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kinetel/kinetel/internal/localrun/cpulimit"
)

// place is where an extension's process runs. The zero value is anywhere.
type place struct {
	processors []int
	limiter    *cpulimit.Limiter
}

// measureShare measures cold starts with a share of a processor: in a control group if that
// is permitted, otherwise on a processor where other processes spin.
func (b *bench) measureShare(ctx context.Context) error {
	limiter, err := cpulimit.New("/sys/fs/cgroup", "/proc/self/cgroup", 1/float64(b.shares))
	if err == nil {
		defer limiter.Close()
		b.Share = fmt.Sprintf("to 1/%d of a processor by a control group (cpu.max)", b.shares)
		return b.startsAt(ctx, place{limiter: limiter})
	}
	last, leave, err := b.leaveProcessor()
	if err != nil {
		return err
	}
	defer leave()
	b.Share = fmt.Sprintf("to 1/%d of a processor by others that spin on it", b.shares)
	// The processes end with the thread that started them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range b.shares - 1 {
		spin := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
		spin.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if _, err := startOn(spin, last); err != nil {
			return err
		}
		defer func() {
			_ = spin.Process.Kill()
			_ = spin.Wait() // its error is the signal
		}()
	}
	return b.startsAt(ctx, place{processors: last})
}

// leaveProcessor moves this process away from the last of its processors, which it returns.
func (b *bench) leaveProcessor() (last []int, leave func(), err error) {
	all := processors()
	if len(all) < 2 {
		return nil, nil, fmt.Errorf("this program may use one processor only, and the extension needs its own: leave the parts out that need two")
	}
	others := all[:len(all)-1]
	return all[len(others):], func() { _ = pinSelf(all) }, pinSelf(others)
}

func (b *bench) startsAt(ctx context.Context, at place) error {
	return inTurns(b.shareStarts, 2, func(program int) error {
		// Lambda has two processors where it gives a share of one.
		d, err := drive(ctx, b.paths[program], []string{"GOMAXPROCS=2"}, at)
		defer d.close()
		if err != nil {
			return err
		}
		b.add(program, "share.register", "ms", milliseconds(d.register))
		b.add(program, "share.next", "ms", milliseconds(d.started))
		_, err = d.shutdown(ctx, time.Minute)
		return err
	})
}

// start starts a process at the place.
func (p place) start(cmd *exec.Cmd) (began time.Time, err error) {
	if p.limiter == nil {
		return startOn(cmd, p.processors)
	}
	began = time.Now()
	if err := cmd.Start(); err != nil {
		return began, err
	}
	group, err := p.limiter.Group(strconv.Itoa(cmd.Process.Pid))
	if err == nil {
		err = group.Add(cmd.Process.Pid)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // its error is the signal
	}
	return began, err
}
