package lambdasim

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one started executable, the leader of its own process group.
type process struct {
	kind       ProcessKind
	name, path string
	generation int
	cmd        *exec.Cmd
	pid        int
	execAt     time.Time
	pipes      []*pipe
	// exited is closed when the process is dead, its output was emitted, and
	// the fields below are final.
	exited chan struct{}

	// Guarded by Sandbox.mu:
	registeredAt, subscribedAt, firstNextAt, shutdownAt, exitedAt time.Time
	gone                                                          bool
	state                                                         *os.ProcessState
	killed, killedAtDeadline, outOfMemory                         bool
	peakKiB                                                       int64
	firstNextCPU                                                  time.Duration
	sub                                                           *subscriber
}

// spawner starts processes. It keeps one thread for itself as long as the
// sandbox lives: Linux delivers Pdeathsig when the thread that started a process
// ends, not when the program does.
type spawner struct {
	jobs chan func()
	done sync.WaitGroup
}

// run serves start until stop.
func (sp *spawner) run() {
	sp.jobs = make(chan func())
	sp.done.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // or the thread would end here
		for job := range sp.jobs {
			job()
		}
	})
}

func (sp *spawner) stop() {
	close(sp.jobs)
	sp.done.Wait()
}

func (sp *spawner) start(cmd *exec.Cmd) (at time.Time, err error) {
	finished := make(chan struct{})
	sp.jobs <- func() {
		defer close(finished)
		at = time.Now()
		err = cmd.Start()
	}
	<-finished
	return at, err
}

// exec starts a process. It returns when the kernel has executed the file. set
// is called with s.mu held, before the process can make its first request: with
// the process, and with nil if it could not be started.
func (s *Sandbox) exec(g *generation, kind ProcessKind, cfg Process, set func(*process)) error {
	p := &process{
		kind: kind, name: filepath.Base(cfg.Path), path: cfg.Path,
		generation: g.number, exited: make(chan struct{}),
	}
	cmd := &exec.Cmd{
		Path: cfg.Path,
		Args: []string{cfg.Path},
		// An extension's working directory is not documented. This one makes
		// relative paths fail here, too.
		Dir: "/",
		// Stdin stays nil: that is the null device.
		SysProcAttr: processAttributes(),
	}
	if kind == KindFunction {
		cmd.Args = append(cmd.Args, cfg.Args...)
		cmd.Dir = cmp.Or(cfg.Dir, cmd.Dir)
		cmd.Env = s.functionEnv(cfg)
	} else {
		cmd.Env = s.extensionEnv(cfg)
	}
	p.cmd = cmd
	for _, target := range []struct {
		tee *lockedWriter
		set func(*os.File)
	}{
		{tee: s.stdout, set: func(f *os.File) { cmd.Stdout = f }},
		{tee: s.stderr, set: func(f *os.File) { cmd.Stderr = f }},
	} {
		reader, writer, err := newPipe(kind, s.relay.output, target.tee.writer())
		if err != nil {
			p.closePipes()
			return err
		}
		// The process has its own descriptor then.
		defer writer.Close()
		target.set(writer)
		p.pipes = append(p.pipes, reader)
	}
	s.mu.Lock()
	set(p)
	s.mu.Unlock()
	at, err := s.spawner.start(cmd)
	s.mu.Lock()
	if err != nil {
		set(nil)
		s.mu.Unlock()
		p.closePipes()
		return err
	}
	p.execAt, p.pid = at, cmd.Process.Pid
	g.processes = append(g.processes, p)
	s.all = append(s.all, p)
	s.mu.Unlock()
	s.notice(Notice{Time: at, Kind: NoticeExec, Process: p.name, Detail: "pid " + strconv.Itoa(p.pid), PID: p.pid})
	for _, reader := range p.pipes {
		s.wait.Go(reader.pump)
	}
	s.wait.Go(func() { s.reap(g, p) })
	return nil
}

func (p *process) closePipes() {
	for _, reader := range p.pipes {
		reader.file.Close()
	}
}

