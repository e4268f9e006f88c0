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

	"kinetel/internal/environment"
	"kinetel/internal/format"
	"kinetel/internal/kinesis"
	"kinetel/internal/ledger"
	"kinetel/internal/pack"
	"kinetel/internal/queue"
	"kinetel/internal/ship"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what Kinesis says to a request.
type answer func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error)

// accept takes all records.
func accept(_ context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	return slices.Repeat([]kinesis.Result{{SequenceNumber: "1"}}, len(records)), nil
}

// throttleOnly takes all records but those.
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

// poison refuses requests that hold any of those records, for good.
func poison(seqs ...uint64) answer {
	return func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		for _, r := range records {
			if slices.Contains(seqs, r.First) {
				return refuse(kinesis.Invalid, "InvalidArgumentException")(ctx, records)
			}
		}
		return accept(ctx, records)
	}
}

// breakOff is a connection that breaks.
func breakOff(reused bool) answer {
	return func(context.Context, []*pack.Record) ([]kinesis.Result, error) {
		return nil, &kinesis.Error{Class: kinesis.Transient, Reused: reused, Err: errors.New("connection reset by peer")}
	}
}

// silence does not answer until the request is cancelled.
func silence(ctx context.Context, _ []*pack.Record) ([]kinesis.Result, error) {
	<-ctx.Done()
	return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
}

var (
	throttle    = refuse(kinesis.Throttled, "ProvisionedThroughputExceededException")
	fail        = refuse(kinesis.Transient, "InternalFailure")
	deny        = refuse(kinesis.Denied, "AccessDeniedException")
	expired     = refuse(kinesis.Credentials, "ExpiredTokenException")
	unreachable = breakOff(false)
)

// call is a request that came.
type call struct {
	at    time.Time
	seqs  []uint64
	keys  []string
	bytes int
}

// fakeKinesis answers as its script says, and its last answer for ever.
type fakeKinesis struct {
	mu            sync.Mutex
	script        []answer
	calls         []call
	taken         []uint64 // records that were accepted, as often as they were
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
			k.taken = append(k.taken, records[i].First)
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

// accepted are the records that were taken, as often as they were.
func (k *fakeKinesis) accepted() []uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.taken)
}

// dropped are the counts of calls after which connections were dropped.
func (k *fakeKinesis) dropped() []int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.idle)
}

// become changes what is answered from now on.
func (k *fakeKinesis) become(a answer) {
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

// entry is an entry of the log.
type entry struct {
	level   slog.Level
	message string
	attrs   map[string]any
}

// logbook keeps what was logged.
type logbook struct {
	mu      sync.Mutex
	entries []entry
}

func (*logbook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *logbook) WithGroup(string) slog.Handler          { return l }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	e := entry{r.Level, r.Message, map[string]any{}}
	r.Attrs(func(a slog.Attr) bool {
		e.attrs[a.Key] = a.Value.Any()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	return nil
}

// visible returns the entries that a user sees by default.
func (l *logbook) visible() (seen []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.level >= slog.LevelWarn {
			seen = append(seen, e)
		}
	}
	return seen
}

// rig is a shipper at work, between a queue and a scripted Kinesis.
type rig struct {
	*ship.Shipper
	queue   *queue.Queue
	kinesis *fakeKinesis
	env     *environment.Environment
	account *ledger.Account
	log     *logbook
	began   time.Time
	ended   chan struct{} // closed when Run has ended
	stop    func()        // ends Run and waits for it
}

// start starts a shipper inside of a synctest bubble.
func start(t testing.TB, script ...answer) *rig { return startWith(t, setting{}, script...) }

// setting replaces parts of a rig.
type setting struct {
	store  queue.Store // nil: none
	putter ship.Putter // nil: the scripted Kinesis
	lost   func() int64
}

func startWith(t testing.TB, s setting, script ...answer) *rig {
	r := &rig{kinesis: &fakeKinesis{script: script}, account: &ledger.Account{}, log: &logbook{}, began: time.Now()}
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
	r.Shipper = ship.New(r.queue, s.putter, s.lost, slog.New(r.log))
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

// rec is a record of one event.
func rec(seq uint64) *pack.Record {
	return &pack.Record{Data: []byte("data"), PartitionKey: "key", First: seq, Last: seq, Events: 1, Lines: 10}
}

// pushed pushes a record of this environment.
func (r *rig) pushed(one *pack.Record) {
	one.Environment = r.env
	r.queue.Push(one)
}

// push pushes new records and wakes the shipper.
func (r *rig) push(seqs ...uint64) {
	for _, seq := range seqs {
		r.pushed(rec(seq))
	}
	r.Wake()
}

// flush calls Flush with a timeout.
func (r *rig) flush(t testing.TB, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	return r.Flush(ctx)
}

// drain calls Drain with a timeout.
func (r *rig) drain(t testing.TB, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	return r.Drain(ctx)
}

// waiting returns how many records wait.
func (r *rig) waiting() int {
	return r.queue.Waiting().Records
}

// bubble runs a test in fake time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
