package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the processor time of a living process, in user and system mode.
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED of <linux/posix-timers.h>
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &at); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// resident returns the resident memory of a process in MB: now, and at its peak.
func resident(pid int) (now, peak float64, err error) {
	file := "/proc/" + strconv.Itoa(pid) + "/status"
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	for _, of := range []struct {
		name string
		to   *float64
	}{{"VmRSS:", &now}, {"VmHWM:", &peak}} {
		_, rest, _ := strings.Cut(string(text), of.name)
		var kib int64
		if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
			return 0, 0, fmt.Errorf("%s has no %s", file, of.name)
		}
		*of.to = float64(kib) * 1024 / 1e6
	}
	return now, peak, nil
}

// sampleMemory reads the resident memory of a process again and again. The function that it
// returns stops that, and returns the values and the last peak, in MB.
func sampleMemory(ctx context.Context, pid int, step time.Duration) (stop func() (samples []float64, peak float64)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var samples []float64
	var last float64
	go func() {
		defer close(done)
		tick := time.NewTicker(step)
		defer tick.Stop()
		for {
			if now, peak, err := resident(pid); err == nil { // otherwise it has ended
				samples, last = append(samples, now), peak
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() ([]float64, float64) {
		cancel()
		<-done
		return samples, last
	}
}

// pinThread lets the calling thread run on these processors only, and returns a function
// that undoes it. The goroutine must be locked to it. Processes that it starts inherit the
// limit.
func pinThread(processors []int) (undo func(), err error) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("processors of a thread: %w", err)
	}
	if err := unix.SchedSetaffinity(0, cpuSet(processors)); err != nil {
		return nil, fmt.Errorf("pin a thread to the processors %v: %w", processors, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &before) }, nil // which worked before
}

// pinSelf lets all threads of this process run on these processors only. Threads and
// processes that they start later inherit the limit.
func pinSelf(processors []int) error {
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(filepath.Base(thread))
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, cpuSet(processors)); err != nil && err != unix.ESRCH { // it has ended
			return fmt.Errorf("pin this process to the processors %v: %w", processors, err)
		}
	}
	return nil
}

func cpuSet(processors []int) *unix.CPUSet {
	var set unix.CPUSet
	for _, one := range processors {
		set.Set(one)
	}
	return &set
}

// processors returns those that this process may use.
func processors() (all []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for one := range len(set) * 64 {
		if set.IsSet(one) {
			all = append(all, one)
		}
	}
	return all
}
