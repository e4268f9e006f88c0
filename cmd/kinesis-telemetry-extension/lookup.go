package main

import (
	"context"
	"errors"
	"sync"

	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/telemetry"
)

// lookup looks up the address of Lambda's sandbox while Lambda answers the
// registration: if it needs a name server, that takes as long as all the rest of the
// start.
type lookup struct {
	resolver telemetry.Resolver
	log      logging.Logger
	once     sync.Once
	done     chan struct{} // closed when addrs or err is set
	addrs    []string
	err      error
}

func newLookup(resolver telemetry.Resolver, log logging.Logger) *lookup {
	return &lookup{resolver: resolver, log: log, err: errNoAnswer, done: make(chan struct{})}
}

// begin begins the look-up, in the background.
func (l *lookup) begin() { go l.once.Do(l.run) }

var errNoAnswer = errors.New("the look-up gave no answer")

func (l *lookup) run() {
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
