package ship_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
	"github.com/kinetel/kinetel/internal/ship"
	"github.com/kinetel/kinetel/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is how Kinesis answers a request.
type answer func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error)

// accept accepts all records.
func accept(_ context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	return slices.Repeat([]kinesis.Result{{SequenceNumber: "1"}}, len(records)), nil
}

// throttleOnly accepts all records but those.
func throttleOnly(seqs ...uint64) answer {
	return func(_ context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		results := make([]kinesis.Result, len(records))
		for i, r := range records {
			if slices.Contains(seqs, r.First) {
				results[i] = kinesis.Result{ErrorCode: "ProvisionedThroughputExceededException", ErrorMessage: "slow down"}
			} else {
				results[i] = kinesis.Result{SequenceNumber: "1"}
			}
		}
		return results, nil
	}
}

// throttleEach refuses every record by itself, in a request that is accepted.
func throttleEach(_ context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	return slices.Repeat([]kinesis.Result{{ErrorCode: "ProvisionedThroughputExceededException", ErrorMessage: "slow down"}}, len(records)), nil
}

// refuse refuses the request with an error of the class.
func refuse(class kinesis.Class, code string) answer {
	return func(context.Context, []*pack.Record) ([]kinesis.Result, error) {
		return nil, &kinesis.Error{Class: class, Status: 400, Code: code, Message: "because"}
	}
}

// refuseInvalid refuses requests that contain any of those records, as invalid.
func refuseInvalid(seqs ...uint64) answer {
	return func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		for _, r := range records {
			if slices.Contains(seqs, r.First) {
				return refuse(kinesis.Invalid, "InvalidArgumentException")(ctx, records)
			}
		}
		return accept(ctx, records)
	}
}

// breakConnection is a connection that breaks.
func breakConnection(reused bool) answer {
	return func(context.Context, []*pack.Record) ([]kinesis.Result, error) {
		return nil, &kinesis.Error{Class: kinesis.Transient, Reused: reused, Err: errors.New("connection reset by peer")}
	}
}

// noAnswer does not answer until the request is cancelled.
func noAnswer(ctx context.Context, _ []*pack.Record) ([]kinesis.Result, error) {
	<-ctx.Done()
	return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
}

var (
	throttle    = refuse(kinesis.Throttled, "ProvisionedThroughputExceededException")
	fail        = refuse(kinesis.Transient, "InternalFailure")
	deny        = refuse(kinesis.Denied, "AccessDeniedException")
	expired     = refuse(kinesis.Credentials, "ExpiredTokenException")
	unreachable = breakConnection(false)
)

// call is a request that came.
type call struct {
	at    time.Time
	seqs  []uint64
	keys  []string
	bytes int
}

// fakeKinesis answers by its script, and then repeats its last answer.
type fakeKinesis struct {
	mu            sync.Mutex
	script        []answer
	calls         []call
	stored        []uint64 // records that were accepted, as often as they were
	idle          []int    // after how many calls connections were dropped
	invalidations []int    // after how many calls credentials were invalidated
}

func (k *fakeKinesis) PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	k.mu.Lock()
	answer := k.script[min(len(k.calls), len(k.script)-1)]
	c := call{at: time.Now()}
	for _, r := range records {
		c.seqs = append(c.seqs, r.First)
		c.keys = append(c.keys, r.PartitionKey)
		c.bytes += r.Size()
	}
	k.calls = append(k.calls, c)
	k.mu.Unlock()

	results, err := answer(ctx, records)
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, r := range results {
		if r.OK() {
			k.stored = append(k.stored, records[i].First)
		}
	}
	return results, err
}

func (k *fakeKinesis) CloseIdle() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.idle = append(k.idle, len(k.calls))
}

func (k *fakeKinesis) InvalidateCredentials() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.invalidations = append(k.invalidations, len(k.calls))
}

// invalidated returns the counts of calls after which credentials were invalidated.
func (k *fakeKinesis) invalidated() []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.invalidations)
}

// accepted are the records that were stored, as often as they were.
func (k *fakeKinesis) accepted() []uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.stored)
}

