package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// requireUndisturbed invokes the function. It fails the test unless all invocations
// succeed, none is held beyond the bound, and each process of the extension ends with
// status 0.
func requireUndisturbed(r *run, invocations int) {
	r.t.Helper()
	for i := range invocations {
		result := r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":20}`, i))
		if result.Status != lambdasim.StatusSuccess {
			r.t.Errorf("invocation %d: %s %s", i, result.Status, result.ErrorType)
		}
		// The bound is 500 ms; without one it would be the time-out, 20 s.
		if result.Held > 5*time.Second {
			r.t.Errorf("invocation %d was held %v", i, result.Held)
		}
	}
	r.Ended(r.Shutdown())
	endedWithZero(r)
}

// endedWithZero fails the test where a process of the extension, of any
// generation, ended with another status.
func endedWithZero(r *run) {
	r.t.Helper()
	for _, p := range r.Sandbox.Processes() {
		if p.Name == sandbox.Extension && (!p.Exited || p.ExitCode != 0 || p.Killed) {
			r.t.Errorf("process %d of the extension ended with status %d, signal %v, killed %v\n%s", p.Generation, p.ExitCode, p.Signal, p.Killed, r.Log())
		}
	}
}

func TestABadNetworkDoesNotDisturbTheFunction(t *testing.T) {
	for name, answer := range map[string]*kinesissim.Answer{
		"hangs":                 kinesissim.Hang(),
		"resets":                kinesissim.ResetConnection(),
		"stores, then resets":   kinesissim.DropAnswerAndReset(),
		"stores, never answers": kinesissim.DropAnswer(),
		"answers half":          kinesissim.TruncateAnswer(10),
		"answers garbage":       kinesissim.ReplaceAnswer("<html>not Kinesis</html>"),
		"answers too little":    kinesissim.OmitResults(0),
		"closes each time":      kinesissim.CloseAfterAnswer(),
		"throttles":             kinesissim.Throttle(),
		"500":                   kinesissim.Refuse(500, "InternalFailure", "down"),
		"a page":                kinesissim.Refuse(301, "", "<html>"),
		"credentials expired":   kinesissim.RefuseExpiredToken(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireUndisturbed(start(t, sandbox.Options{}, func(c *kinesissim.Config) { c.Intercept = kinesissim.AnswerAll(answer) }), 8)
		})
	}
	for name, endpoint := range map[string]string{
		"no such host":      "http://kinesis.invalid",
		"no such port":      "http://127.0.0.1:1",
		"TLS where none is": "https://127.0.0.1:1",
		"a black hole":      "http://192.0.2.1", // for documentation (RFC 5737): there is no answer
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireUndisturbed(start(t, sandbox.Options{Endpoint: endpoint}), 8)
		})
	}
}

func TestTooFewDescriptorsDoNotDisturbTheFunction(t *testing.T) {
	for limit := 8; limit <= 14; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			r := start(t, sandbox.Options{Lambda: func(c *lambdasim.Config) {
				c.Extensions[0].Path = limited(t, fmt.Sprintf("ulimit -n %d", limit))
			}})
			requireUndisturbed(r, 8)
		})
	}
}

// limited returns the path of an extension that starts the real one with limits.
func limited(t *testing.T, limits string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), sandbox.Extension)
	script := fmt.Sprintf("#!/bin/sh\n%s && exec '%s'\n", limits, binaries.Path(sandbox.Extension))
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASpoolThatCannotBeMadeDoesNotDisturbTheFunction(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"a file is in its place": file,
		"below a file":           filepath.Join(file, "below"),
		"no file system for it":  "/proc/kinetel",
		"a device":               "/dev/null",
	} {
		for _, mode := range []string{"overflow", "always"} {
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				requireUndisturbed(start(t, sandbox.Options{Env: map[string]string{"KINETEL_SPOOL_DIR": dir, "KINETEL_SPOOL": mode}}), 4)
			})
		}
	}
	t.Run("no byte can be written", func(t *testing.T) {
		t.Parallel()
		r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_SPOOL": "always"}, Lambda: func(c *lambdasim.Config) {
			c.Extensions[0].Path = limited(t, "ulimit -f 0")
		}})
		requireUndisturbed(r, 4)
	})
}

