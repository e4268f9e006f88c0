package docs

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "lambda" {
		if err := lambda(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// lambda is the Lambda of the pages' commands, because moto runs no function: the sample
// function and the extension of bin, with two invocations, one of which fails.
func lambda(streamARN string) error {
	spool, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(spool)
	ctx := context.Background()
	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
		FunctionName: "orders",
		Function:     lambdasim.Process{Path: "bin/sample-function"},
		Extensions:   []lambdasim.Process{{Path: "bin/kinesis-telemetry-extension"}},
		Env: map[string]string{
			"KINETEL_STREAM_ARN": streamARN, "KINETEL_SPOOL_DIR": spool,
			"AWS_ENDPOINT_URL_KINESIS": os.Getenv("AWS_ENDPOINT_URL_KINESIS"),
		},
		Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	for _, payload := range []string{`{"id":"demo-0","lines":10,"format":"mixed"}`, `{"id":"ERROR","lines":1,"error":"out of beans"}`} {
		if _, err := sandbox.Invoke(ctx, []byte(payload)); err != nil {
			return err
		}
	}
	_, err = sandbox.Shutdown(ctx)
	return err
}

// python returns the folder with the AWS CLI, moto and DuckDB.
func python(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("KINETEL_DOCS_PYTHON")
	if bin == "" {
		t.Skip("KINETEL_DOCS_PYTHON is not set: `make test-docs` runs this test")
	}
	return bin
}

// startMoto starts an empty moto and returns its address.
func startMoto(t *testing.T, python string) string {
	t.Helper()
	home := t.TempDir()
	out := &lockedBuffer{}
	server := exec.Command(filepath.Join(python, "moto_server"), "-H", "127.0.0.1", "-p", "0")
	server.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "PYTHONDONTWRITEBYTECODE=1"}
	server.Stdout, server.Stderr, server.Dir = out, out, home
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		_ = server.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-tick.C:
			if m := regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)\n`).FindStringSubmatch(out.String()); m != nil {
				return m[1]
			}
		case <-ctx.Done():
			t.Fatalf("moto_server does not start:\n%s", out.String())
		}
	}
}

// lockedBuffer is what a process prints, to be read while it runs.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// command is a block that a page marks with "run".
type command struct {
	want *regexp.Regexp // what its output must match
	text string
}

// commandsOf returns the blocks to run, and writes the blocks that are files.
func commandsOf(t *testing.T, page, folder string) (all []command) {
	t.Helper()
	for _, b := range blocks(read(t, page)) {
		what, rest, _ := strings.Cut(b.comment, " ")
		switch what {
		case "run":
			// What follows the stream does not end.
			all = append(all, command{regexp.MustCompile("(?m)" + rest), strings.ReplaceAll(b.text, " --from horizon", " --no-follow")})
		case "file":
			if err := os.WriteFile(filepath.Join(folder, rest), []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// TestTheCommandsOfThePagesRun runs the marked blocks of each page, in the root of the
// repository, in one shell after another. testdata/PAGE.sh has what a reader has already:
// the function before runs first, after checks what there is in the end.
func TestTheCommandsOfThePagesRun(t *testing.T) {
	bin := python(t)
	if out, err := exec.Command("make", "-s", "-C", root, "build", "bin/sample-function").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ran, packaged := 0, filepath.Join(t.TempDir(), "packaged")
	for _, page := range pages(t) {
		folder := t.TempDir()
		commands := commandsOf(t, page, folder)
		if len(commands) == 0 {
			continue
		}
		ran += len(commands)
		t.Run(filepath.Base(page), func(t *testing.T) {
			outputs, err := runCommands(t, bin, packaged, page, folder, commands)
			if err != nil {
				t.Errorf("block %d of %d: %v; it printed\n%s", len(outputs)-1, len(commands), err, outputs[len(outputs)-1])
			}
			for i, output := range outputs[1:] {
				if c := commands[i]; !c.want.MatchString(output) {
					t.Errorf("%s\nprinted\n%s\nwhich does not match %s", c.text, output, c.want)
				}
			}
		})
	}
	if ran < 12 {
		t.Errorf("the pages have only %d blocks to run", ran)
	}
}

// runCommands returns the output of the function before, and of each block that began.
// The last output includes that of the function after. moto is the AWS, the embedded
// Kinesis its Kinesis: moto's does not know streams by their ARNs.
func runCommands(t *testing.T, bin, packaged, page, folder string, commands []command) ([]string, error) {
	t.Helper()
	const mark = "@@@ next block @@@\n"
	script := "set -euo pipefail\n. test/docs/testdata/aws.sh\nbefore() { :; }\nafter() { :; }\n"
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(page), ".md")) + ".sh"
	if _, err := os.Stat(filepath.Join("testdata", name)); err == nil {
		script += ". test/docs/testdata/" + name + "\n"
	}
	script += "before\n"
	for _, c := range commands {
		script += "printf '" + strings.TrimSuffix(mark, "\n") + "\\n'\n" + c.text
	}
	script += "after\n"

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	shell := exec.CommandContext(t.Context(), "bash", "-c", script)
	shell.Dir, shell.Stdout, shell.Stderr = root, &out, &out
	endpoint := startMoto(t, bin)
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	shell.Env = append(environment(t), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+folder, "WORK="+folder, "LAMBDA="+self, "PACKAGED="+packaged, "BUCKET=kinetel-layers",
		"AWS_ENDPOINT_URL="+endpoint, "AWS_ENDPOINT_URL_KINESIS="+sim.URL(), "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret")
	// moto would start Docker for a function.
	response, err := http.Post(endpoint+"/moto-api/config", "application/json", strings.NewReader(`{"lambda":{"use_docker":false}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	err = shell.Run()
	return strings.Split(out.String(), mark), err
}

// environment returns Go's part of the environment: the shell has another home.
func environment(t *testing.T) (all []string) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOSUMDB").Output()
	if err != nil {
		t.Fatal(err)
	}
	values := strings.Split(string(out), "\n")
	for i, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOSUMDB"} {
		all = append(all, name+"="+values[i])
	}
	return all
}
