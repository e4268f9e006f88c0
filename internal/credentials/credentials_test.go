package credentials

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an endpoint in memory, for tests with a clock of their own. Its n-th
// answer has keys named KEYn that expire after lifetime.
type fake struct {
	source *Source

	mu       sync.Mutex
	lifetime time.Duration
	status   int           // of answers; 0: keys
	silent   bool          // there is no answer
	delay    time.Duration // before an answer
	times    []time.Time   // of requests
	inFlight int           // requests
	most     int           // requests in flight at once
}

// newFake starts an endpoint in a bubble, and ends it with the test.
func newFake(stop func(func())) *fake {
	f := &fake{lifetime: time.Hour}
	conns := make(chan net.Conn)
	ended := make(chan struct{})
	server := &http.Server{Handler: f, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, endKey{}, c.(conn).end)
	}}
	listener := &pipes{conns: conns, ended: ended}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	stop(func() {
		_ = server.Close()
		running.Wait()
	})
	f.source = Container(ContainerOptions{URI: "http://127.0.0.1:1/credentials", Token: "token"})
	f.source.endpoint.connect().DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		end := f.request()
		select {
		case conns <- conn{there, end}:
			return conn{here, end}, nil
		case <-ctx.Done():
			end()
			return nil, ctx.Err()
		}
	}
	return f
}

// request counts a request as in flight until end is called: by the server when it
// has answered, or by the client when it cancels the request and closes the
// connection, whichever is first.
func (f *fake) request() (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.inFlight--
	})
}

// conn is one of the two ends of a request's connection.
type conn struct {
	net.Conn
	end func()
}

type endKey struct{}

func (c conn) Close() error {
	c.end()
	return c.Conn.Close()
}

// inBubble runs a test with an endpoint and a clock of its own: in the test,
// time.Sleep moves that clock (testing/synctest) and waits for nothing.
func inBubble(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFake(t.Cleanup)) })
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.times = append(f.times, time.Now())
	n, lifetime, status, silent, delay := len(f.times), f.lifetime, f.status, f.silent, f.delay
	f.mu.Unlock()
	defer r.Context().Value(endKey{}).(func())()
	if silent {
		delay = time.Hour
	}
	if !wait(r.Context(), delay) {
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	_, _ = fmt.Fprintf(w, `{"AccessKeyId":"KEY%d","SecretAccessKey":"secret%d","Token":"token%d","Expiration":%q}`,
		n, n, n, time.Now().Add(lifetime).Format(time.RFC3339Nano))
}

// change changes what it does from now on.
func (f *fake) change(how func(f *fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(f)
}

func (f *fake) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.times)
}

// mostInFlight returns how many requests were in flight at once, at most.
func (f *fake) mostInFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// wantKeys checks the id that Get returns, and the number of requests so far.
func (f *fake) wantKeys(t *testing.T, id string, requests int) {
	t.Helper()
	keys, err := f.source.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keys.AccessKeyID != id || f.requests() != requests {
		t.Fatalf("%s after %d requests, want %s after %d", keys.AccessKeyID, f.requests(), id, requests)
	}
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.ended) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func TestStaticKeysDoNotChange(t *testing.T) {
	s := Static("id", "secret", "token")
	s.Invalidate()
	got, err := s.Get(t.Context())
	want := aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "token", Source: "environment"}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestKeysAreFetchedAtTheFirstGetAndKept(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		synctest.Wait()
		if f.requests() != 0 {
			t.Error("there was a request before the first Get")
		}
		want := aws.Credentials{
			AccessKeyID: "KEY1", SecretAccessKey: "secret1", SessionToken: "token1",
			Source: "container", CanExpire: true, Expires: time.Now().Add(time.Hour),
		}
		got, err := f.source.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !got.Expires.Equal(want.Expires) {
			t.Errorf("they expire at %v, want %v", got.Expires, want.Expires)
		}
		if got.Expires = want.Expires; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		time.Sleep(55*time.Minute - time.Second)
		f.wantKeys(t, "KEY1", 1)
		time.Sleep(time.Second) // five minutes before the end
		f.wantKeys(t, "KEY2", 2)
		time.Sleep(54 * time.Minute)
		f.wantKeys(t, "KEY2", 2)
	})
}

