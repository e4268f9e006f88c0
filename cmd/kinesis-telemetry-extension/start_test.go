package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// buildLayer builds the layer's binary for amd64, as the Makefile does.
func buildLayer(t *testing.T) (path string) {
	t.Helper()
	const root, layer = "../..", "bin/layer/amd64"
	if out, err := exec.Command("make", "-s", "-C", root, layer).CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", layer, err, out)
	}
	path, err := filepath.Abs(filepath.Join(root, layer))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// runnableLayer is buildLayer for tests that run the binary.
func runnableLayer(t *testing.T) (path string) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the golden file is that of linux/amd64")
	}
	return buildLayer(t)
}

// golden compares lines with a golden file, or writes it.
func golden(t *testing.T, file string, lines []string, advice string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSuffix(string(want), "\n"), "\n"), lines); diff != "" {
		t.Errorf("%s is out of date (- want, + got). %s; if the change is meant, run `go test ./cmd/kinesis-telemetry-extension -update`\n%s", file, advice, diff)
	}
}

// What a package initializes, every cold start pays for before it registers.
func TestOnlyTheListedPackagesAreInitialized(t *testing.T) {
	cmd := exec.Command(runnableLayer(t))
	cmd.Env = []string{"GODEBUG=inittrace=1"} // without a runtime API it ends at once
	out, _ := cmd.CombinedOutput()
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^init (\S+) @`).FindAllSubmatch(out, -1) {
		names = append(names, string(match[1]))
	}
	if len(names) == 0 {
		t.Fatalf("no package is initialized: %s", out)
	}
	golden(t, "testdata/inits.golden", names, "A new package costs time before the registration: look for a way without it, or for variables that are made when they are needed (docs/adr/0016-start-up.md)")
}

// Every system call before the registration delays the function's runtime. These are the
// calls about files and the network.
func TestSystemCallsBeforeTheRegistration(t *testing.T) {
	extension := runnableLayer(t)
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: ", err)
	}
	registered := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(registered)
		<-r.Context().Done()
	}))
	defer server.Close()
	trace, log := filepath.Join(t.TempDir(), "trace"), &strings.Builder{}
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=%file,%network,write", "-e", "signal=none", "-s", "64", "-o", trace, extension)
	cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(server.URL, "http://"), "KINETEL_ENABLED=false"}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-registered:
		server.CloseClientConnections() // the extension ends
		<-ended
	case err := <-ended:
		if strings.Contains(log.String(), "ptrace") {
			t.Skip("strace is not permitted here: ", log)
		}
		t.Fatalf("no registration: %v\n%s", err, log)
	case <-time.After(time.Minute):
		t.Fatal("no registration after a minute")
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := systemCalls(string(text))
	golden(t, "testdata/syscalls.golden", calls, "Everything that the registration does not need belongs after it")
}

// systemCalls returns the calls of a trace up to the registration. Files of control groups
// are left out: which ones the Go runtime reads depends on the machine.
func systemCalls(trace string) (calls []string) {
	for line := range strings.Lines(trace) {
		_, call, _ := strings.Cut(line, " ") // after the thread's id
		call = strings.TrimSpace(call)
		name, args, ok := strings.Cut(call, "(")
		switch {
		case !ok || strings.HasPrefix(call, "<"): // the end of a call that another thread interrupted
		case name == "write" && strings.Contains(args, "/register"):
			return append(calls, "register")
		case name == "openat":
			if path := strings.Split(args, `"`); len(path) > 1 && !strings.HasPrefix(path[1], "/sys/fs/cgroup/") {
				calls = append(calls, name+" "+path[1])
			}
		case name == "setsockopt":
			calls = append(calls, name+" "+strings.Split(args, ", ")[2])
		default:
			calls = append(calls, name)
		}
	}
	return append(calls, "no registration")
}
