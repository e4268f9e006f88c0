// Package moto starts moto_server, an emulator of AWS, for tests.
//
// It needs Python. `make deploy-test` installs moto by
// deploy/cloudformation/requirements.txt and names its moto_server in
// KINETEL_MOTO.
package moto

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Region is where everything lies that a test makes.
const Region = "eu-west-1"

const variable = "KINETEL_MOTO"

// startTimeout is for a machine that does much else; as a rule it takes a second.
const startTimeout = 2 * time.Minute

// listening is what the server prints about the port that the system assigned.
var listening = regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)

// Start starts an empty moto_server on a loopback port of its own, which ends
// with the test, and returns a configuration of the AWS SDK that leads there and
// nowhere else. Without KINETEL_MOTO the test is skipped, because a plain
// `go test ./...` has no Python.
func Start(t *testing.T) aws.Config {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("not run: %s is not set; `make deploy-test` runs this test", variable)
	}
	if !filepath.IsAbs(path) {
		t.Fatalf("%s is %q: it has to be an absolute path, because tests run in the folder of their package", variable, path)
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		t.Fatalf("%s is %q, which is no program (%v): it has to be the path of moto_server; "+
			"`make deploy-test` installs it from deploy/cloudformation/requirements.txt", variable, path, err)
	}

	home := t.TempDir()
	server := exec.Command(path, "-H", "127.0.0.1", "-p", "0")
	// Nothing of the environment: no credentials of whoever runs the tests, and no
	// setting of moto's that makes it another one than here.
	server.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "PYTHONDONTWRITEBYTECODE=1"}
	server.Dir = home
	out := &output{at: make(chan string, 1)}
	server.Stdout, server.Stderr = out, out
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		// The signal at the parent's death is one at the death of the thread that
		// started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := server.Start()
		started <- err
		if err == nil {
			_ = server.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start moto_server: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		<-exited
		if t.Failed() && testing.Verbose() {
			t.Logf("the output of moto_server:\n%s", out)
		}
	})

	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	var endpoint string
	select {
	case endpoint = <-out.at:
	case <-exited:
		t.Fatalf("moto_server ended at once:\n%s", out)
	case <-timer.C:
		t.Fatalf("moto_server printed no port after %v:\n%s", startTimeout, out)
	}
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
		HTTPClient:   &http.Client{Transport: only(endpoint, t)},
		// What moto does not know is an error of its own, and tried again it is
		// another, less specific one.
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// only returns a transport that goes to one place: a client that was given
// another endpoint by mistake must not reach AWS.
func only(endpoint string, t *testing.T) http.RoundTripper {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if at := "http://" + r.URL.Host; at != endpoint {
			return nil, errors.New("a test asks " + at + ", and may only ask " + endpoint)
		}
		return transport.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// output is what the server prints. It sends the endpoint once, when the server has printed it.
type output struct {
	at chan string

	mu   sync.Mutex
	text bytes.Buffer
	sent bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if !o.sent {
		// Only whole lines: of half a line the port may be half.
		whole := o.text.Bytes()[:bytes.LastIndexByte(o.text.Bytes(), '\n')+1]
		if m := listening.FindSubmatch(whole); m != nil {
			o.sent = true
			o.at <- string(m[1])
		}
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
