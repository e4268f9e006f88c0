// Package credentials provides the keys to sign requests to AWS with. Lambda
// passes the keys of most functions in environment variables, fixed for the life of
// a process (Static). A function with SnapStart gets the address of an endpoint
// instead, because its memory outlives the keys (Container; AWS documentation,
// Improving startup performance with Lambda SnapStart). The AWS SDK's own client
// for that endpoint is eight times the size (docs/adr).
package credentials

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/wallclock"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	// refreshBefore is how long before their expiry keys are fetched again, as
	// in the AWS SDKs' providers.
	refreshBefore = 5 * time.Minute
	// refreshPause is the least time between two fetches while the keys are
	// valid but expire soon.
	refreshPause = 15 * time.Second
)

// Source provides the keys to sign with. It is safe for concurrent use.
type Source struct {
	endpoint *endpoint // nil: the keys are fixed

	mu            sync.Mutex      // guards all below, except that fixed keys are only read
	keys          aws.Credentials // without an AccessKeyID: none
	tried         time.Time       // when the last fetch began, by the wall clock
	invalidations int             // how often Invalidate was called
	fetching      *fetch          // in flight; nil: none. There is at most one.
}

// fetch is one fetch of keys. Several callers may wait for it.
type fetch struct {
	invalidations int           // of the Source, when the fetch began
	done          chan struct{} // closed at the end; the fields below are set before
	keys          aws.Credentials
	err           error
	cancelled     bool // it failed because its caller's context ended
}

// Static returns a Source of fixed keys. The token may be empty.
func Static(id, secret, token string) *Source {
	return &Source{keys: aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token, Source: "environment"}}
}

// Get returns keys that have not expired by the wall clock. If it has to fetch them,
// it waits for that until ctx ends. While there are valid keys, no caller waits
// for another caller's fetch, and a fetch that fails is not an error.
func (s *Source) Get(ctx context.Context) (aws.Credentials, error) {
	if s.endpoint == nil {
		return s.keys, nil
	}
	for {
		s.mu.Lock()
		now := wallclock.Now()
		f, valid := s.fetching, s.valid(now)
		if valid && !s.due(now) { // not due while another caller fetches: s.tried is recent
			defer s.mu.Unlock()
			return s.keys, nil
		}
		if f == nil {
			f = &fetch{invalidations: s.invalidations, done: make(chan struct{})}
			s.fetching, s.tried = f, now
			s.mu.Unlock()
			return s.fetch(ctx, f, valid)
		}
		// A fetch that began before Invalidate may return the keys that were
		// invalidated.
		current := f.invalidations == s.invalidations
		s.mu.Unlock()
		select {
		case <-f.done:
			if current && !f.cancelled {
				return f.keys, f.err
			}
		case <-ctx.Done():
			return aws.Credentials{}, fmt.Errorf("wait for keys: %w", ctx.Err())
		}
	}
}

// fetch fetches keys from the endpoint. valid means that the Source has valid keys,
// which fetch returns if the endpoint fails.
func (s *Source) fetch(ctx context.Context, f *fetch, valid bool) (aws.Credentials, error) {
	tries := attempts
	if valid {
		tries = 1 // the valid keys will do: do not make the caller wait
	}
	keys, err := s.endpoint.fetch(ctx, tries)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	now := wallclock.Now()
	if err == nil && keys.CanExpire && !keys.Expires.After(now) {
		keys, err = aws.Credentials{}, fmt.Errorf("the keys from %s had expired when they came, at %s; check the environment's clock", VariableURI, keys.Expires.UTC().Format(time.RFC3339))
	}
	s.fetching = nil
	if s.invalidations == f.invalidations {
		switch {
		case err == nil:
			s.keys = keys
		case s.valid(now):
			keys, err = s.keys, nil
		}
	}
	f.keys, f.err, f.cancelled = keys, err, err != nil && ctx.Err() != nil
	return keys, err
}

// Invalidate forgets the keys, so that the next Get fetches new ones. Call it when
// Kinesis refuses the keys, or when the environment was restored from a snapshot.
// It does nothing to fixed keys.
func (s *Source) Invalidate() {
	if s.endpoint == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = aws.Credentials{}
	s.invalidations++
}

// valid reports whether there are keys that have not expired. The caller holds mu.
func (s *Source) valid(now time.Time) bool {
	return s.keys.AccessKeyID != "" && (!s.keys.CanExpire || s.keys.Expires.After(now))
}

// due reports whether to fetch new keys although there are valid ones. The caller
// holds mu.
func (s *Source) due(now time.Time) bool {
	if !s.keys.CanExpire || s.keys.Expires.Sub(now) > refreshBefore {
		return false
	}
	since := now.Sub(s.tried)
	return since < 0 || since >= refreshPause // negative: the clock was set back
}
