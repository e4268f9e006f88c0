package lambdasim_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/lambdasim"
)

func TestSnapStart(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(nil))
	cfg, rec := baseConfig(ext)
	cfg.InitializationType = lambdasim.InitSnapStart
	s := start(t, cfg)
	// Published: a snapshot, and no report yet.
	publishing := initEvents[:len(initEvents)-1]
	if diff := cmp.Diff(publishing, types(rec.all())); diff != "" {
		t.Error(diff)
	}
	for _, p := range s.Processes() {
		if state := processState(t, p.PID); state != "T" {
			t.Errorf("%s is in state %s", p.Name, state)
		}
	}
	before := s.InstanceID()
	first := invoke(t, s, `{"lines":1}`)
	second := invoke(t, s, `{"lines":1}`)
	shutdown(t, s)
	want := append(slices.Clone(publishing),
		"platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport", "platform.initReport",
		"platform.start", "function", "platform.runtimeDone", "platform.report",
		"platform.start", "function", "platform.runtimeDone", "platform.report")
	if diff := cmp.Diff(want, types(rec.all())); diff != "" {
		t.Error(diff)
	}
	wantDelivered(t, dump, rec.all())

	restored := records(t, rec.all(), "platform.restoreStart")[0]
	published := records(t, rec.all(), "platform.initStart")[0]
	if restored["functionName"] != "function" || restored["functionVersion"] != "$LATEST" || restored["instanceMaxMemory"] != float64(128<<20) ||
		restored["instanceId"] != s.InstanceID() || published["instanceId"] != before || before == s.InstanceID() {
		t.Errorf("restoreStart: %v, initStart: %v", restored, published)
	}
	report := records(t, rec.all(), "platform.restoreReport")[0]
	if report["status"] != "success" || report["metrics"].(map[string]any)["durationMs"].(float64) <= 0 {
		t.Errorf("restoreReport: %v", report)
	}
	for _, name := range []string{"platform.initStart", "platform.initRuntimeDone", "platform.initReport"} {
		if got := records(t, rec.all(), name)[0]["initializationType"]; got != "snap-start" {
			t.Errorf("%s has the type %v", name, got)
		}
	}
	reports := records(t, rec.all(), "platform.report")
	for i, want := range [][]string{{"restoreDurationMs"}, nil} {
		var got []string
		for _, key := range []string{"initDurationMs", "restoreDurationMs"} {
			if reports[i]["metrics"].(map[string]any)[key] != nil {
				got = append(got, key)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("report %d: %s", i, diff)
		}
	}
	if !first.ColdStart || first.RestoreDuration <= 0 || second.ColdStart || second.RestoreDuration != 0 {
		t.Errorf("%+v\n%+v", first, second)
	}
	for _, e := range rec.all() {
		if e.RequestID != "" && (strings.HasPrefix(e.Type, "platform.restore") || strings.HasPrefix(e.Type, "platform.init")) {
			t.Errorf("%s belongs to %q", e.Type, e.RequestID)
		}
	}
	if ps := s.Processes(); len(ps) != 2 {
		t.Errorf("%d processes", len(ps))
	}
}

// A process that died in the snapshot fails the restore and the invocation.
func TestSnapStartOfADeadProcess(t *testing.T) {
	t.Parallel()
	cfg, rec := baseConfig(lambdasim.Process{Path: program("bare-extension")})
	cfg.InitializationType = lambdasim.InitSnapStart
	s := start(t, cfg)
	if err := s.SignalExtension("bare-extension", os.Kill); err != nil {
		t.Fatal(err)
	}
	rec.await(t, "its end", func() bool {
		return slices.ContainsFunc(rec.notices, func(n lambdasim.Notice) bool { return n.Kind == lambdasim.NoticeExit })
	})
	if r := invoke(t, s, `{}`); r.ErrorType != "Extension.Crash" {
		t.Errorf("result: %+v", r)
	}
	if got := records(t, rec.all(), "platform.restoreRuntimeDone")[0]; got["status"] != "failure" || got["errorType"] != "Extension.Crash" {
		t.Errorf("restoreRuntimeDone: %v", got)
	}
	if r := invoke(t, s, `{}`); r.Status != lambdasim.StatusSuccess || !r.SuppressedInit || r.RestoreDuration != 0 {
		t.Errorf("the next: %+v", r)
	}
}

