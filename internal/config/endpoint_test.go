package config_test

import (
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/config"
)

// warnings loads a valid environment with more variables, and returns the problems.
func warnings(t *testing.T, env ...string) (config.Config, []string) {
	t.Helper()
	c, problems := config.Load(append([]string{
		"KINETEL_STREAM_NAME=telemetry", "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "AWS_LAMBDA_FUNCTION_NAME=f",
	}, env...))
	var all []string
	for _, p := range problems {
		if p.Severity != config.Warning {
			t.Errorf("%s is not a warning", p)
		}
		all = append(all, p.String())
	}
	return c, all
}

func TestAnEndpointWithoutEncryptionIsReported(t *testing.T) {
	for endpoint, warned := range map[string]bool{
		"http://kinesis.eu-west-1.amazonaws.com": true,
		"http://10.0.0.7:4567":                   true,
		"http://[2001:db8::1]":                   true,
		"http://169.254.1.1":                     true,
		"HTTP://Kinesis.Example":                 true,
		"http://localhost.example":               true,
		"http://notlocalhost":                    true,
		"http://user:hunter2hunter2@host":        true,
		"https://kinesis.example":                false,
		"http://localhost:4567":                  false,
		"http://LOCALHOST.:4567":                 false,
		"http://kinesis.localhost":               false,
		"http://127.0.0.1:4567":                  false,
		"http://127.9.9.9":                       false,
		"http://[::1]:4567":                      false,
		"http://[::ffff:127.0.0.1]":              false,
		"http://0.0.0.0:4567":                    false,
	} {
		for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"} {
			_, all := warnings(t, name+"="+endpoint)
			if got := len(all) == 1 && strings.HasPrefix(all[0], name) && strings.Contains(all[0], "unencrypted"); got != warned || len(all) > 1 {
				t.Errorf("%s=%s: %q, want a warning: %t", name, endpoint, all, warned)
			}
			if strings.Contains(strings.Join(all, ""), "hunter2") {
				t.Errorf("a password is logged: %q", all)
			}
		}
	}
}

func TestAProxyThatCannotBeParsedIsReportedAndIgnored(t *testing.T) {
	for proxy, good := range map[string]bool{
		"http://proxy.example:3128":                         true,
		"https://proxy.example":                             true,
		"socks5://proxy.example:1080":                       true,
		"proxy.example:3128":                                true,
		"proxy.example":                                     true,
		"http://10.0.0.1:3128/":                             true,
		"http://user:hunter2hunter2@proxy.example:3128":     true,
		"http://user:hunter2%23hunter2@proxy.example":       true,
		"http://user:hunter2#hunter2@proxy.example:3128":    false,
		"http://user:12#hunter2@proxy.example:3128":         false,
		"http://user:p@hunter2#hunter2@proxy.example:3128":  false,
		"http://user:hunter2/hunter2@proxy.example:3128":    false,
		"http://user:12/hunter2@proxy.example:3128":         false,
		"http://user:12?hunter2@proxy.example:3128":         false,
		"http://user:%zzhunter2@proxy.example:3128":         false,
		"http://proxy.example:port":                         false,
		"http://":                                           false,
		"http:// proxy.example":                             false,
		"://proxy.example":                                  false,
		"ftp://proxy.example":                               false,
		"http://[::1":                                       false,
		"http://user:hunter2hunter2\n@proxy.example:3128\n": false,
	} {
		for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
			c, all := warnings(t, name+"="+proxy)
			if good != (len(all) == 0) || c.AWS.IgnoreProxy == good || !good && !strings.HasPrefix(all[0], name+": ") {
				t.Errorf("%s=%s: %q, ignored: %t, want it to be good: %t", name, proxy, all, c.AWS.IgnoreProxy, good)
			}
			if strings.Contains(strings.Join(all, ""), "hunter2") {
				t.Errorf("a password is logged: %q", all)
			}
		}
	}
	// Only the variable that net/http uses counts.
	if c, all := warnings(t, "HTTPS_PROXY=http://proxy", "https_proxy=://"); len(all) > 0 || c.AWS.IgnoreProxy {
		t.Errorf("%q", all)
	}
	if c, all := warnings(t, "HTTP_PROXY=://", "AWS_ENDPOINT_URL=HTTP://localhost"); len(all) != 1 || !c.AWS.IgnoreProxy {
		t.Errorf("%q", all)
	}
	if c, all := warnings(t, "HTTP_PROXY=://"); len(all) != 0 || c.AWS.IgnoreProxy {
		t.Errorf("%q: it is not for Kinesis", all)
	}
}
