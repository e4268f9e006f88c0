package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/kinetel/kinetel/internal/view"
	"github.com/kinetel/kinetel/kinesissim"
)

// viewing is a kinetel view that runs.
type viewing struct {
	*exec.Cmd
	url string
	out *bufio.Reader
}

// startView starts kinetel view. Ctrl-C ends it, with the status 0.
func startView(t *testing.T, in io.Reader, env []string, args ...string) viewing {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kinetel", args...)
	cmd.Stdin, cmd.Stderr, cmd.Env = in, t.Output(), append(append(cmd.Environ(), "GORACE=atexit_sleep_ms=20"), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := viewing{Cmd: cmd, out: bufio.NewReader(out)}
	text, err := v.out.ReadString('\n')
	v.url = regexp.MustCompile(`http://127\.0\.0\.1:\d+/\w+/`).FindString(text)
	if err != nil || v.url == "" {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// stop presses Ctrl-C.
func (v *viewing) stop(t *testing.T) {
	t.Helper()
	if err := v.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, v.out)
	if err := v.Wait(); err != nil {
		t.Errorf("kinetel view: %v", err)
	}
}

// waitFor waits until the page has what ok wants.
func (v *viewing) waitFor(t *testing.T, ok func(view.Health) bool) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute) // so that a failure says what the page has
	defer stop()
	for {
		answer, err := client.Get(v.url + "api/health")
		if err != nil {
			t.Fatal(err)
		}
		var h view.Health
		err = json.NewDecoder(answer.Body).Decode(&h)
		_ = answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if ok(h) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond): // a process: it has no fake clock
		case <-ctx.Done():
			t.Fatalf("the page has %+v", h)
		}
	}
}

func TestViewShowsFiles(t *testing.T) {
	v := startView(t, nil, nil, "view", "testdata/screenshots/telemetry.gz", "testdata/screenshots/one-record-removed.gz")
	v.waitFor(t, func(h view.Health) bool { return h.State == "ended" && h.Events > 20 && h.Audit.Complete && !h.Live })
	v.stop(t)
}

func TestViewShowsStandardInputAsItComes(t *testing.T) {
	in, write := io.Pipe()
	v := startView(t, in, nil, "view", "-")
	line := func(seq int) {
		fmt.Fprintf(write, `{"schema":"kinetel/1","seq":%d,"time":"2026-11-27T20:15:00.123Z","type":"function","body":"x","resource":{"service.instance.id":"e1"}}`+"\n", seq)
	}
	line(1)
	v.waitFor(t, func(h view.Health) bool {
		return h.Events == 1 && h.State == "reading" && h.Live && h.Source == "standard input"
	})
	line(2)
	v.waitFor(t, func(h view.Health) bool { return h.Events == 2 })
	_ = write.Close()
	v.waitFor(t, func(h view.Health) bool { return h.State == "ended" })
	v.stop(t)
}

func TestViewFollowsAStream(t *testing.T) {
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	put := func(data []byte) {
		t.Helper()
		client := kinesis.New(kinesis.Options{
			BaseEndpoint: aws.String(sim.URL()), Region: "eu-west-1", HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
			Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		})
		if _, err := client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("telemetry"), PartitionKey: aws.String("a"), Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	put(telemetry(1, 3))
	env := []string{"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull}
	v := startView(t, nil, env, "view", "telemetry", "--from", "horizon", "--endpoint-url", sim.URL())
	v.waitFor(t, func(h view.Health) bool { return h.Events == 3 && h.Live && h.Source == "telemetry" })
	put([]byte("hello"))
	put(telemetry(4, 5))
	v.waitFor(t, func(h view.Health) bool { return h.Events == 5 && h.Audit.Unreadable == 1 })
	v.stop(t)
}

func TestViewSaysThatThereIsNoSuchFile(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "kinetel", "view", "evnts.gz")
	cmd.Env = append(cmd.Environ(), "AWS_REGION=", "AWS_DEFAULT_REGION=", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), "http://") || !strings.Contains(string(out), `there is no file "evnts.gz"`) {
		t.Errorf("%v: %s", err, out)
	}
}

// The browser's arguments can be read by others, so its address is another one that works once.
func TestViewOpensABrowser(t *testing.T) {
	folder := t.TempDir()
	opened := filepath.Join(folder, "opened")
	if err := syscall.Mkfifo(opened, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "xdg-open"), []byte("#!/bin/sh\necho \"$1\" >"+opened+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	v := startView(t, strings.NewReader(""), []string{"PATH=" + folder + ":" + os.Getenv("PATH")}, "view", "-", "--open")
	address, err := os.ReadFile(opened)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(strings.TrimSpace(string(address)))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got := answer.Request.URL.String(); got != v.url || answer.StatusCode != 200 || strings.Contains(string(address), v.url) {
		t.Errorf("%s leads to %s: %s", address, got, answer.Status)
	}
	v.stop(t)
}
