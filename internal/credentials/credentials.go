// Package credentials has the keys that requests to AWS are signed with. Lambda
// gives most functions' keys in the environment, fixed for the life of a process
// (Static). A function with SnapStart gets an address to ask instead, because its
// memory outlives them (Container; AWS documentation, Improving startup
// performance with Lambda SnapStart). The AWS SDK's own client for that address is
// eight times the size (docs/adr).
package credentials

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	// early is how long before they expire keys are fetched anew, as in the AWS
	// SDKs' providers.
	early = 5 * time.Minute
	// pause is how long keys that expire soon are used before the endpoint is
	// asked again, where it gave no better ones.
	pause = 15 * time.Second
)

// Source gives the keys to sign with. It is safe for concurrent use.
type Source struct {
	endpoint *endpoint // nil: the keys are fixed

	mu       sync.Mutex
	keys     aws.Credentials // without an AccessKeyID: none
	tried    time.Time       // when the endpoint was asked last, by the wall clock
	renewals int             // how often Renew was called
	fetching *fetch          // in flight; at most one is
}

// fetch is one fetch of keys, for everybody who waits for it.
type fetch struct {
	renewals int           // of the Source, when it began
	done     chan struct{} // closed at its end; then the rest is set
	keys     aws.Credentials
	err      error
	cut      bool // the context of the one who fetches ended it
}

// Static returns a Source of keys that stay. The token may be empty.
func Static(id, secret, token string) *Source {
	return &Source{keys: aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token, Source: "environment"}}
}

// Get returns keys that have not expired by the wall clock. Where they have to be
// fetched it takes as long as that does, at most ctx. While keys are good for a
// while yet, nobody waits for a fetch of somebody else's, and one that fails is no
// matter.
func (s *Source) Get(ctx context.Context) (aws.Credentials, error) {
	if s.endpoint == nil {
		return s.keys, nil
	}
	for {
		s.mu.Lock()
		// Round strips the monotonic reading, which may stand still while the
		// environment is frozen.
		now := time.Now().Round(0)
		f, valid := s.fetching, s.valid(now)
		if valid && !s.due(now) { // nor is it while somebody asks
			defer s.mu.Unlock()
			return s.keys, nil
		}
		if f == nil {
			f = &fetch{renewals: s.renewals, done: make(chan struct{})}
			s.fetching, s.tried = f, now
			s.mu.Unlock()
			return s.fetch(ctx, f, valid)
		}
		// What was begun before Renew may bring what Renew was to get rid of.
		mine := f.renewals == s.renewals
		s.mu.Unlock()
		select {
		case <-f.done:
			if mine && !f.cut {
				return f.keys, f.err
			}
		case <-ctx.Done():
			return aws.Credentials{}, fmt.Errorf("wait for keys: %w", ctx.Err())
		}
	}
}

// fetch asks the endpoint. With valid, there are keys that can be used where it
// has none to give.
func (s *Source) fetch(ctx context.Context, f *fetch, valid bool) (aws.Credentials, error) {
	tries := attempts
	if valid {
		tries = 1 // not worth more of anybody's time
	}
	keys, err := s.endpoint.fetch(ctx, tries)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	now := time.Now().Round(0)
	if err == nil && keys.CanExpire && !keys.Expires.After(now) {
		keys, err = aws.Credentials{}, fmt.Errorf("the keys from %s had expired when they came, at %s; check the environment's clock", VariableURI, keys.Expires.UTC().Format(time.RFC3339))
	}
	s.fetching = nil
	if s.renewals == f.renewals {
		switch {
		case err == nil:
			s.keys = keys
		case s.valid(now):
			keys, err = s.keys, nil
		}
	}
	f.keys, f.err, f.cut = keys, err, err != nil && ctx.Err() != nil
	return keys, err
}

// Renew forgets the keys, so that the next Get fetches new ones: Kinesis refused
// them, or the environment was restored from a snapshot. Keys that are fixed
// stay.
func (s *Source) Invalidate() {
	if s.endpoint == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = aws.Credentials{}
	s.renewals++
}

// valid reports whether there are keys that have not expired. The caller has the
// lock.
func (s *Source) valid(now time.Time) bool {
	return s.keys.AccessKeyID != "" && (!s.keys.CanExpire || s.keys.Expires.After(now))
}

// due reports whether valid keys should be fetched anew. The caller has the lock.
func (s *Source) due(now time.Time) bool {
	if !s.keys.CanExpire || s.keys.Expires.Sub(now) > early {
		return false
	}
	since := now.Sub(s.tried)
	return since < 0 || since >= pause // below nothing: the clock was put back
}
