package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/testkit"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
)

const stream = "bench"

// putTime is what Kinesis takes for an answer if nothing is wrong with it: a request
// within a region.
const putTime = 10 * time.Millisecond

// driven is an extension's process between a Lambda that this program drives and an
// embedded Kinesis. The local Lambda would need more processor time than the extension.
type driven struct {
	lambda    *testkit.Lambda
	kinesis   *kinesissim.Server
	spool     string
	cmd       *exec.Cmd
	log       *testkit.Log
	exited    chan struct{} // closed at the end of the process
	telemetry *url.URL
	client    *http.Client
	next      chan<- []byte // answers the call of next that waits
	lastPut   atomic.Int64  // when the last request to Kinesis was carried out, in Unix nanoseconds

	startCPU time.Duration // until the first next
	register time.Duration // since the process was started
	started  time.Duration // the same, until the first next
}

// drive starts an extension at a place, and waits for its first next. The caller closes
// what it returns, which is never nil.
func drive(ctx context.Context, path string, env []string, at place) (d *driven, err error) {
	d = &driven{lambda: testkit.NewLambda(), log: &testkit.Log{}, exited: make(chan struct{}), client: &http.Client{Transport: &http.Transport{WriteBufferSize: 64 << 10}}}
	if d.kinesis, err = kinesissim.Start(ctx, kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: stream, Shards: 1}}, Intercept: kinesissim.AnswerAll(kinesissim.Delay(putTime)),
		OnRequest: func(kinesissim.Observation) { d.lastPut.Store(time.Now().UnixNano()) },
	}); err != nil {
		return d, err
	}
	if d.spool, err = os.MkdirTemp("", "kinetel-bench-"); err != nil {
		return d, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Stderr, cmd.Stdout = d.log, d.log
	cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + d.lambda.Address(), "AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"AWS_LAMBDA_FUNCTION_NAME=orders", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_LAMBDA_LOG_STREAM_NAME=2026/11/27/[$LATEST]0123456789abcdef0123456789abcdef",
		"KINETEL_STREAM_NAME=" + stream, "AWS_ENDPOINT_URL_KINESIS=" + d.kinesis.URL(), "KINETEL_SPOOL_DIR=" + d.spool,
	}, env...)
	began, err := at.start(cmd)
	if err != nil {
		return d, err
	}
	d.cmd = cmd
	go func() {
		_ = cmd.Wait() // its error is the process's state
		close(d.exited)
	}()
	if err := d.awaitNext(ctx); err != nil {
		return d, err
	}
	d.started, d.register = time.Since(began), d.lambda.Registered().Sub(began)
	if d.startCPU, err = cpuTime(cmd.Process.Pid); err != nil {
		return d, err
	}
	select {
	case d.telemetry = <-d.lambda.Subscribed:
		return d, nil
	default:
		return d, d.failure("it did not subscribe to telemetry")
	}
}

// startOn starts a process on these processors, or on all.
func startOn(cmd *exec.Cmd, pinned []int) (began time.Time, err error) {
	if len(pinned) == 0 {
		return time.Now(), cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	undo, err := pinThread(pinned)
	if err != nil {
		return began, err
	}
	defer undo()
	return time.Now(), cmd.Start()
}

// awaitNext waits until the extension has called next.
func (d *driven) awaitNext(ctx context.Context) error {
	select {
	case d.next = <-d.lambda.Next:
		return nil
	case <-d.exited:
		return d.failure("it ended instead of calling next")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *driven) failure(what string) error {
	return fmt.Errorf("%s: %s\n%.2000s", d.cmd.Path, what, d.log.String())
}

// invoke begins an invocation. Its deadline is far.
func (d *driven) invoke(ctx context.Context) error {
	d.next <- fmt.Appendf(nil, `{"eventType":"INVOKE","deadlineMs":%d,"requestId":"%s","invokedFunctionArn":"arn:aws:lambda:eu-west-1:123456789012:function:orders"}`,
		time.Now().Add(15*time.Minute).UnixMilli(), requestID)
	return d.post(ctx, platform("start", `"version":"$LATEST"`))
}

// finish ends the invocation, and waits until the extension has called next.
func (d *driven) finish(ctx context.Context) error {
	if err := d.post(ctx, platform("runtimeDone", `"status":"success","metrics":{"durationMs":4000,"producedBytes":42}`)); err != nil {
		return err
	}
	return d.awaitNext(ctx)
}

func platform(kind, record string) []byte {
	return fmt.Appendf(nil, `[{"time":"%s","type":"platform.%s","record":{"requestId":"%s",%s}}]`, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), kind, requestID, record)
}

// post posts a body of telemetry, and waits for the answer.
func (d *driven) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.telemetry.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := d.client.Do(req)
	if err != nil {
		return d.failure(err.Error())
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return d.failure("it answered telemetry with " + res.Status)
	}
	return nil
}

// settle waits until no record has arrived in Kinesis for a while.
func (d *driven) settle(ctx context.Context, quiet time.Duration) error {
	for last := -1; ; {
		if now := d.kinesis.Stats().Records; now == last {
			return nil
		} else {
			last = now
		}
		if err := wait(ctx, quiet); err != nil {
			return err
		}
	}
}

// wait waits for a time.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shutdown ends the extension within a time. It returns the processor time of the process
// since its first next.
func (d *driven) shutdown(ctx context.Context, within time.Duration) (time.Duration, error) {
	d.next <- fmt.Appendf(nil, `{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":%d}`, time.Now().Add(within).UnixMilli())
	select {
	case <-d.exited:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	state := d.cmd.ProcessState
	if !state.Success() {
		return 0, d.failure("it ended with " + state.String())
	}
	return state.UserTime() + state.SystemTime() - d.startCPU, nil
}

// close ends what drive has started.
func (d *driven) close() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill() // it may have ended
		<-d.exited
	}
	d.client.CloseIdleConnections()
	d.lambda.Close()
	if d.kinesis != nil {
		_ = d.kinesis.Close() // in memory
	}
	_ = os.RemoveAll(d.spool)
}

// ships reports whether the program sends telemetry: the floor may not.
func (d *driven) ships(program int) bool { return program == own || d.kinesis.Stats().Records > 0 }

// arrivals are the events of the function that were found in the stream.
type arrivals struct {
	arrived  int // each once
	reported int // lost, as kinetel.loss says
	silent   int // lost, and no event says so
}

// arrivals reads the stream.
func (d *driven) arrivals() (a arrivals, err error) {
	auditor := audit.New(audit.Options{Whole: true})
	for _, r := range d.kinesis.Records(stream) {
		for e, err := range record.Events(bytes.NewReader(r.Data)) {
			if err != nil {
				return a, err
			}
			if err := auditor.Add(e); err != nil {
				return a, err
			}
			if e.Type == event.TypeFunction {
				a.arrived++
			}
		}
	}
	totals := auditor.Report().Totals
	a.arrived -= int(totals.Duplicates) // of lines, which are nearly all there is
	a.reported, a.silent = int(totals.Explained), int(totals.Unexplained)
	return a, nil
}
