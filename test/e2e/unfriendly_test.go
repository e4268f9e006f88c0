package e2e

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// Whatever is wrong around Kinetel, invocations succeed, the extension ends in order,
// and one line of its log has the problem and the fix.
func TestAProblemIsLoggedInOneClearLine(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()

	for name, tt := range map[string]struct {
		opt     sandbox.Options
		kinesis func(*kinesissim.Config)
		line    []string // all of them in the one line
	}{
		"the stream does not exist": {
			opt:  sandbox.Options{Env: map[string]string{"KINETEL_STREAM_NAME": "telemetri"}},
			line: []string{`"level":"ERROR"`, "ResourceNotFoundException", "telemetri", "check KINETEL_STREAM_NAME and AWS_REGION"},
		},
		"the stream is in another region": {
			opt:  sandbox.Options{Env: map[string]string{"KINETEL_STREAM_NAME": "", "KINETEL_STREAM_ARN": "arn:aws:kinesis:us-east-1:123456789012:stream/telemetry"}},
			line: []string{`"level":"ERROR"`, `"region":"us-east-1"`, "fix"},
		},
		"the role may not write": {
			kinesis: func(c *kinesissim.Config) { c.Intercept = kinesissim.AnswerAll(kinesissim.DenyAccess()) },
			line:    []string{`"level":"ERROR"`, "AccessDeniedException", "allow kinesis:PutRecords on the stream to the function's role"},
		},
		"there are no credentials": {
			opt:  sandbox.Options{Env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}},
			line: []string{`"level":"ERROR"`, "AWS_ACCESS_KEY_ID: is not set", "AWS_SECRET_ACCESS_KEY: is not set"},
		},
		"the credentials are wrong": {
			opt:  sandbox.Options{Env: map[string]string{"AWS_SECRET_ACCESS_KEY": "wrong"}},
			line: []string{`"level":"ERROR"`, `"class":"credentials"`, "check the credentials"},
		},
		"the endpoint is down": {
			opt:  sandbox.Options{Endpoint: "http://" + closed.Addr().String()},
			line: []string{`"level":"ERROR"`, "connection refused", "VPC endpoint"},
		},
		"the endpoint hangs": {
			opt: sandbox.Options{Env: map[string]string{"KINETEL_MAX_HOLD": "20ms", "KINETEL_SPOOL": "off"}},
			kinesis: func(c *kinesissim.Config) {
				c.Intercept = kinesissim.AnswerAll(kinesissim.Hang())
			},
			line: []string{`"level":"ERROR"`, "the rest is lost", "lost_events", "a request got no answer within"},
		},
		"variables are misspelt": {
			opt:  sandbox.Options{Env: map[string]string{"KINETEL_STREAM_NAM": "telemetry", "KINETEL_COMPRESION": "none"}},
			line: []string{`"level":"WARN"`, "KINETEL_STREAM_NAM: ", "did you mean KINETEL_STREAM_NAME?", "did you mean KINETEL_COMPRESSION?"},
		},
		"the stream's name is wrong, and the region's": {
			opt:  sandbox.Options{Env: map[string]string{"KINETEL_STREAM_NAME": "tele metry", "AWS_REGION": "Ireland"}},
			line: []string{`"level":"ERROR"`, `KINETEL_STREAM_NAME=\"tele metry\": is not a stream's name`, `AWS_REGION=\"Ireland\": is not a region's name`},
		},
		"values are wrong, all of them in one line": {
			opt: sandbox.Options{Env: map[string]string{"KINETEL_MAX_HOLD": "fast", "KINETEL_BUFFER_BYTES": "16GB", "KINETEL_FLUSH": "never"}},
			line: []string{
				`"level":"ERROR"`, `KINETEL_MAX_HOLD=\"fast\": must be a duration`, `KINETEL_BUFFER_BYTES=\"16GB\": must be a size`,
				`KINETEL_FLUSH=\"never\": must be adaptive, end or interval`,
			},
		},
		"no stream is named": {
			opt:  sandbox.Options{Env: map[string]string{"KINETEL_STREAM_NAME": ""}},
			line: []string{`"level":"ERROR"`, "KINETEL_STREAM_NAME: is not set"},
		},
		"the emulator answers 202": {
			opt:  sandbox.Options{Lambda: func(c *lambdasim.Config) { c.Telemetry = lambdasim.TelemetryNotSupported202 }},
			line: []string{`"level":"WARN"`, "the Telemetry API is not supported here (it answered 202)"},
		},
		"the emulator answers 404": {
			opt:  sandbox.Options{Lambda: func(c *lambdasim.Config) { c.Telemetry = lambdasim.TelemetryNotFound404 }},
			line: []string{`"level":"WARN"`, "the Telemetry API is not supported here (it answered 404)"},
		},
		"the platform supports none of the schemas": {
			opt:  sandbox.Options{Lambda: func(c *lambdasim.Config) { c.AcceptSchemas = []string{lambdasim.Schema20220701} }},
			line: []string{`"level":"ERROR"`, "subscribe to telemetry with schema 2022-12-13", "400"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var change []func(*kinesissim.Config)
			if tt.kinesis != nil {
				change = append(change, tt.kinesis)
			}
			r := start(t, tt.opt, change...)
			// A refusal is logged at once, another failure after a few attempts.
			for i := range 10 {
				result := r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":3}`, i))
				if result.Status != lambdasim.StatusSuccess {
					t.Errorf("invocation %d: %s %s", i, result.Status, result.ErrorType)
				}
			}
			r.Ended(r.Shutdown())
			logged := 0
			for _, line := range r.LogLines() {
				all := true
				for _, part := range tt.line {
					all = all && strings.Contains(line, part)
				}
				if all {
					logged++
				}
			}
			// The shutdown reports what it drops in one more line.
			if most := 2; logged != 1 || len(r.LogLines()) > most {
				t.Errorf("want one line with %q and at most one more, of the shutdown, have\n%s", tt.line, r.Log())
			}
		})
	}
}

