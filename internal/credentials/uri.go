package credentials

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// VariableURI is the environment variable with the endpoint's address.
const VariableURI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"

// CheckURI returns an error if the value of VariableURI is not allowed. The error says
// what is allowed, and does not repeat the value. The rule is that of the AWS SDKs:
// https to any host; http, which sends the token in clear text, only to an address on
// the machine.
//
// The SDKs allow the name localhost, loopback addresses, and only the link-local
// addresses of ECS and EKS. CheckURI allows all of 169.254.0.0/16, because Lambda
// serves its other APIs at 169.254.100.1 in some environments. No router forwards
// such an address (RFC 3927, 2.7): only the host of the environment can answer
// there, and it has the keys anyway. An attacker that can set the variable could
// name any host with https.
func CheckURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil {
		return errNoURL
	}
	host := u.Hostname()
	to, notAddress := netip.ParseAddr(host)
	switch port := u.Port(); {
	case host == "" || strings.HasSuffix(u.Host, ":") || port != "" && !isPort(port):
		return errNoURL
	case u.User != nil:
		return errUser
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return errNoURL
	case strings.EqualFold(host, "localhost") || notAddress == nil && local(to):
		return nil
	}
	return errRemote
}

var (
	errNoURL  = errors.New("must be a URL such as http://127.0.0.1:9001/2021-04-23/credentials")
	errUser   = errors.New("must not have a user or password; the token goes into AWS_CONTAINER_AUTHORIZATION_TOKEN")
	errRemote = errors.New("must use https, or http to localhost, a loopback address, 169.254.0.0/16 or [fd00:ec2::23]")
)

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// local reports whether data sent to an address stays on the machine.
func local(to netip.Addr) bool {
	eks := netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 15: 0x23}) // the endpoint of EKS in IPv6 networks
	to = to.Unmap()
	return to.IsLoopback() || to.Is4() && to.IsLinkLocalUnicast() || to == eks
}