func TestRestoreClosesConnections(t *testing.T) {
	t.Parallel()
	for initialization, closed := range map[lambdasim.InitializationType]bool{
		lambdasim.InitSnapStart: true, lambdasim.InitOnDemand: false,
	} {
		cfg, _ := baseConfig()
		cfg.InitializationType = initialization
		s := start(t, cfg)
		conn, err := net.Dial("tcp", s.APIAddress())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		from := bufio.NewReader(conn)
		ask := func() error {
			if _, err := io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return err
			}
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, res.Body)
			return err
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		if r := invoke(t, s, `{}`); r.Status != lambdasim.StatusSuccess {
			t.Errorf("result: %+v", r) // the pending next was kept
		}
		if err := ask(); (err != nil) != closed {
			t.Errorf("%s: after the first invocation, a connection gives %v", initialization, err)
		}
	}
}

func TestProvisionedConcurrency(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(nil))
	cfg, rec := baseConfig(ext)
	cfg.InitializationType = lambdasim.InitProvisionedConcurrency
	s := start(t, cfg)
	if diff := cmp.Diff(initEvents[:len(initEvents)-1], types(rec.all())); diff != "" {
		t.Error(diff)
	}
	first := invoke(t, s, `{"lines":1}`)
	invoke(t, s, `{"exit":1}`)
	invoke(t, s, `{}`)
	shutdown(t, s)
	want := slices.Concat(initEvents, []string{"platform.start", "function", "platform.runtimeDone", "platform.report"},
		[]string{"platform.start", "platform.runtimeDone", "platform.report"},
		initEvents, []string{"platform.start", "platform.runtimeDone", "platform.report"}) // an Init in an invocation reports at once
	if diff := cmp.Diff(want, types(rec.all())); diff != "" {
		t.Error(diff)
	}
	if got := records(t, rec.all(), "platform.initReport")[0]; got["initializationType"] != "provisioned-concurrency" || got["metrics"].(map[string]any)["durationMs"].(float64) <= 0 {
		t.Errorf("initReport: %v", got)
	}
	metrics := records(t, rec.all(), "platform.report")[0]["metrics"].(map[string]any)
	if metrics["initDurationMs"] == nil || first.Billed > first.Duration+first.Held+time.Millisecond {
		t.Errorf("report: %v; billed %v of %v", metrics, first.Billed, first.Duration)
	}
	for _, p := range s.Processes() {
		if p.Generation == 1 && p.Registered == 0 && p.Kind == lambdasim.KindExtension {
			t.Errorf("process: %+v", p)
		}
	}
	if len(accepted(t, dump)) == 0 {
		t.Error("nothing was delivered")
	}
}

// credentialsAnswer is what the endpoint gives.
type credentialsAnswer struct{ AccessKeyId, SecretAccessKey, Token, Expiration string }

