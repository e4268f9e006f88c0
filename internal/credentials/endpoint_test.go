package credentials

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const good = `{"AccessKeyId":"KEY","SecretAccessKey":"hidden","Token":"session","Expiration":"2100-01-01T00:00:00Z"}`

// answers is a server on loopback that gives every request the same answer, and stores
// the requests.
type answers struct {
	uri string

	mu       sync.Mutex
	requests []*http.Request
}

func (a *answers) all() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

func answer(t *testing.T, with http.HandlerFunc) *answers {
	t.Helper()
	a := &answers{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.requests = append(a.requests, r)
		a.mu.Unlock()
		with(w, r)
	}))
	t.Cleanup(server.Close)
	a.uri = server.URL + "/2021-04-23/credentials?x=y"
	return a
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestTheRequestHasTheTokenAndNoProxy(t *testing.T) {
	// The function's proxy is not for this address.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	a := answer(t, text(200, good))
	s := Container(ContainerOptions{URI: a.uri, Token: "Basic abc=="})
	if keys, err := s.Get(t.Context()); err != nil || keys.AccessKeyID != "KEY" {
		t.Fatalf("%s, %v", keys.AccessKeyID, err)
	}
	r := a.all()[0]
	got := []string{r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Accept")}
	want := []string{"GET", "/2021-04-23/credentials?x=y", "Basic abc==", "application/json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if !r.Close {
		t.Error("the connection is kept, but it is not needed for an hour and does not survive a restore")
	}
}

func TestLocalhostIsAllowedByName(t *testing.T) {
	a := answer(t, text(200, good))
	s := Container(ContainerOptions{URI: strings.Replace(a.uri, "127.0.0.1", "localhost", 1)})
	if _, err := s.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := a.all()[0].Header; h["Authorization"] != nil {
		t.Errorf("without a token there is an Authorization %q", h["Authorization"])
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := answer(t, text(200, good))
	a := answer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.uri, http.StatusFound) })
	_, err := Container(ContainerOptions{URI: a.uri, Token: "token"}).Get(t.Context())
	if err == nil || !strings.Contains(err.Error(), "HTTP 302") {
		t.Errorf("error %v, want HTTP 302", err)
	}
	if len(other.all()) != 0 || len(a.all()) != 1 {
		t.Errorf("%d requests, of them %d elsewhere, want one and none", len(a.all()), len(other.all()))
	}
}

// The token does not leave the machine in clear text, whatever a name resolves to.
func TestPlainHTTPStaysOnTheMachine(t *testing.T) {
	e := &endpoint{opt: ContainerOptions{URI: "HTTP://localhost/"}}
	for _, address := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
		conn, err := e.connect().DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, errElsewhere) {
			t.Errorf("dial %s: %v, want it refused before", address, err)
		}
	}
	for _, uri := range []string{"http://192.0.2.1/", "ftp://127.0.0.1/", ""} {
		_, err := Container(ContainerOptions{URI: uri}).Get(t.Context())
		if err == nil || !strings.Contains(err.Error(), VariableURI) || !strings.Contains(err.Error(), "must") {
			t.Errorf("%q: error %v, want CheckURI's", uri, err)
		}
	}
}

func TestAnAnswerIsReadOrAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		body    string
		message string // in the error; empty: the answer is valid
	}{
		"keys":                      {good, ""},
		"more members":              {`{"RoleArn":"r","Code":"Success","LastUpdated":7,` + good[1:], ""},
		"no expiration":             {`{"AccessKeyId":"KEY","SecretAccessKey":"hidden"}`, ""},
		"a time zone":               {strings.Replace(good, "00:00Z", "00:00.5+02:00", 1), ""},
		"nothing":                   {``, "not a JSON object"},
		"a page":                    {`<html>hidden</html>`, "not a JSON object"},
		"an incomplete answer":      {good[:len(good)-9], "not a JSON object"},
		"an array":                  {`[` + good + `]`, "not a JSON object"},
		"a number as key":           {`{"AccessKeyId":7,"SecretAccessKey":"hidden"}`, "not a JSON object of texts"},
		"no id":                     {`{"SecretAccessKey":"hidden","Token":"hidden"}`, "no AccessKeyId"},
		"no secret":                 {`{"AccessKeyId":"KEY","Token":"hidden"}`, "and SecretAccessKey"},
		"an odd expiration":         {strings.Replace(good, "2100-01-01T00:00:00Z", "hidden", 1), "Expiration is not a time"},
		"one that is too long":      {good + strings.Repeat(" ", 64<<10), "longer than 65536 bytes"},
		"one of the maximum length": {good + strings.Repeat(" ", 64<<10-len(good)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := answer(t, text(200, tc.body))
			keys, err := Container(ContainerOptions{URI: a.uri, Token: "tok-hidden"}).Get(t.Context())
			if tc.message == "" {
				if err != nil || keys.AccessKeyID != "KEY" || keys.SecretAccessKey != "hidden" {
					t.Errorf("%v, %v, want the keys", keys.AccessKeyID, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.message) {
				t.Fatalf("error %v, want %q", err, tc.message)
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("error %q contains a secret", err)
			}
			if n := len(a.all()); n != 1 {
				t.Errorf("%d requests, want one: a retry gets the same answer", n)
			}
		})
	}
}

func TestTheErrorOfARefusalContainsOnlyItsCode(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   string
	}{
		{400, `{"code":"InvalidRequest","message":"hidden"}`, "it answered HTTP 400 InvalidRequest"},
		{404, `{"Code":"not-here.x_1"}`, "it answered HTTP 404 not-here.x_1"},
		{403, `hidden`, "it answered HTTP 403; check AWS_CONTAINER_AUTHORIZATION_TOKEN"},
		{401, `{"code":"has hidden"}`, "it answered HTTP 401; check AWS_CONTAINER_AUTHORIZATION_TOKEN"},
		{400, `{"code":"` + strings.Repeat("a", 65) + `"}`, "it answered HTTP 400"},
		{400, `{"code":{"hidden":1}}`, "it answered HTTP 400"},
		{204, ``, "it answered HTTP 204"},
	} {
		a := answer(t, text(tc.status, tc.body))
		_, err := Container(ContainerOptions{URI: a.uri}).Get(t.Context())
		if want := "fetch keys from AWS_CONTAINER_CREDENTIALS_FULL_URI: " + tc.want; err == nil || err.Error() != want {
			t.Errorf("%d %.50s: error %v, want %q", tc.status, tc.body, err, want)
		}
		if n := len(a.all()); n != 1 {
			t.Errorf("%d: %d requests, want one", tc.status, n)
		}
	}
}