func TestARefusalDoesNotHoldInvocations(t *testing.T) {
	r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_MAX_HOLD": "10s"}}, func(c *kinesissim.Config) {
		c.Intercept = kinesissim.AnswerAll(kinesissim.DenyAccess())
	})
	for i := range 3 {
		if result := r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":3}`, i)); result.Held > 5*time.Second {
			t.Errorf("invocation %d was held %v for a Kinesis that refuses everything", i, result.Held)
		}
	}
	r.Ended(r.Shutdown())
}

func TestAfterTwoUnproductiveHoldsInvocationsAreNotHeld(t *testing.T) {
	r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_MAX_HOLD": "200ms"}}, func(c *kinesissim.Config) {
		c.Intercept = kinesissim.AnswerAll(kinesissim.Hang())
	})
	for i := range 5 {
		// A Kinesis that never answers would hold for ever.
		held := r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":3}`, i)).Held
		if i < 2 && (held < 150*time.Millisecond || held > 5*time.Second) {
			t.Errorf("invocation %d was held %v, want about 200ms", i, held)
		}
		if i >= 2 && held > 100*time.Millisecond {
			t.Errorf("invocation %d was held %v, though nothing was sent in the two holds before", i, held)
		}
	}
	r.Ended(r.Shutdown())
}

func TestABadConfigurationFailsTheInitOnlyWhereItIsStrict(t *testing.T) {
	_, err := lambdasim.Start(t.Context(), lambdasim.Config{
		Function:   lambdasim.Process{Path: binaries.Path("function")},
		Extensions: []lambdasim.Process{{Path: binaries.Path(sandbox.Extension)}},
		Env:        map[string]string{"KINETEL_STRICT": "true", "KINETEL_STREAM_NAME": "telemetry", "KINETEL_MAX_HOLD": "fast"},
	})
	failed := (*lambdasim.InitError)(nil)
	if !errors.As(err, &failed) || failed.Type != "Extension.InitError" {
		t.Fatalf("init ended with %v, want Extension.InitError", err)
	}
}

func TestADisabledExtensionOnlyKeepsTheLoopGoing(t *testing.T) {
	r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_ENABLED": "false", "KINETEL_STREAM_NAME": ""}})
	r.Invoke(`{"id":"off","lines":10}`)
	p := r.Shutdown()
	r.Ended(p)
	if p.Subscribed != 0 || r.kinesis.Stats().Records != 0 || r.Log() != "" {
		t.Errorf("subscribed after %v, %d records, log:\n%s", p.Subscribed, r.kinesis.Stats().Records, r.Log())
	}
}

// Lambda sends no signals to extensions, but containers and local runs do.
func TestASignalEndsItInOrder(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) { endBySignal(t, signal) })
	}
}

func endBySignal(t *testing.T, signal syscall.Signal) {
	t.Parallel()
	exited := make(chan struct{}, 8) // more than there are processes
	var ending atomic.Bool
	var again func()
	r := start(t, sandbox.Options{
		Env: map[string]string{"KINETEL_FLUSH": "interval", "KINETEL_FLUSH_INTERVAL": "1m"},
		Lambda: func(c *lambdasim.Config) {
			c.DisableFreeze = true
			c.OnNotice = func(n lambdasim.Notice) {
				if n.Kind == lambdasim.NoticeExit && n.Process == sandbox.Extension {
					exited <- struct{}{}
				}
			}
		},
	}, func(c *kinesissim.Config) {
		c.Intercept = func(*kinesissim.Request) *kinesissim.Answer {
			if ending.Load() {
				again() // a second signal must not interrupt the shutdown
			}
			return kinesissim.Delay(200 * time.Millisecond)
		}
	})
	again = sync.OnceFunc(func() { _ = r.Sandbox.SignalExtension(sandbox.Extension, signal) })
	r.Invoke(`{"id":"signal","lines":10}`)
	if r.kinesis.Stats().Records != 0 {
		t.Fatal("telemetry was sent before the signal; the test proves nothing")
	}
	ending.Store(true)
	if err := r.Sandbox.SignalExtension(sandbox.Extension, signal); err != nil {
		t.Fatal(err)
	}
	<-exited
	// Lambda finds the extension gone with the next invocation.
	if result := r.Invoke(`{"id":"gone"}`); result.ErrorType != "Extension.Crash" {
		t.Errorf("the invocation after the signal ended with %q", result.ErrorType)
	}
	for _, p := range r.Sandbox.Processes() {
		if p.Name == sandbox.Extension && p.Generation == 1 && (p.ExitCode != 0 || p.Signal != nil) {
			t.Errorf("ended with status %d, signal %v", p.ExitCode, p.Signal)
		}
	}
	lines := 0
	for _, e := range r.arrived() {
		if e.Type == "function" {
			lines++
		}
	}
	if lines != 10 {
		t.Errorf("%d of 10 lines are in the stream", lines)
	}
}