// reap waits for the end of a process, and makes an end at the wrong time the
// generation's failure.
func (s *Sandbox) reap(g *generation, p *process) {
	awaitExit(p.pid)
	exitedAt := time.Now()
	// While the leader is not reaped, the group's number belongs to it. Lambda,
	// too, ends what an extension has started.
	p.signalGroup(syscall.SIGKILL)
	_ = p.cmd.Wait() // its error is the process's state
	for _, reader := range p.pipes {
		reader.finish()
	}

	s.mu.Lock()
	p.exitedAt, p.state, p.gone = exitedAt, p.cmd.ProcessState, true
	status := describeExit(p.state)
	if !g.stopping && g.fatal == nil {
		g.fatal = &failure{detail: p.name + " exited: " + status}
		switch {
		case p.kind == KindExtension:
			g.fatal.errorType = "Extension.Crash"
		case p.outOfMemory:
			g.fatal.errorType = "Runtime.OutOfMemory"
		default:
			g.fatal.errorType = "Runtime.ExitError"
		}
		if p.kind == KindFunction {
			g.fatal.message = "Runtime exited with error: " + status
			if p.state.ExitCode() == 0 {
				g.fatal.message = "Runtime exited without providing a reason"
			}
		} else {
			g.fatal.message = "extension " + p.name + " exited: " + status
		}
	}
	s.broadcast()
	s.mu.Unlock()
	s.notice(Notice{Time: exitedAt, Kind: NoticeExit, Process: p.name, Detail: status})
	close(p.exited)
}

func describeExit(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return "exit status " + strconv.Itoa(state.ExitCode())
}

// signalGroup sends a signal to the process and its children.
func (p *process) signalGroup(sig syscall.Signal) { signalGroup(p.pid, sig) }

// drain emits what the process has written up to now.
func (p *process) drain() {
	for _, reader := range p.pipes {
		reader.drain()
	}
}

// samplePeak returns the peak resident memory of the process and its descendants in KiB, or
// 0 if it is gone. A descendant counts while it runs, and if its parent does.
func (p *process) samplePeak() int64 { return peakOfTree(p.pid) }

func peakOfTree(pid int) int64 {
	folder := "/proc/" + strconv.Itoa(pid)
	kib := peakOf(folder + "/status")
	tasks, err := os.ReadDir(folder + "/task") // each thread has its own children
	if err != nil {
		return kib
	}
	for _, task := range tasks {
		children, err := os.ReadFile(folder + "/task/" + task.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		for child := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				kib += peakOfTree(pid)
			}
		}
	}
	return kib
}

// peakOf returns VmHWM of a status file in KiB, or 0.
func peakOf(file string) int64 {
	status, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return kib
}

// report describes the process. Sandbox.mu is held.
func (p *process) report() ProcessReport {
	since := func(t time.Time) time.Duration {
		if t.IsZero() {
			return 0
		}
		return t.Sub(p.execAt)
	}
	r := ProcessReport{
		Generation: p.generation, Kind: p.kind, Name: p.name, Path: p.path, PID: p.pid,
		ExecAt: p.execAt, Registered: since(p.registeredAt), Subscribed: since(p.subscribedAt), FirstNext: since(p.firstNextAt),
		FirstNextCPU: p.firstNextCPU, Exited: p.gone, ExitCode: -1, Killed: p.killed, KilledAtDeadline: p.killedAtDeadline, MaxRSSKiB: p.peakKiB,
	}
	if p.sub != nil {
		p.sub.stats(&r)
	}
	if !p.gone {
		r.MaxRSSKiB = max(r.MaxRSSKiB, p.samplePeak())
		r.CPU = cpuTime(p.pid)
		return r
	}
	r.ExitCode = p.state.ExitCode()
	if status, ok := p.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		r.Signal = status.Signal()
	}
	if !p.shutdownAt.IsZero() {
		r.ShutdownTook = p.exitedAt.Sub(p.shutdownAt)
	}
	r.UserCPU, r.SystemCPU = p.state.UserTime(), p.state.SystemTime()
	r.CPU = r.UserCPU + r.SystemCPU
	return r
}

// launchErrorType is the errorType of a process that could not be executed.
func launchErrorType(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "PermissionDenied"
	}
	return "UnknownError"
}

var errNoProcess = errors.New("lambdasim: no such process is running")
