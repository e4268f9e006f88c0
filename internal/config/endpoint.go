package config

import (
	"net/netip"
	"net/url"
	"strings"
)

// network warns about settings that make requests to Kinesis unsafe or may prevent
// them. It sets a.IgnoreProxy if the proxy must be ignored.
func (l *loader) network(a *AWS) {
	if insecure(a.Endpoint) {
		name := "AWS_ENDPOINT_URL_KINESIS"
		if l.text(name) == "" {
			name = "AWS_ENDPOINT_URL"
		}
		l.warning(name, "uses http, and its host is not this machine: telemetry goes there unencrypted; use https")
	}
	names := []string{"HTTPS_PROXY", "https_proxy"}
	if strings.HasPrefix(strings.ToLower(a.Endpoint), "http:") {
		names = []string{"HTTP_PROXY", "http_proxy"}
	}
	for _, name := range names { // in the order of net/http
		v := l.env[name]
		if v == "" {
			continue
		}
		if a.IgnoreProxy = !isProxy(v); a.IgnoreProxy {
			l.warning(name, "is no URL of a proxy, such as http://proxy.example:3128, and is ignored; what is special in a user or password must be percent-encoded")
		}
		return
	}
}

// insecure reports whether an endpoint is neither encrypted nor on this machine.
func insecure(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap()
	return err != nil || !addr.IsLoopback() && !addr.IsUnspecified()
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