func TestAnEndlessAnswerIsReadToItsLimit(t *testing.T) {
	a := answer(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
				return
			}
		}
	})
	_, err := Container(ContainerOptions{URI: a.uri}).Get(t.Context())
	if err == nil || !strings.Contains(err.Error(), "longer than 65536 bytes") {
		t.Errorf("error %v, want the limit", err)
	}
}

func TestAClosedPortIsAnError(t *testing.T) {
	server := httptest.NewServer(nil)
	uri := server.URL
	server.Close()
	_, err := Container(ContainerOptions{URI: uri}).Get(t.Context())
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v, want connection refused", err)
	}
}

// A connection that breaks is not final: the next attempt may succeed.
func TestABrokenConnectionIsRetried(t *testing.T) {
	var times atomic.Int32
	a := answer(t, func(w http.ResponseWriter, r *http.Request) {
		switch times.Add(1) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			_, _ = io.WriteString(w, good[:40])
		default:
			_, _ = io.WriteString(w, good)
		}
	})
	if keys, err := Container(ContainerOptions{URI: a.uri}).Get(t.Context()); err != nil || keys.AccessKeyID != "KEY" {
		t.Errorf("%s, %v, want the third answer's keys", keys.AccessKeyID, err)
	}
}

func TestTheTokensFileIsReadForEachFetch(t *testing.T) {
	a := answer(t, text(200, good))
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	s := Container(ContainerOptions{URI: a.uri, Token: "not this", TokenFile: file})
	for _, token := range []string{"one", "two", strings.Repeat("x", 16<<10)} {
		write(token)
		s.Invalidate()
		if _, err := s.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := a.all()
		if got := all[len(all)-1].Header.Get("Authorization"); got != token {
			t.Errorf("Authorization %.20q, want %.20q", got, token)
		}
	}
}

func TestATokenThatCannotBeSentIsAnError(t *testing.T) {
	a := answer(t, text(200, good))
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const inline, inFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN: ", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: "
	for name, tc := range map[string]struct {
		opt     ContainerOptions
		message string
	}{
		"a line break":            {ContainerOptions{Token: "hidden\r\nX-Evil: 1"}, inline + "the token must not contain a line break"},
		"CR alone":                {ContainerOptions{Token: "hidden\r"}, inline + "the token must not contain a line break"},
		"a line break in a file":  {ContainerOptions{TokenFile: file("lf", "hidden\n")}, inFile + "the token must not contain a line break"},
		"no file":                 {ContainerOptions{TokenFile: filepath.Join(dir, "none")}, inFile},
		"an empty file":           {ContainerOptions{TokenFile: file("empty", "")}, inFile + "the file is empty"},
		"a large file":            {ContainerOptions{TokenFile: file("large", strings.Repeat("x", 16<<10+1))}, inFile + "it is not a regular file of at most 16 KiB"},
		"a folder":                {ContainerOptions{TokenFile: dir}, inFile + "it is not a regular file of at most 16 KiB"},
		"a device":                {ContainerOptions{TokenFile: "/dev/zero"}, inFile + "it is not a regular file of at most 16 KiB"},
		"what no header can have": {ContainerOptions{Token: "hidden\x00"}, "invalid header field value"},
	} {
		tc.opt.URI = a.uri
		_, err := Container(tc.opt).Get(t.Context())
		if err == nil || !strings.Contains(err.Error(), tc.message) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: error %v, want %q and no secret", name, err, tc.message)
		}
	}
	if n := len(a.all()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}