// After a freeze of hours the keys have expired.
func TestGetReturnsNoKeysThatExpiredInAFreeze(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.wantKeys(t, "KEY1", 1)
		time.Sleep(8 * time.Hour)
		f.wantKeys(t, "KEY2", 2)
		time.Sleep(8 * time.Hour)
		f.change(func(f *fake) { f.status = 500 })
		if keys, err := f.source.Get(t.Context()); err == nil {
			t.Errorf("%s, want an error: it has expired", keys.AccessKeyID)
		}
		f.change(func(f *fake) { f.status = 0 })
		f.wantKeys(t, "KEY6", 6)
	})
}

func TestValidKeysStayInUseWhileTheEndpointFails(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.wantKeys(t, "KEY1", 1)
		time.Sleep(56 * time.Minute)
		f.change(func(f *fake) { f.status = 500 })
		f.wantKeys(t, "KEY1", 2) // one attempt, no waiting
		f.wantKeys(t, "KEY1", 2) // and not for every request
		time.Sleep(15 * time.Second)
		f.wantKeys(t, "KEY1", 3)
		f.change(func(f *fake) { f.silent = true })
		time.Sleep(15 * time.Second)
		began := time.Now()
		f.wantKeys(t, "KEY1", 4)
		if d := time.Since(began); d != time.Second {
			t.Errorf("a silent endpoint takes %v, want the second of one attempt", d)
		}
		f.change(func(f *fake) { f.status, f.silent = 0, false })
		time.Sleep(15 * time.Second)
		f.wantKeys(t, "KEY5", 5)
	})
}

// The time of the last fetch is in the future then, and must not delay the next one.
func TestKeysAreFetchedAfterTheClockWasSetBack(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.wantKeys(t, "KEY1", 1)
		time.Sleep(56 * time.Minute)
		f.source.tried = time.Now().Add(time.Minute)
		f.wantKeys(t, "KEY2", 2)
	})
}

// Keys that never live longer than five minutes must not be fetched for every
// request.
func TestKeysOfShortLifeAreNotFetchedForEveryRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.change(func(f *fake) { f.lifetime = time.Minute })
		f.wantKeys(t, "KEY1", 1)
		f.wantKeys(t, "KEY1", 1)
		time.Sleep(refreshPause)
		f.wantKeys(t, "KEY2", 2)
		f.change(func(f *fake) { f.lifetime = time.Second })
		time.Sleep(refreshPause)
		f.wantKeys(t, "KEY3", 3)
		time.Sleep(time.Second)
		f.wantKeys(t, "KEY4", 4) // expired: at once
	})
}

func TestKeysThatHadExpiredWhenTheyCameAreAnError(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.change(func(f *fake) { f.lifetime = -time.Second })
		keys, err := f.source.Get(t.Context())
		if err == nil || !strings.Contains(err.Error(), "had expired when they came, at 1999-12-31T23:59:59Z; check the environment's clock") {
			t.Errorf("%s and error %v, want one that names the clock", keys.AccessKeyID, err)
		}
		f.change(func(f *fake) { f.lifetime = time.Hour })
		f.wantKeys(t, "KEY2", 2)
		// Earlier keys that are valid are better.
		time.Sleep(56 * time.Minute)
		f.change(func(f *fake) { f.lifetime = -time.Second })
		f.wantKeys(t, "KEY2", 3)
	})
}

func TestAfterInvalidateKeysAreFetchedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.source.Invalidate() // nothing yet
		f.wantKeys(t, "KEY1", 1)
		f.source.Invalidate()
		f.wantKeys(t, "KEY2", 2)
		f.wantKeys(t, "KEY2", 2)
		f.source.Invalidate()
		f.change(func(f *fake) { f.status = 400 })
		if keys, err := f.source.Get(t.Context()); err == nil {
			t.Errorf("%s after Invalidate, want an error", keys.AccessKeyID)
		}
	})
}