func TestAFunctionThatExitsIsFollowedByAnotherProcess(t *testing.T) {
	for name, die := range map[string]string{
		"exits":     `{"id":"die","exit":3}`,
		"times out": `{"id":"die","hang":true}`,
	} {
		for _, flush := range []string{"adaptive", "end", "interval"} {
			t.Run(name+", "+flush, func(t *testing.T) {
				t.Parallel()
				r := start(t, sandbox.Options{
					Env:    map[string]string{"KINETEL_FLUSH": flush},
					Lambda: func(c *lambdasim.Config) { c.Timeout = time.Second },
				})
				for i := range 3 {
					r.Invoke(fmt.Sprintf(`{"id":"ok-%d","lines":5}`, i))
					if result := r.Invoke(die); result.Status == lambdasim.StatusSuccess {
						t.Fatalf("the function did not die: %+v", result)
					}
				}
				r.Invoke(`{"id":"last","lines":5}`)
				r.Ended(r.Shutdown())
				endedWithZero(r)
				if v := r.Verdict(r.arrived()); v.Lost+v.LostSilently+v.Unknown > 0 {
					t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
				}
			})
		}
	}
	t.Run("is killed", func(t *testing.T) {
		t.Parallel()
		r := start(t, sandbox.Options{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			result, err := r.Sandbox.Invoke(t.Context(), []byte(`{"id":"killed","lines":5,"sleep":"10s"}`))
			if err != nil || result.Status == lambdasim.StatusSuccess {
				t.Errorf("the function was not killed: %+v, %v", result, err)
			}
		}()
		for r.Sandbox.SignalFunction(os.Kill) != nil {
			select {
			case <-ended:
				t.Fatal("it ended before")
			case <-time.After(10 * time.Millisecond):
			}
		}
		<-ended
		r.Invoke(`{"id":"after","lines":5}`)
		r.Ended(r.Shutdown())
		endedWithZero(r)
	})
}

// A pipeline that fills in templates may set any value.
func TestNoConfigurationDisturbsTheFunction(t *testing.T) {
	values := []string{"", " ", "0", "-1", "true", "off", "99999999999999999999", "1e9", "NaN", "10s", "16MiB", "${stream}", "\x01", "ü", strings.Repeat("x", 5000), "a=b,c", ",", "https://[", "arn:aws:kinesis:::"}
	variables := []string{
		"KINETEL_STREAM_NAME", "KINETEL_STREAM_ARN", "KINETEL_ENABLED", "KINETEL_TYPES", "KINETEL_FORMAT", "KINETEL_COMPRESSION",
		"KINETEL_PARTITION_KEY", "KINETEL_FLUSH", "KINETEL_FLUSH_INTERVAL", "KINETEL_MAX_HOLD", "KINETEL_BUFFER_BYTES", "KINETEL_SPOOL",
		"KINETEL_SPOOL_DIR", "KINETEL_SPOOL_BYTES", "KINETEL_REPORT", "KINETEL_LOG_LEVEL", "KINETEL_TAGS", "KINETEL_", "KINETEL_LOG_GROUP", "KINETEL_REQUEST_ID_KEYS", "AWS_ENDPOINT_URL",
		"AWS_ENDPOINT_URL_KINESIS", "AWS_REGION", "AWS_CA_BUNDLE", "AWS_USE_FIPS_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "AWS_ACCESS_KEY_ID",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_LAMBDA_INITIALIZATION_TYPE", "GOGC", "TZ",
		// Not GOMEMLIMIT: with one that cannot be read Go itself ends every
		// program before it begins.
	}
	for i, variable := range variables {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			for j := range 2 {
				value := values[(i*7+j*9)%len(values)]
				env := map[string]string{variable: value}
				if variable == "AWS_CONTAINER_CREDENTIALS_FULL_URI" {
					env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "", ""
				}
				r := start(t, sandbox.Options{Env: env})
				requireUndisturbed(r, 2)
				if t.Failed() {
					t.Fatalf("with %s=%q", variable, value)
				}
			}
		})
	}
}

// sessionToken is one that must be in no error.
const sessionToken = "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQD"

