package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptrace"
	"sync"

	"kinetel/internal/guard"
	"kinetel/internal/telemetry"
)

// lookup looks the address of Lambda's sandbox up while Lambda answers the
// registration: where a name server has to be asked, that takes as long as all
// the rest of the start. It does nothing before the request has left.
type lookup struct {
	resolver telemetry.Resolver
	log      *slog.Logger
	once     sync.Once
	done     chan struct{} // closed when the answer is there
	addrs    []string
	err      error
}

func newLookup(resolver telemetry.Resolver, log *slog.Logger) *lookup {
	return &lookup{resolver: resolver, log: log, err: errNoAnswer, done: make(chan struct{})}
}

// whileAnswered returns a context for a request whose answer takes time that the
// look-up can use.
func (l *lookup) whileAnswered(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { go l.once.Do(l.run) },
	})
}

var errNoAnswer = errors.New("the look-up gave no answer")

func (l *lookup) run() {
	defer close(l.done)
	guard.Run(l.log, "look the sandbox up", func() {
		l.addrs, l.err = l.resolver.LookupHost(context.Background(), telemetry.LookupName)
	})
}

// LookupHost returns the answer; it knows only of one host.
func (l *lookup) LookupHost(ctx context.Context, _ string) ([]string, error) {
	select {
	case <-l.done:
		return l.addrs, l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
