package lambdasim

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// What only Linux has: the freeze, process groups that die with this program,
// and the ways to look at processes and pipes.

const (
	signalStop     = syscall.SIGSTOP
	signalContinue = syscall.SIGCONT
)

func checkPlatform() error { return nil }

// processAttributes gives a process its own group, and lets it die with this
// program.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// signalGroup sends a signal to a process group.
func signalGroup(pid int, sig syscall.Signal) {
	// ESRCH, the one possible error, means that no process is left.
	_ = syscall.Kill(-pid, sig)
}

// awaitExit waits until a child has exited, awaitStop until it was stopped or
// has exited. Neither reaps the child.
//
// awaitExit waits in the runtime's poller, by a pidfd. In waitid itself it would
// keep a processor from the scheduler until that looks, which may take 10 ms;
// with as many processes as processors, nothing read from the network meanwhile,
// and an API answered that much later.
func awaitExit(pid int) {
	if !pollExit(pid) {
		waitStatus(pid, syscall.WEXITED)
	}
}

func awaitStop(pid int) { waitStatus(pid, syscall.WEXITED|syscall.WSTOPPED) }

// pollExit is awaitExit, and reports false where the kernel has no pidfd that
// can be polled (before Linux 5.10).
func pollExit(pid int) bool {
	const pidfdOpen = 434 // on every architecture
	fd, _, errno := syscall.Syscall(pidfdOpen, uintptr(pid), syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return false
	}
	file := os.NewFile(fd, "pidfd")
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	return conn.Read(func(uintptr) bool { return waitStatus(pid, syscall.WEXITED|syscall.WNOHANG) }) == nil
}

// waitStatus reports whether the child is in such a state. It waits for it,
// unless WNOHANG is among the options.
func waitStatus(pid, options int) bool {
	const pPID = 1
	var info [128]byte // siginfo_t; it begins with the signal, 0 for no news
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), uintptr(options|syscall.WNOWAIT), 0, 0)
		if errno != syscall.EINTR {
			// ECHILD means that there is nothing to wait for.
			return errno != 0 || binary.NativeEndian.Uint32(info[:]) != 0
		}
	}
}

// cpuTime returns the processor time of a living process, by its CPU-time clock.
func cpuTime(pid int) time.Duration {
	const schedClock = 2 // CPUCLOCK_SCHED of <linux/posix-timers.h>
	clock := (^int32(pid))<<3 | schedClock
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}

// pipeBytes is the size asked for: the most that an unprivileged process gets.
const pipeBytes = 1 << 20

// openPipe returns a pipe whose read end does not block, and whose other end
// does, as programs expect of their standard output.
func openPipe() (reader, writer *os.File, err error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	// A smaller pipe than asked for is only slower, so errors do not matter.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[0]), syscall.F_SETPIPE_SZ, pipeBytes)
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// pendingInPipe is how much can be read now.
func pendingInPipe(fd uintptr) int {
	var pending int32
	// FIONREAD fails on no pipe; if it did, nothing would be pending.
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&pending)))
	return int(pending)
}

func readPipe(fd uintptr, buf []byte) (int, error) { return syscall.Read(int(fd), buf) }
