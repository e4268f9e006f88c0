package kinesis_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/test/firewall"
)

// startFirewall puts a firewall before a Kinesis.
func startFirewall(t *testing.T, sim *kinesissim.Server) *firewall.Firewall {
	t.Helper()
	f, err := firewall.Start(strings.TrimPrefix(sim.URL(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// behind is a client of a Kinesis behind a firewall, and its log.
func behind(t *testing.T, reset bool) (*firewall.Firewall, *kinesis.Client, *bytes.Buffer) {
	t.Helper()
	sim := start(t, kinesissim.Config{TLS: true})
	f := startFirewall(t, sim)
	f.Reset.Store(reset)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, sim.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	c := client(t, sim, func(cfg *kinesis.Config) {
		cfg.Endpoint, cfg.CABundle, cfg.Log = "https://"+f.Addr, bundle, slog.New(slog.NewTextHandler(log, nil))
	})
	return f, c, log
}

func TestAHandshakeThatIsDroppedIsRepeatedWithoutMLKEM(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]bool{"never answered": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			f, c, log := behind(t, reset)
			for i := range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				results, err := c.PutRecords(ctx, records("x"))
				cancel()
				accepted(t, results, err)
				if large, small := f.Large.Load(), f.Small.Load(); large != 1 || small != int64(i+1) {
					t.Errorf("%d large and %d small ClientHellos, want 1 and %d: what works is remembered", large, small, i+1)
				}
				c.CloseIdle()
			}
			if n := strings.Count(log.String(), "X25519MLKEM768 failed"); n != 1 || !strings.Contains(log.String(), "docs/operations.md") {
				t.Errorf("it is logged %d times: %s", n, log)
			}
		})
	}
}

// The caller's context ends before the handshake: the next request uses no ML-KEM.
func TestACancelledHandshakeCountsAsDroppedIfItLastedLong(t *testing.T) {
	t.Parallel()
	f, c, _ := behind(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond)
	defer cancel()
	_, err := c.PutRecords(ctx, records("x"))
	if e := refused(t, err, kinesis.Transient); e.Unknown() {
		t.Errorf("Unknown is true, though nothing was sent: %v", err)
	}
	results, err := c.PutRecords(t.Context(), records("x"))
	accepted(t, results, err)
	if f.Large.Load() != 1 || f.Small.Load() != 1 {
		t.Errorf("%d large and %d small ClientHellos", f.Large.Load(), f.Small.Load())
	}
}

func TestMLKEMStaysInUseOnceAHandshakeWithItHasSucceeded(t *testing.T) {
	f, c, log := behind(t, true)
	f.DropLarge.Store(false)
	results, err := c.PutRecords(t.Context(), records("x"))
	accepted(t, results, err)
	c.CloseIdle()
	// It has worked: what fails now is something else.
	f.DropAll.Store(true)
	_, err = c.PutRecords(t.Context(), records("y"))
	refused(t, err, kinesis.Transient)
	f.DropAll.Store(false)
	results, err = c.PutRecords(t.Context(), records("y"))
	accepted(t, results, err)
	if f.Small.Load() != 0 || f.Large.Load() != 3 || log.Len() > 0 {
		t.Errorf("%d large and %d small ClientHellos; log: %s", f.Large.Load(), f.Small.Load(), log)
	}
}

// If no handshake gets through, both kinds are tried in turn, and neither is logged
// as the reason.
func TestIfAllHandshakesFailBothKindsAreTried(t *testing.T) {
	f, c, log := behind(t, true)
	f.DropAll.Store(true)
	for range 2 {
		_, err := c.PutRecords(t.Context(), records("x"))
		e := refused(t, err, kinesis.Transient)
		if fix := kinesis.Fix(err); strings.Contains(fix, "NAT") || !strings.Contains(fix, "handshake") {
			t.Errorf("Fix of %v is %s", err, fix)
		}
		if e.Unknown() {
			t.Error("Unknown is true, though nothing was sent")
		}
	}
	if f.Large.Load() < 1 || f.Small.Load() < 1 || log.Len() > 0 {
		t.Errorf("%d large and %d small ClientHellos; log: %s", f.Large.Load(), f.Small.Load(), log)
	}
	f.DropAll.Store(false)
	f.DropLarge.Store(false)
	for range 2 { // the first may still be one without
		if results, err := c.PutRecords(t.Context(), records("x")); err != nil || !results[0].OK() {
			t.Errorf("%v %v", results, err)
		}
	}
}

// A certificate that is not trusted has nothing to do with ML-KEM.
func TestAnUntrustedCertificateIsNotRetriedWithoutMLKEM(t *testing.T) {
	sim := start(t, kinesissim.Config{TLS: true})
	f := startFirewall(t, sim)
	f.DropLarge.Store(false)
	c := client(t, sim, func(cfg *kinesis.Config) { cfg.Endpoint = "https://" + f.Addr })
	_, err := c.PutRecords(t.Context(), records("x"))
	if e := refused(t, err, kinesis.Transient); e.Unknown() || !strings.Contains(kinesis.Fix(err), "AWS_CA_BUNDLE") {
		t.Errorf("%v: %s", err, kinesis.Fix(err))
	}
	if f.Large.Load() != 1 || f.Small.Load() != 0 {
		t.Errorf("%d large and %d small ClientHellos", f.Large.Load(), f.Small.Load())
	}
}

func TestABundleThatIsNotARegularFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(fifo, link); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 5<<20); err != nil { // it has holes
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a FIFO": fifo, "a link to a FIFO": link, "a folder": dir, "a device": "/dev/zero", "a terminal": "/dev/null", "a large file": large,
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, kinesis.Config{StreamName: stream, Region: region, Endpoint: "https://127.0.0.1:1", CABundle: path, Credentials: always(goodCredentials)})
			_, err := c.PutRecords(t.Context(), records("x"))
			if e := refused(t, err, kinesis.Denied); !strings.Contains(e.Error(), "AWS_CA_BUNDLE") || !strings.Contains(e.Error(), "regular file") {
				t.Errorf("error %v", e)
			}
		})
	}
}