func TestCredentialsEndpoint(t *testing.T) {
	t.Parallel()
	ask := func(authorization string) request {
		return request{Method: "GET", Path: "/2021-04-23/credentials", Header: map[string]string{"Authorization": authorization}}
	}
	asking := []request{ask("$TOKEN"), ask("Bearer $TOKEN"), ask("wrong"), ask("")}
	given := func(t *testing.T, calls []entry) []credentialsAnswer {
		t.Helper()
		var list []credentialsAnswer
		for _, call := range calls {
			if call.Path != "/2021-04-23/credentials" {
				continue
			}
			var answer credentialsAnswer
			if call.Status == http.StatusOK {
				if err := json.Unmarshal(call.Body, &answer); err != nil {
					t.Fatalf("%v: %s", err, call.Body)
				}
				if _, err := time.Parse(time.RFC3339, answer.Expiration); err != nil {
					t.Error(err)
				}
			}
			list = append(list, answer)
		}
		return list
	}
	t.Run("the configured keys, for an hour", func(t *testing.T) {
		t.Parallel()
		ext, dump := scripted(t, "ext", script{"onInvoke": asking})
		cfg, _ := baseConfig(ext)
		cfg.InitializationType = lambdasim.InitSnapStart
		cfg.Env = map[string]string{"AWS_ACCESS_KEY_ID": "AKIAMINE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session", "OWN": "1"}
		s := start(t, cfg)
		for _, p := range s.Processes() {
			env := environment(t, p)
			for key, want := range map[string]string{
				"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_LAMBDA_LOG_STREAM_NAME": "",
				"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://" + s.APIAddress() + "/2021-04-23/credentials",
				"AWS_LAMBDA_INITIALIZATION_TYPE":     "snap-start", "OWN": "1",
			} {
				if env[key] != want {
					t.Errorf("%s has %s=%q, want %q", p.Name, key, env[key], want)
				}
			}
			if env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == "" {
				t.Errorf("%s has no token", p.Name)
			}
		}
		now := time.Now()
		invoke(t, s, `{"sleep":"100ms"}`)
		shutdown(t, s)
		got := given(t, entries(t, dump, "call"))
		if len(got) != 4 || got[2] != (credentialsAnswer{}) || got[3] != (credentialsAnswer{}) {
			t.Fatalf("answers: %v", got)
		}
		for _, c := range got[:2] {
			expires, _ := time.Parse(time.RFC3339, c.Expiration)
			if c.AccessKeyId != "AKIAMINE" || c.SecretAccessKey != "secret" || c.Token != "session" || expires.Sub(now) < 59*time.Minute {
				t.Errorf("credentials: %+v", c)
			}
		}
	})
	t.Run("other keys when they expired", func(t *testing.T) {
		t.Parallel()
		ext, dump := scripted(t, "ext", script{"onInvoke": asking[:2]})
		cfg, rec := baseConfig(ext)
		cfg.InitializationType, cfg.CredentialsLifetime = lambdasim.InitSnapStart, time.Hour
		s := start(t, cfg)
		invoke(t, s, `{}`)
		shutdown(t, s)
		if got := given(t, entries(t, dump, "call")); len(got) != 2 || got[0] != got[1] {
			t.Errorf("while they are valid: %v", got)
		}
		ext, dump = scripted(t, "ext", script{"onInvoke": asking[:2]})
		cfg.Extensions, cfg.CredentialsLifetime = []lambdasim.Process{ext}, time.Nanosecond
		s = start(t, cfg)
		invoke(t, s, `{}`)
		shutdown(t, s)
		got := given(t, entries(t, dump, "call"))
		if len(got) != 2 || got[0].AccessKeyId == got[1].AccessKeyId || got[0].SecretAccessKey == got[1].SecretAccessKey || got[0].Token == got[1].Token {
			t.Errorf("when they expired: %v", got)
		}
		if !rec.has(lambdasim.NoticeCredentials, got[1].AccessKeyId) || rec.has(lambdasim.NoticeCredentials, got[1].SecretAccessKey) {
			t.Errorf("notices: %v", rec.notices)
		}
	})
	t.Run("those of a hook", func(t *testing.T) {
		t.Parallel()
		ext, dump := scripted(t, "ext", script{"onInvoke": asking[:2]})
		cfg, _ := baseConfig(ext)
		cfg.InitializationType = lambdasim.InitSnapStart
		var calls atomic.Int32
		cfg.Credentials = func() lambdasim.Credentials {
			calls.Add(1)
			return lambdasim.Credentials{
				AccessKeyID: "id", SecretAccessKey: "sec", SessionToken: "tok", Expires: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			}
		}
		s := start(t, cfg)
		invoke(t, s, `{}`)
		shutdown(t, s)
		want := credentialsAnswer{"id", "sec", "tok", "2026-01-02T03:04:05Z"}
		if diff := cmp.Diff([]credentialsAnswer{want, want}, given(t, entries(t, dump, "call"))); diff != "" || calls.Load() != 2 {
			t.Errorf("%d calls: %s", calls.Load(), diff)
		}
	})
	t.Run("only with SnapStart", func(t *testing.T) {
		t.Parallel()
		ext, dump := scripted(t, "ext", script{"onInvoke": []request{ask("")}})
		cfg, _ := baseConfig(ext)
		s := start(t, cfg)
		invoke(t, s, `{}`)
		shutdown(t, s)
		if calls := entries(t, dump, "call"); calls[2].Status != http.StatusNotFound || !strings.Contains(string(calls[2].Body), "404 page") {
			t.Errorf("answer: %d %s", calls[2].Status, calls[2].Body)
		}
	})
}

// The platform's own connections to an extension do not outlive the snapshot,
// either.
func TestRestoreConnectsAnew(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(script{"nextDelayMs": 150}))
	cfg, rec := baseConfig(ext)
	cfg.InitializationType = lambdasim.InitSnapStart
	s := start(t, cfg)
	if !rec.has(lambdasim.NoticeDelivered, "ext") {
		t.Fatal("nothing was delivered before the snapshot")
	}
	invoke(t, s, `{"sleep":"200ms"}`)
	shutdown(t, s)
	posts := entries(t, dump, "post")
	for _, post := range posts[1:] {
		if post.Remote == posts[0].Remote {
			t.Errorf("the connection of the snapshot is used again for %.200s", post.Body)
		}
	}
	if len(posts) < 2 {
		t.Errorf("%d posts", len(posts))
	}
}