func TestStrictFailsTheInitWithATypedError(t *testing.T) {
	for name, tt := range map[string]struct {
		env     map[string]string
		kinesis func(*kinesissim.Config)
		want    string // empty: the init goes well
	}{
		"a bad value":           {env: map[string]string{"KINETEL_MAX_HOLD": "fast"}, want: "Extension.ConfigInvalid"},
		"a value at no bound":   {env: map[string]string{"KINETEL_FLUSH_INTERVAL": "1h"}, want: "Extension.ConfigInvalid"},
		"a bad tag":             {env: map[string]string{"KINETEL_TAGS": "env"}, want: "Extension.ConfigInvalid"},
		"another spelling":      {env: map[string]string{"KINETEL_LOG_LEVEL": "WARNING", "KINETEL_STRICT": "on"}},
		"no stream":             {env: map[string]string{"KINETEL_STREAM_NAME": ""}, want: "Extension.ConfigInvalid"},
		"a stream that is none": {env: map[string]string{"KINETEL_STREAM_NAME": "telemetri"}, want: "Extension.StreamNotFound"},
		"no permission": {
			kinesis: func(c *kinesissim.Config) { c.Intercept = kinesissim.AnswerAll(kinesissim.DenyAccess()) },
			want:    "Extension.AccessDenied",
		},
		"no permission for the key": {
			kinesis: func(c *kinesissim.Config) {
				c.Intercept = kinesissim.AnswerAll(kinesissim.Refuse(400, "KMSAccessDeniedException", "no"))
			},
			want: "Extension.AccessDenied",
		},
		"wrong credentials": {env: map[string]string{"AWS_SECRET_ACCESS_KEY": "wrong"}, want: "Extension.CredentialsInvalid"},
		"a wrong signature": {
			kinesis: func(c *kinesissim.Config) {
				c.Intercept = kinesissim.AnswerAll(kinesissim.Refuse(403, "InvalidSignatureException", "The signature does not match. Check it.\n\nThe Canonical String\nx-amz-security-token:"+sessionToken))
			},
			env: map[string]string{"AWS_SESSION_TOKEN": sessionToken}, want: "Extension.CredentialsInvalid",
		},
		"a bundle that is a device": {env: map[string]string{"AWS_CA_BUNDLE": "/dev/zero"}, want: "Extension.ConfigInvalid"},
		"a bundle that is none":     {env: map[string]string{"AWS_CA_BUNDLE": "/nowhere"}, want: "Extension.ConfigInvalid"},
		"nothing is wrong":          {},
		"Kinesis is down":           {kinesis: func(c *kinesissim.Config) { c.Intercept = kinesissim.AnswerAll(kinesissim.Refuse(503, "", "")) }},
		"Kinesis does not answer":   {kinesis: func(c *kinesissim.Config) { c.Intercept = kinesissim.AnswerAll(kinesissim.Hang()) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := kinesissim.Config{
				Streams:     []kinesissim.Stream{{Name: sandbox.Stream, Shards: 1}},
				Credentials: map[string]string{accessKey: secretKey},
			}
			if tt.kinesis != nil {
				tt.kinesis(&cfg)
			}
			kinesis, err := kinesissim.Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = kinesis.Close() })
			env := map[string]string{
				"KINETEL_STRICT": "true", "KINETEL_STREAM_NAME": sandbox.Stream, "AWS_ENDPOINT_URL_KINESIS": kinesis.URL(),
				"KINETEL_SPOOL_DIR": t.TempDir(), "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
			}
			for k, v := range tt.env {
				env[k] = v
			}
			var mu sync.Mutex
			var output []string
			record := func(format string, args ...any) {
				mu.Lock()
				defer mu.Unlock()
				output = append(output, fmt.Sprintf(format, args...))
			}
			sandbox, err := lambdasim.Start(t.Context(), lambdasim.Config{
				Function:   lambdasim.Process{Path: binaries.Path("function")},
				Extensions: []lambdasim.Process{{Path: binaries.Path(sandbox.Extension)}},
				Env:        env,
				OnNotice:   func(n lambdasim.Notice) { record("%+v", n) },
				OnEvent:    func(e lambdasim.Event) { record("%s %s", e.Type, e.Record) },
			})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := sandbox.Invoke(t.Context(), []byte(`{"id":"strict"}`)); err != nil {
					t.Error(err)
				}
				if _, err := sandbox.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				return
			}
			failed := (*lambdasim.InitError)(nil)
			if !errors.As(err, &failed) || failed.Type != "Extension.InitError" {
				t.Fatalf("init ended with %v, want Extension.InitError", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if all := failed.Error() + strings.Join(output, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("the output does not name %s:\n%s", tt.want, all)
			} else if strings.Contains(all, sessionToken) || strings.Contains(all, "Canonical") {
				t.Errorf("the session token is in the error:\n%s", all)
			}
		})
	}
}
