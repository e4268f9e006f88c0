package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/telemetry"
)

// lookup looks up the address of Lambda's sandbox while Lambda answers the
// registration: if it needs a name server, that takes as long as all the rest of the
// start.
type lookup struct {
	hosts    string             // path of the hosts file, which Go's resolver reads after two other files
	resolver telemetry.Resolver // if the hosts file does not have the name
	log      logging.Logger
	once     sync.Once
	done     chan struct{} // closed when addrs or err is set
	addrs    []string
	err      error
}

// ipv4 asks name servers for IPv4 addresses only: Lambda's own networks have no others, and
// a second query takes 4 % of the processor time of a start.
type ipv4 struct{ *net.Resolver }

func (r ipv4) LookupHost(ctx context.Context, host string) ([]string, error) {
	ips, err := r.LookupIP(ctx, "ip4", host)
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = ip.String()
	}
	return addrs, err
}

func newLookup(hosts string, resolver telemetry.Resolver, log logging.Logger) *lookup {
	return &lookup{hosts: hosts, resolver: resolver, log: log, err: errNoAnswer, done: make(chan struct{})}
}

// begin begins the look-up. If the hosts file does not have the name, it goes on in the
// background.
func (l *lookup) begin() {
	l.once.Do(func() {
		if text, err := os.ReadFile(l.hosts); err == nil {
			l.addrs = inHosts(text, strings.TrimSuffix(telemetry.LookupName, "."))
		}
		if l.addrs != nil {
			l.err = nil
			close(l.done)
			return
		}
		go l.resolve()
	})
}

// inHosts returns the addresses that a hosts file has for a name (hosts(5)).
func inHosts(text []byte, name string) (addrs []string) {
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		fields := strings.Fields(string(line))
		for i := 1; i < len(fields); i++ {
			if strings.EqualFold(fields[i], name) {
				addrs = append(addrs, fields[0])
			}
		}
	}
	return addrs
}

var errNoAnswer = errors.New("the look-up gave no answer")

func (l *lookup) resolve() {
	defer close(l.done)
	guard.Run(l.log, "look the sandbox up", func() {
		l.addrs, l.err = l.resolver.LookupHost(context.Background(), telemetry.LookupName)
	})
}

// LookupHost waits for the look-up and returns its result. It ignores the host: the
// look-up is of one host only.
func (l *lookup) LookupHost(ctx context.Context, _ string) ([]string, error) {
	select {
	case <-l.done:
		return l.addrs, l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
