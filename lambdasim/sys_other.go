//go:build !linux

package lambdasim

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// Elsewhere the package compiles, so that programs that contain it do; Start
// says that it cannot work.

const (
	signalStop     = syscall.SIGKILL
	signalContinue = syscall.SIGKILL
)

func checkPlatform() error {
	return fmt.Errorf("lambdasim: needs Linux, not %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func processAttributes() *syscall.SysProcAttr        { return nil }
func signalGroup(int, syscall.Signal)                {}
func awaitExit(int)                                  {}
func awaitStop(int)                                  {}
func cpuTime(int) time.Duration                      { return 0 }
func openPipe() (reader, writer *os.File, err error) { return nil, nil, errors.ErrUnsupported }
func pendingInPipe(uintptr) int                      { return 0 }
func readPipe(uintptr, []byte) (int, error)          { return 0, errors.ErrUnsupported }