// dropped are the counts of calls after which connections were dropped.
func (k *fakeKinesis) dropped() []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.idle)
}

// setAnswer changes what is answered from now on.
func (k *fakeKinesis) setAnswer(a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.script = []answer{a}
}

// requests are the records of each request.
func (k *fakeKinesis) requests() (all [][]uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.calls {
		all = append(all, c.seqs)
	}
	return all
}

// all are the requests.
func (k *fakeKinesis) all() []call {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.calls)
}

// keys are the partition keys of each request's first record.
func (k *fakeKinesis) keys() (all []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.calls {
		all = append(all, c.keys[0])
	}
	return all
}

// pauses are the times between requests.
func (k *fakeKinesis) pauses() (all []time.Duration) {
	times := k.times()
	for i := range len(times) - 1 {
		all = append(all, times[i+1].Sub(times[i]))
	}
	return all
}

func (k *fakeKinesis) times() (all []time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.calls {
		all = append(all, c.at)
	}
	return all
}

// fixture is a shipper at work, between a queue and a scripted Kinesis.
type fixture struct {
	*ship.Shipper
	queue   *queue.Queue
	kinesis *fakeKinesis
	env     *environment.Environment
	account *ledger.Account
	log     *testkit.Entries
	began   time.Time
	ended   chan struct{} // closed when Run has ended
	stop    func()        // ends Run and waits for it
}

// warnings returns the entries of the log that a user sees by default.
func (r *fixture) warnings() []testkit.Entry { return r.log.Find(slog.LevelWarn, "") }

// start starts a shipper inside of a synctest bubble.
func start(t testing.TB, script ...answer) *fixture { return startWith(t, options{}, script...) }

// options replaces parts of a fixture.
type options struct {
	store  queue.Store // nil: none
	putter ship.Putter // nil: the scripted Kinesis
	lost   func() int64
	// colocated is ship.New's.
	colocated  bool
	afterBurst func() // nil: nothing
}

func startWith(t testing.TB, s options, script ...answer) *fixture {
	r := &fixture{kinesis: &fakeKinesis{script: script}, account: &ledger.Account{}, log: &testkit.Entries{}, began: time.Now()}
	r.env = &environment.Environment{ID: "e1", Ledger: ledger.New(r.account, nil)}
	opt := queue.Options{Max: 1 << 40, LogDropper: pack.NewLogDropper(format.Uncompressed)}
	if s.store != nil {
		opt.Store, opt.Max = s.store, 0 // what is not the newest goes into the store
	}
	r.queue = queue.New(opt)
	if s.putter == nil {
		s.putter = r.kinesis
	}
	if s.lost == nil {
		s.lost = r.account.Total
	}
	r.Shipper = ship.New(r.queue, s.putter, s.colocated, s.lost, slog.New(r.log))
	r.AfterBurst(s.afterBurst)
	ctx, cancel := context.WithCancel(t.Context())
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		r.Run(ctx)
	}()
	r.stop = func() { cancel(); <-r.ended }
	t.Cleanup(r.stop)
	return r
}

// usualKey is the partition key of records, as long as those that replace it.
const usualKey = "usual-key-of-26-characters"

// newRecord returns a record of one event.
func newRecord(seq uint64) *pack.Record {
	return &pack.Record{Data: []byte("data"), PartitionKey: usualKey, First: seq, Last: seq, Events: 1, Lines: 10}
}

// add pushes a record of this environment.
func (r *fixture) add(one *pack.Record) {
	one.Environment = r.env
	r.queue.Push(one)
}

// push pushes new records and wakes the shipper.
func (r *fixture) push(seqs ...uint64) {
	for _, seq := range seqs {
		r.add(newRecord(seq))
	}
	r.Wake()
}

// flush calls Flush with a timeout.
func (r *fixture) flush(t testing.TB, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	return r.Flush(ctx)
}

// drain calls Drain with a timeout.
func (r *fixture) drain(t testing.TB, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	return r.Drain(ctx)
}

// waiting returns how many records wait.
func (r *fixture) waiting() int {
	return r.queue.Waiting().Records
}

// inFakeTime runs a test in fake time.
func inFakeTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