// escapes are ways in which something in between may write a header's value.
func escapes(token string) map[string]string {
	percent := strings.NewReplacer("/", "%2F", "+", "%2B", "=", "%3D")
	html := strings.NewReplacer("/", "&#x2F;", "+", "&#43;", "=", "&#x3D;")
	return map[string]string{
		"as it is":        token,
		"percent":         percent.Replace(token),
		"HTML":            html.Replace(token),
		"JSON":            strings.NewReplacer("/", `\/`, "=", `\u003d`).Replace(token),
		"small letters":   strings.ToLower(token),
		"cut at its end":  token[:len(token)/2],
		"cut at its head": token[len(token)/2:],
	}
}

func TestNoErrorRepeatsASecret(t *testing.T) {
	const token = "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQD/3k+aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789/ZyXwVuTsRqPoNmLkJiHgFeDcBa=="
	creds := goodCredentials
	creds.SessionToken = token
	clear := func(t *testing.T, text string) {
		t.Helper()
		folded := strings.ToLower(text)
		for _, secret := range []string{token, secretKey} {
			for i := 0; i+8 <= len(secret); i++ {
				if part := strings.ToLower(secret[i : i+8]); strings.Contains(folded, part) {
					t.Errorf("%q has %q of a secret", text, part)
					return
				}
			}
		}
		if strings.ContainsAny(text, "\r\n") || len(text) > 700 {
			t.Errorf("%d bytes, or more than a line: %q", len(text), text)
		}
	}
	mismatch := "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'POST\n/\n\ncontent-length:1234\nx-amz-security-token:" + token + "\n'"
	quoted := strings.NewReplacer("\n", `\n`, `"`, `\"`)
	for name, escaped := range escapes(token) {
		for _, tt := range []struct {
			name   string
			status int
			header http.Header
			body   string
		}{
			{"a signature", 403, nil, `{"__type":"InvalidSignatureException","message":"` + quoted.Replace(mismatch) + `"}`},
			{"a signature, on one line", 403, nil, `{"__type":"SignatureDoesNotMatch","message":"` + strings.ReplaceAll(mismatch, "\n", " ") + ` x-amz-security-token:` + strings.ReplaceAll(escaped, `\`, `\\`) + `"}`},
			{"a message", 400, nil, `{"__type":"AccessDeniedException","message":"not allowed: x-amz-security-token: ` + strings.ReplaceAll(escaped, `\`, `\\`) + ` was sent"}`},
			{"a type", 400, nil, `{"__type":"` + strings.ReplaceAll(escaped, `\`, `\\`) + `","message":"no"}`},
			{"a type in a header", 400, http.Header{"X-Amzn-Errortype": {escaped}}, ``},
			{"a page", 502, http.Header{"Content-Type": {"text/html"}}, `<html>X-Amz-Security-Token: ` + escaped + `</html>`},
			{"an accepted request's record", 200, nil, `{"FailedRecordCount":1,"Records":[{"ErrorCode":"` + strings.ReplaceAll(escaped, `\`, `\\`) + `","ErrorMessage":"token ` + strings.ReplaceAll(escaped, `\`, `\\`) + `"}]}`},
			{"an accepted request's answer", 200, nil, `{"Records":"` + strings.ReplaceAll(escaped, `\`, `\\`) + `"}`},
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				cfg := at(answerWith(t, tt.status, tt.header, tt.body))
				cfg.Credentials = always(creds)
				results, err := open(t, cfg).PutRecords(t.Context(), records("x"))
				if err != nil {
					clear(t, err.Error())
				}
				for _, r := range results {
					clear(t, r.ErrorCode+" "+r.ErrorMessage)
				}
			})
		}
		t.Run("an answer that is not HTTP/"+name, func(t *testing.T) {
			for _, head := range []string{"HTTP/1.1 " + escaped, "HTTP/1.1 200 OK\r\nX-Amz-Security-Token " + escaped + "\r\n\r\n", escaped} {
				cfg := kinesis.Config{StreamName: stream, Region: region, Credentials: always(creds), Endpoint: rawAnswer(t, head)}
				_, err := open(t, cfg).PutRecords(t.Context(), records("x"))
				if err == nil {
					t.Fatal("it was accepted")
				}
				clear(t, err.Error())
			}
		})
	}
}

// rawAnswer is the URL of a server that answers with what is not quite HTTP.
func rawAnswer(t *testing.T, answer string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, answer+"\r\n\r\n")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestASignatureErrorKeepsItsFirstSentence(t *testing.T) {
	cfg := at(answerWith(t, 403, nil, `{"__type":"InvalidSignatureException","message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key."}`))
	_, err := open(t, cfg).PutRecords(t.Context(), records("x"))
	const want = "InvalidSignatureException (HTTP 403): The request signature we calculated does not match the signature you provided."
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// The credentials of a proxy are as secret.
func TestNoErrorRepeatsAProxysPassword(t *testing.T) {
	const password = "hunter2"
	proxy := rawAnswer(t, "HTTP/1.1 407 Proxy-Authorization: dXNlcjpodW50ZXIy user:"+password)
	cfg := kinesis.Config{StreamName: stream, Region: region, Credentials: always(goodCredentials), Endpoint: "https://kinesis.example", Proxy: proxyOf("http://user:"+password+"@", proxy)}
	_, err := open(t, cfg).PutRecords(t.Context(), records("x"))
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "dXNlcj") {
		t.Errorf("error %q", text)
	}
}
