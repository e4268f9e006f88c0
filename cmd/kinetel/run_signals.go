package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// errAborted is the cause of an abort, and has the exit status exitSignal.
var errAborted = errors.New("ended at once; the processes were killed")

// sameInterrupt is how long an interrupt counts as the first one: timeout(1) sends it to
// the command and to its process group.
const sameInterrupt = 200 * time.Millisecond

// watchSignals returns a context that ends when everything has to end at once: at a second
// interrupt, or when the terminal is closed. After that a signal ends this process, as
// without stop. It also lets a write to a closed pipe fail, in place of ending this process:
// the processes have to be shut down. (To ignore SIGPIPE would be inherited by them.)
func watchSignals() (abort context.Context, stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	abort, cancel := context.WithCancelCause(context.Background())
	go func() {
		var first time.Time
		for abort.Err() == nil {
			select {
			case s := <-signals:
				if s == syscall.SIGHUP || !first.IsZero() && time.Since(first) > sameInterrupt {
					cancel(errAborted)
				} else if first.IsZero() {
					first = time.Now()
				}
			case <-abort.Done():
			}
		}
		signal.Stop(signals)
	}()
	return abort, func() { cancel(nil); signal.Stop(broken) }
}
