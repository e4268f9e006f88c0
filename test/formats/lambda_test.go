package formats

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"syscall"
	"time"

	"kinetel/kinesissim"
	"kinetel/test/sandbox"
)

// Credentials that the embedded Kinesis knows.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "not-a-secret"
)

// lambda plays the recording to extensions, one process after the other. What it
// does next hangs on what they ask for, never on time.
type lambda struct {
	server     *httptest.Server
	register   chan chan []byte // a process that waits for the answer
	subscribed chan string      // where to post telemetry to
	next       chan chan []byte // the same of a call of next
	quit       chan struct{}
}

func startLambda() *lambda {
	l := &lambda{register: make(chan chan []byte), subscribed: make(chan string), next: make(chan chan []byte), quit: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", "8bd51be2-ac15-4b3c-a5d4-9c1d7e9c9a11")
		l.answer(w, r, l.register)
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(w http.ResponseWriter, r *http.Request) {
		l.answer(w, r, l.next)
	})
	mux.HandleFunc("PUT /2022-07-01/telemetry", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Destination struct{ URI string }
		}
		at := &url.URL{}
		err := json.NewDecoder(r.Body).Decode(&asked)
		if err == nil {
			at, err = url.Parse(asked.Destination.URI)
		}
		if err != nil || at.Port() == "" {
			http.Error(w, fmt.Sprintf("%q: %v", asked.Destination.URI, err), http.StatusBadRequest)
			return
		}
		select {
		case l.subscribed <- "http://127.0.0.1:" + at.Port() + at.Path: // which the sandbox's name stands for here
			_, _ = io.WriteString(w, `"OK"`)
		case <-l.quit:
		}
	})
	l.server = httptest.NewServer(mux)
	return l
}

// answer has a call wait for what the recording has for it.
func (l *lambda) answer(w http.ResponseWriter, r *http.Request, calls chan chan []byte) {
	answer := make(chan []byte, 1)
	select {
	case calls <- answer:
	case <-r.Context().Done():
		return
	case <-l.quit:
		return
	}
	select {
	case text := <-answer:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	case <-r.Context().Done():
	case <-l.quit:
	}
}

func (l *lambda) close() {
	close(l.quit)
	l.server.Close()
}

// process is a run of the extension.
type process struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan error
}

func (l *lambda) startProcess(ctx context.Context, env []string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, binaries.Path(sandbox.Extension)), exited: make(chan error, 1)}
	p.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + l.server.Listener.Addr().String(), "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_FUNCTION_NAME=" + functionName, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey,
	}, env...)
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return p, nil
}

// stream is what lay in the stream when each process had ended.
type stream [][]kinesissim.Record

// roomy is how long a shutdown may take: longer than Lambda's two seconds, for
// many run at once here.
const roomy = 20 * time.Second

// play plays the recording to extensions with the given variables.
func (r *recording) play(ctx context.Context, env []string, spool string) (out stream, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // what hangs, fails
	defer cancel()
	kinesis, err := kinesissim.Start(kinesissim.Config{
		Streams:     []kinesissim.Stream{{Name: sandbox.Stream, Shards: 4}},
		Credentials: map[string]string{accessKey: secretKey},
	})
	if err != nil {
		return nil, err
	}
	defer kinesis.Close()
	l := startLambda()
	defer l.close()
	env = append(env, "KINETEL_STREAM_NAME="+sandbox.Stream, "AWS_ENDPOINT_URL_KINESIS="+kinesis.URL(), "KINETEL_SPOOL_DIR="+spool)

	var p *process
	defer func() {
		if p != nil { // it ends early
			_ = p.cmd.Process.Kill()
			<-p.exited
			err = fmt.Errorf("%w\n%s", err, p.log.Bytes())
		}
	}()
	var telemetry string
	var waiting chan []byte // the call of next that waits
	for _, s := range r.steps {
		switch {
		case s.Register != nil:
			if p, err = l.startProcess(ctx, env); err != nil {
				return nil, err
			}
			registering, err := await(ctx, p, l.register)
			if err != nil {
				return nil, fmt.Errorf("register: %w", err)
			}
			registering <- s.Register
			if telemetry, err = await(ctx, p, l.subscribed); err != nil {
				return nil, fmt.Errorf("subscribe: %w", err)
			}
		case s.post != nil:
			if err := post(ctx, telemetry, s.post); err != nil {
				return nil, err
			}
		default:
			if waiting == nil {
				if waiting, err = await(ctx, p, l.next); err != nil {
					return nil, fmt.Errorf("next: %w", err)
				}
			}
			event, last, err := present(s.Next)
			if err != nil {
				return nil, err
			}
			waiting <- event
			if waiting = nil; !last {
				// It holds none, and has heard of this one when it asks for the
				// next.
				if waiting, err = await(ctx, p, l.next); err != nil {
					return nil, fmt.Errorf("next: %w", err)
				}
				continue
			}
			if err := <-p.exited; err != nil || p.log.Len() > 0 {
				log := p.log.String()
				p = nil
				return nil, fmt.Errorf("the extension ended with the error %v, and logged:\n%s", err, log)
			}
			p = nil
			out = append(out, kinesis.Records(sandbox.Stream))
		}
	}
	// Each process's own.
	for i := len(out) - 1; i > 0; i-- {
		out[i] = out[i][len(out[i-1]):]
	}
	return out, nil
}

// await waits for what a process is to do.
func await[T any](ctx context.Context, p *process, c <-chan T) (one T, err error) {
	select {
	case one = <-c:
		return one, nil
	case err = <-p.exited:
		p.exited <- err
		return one, fmt.Errorf("the extension ended: %v", err)
	case <-ctx.Done():
		return one, ctx.Err()
	}
}

// present is an event of the recording with a deadline of today, and whether it
// is a SHUTDOWN.
func present(event json.RawMessage) (text []byte, last bool, err error) {
	var e map[string]any
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, false, err
	}
	e["deadlineMs"] = time.Now().Add(roomy).UnixMilli()
	text, err = json.Marshal(e)
	return text, e["eventType"] == "SHUTDOWN", err
}

func post(ctx context.Context, to string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("post telemetry: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a POST of telemetry was answered %s", resp.Status)
	}
	return nil
}
