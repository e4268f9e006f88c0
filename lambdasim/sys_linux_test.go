package lambdasim

import (
	"bufio"
	"os/exec"
	"strconv"
	"strings"
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

// The memory of a process is also that of its children, and of theirs.
func TestSamplePeakHasTheDescendants(t *testing.T) {
	cmd := exec.Command("sh", "-c", `sh -c 'sleep 1000 & echo $!; wait' & wait`)
	cmd.SysProcAttr = processAttributes()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { signalGroup(cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() }()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	all := (&process{pid: cmd.Process.Pid}).samplePeak()
	parent, least := peakOf("/proc/"+strconv.Itoa(cmd.Process.Pid)+"/status"), peakOf("/proc/"+strconv.Itoa(grandchild)+"/status")
	if parent == 0 || all <= parent+least/2 || (&process{pid: grandchild}).samplePeak() < least {
		t.Errorf("%d KiB together, of which the parent has %d and its grandchild %d", all, parent, least)
	}
}
