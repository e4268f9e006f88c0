package lambdasim

import (
	"os/exec"
	"syscall"
	"testing"
)

// A process's end is waited for by the poller, and left to whoever reaps it.
func TestPollExit(t *testing.T) {
	cmd := exec.Command("cat") // ends with its input
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan bool, 1)
	go func() { seen <- pollExit(cmd.Process.Pid) }()
	// A stop is no end.
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awaitStop(cmd.Process.Pid)
	if waitStatus(cmd.Process.Pid, syscall.WEXITED|syscall.WNOHANG) {
		t.Error("a stopped process counts as gone")
	}
	select {
	case <-seen:
		t.Error("the end of a living process was seen")
	default:
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if !<-seen {
		t.Error("this kernel does not poll")
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the end was taken away: %v", err)
	}
	if pollExit(cmd.Process.Pid) {
		t.Error("the end of no process was seen")
	}
	awaitExit(cmd.Process.Pid) // returns, because no such process is left
}
