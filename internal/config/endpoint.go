package config

import (
	"net/netip"
	"net/url"
	"strings"
)

// endpoint returns the URL that replaces AWS's endpoint of Kinesis, or "".
func (l *loader) endpoint() string {
	// A service's own variable has priority over the general one (AWS SDKs and
	// Tools reference guide, service-specific endpoints).
	name := "AWS_ENDPOINT_URL_KINESIS"
	if l.text(name) == "" {
		name = "AWS_ENDPOINT_URL"
	}
	endpoint := l.text(name)
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
		return ""
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		// Do not use AWS's endpoint instead: a function with another endpoint may
		// not be able to reach AWS's, or must not send there.
		l.fatal(name, "must be a URL such as https://kinesis.eu-west-1.amazonaws.com")
		return ""
	case u.Scheme == "http" && !onThisMachine(u):
		l.warning(name, "uses http, and its host is not this machine: telemetry goes there unencrypted; use https")
	}
	return endpoint
}

// ignoreProxy reports whether to use no proxy for an endpoint, because the proxy's
// variable cannot be used. It warns about that variable.
func (l *loader) ignoreProxy(endpoint string) bool {
	names := []string{"HTTPS_PROXY", "https_proxy"}
	if strings.HasPrefix(strings.ToLower(endpoint), "http:") {
		names = []string{"HTTP_PROXY", "http_proxy"}
	}
	for _, name := range names { // in the order of net/http
		switch v := l.env[name]; {
		case v == "":
			continue
		case !isProxy(v):
			l.warning(name, "is not the URL of a proxy, such as http://proxy.example:3128, and is ignored; percent-encode special characters of a user or password")
			return true
		}
		return false
	}
	return false
}

// onThisMachine reports whether the host of a URL is this machine.
func onThisMachine(u *url.URL) bool {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap()
	return err == nil && (addr.IsLoopback() || addr.IsUnspecified())
}

// isProxy reports whether net/http reads a value as the proxy URL that the user
// meant. net/http adds http:// to a value that is not a URL, and so may read a part of
// an invalid URL as a host.
func isProxy(value string) bool {
	u, err := url.Parse(value)
	if (err != nil || u.Scheme == "" || u.Host == "") && !strings.Contains(value, "://") {
		u, err = url.Parse("http://" + value)
	}
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Path, "@") {
		return false
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return true
	}
	return false
}