// A fetch that was in flight at Invalidate may return the invalidated keys.
func TestInvalidateAppliesToAFetchInFlight(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.change(func(f *fake) { f.delay = 500 * time.Millisecond })
		first := get(f.source, t.Context())
		synctest.Wait()
		f.source.Invalidate()
		second := get(f.source, t.Context())
		if r := <-first; r.err != nil || r.keys.AccessKeyID != "KEY1" {
			t.Errorf("the fetch returned %s, %v, want KEY1", r.keys.AccessKeyID, r.err)
		}
		if r := <-second; r.err != nil || r.keys.AccessKeyID != "KEY2" {
			t.Errorf("after Invalidate: %s, %v, want KEY2", r.keys.AccessKeyID, r.err)
		}
		f.wantKeys(t, "KEY2", 2)
		if n := f.mostInFlight(); n != 1 {
			t.Errorf("%d requests at once, want one", n)
		}
	})
}

type result struct {
	keys aws.Credentials
	err  error
	at   time.Time // when it came
}

// get begins a Get.
func get(s *Source, ctx context.Context) <-chan result {
	ch := make(chan result, 1)
	go func() {
		keys, err := s.Get(ctx)
		ch <- result{keys, err, time.Now()}
	}()
	return ch
}

func TestCallersShareOneFetch(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.change(func(f *fake) { f.delay = 100 * time.Millisecond })
		var all []<-chan result
		for range 20 {
			all = append(all, get(f.source, t.Context()))
		}
		for _, one := range all {
			if r := <-one; r.err != nil || r.keys.AccessKeyID != "KEY1" {
				t.Errorf("%s, %v, want KEY1", r.keys.AccessKeyID, r.err)
			}
		}
		// If it fails, it fails for all callers that waited.
		f.source.Invalidate()
		f.change(func(f *fake) { f.status = 403 })
		all = nil
		for range 20 {
			all = append(all, get(f.source, t.Context()))
		}
		for _, one := range all {
			if r := <-one; r.err == nil || !strings.Contains(r.err.Error(), "HTTP 403") {
				t.Errorf("%v, want HTTP 403", r.err)
			}
		}
		if f.requests() != 2 || f.mostInFlight() != 1 {
			t.Errorf("%d requests, %d at once, want 2 and one at once", f.requests(), f.mostInFlight())
		}
	})
}

// While there are valid keys, no caller waits for another caller's fetch.
func TestValidKeysAreReturnedDuringAFetch(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.wantKeys(t, "KEY1", 1)
		time.Sleep(56 * time.Minute)
		f.change(func(f *fake) { f.delay = 500 * time.Millisecond })
		other := get(f.source, t.Context())
		synctest.Wait()
		began := time.Now()
		f.wantKeys(t, "KEY1", 2)
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v, want no waiting", d)
		}
		if r := <-other; r.err != nil || r.keys.AccessKeyID != "KEY2" {
			t.Errorf("the fetch returned %s, %v, want KEY2", r.keys.AccessKeyID, r.err)
		}
	})
}

// A caller whose context ends must not fail the other callers.
func TestIfACallersContextEndsTheNextCallerFetches(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.change(func(f *fake) { f.delay = 500 * time.Millisecond })
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		first := get(f.source, short)
		synctest.Wait()
		second := get(f.source, t.Context())
		third, cancelThird := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancelThird()
		if _, err := f.source.Get(third); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller with 50 ms gets %v, want the deadline", err)
		}
		if r := <-first; !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("the fetch with 100 ms returned %v, want the deadline", r.err)
		}
		if r := <-second; r.err != nil || r.keys.AccessKeyID != "KEY2" {
			t.Errorf("the caller that waited gets %s, %v, want KEY2", r.keys.AccessKeyID, r.err)
		}
		if n := f.mostInFlight(); n != 1 {
			t.Errorf("%d requests at once, want one", n)
		}
	})
}

func TestAFetchIsRetriedIfThatCanHelp(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*fake)
		requests int
		least    time.Duration // of the fetch
		most     time.Duration
		message  string
	}{
		"an error of the server is retried":        {func(f *fake) { f.status = 503 }, 3, 0, 150 * time.Millisecond, "it answered HTTP 503"},
		"a refusal is final":                       {func(f *fake) { f.status = 403 }, 1, 0, 0, "it answered HTTP 403; check"},
		"a 429 is final":                           {func(f *fake) { f.status = 429 }, 1, 0, 0, "it answered HTTP 429"},
		"a redirect is final":                      {func(f *fake) { f.status = 307 }, 1, 0, 0, "it answered HTTP 307; redirects are not followed"},
		"an attempt without answer takes a second": {func(f *fake) { f.silent = true }, 3, 3 * time.Second, 3150 * time.Millisecond, "context deadline exceeded"},
		"an answer after a second is too late":     {func(f *fake) { f.delay = time.Second + 1 }, 3, 3 * time.Second, 3150 * time.Millisecond, "context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fake) {
				f.change(tc.change)
				began := time.Now()
				keys, err := f.source.Get(t.Context())
				took := time.Since(began)
				if err == nil || !strings.Contains(err.Error(), tc.message) || !strings.Contains(err.Error(), VariableURI) {
					t.Errorf("%s and error %v, want %q and the variable's name", keys.AccessKeyID, err, tc.message)
				}
				if f.requests() != tc.requests || took < tc.least || took > tc.most {
					t.Errorf("%d requests in %v, want %d in %v to %v", f.requests(), took, tc.requests, tc.least, tc.most)
				}
			})
		})
	}
}

