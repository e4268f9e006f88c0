package credentials_test

import (
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/credentials"
)

func TestCheckURI(t *testing.T) {
	for _, uri := range []string{
		"https://example.com/credentials",
		"https://10.1.2.3:8443/",
		"HTTPS://example.com",
		"http://127.0.0.1:9001/2021-04-23/credentials",
		"http://127.255.255.254/",
		"http://localhost:80/a?b=c",
		"http://LOCALHOST",
		"http://[::1]:9001/",
		"http://[::ffff:127.0.0.1]/",
		"http://[::ffff:169.254.170.2]/",
		"http://169.254.170.2/v2/credentials",
		"http://169.254.170.23/v1/credentials",
		"http://[fd00:ec2::23]/v1/credentials",
		"http://169.254.100.1:9001/2021-04-23/credentials",
	} {
		if err := credentials.CheckURI(uri); err != nil {
			t.Errorf("%s: %v, want it allowed", uri, err)
		}
	}
	for uri, fix := range map[string]string{
		"http://example.com/":            "must use https, or http to localhost",
		"http://10.0.0.1/":               "must use https, or http to localhost",
		"http://169.253.170.2/":          "must use https, or http to localhost",
		"http://128.0.0.1/":              "must use https, or http to localhost",
		"http://0.0.0.0/":                "must use https, or http to localhost",
		"http://localhost.example.com/":  "must use https, or http to localhost",
		"http://127.0.0.1.example.com/":  "must use https, or http to localhost",
		"http://127.1/":                  "must use https, or http to localhost",
		"http://[fd00:ec2::24]/":         "must use https, or http to localhost",
		"http://[fe80::1]/":              "must use https, or http to localhost",
		"http://[::]/":                   "must use https, or http to localhost",
		"":                               "must be a URL such as http://127.0.0.1",
		"/2021-04-23/credentials":        "must be a URL such as http://127.0.0.1",
		"127.0.0.1:9001":                 "must be a URL such as http://127.0.0.1",
		"localhost:9001/a":               "must be a URL such as http://127.0.0.1",
		"ftp://127.0.0.1/":               "must be a URL such as http://127.0.0.1",
		"file:///etc/passwd":             "must be a URL such as http://127.0.0.1",
		"http:127.0.0.1":                 "must be a URL such as http://127.0.0.1",
		"http://":                        "must be a URL such as http://127.0.0.1",
		"http://:80/":                    "must be a URL such as http://127.0.0.1",
		"http://127.0.0.1:/":             "must be a URL such as http://127.0.0.1",
		"http://127.0.0.1:0/":            "must be a URL such as http://127.0.0.1",
		"http://127.0.0.1:70000/":        "must be a URL such as http://127.0.0.1",
		"http://127.0.0.1:http/":         "must be a URL such as http://127.0.0.1",
		"http://127.0.0.1/\n":            "must be a URL such as http://127.0.0.1",
		"https://user:secret@127.0.0.1/": "must not have a user or password",
		"http://127.0.0.1:80@evil.com/":  "must not have a user or password",
	} {
		err := credentials.CheckURI(uri)
		if err == nil {
			t.Errorf("%q is allowed, want %q", uri, fix)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, fix) || strings.Contains(text, "secret") || strings.Contains(text, "evil") {
			t.Errorf("%q: error %q, want %q and no part of the value", uri, text, fix)
		}
	}
	if text := credentials.CheckURI("http://" + strings.Repeat("é", 10_000)).Error(); len(text) > 600 || strings.Contains(text, `\x`) {
		t.Errorf("a long value makes an error of %d bytes: %.300s", len(text), text)
	}
}
