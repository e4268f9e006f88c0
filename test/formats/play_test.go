package formats

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"syscall"
	"time"

	"github.com/kinetel/kinetel/internal/testkit"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// Credentials that the embedded Kinesis knows.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "not-a-secret"
)

// process is a run of the extension.
type process struct {
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan error
}

func startProcess(ctx context.Context, lambda *testkit.Lambda, env []string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, binaries.Path(sandbox.Extension)), exited: make(chan error, 1)}
	p.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + lambda.Address(), "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
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
	kinesis, err := kinesissim.Start(ctx, kinesissim.Config{
		Streams:     []kinesissim.Stream{{Name: sandbox.Stream, Shards: 4}},
		Credentials: map[string]string{accessKey: secretKey},
	})
	if err != nil {
		return nil, err
	}
	defer kinesis.Close()
	lambda := testkit.NewLambda()
	defer lambda.Close()
	env = append(env, "KINETEL_STREAM_NAME="+sandbox.Stream, "AWS_ENDPOINT_URL_KINESIS="+kinesis.URL(), "KINETEL_SPOOL_DIR="+spool)

	var p *process
	defer func() {
		if p != nil { // it ends early
			_ = p.cmd.Process.Kill()
			<-p.exited
			err = fmt.Errorf("%w\n%s", err, p.log.Bytes())
		}
	}()
	var telemetry *url.URL
	var waiting chan<- []byte // the call of next that waits
	for _, s := range r.steps {
		switch {
		case s.Register != nil:
			lambda.SetRegistration(s.Register)
			if p, err = startProcess(ctx, lambda, env); err != nil {
				return nil, err
			}
			if telemetry, err = await(ctx, p, lambda.Subscribed); err != nil {
				return nil, fmt.Errorf("subscribe: %w", err)
			}
		case s.post != nil:
			if err := post(ctx, telemetry.String(), s.post); err != nil {
				return nil, err
			}
		default:
			if waiting == nil {
				if waiting, err = await(ctx, p, lambda.Next); err != nil {
					return nil, fmt.Errorf("next: %w", err)
				}
			}
			event, last, err := present(s.Next)
			if err != nil {
				return nil, err
			}
			waiting <- event
			if waiting = nil; !last {
				// It holds none, and has read this event when it calls next again.
				if waiting, err = await(ctx, p, lambda.Next); err != nil {
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