func TestARetryCanSucceed(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.change(func(f *fake) { f.silent = true })
		got := get(f.source, t.Context())
		time.Sleep(999 * time.Millisecond)
		f.change(func(f *fake) { f.silent = false })
		if r := <-got; r.err != nil || r.keys.AccessKeyID != "KEY2" {
			t.Errorf("%s, %v, want KEY2", r.keys.AccessKeyID, r.err)
		}
	})
}

func TestTheContextEndsTheAttempts(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.change(func(f *fake) { f.silent = true })
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := f.source.Get(ctx)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 1500*time.Millisecond {
			t.Errorf("%v after %v, want the deadline after 1.5 s", err, took)
		}
	})
}

// Waits of retries differ from process to process, so that a fleet does not retry at
// the same time.
func TestTheWaitsBetweenAttemptsAreRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 10 {
			f := newFake(t.Cleanup)
			f.change(func(f *fake) { f.status = 500 })
			_, _ = f.source.Get(t.Context())
			seen[f.times[1].Sub(f.times[0])] = true
		}
		if len(seen) < 5 {
			t.Errorf("ten sources waited %v", seen)
		}
	})
}

// Whatever the endpoint does and however time passes: Get returns no expired keys; it
// returns keys while the endpoint has fresh ones; and there is one request at a time.
func TestGetReturnsValidKeysWhateverTheEndpointDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type step struct {
			pass     time.Duration
			lifetime time.Duration
			fails    int  // 0, a status, or -1 for silence
			refused  bool // Kinesis has refused the keys
			callers  int
		}
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{
				pass:     time.Duration(rapid.SampledFrom([]int{0, 1, 14, 16, 59, 299, 301, 3300, 3600, 90_000}).Draw(rt, "seconds")) * time.Second,
				lifetime: time.Duration(rapid.SampledFrom([]int{-5, 1, 20, 299, 301, 3600}).Draw(rt, "lifetime")) * time.Second,
				fails:    rapid.SampledFrom([]int{0, 0, 0, 500, 403, -1}).Draw(rt, "fails"),
				refused:  rapid.IntRange(0, 4).Draw(rt, "refused") == 0,
				callers:  rapid.IntRange(1, 4).Draw(rt, "callers"),
			}
		}), 1, 12).Draw(rt, "steps")
		synctest.Test(t, func(*testing.T) {
			var ends []func()
			defer func() {
				for _, end := range ends {
					end()
				}
			}()
			f := newFake(func(end func()) { ends = append(ends, end) })
			for i, s := range steps {
				time.Sleep(s.pass)
				f.change(func(f *fake) {
					f.lifetime, f.status, f.silent = s.lifetime, max(s.fails, 0), s.fails < 0
				})
				if s.refused {
					f.source.Invalidate()
				}
				var all []<-chan result
				for range s.callers {
					all = append(all, get(f.source, context.Background()))
				}
				for _, one := range all {
					r := <-one
					switch {
					case r.err == nil && !r.keys.Expires.After(r.at):
						rt.Errorf("step %d: %s, which had expired for %v", i, r.keys.AccessKeyID, r.at.Sub(r.keys.Expires))
					case r.err != nil && s.fails == 0 && s.lifetime > 0:
						rt.Errorf("step %d: %v, though the endpoint has keys", i, r.err)
					}
				}
			}
			if n := f.mostInFlight(); n > 1 {
				rt.Errorf("%d requests at once, want one", n)
			}
		})
	})
}
