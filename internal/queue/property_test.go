package queue_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
	"github.com/kinetel/kinetel/internal/spool"
)

// wait is a waiter in the model.
type wait struct {
	drained <-chan struct{}
	forget  func()
	until   int // waits for records before this one
}

// pushed is a record as the model knows it.
type pushed struct {
	order     int // counts pushes; restored records are before all others
	first     uint64
	memory    int64
	droppable map[uint64]bool // its waiting events, and whether they are droppable
}

func (p *pushed) anyDroppable() bool {
	for _, droppable := range p.droppable {
		if droppable {
			return true
		}
	}
	return false
}

// model follows every event that was pushed.
type model struct {
	t       *rapid.T
	fixture *fixture
	store   *store // nil: there is none
	max     int64
	waits   []wait
	next    uint64
	orders  int

	records  []*pushed // in the queue, oldest first
	by       map[uint64]*pushed
	platform map[uint64]bool // of the pushed events, which are platform events
	pushed   int             // events
	sent     int             // in Kinesis
	lost     int
	batch    []*pack.Record
	pushing  bool // the newest record has room right now
	reliable bool // no attempt to store has failed since the last push began
}

func (m *model) inFlight(first uint64) bool {
	return slices.ContainsFunc(m.batch, func(r *pack.Record) bool { return r.First == first })
}

// stored are the records that are in the store.
func (m *model) stored() map[*pushed]bool {
	in := map[*pushed]bool{}
	if m.store == nil {
		return in
	}
	for _, ref := range m.store.refs() {
		// Records without their log lines begin later.
		for seq := ref.First; seq <= ref.Last; seq++ {
			if p := m.by[seq]; p != nil {
				in[p] = true
				break
			}
		}
	}
	return in
}

// onLoss notes a loss, and checks it.
func (m *model) onLoss(loss ledger.Loss) {
	n, platform := 0, false
	for seq := loss.First; seq <= loss.Last; seq++ {
		p := m.by[seq]
		if p == nil {
			continue // dropped before, without those around it
		}
		n++
		platform = platform || m.platform[seq]
		if m.inFlight(p.first) {
			m.t.Fatalf("event %d is dropped (%s) while it is in flight", seq, loss.Reason)
		}
		delete(p.droppable, seq)
		delete(m.by, seq)
	}
	if n != loss.Count {
		m.t.Fatalf("%+v is reported, but %d events waited there", loss, n)
	}
	m.lost += n
	if platform {
		m.checkPriority(loss)
	}
}

// checkPriority checks, when platform events are dropped, that no droppable event
// remains that would have made room.
func (m *model) checkPriority(loss ledger.Loss) {
	stored := m.stored()
	m.forgetEmpty()
	for i, p := range m.records {
		newest := m.pushing && i == len(m.records)-1
		if !p.anyDroppable() || m.inFlight(p.first) || newest {
			continue
		}
		inMemoryOnly := !stored[p]
		if loss.Reason == ledger.BufferFull && inMemoryOnly || (loss.Reason == ledger.SpoolFull || loss.Reason == ledger.Shutdown && m.reliable) && stored[p] {
			m.t.Fatalf("platform events %d to %d are dropped (%s), but there are log lines in record %d", loss.First, loss.Last, loss.Reason, p.first)
		}
	}
}

// record draws a record.
func (m *model) record(t *rapid.T) *pack.Record {
	kinds := []byte(rapid.StringMatching(`o{1,3}|p{1,3}|[op]{1,6}`).Draw(t, "kinds"))
	r := recordOf(m.fixture.env, m.next, string(kinds), rapid.IntRange(0, 100).Draw(t, "padding"))
	p := &pushed{order: m.orders, first: m.next, memory: memory(r), droppable: map[uint64]bool{}}
	m.orders++
	for i, kind := range kinds {
		seq := m.next + uint64(i)
		p.droppable[seq] = kind == 'o'
		m.platform[seq] = kind == 'p'
		m.by[seq] = p
	}
	m.next += uint64(len(kinds))
	m.pushed += len(kinds)
	m.records = append(m.records, p)
	return r
}

// forgetEmpty removes the records without waiting events.
func (m *model) forgetEmpty() {
	m.records = slices.DeleteFunc(m.records, func(p *pushed) bool { return len(p.droppable) == 0 })
}

func (m *model) injectFailure(t *rapid.T) {
	if m.store == nil {
		return
	}
	m.store.calls = 0
	m.store.failing = rapid.IntRange(0, 9).Draw(t, "the disk fails") == 0
	m.reliable = !m.store.failing
}

// retryAll makes the next batch also try the records that could not be read.
func (m *model) retryAll() {
	_, forget := m.fixture.Drained()
	forget()
}

// remove notes the events of an acknowledged record.
func (m *model) remove(r *pack.Record) {
	for _, seq := range events(m.t, r) {
		p, waits := m.by[seq]
		if !waits {
			m.t.Fatalf("event %d is in a batch, but it was sent or lost", seq)
		}
		delete(p.droppable, seq)
		delete(m.by, seq)
		m.sent++
	}
}

// check compares the queue with the model.
func (m *model) check(t *rapid.T) {
	m.forgetEmpty()
	got := m.fixture.Waiting()
	if m.pushed != m.sent+m.lost+got.Events || len(m.by) != got.Events || len(m.records) != got.Records {
		t.Fatalf("%d events pushed, %d sent, %d lost, %d in %d records known to wait; waiting: %+v", m.pushed, m.sent, m.lost, len(m.by), len(m.records), got)
	}
	if int(m.fixture.account.Total()) != m.lost {
		t.Fatalf("%d events reported lost, %d in the account", m.lost, m.fixture.account.Total())
	}
	refs := []*spool.Ref{}
	if m.store != nil {
		refs = m.store.refs()
	}
	inStore := 0
	for _, ref := range refs {
		inStore += ref.Events
	}
	if got.Spooled.Records != len(refs) || got.Spooled.Events != inStore {
		t.Fatalf("the store has %d records of %d events, but Waiting is %+v", len(refs), inStore, got.Spooled)
	}
	if got.Records == 0 && (got.Bytes != 0 || got.Size != 0) {
		t.Fatalf("nothing waits, but Waiting is %+v", got)
	}
	waiting := 0
	for _, w := range m.waits {
		over := !slices.ContainsFunc(m.records, func(p *pushed) bool { return p.order < w.until })
		if closed(w.drained) != over {
			t.Fatalf("the waiter for the records before %d is released: %t; they have left: %t", w.until, closed(w.drained), over)
		}
		if !over {
			waiting++
		}
	}
	if m.fixture.Waiters() != waiting {
		t.Fatalf("the queue has %d waiters, want %d", m.fixture.Waiters(), waiting)
	}
}

// Every event that is pushed is acknowledged, waiting or reported as lost, exactly
// once. Memory is bounded. Log lines are dropped before platform events. A waiter
// is released when its records have left.
func TestEveryEventIsSentWaitsOrIsReportedLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, by: map[uint64]*pushed{}, platform: map[uint64]bool{}, next: 1, max: rapid.Int64Range(0, 8000).Draw(t, "max")}
		opt := queue.Options{Max: m.max}
		if rapid.IntRange(0, 3).Draw(t, "store") > 0 {
			m.store = &store{
				max: rapid.Int64Range(500, 8000).Draw(t, "stored"), segment: rapid.Int64Range(1, 3000).Draw(t, "segment"),
				corrupt: map[*spool.Ref]bool{},
			}
			opt.Store, opt.Always = m.store, rapid.Bool().Draw(t, "always")
		}
		m.fixture = newFixture(opt)
		m.fixture.onLost = m.onLoss

		if m.store != nil && rapid.Bool().Draw(t, "something was left") {
			var restored []*spool.Ref
			for range rapid.IntRange(1, 4).Draw(t, "records left") {
				if ref, err := m.store.Append(m.record(t)); err == nil {
					restored = append(restored, ref)
					continue
				}
				// No room: the earlier process did not store it.
				p := m.records[len(m.records)-1]
				for seq := range p.droppable {
					delete(m.by, seq)
				}
				m.records, m.pushed = m.records[:len(m.records)-1], m.pushed-len(p.droppable)
			}
			m.fixture.Restore(restored)
		}

		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				m.t = t
				m.injectFailure(t)
				r := m.record(t)
				if rapid.IntRange(0, 4).Draw(t, "reports losses") == 0 {
					r.Losses = []ledger.Loss{{First: 1 << 60, Last: 1 << 60, Count: 0, Reason: ledger.Oversize}}
				}
				m.pushing = true
				m.fixture.Push(r)
				m.pushing = false
				m.forgetEmpty()
				// Only records that cannot be dropped exceed the bound: those
				// in flight, and the newest one.
				over := int64(0)
				if n := len(m.records); n > 0 {
					over = m.records[n-1].memory
				}
				for _, one := range m.batch {
					over += memory(one)
				}
				if slices.ContainsFunc(m.batch, func(r *pack.Record) bool { return r.Droppable > 0 }) {
					over += queue.Credit // platform events wait for the result of the log lines
				}
				if got := m.fixture.Waiting(); got.Bytes > m.max+over && (m.store != nil || len(r.Losses) == 0) {
					t.Fatalf("%d bytes wait; the bound is %d, and %d for the records in flight and the newest", got.Bytes, m.max, over)
				}
				small := r.Size() < int(m.store.bound())/2 && len(m.batch) == 0 // so that room can be made
				if p := m.by[r.Last]; opt.Always && m.reliable && small && p != nil && !m.stored()[p] {
					t.Fatalf("record %d is not in the store, which has %d bytes of %d", r.First, m.store.bytes(), m.store.max)
				}
			},
			"batch": func(t *rapid.T) {
				m.t = t
				if m.batch != nil {
					t.Skip("the consumer has a batch")
				}
				m.injectFailure(t)
				records := rapid.IntRange(1, 8).Draw(t, "records")
				bytes := rapid.IntRange(1, 4000).Draw(t, "bytes")
				if m.store != nil && rapid.IntRange(0, 4).Draw(t, "corrupt") == 0 {
					for _, ref := range m.store.refs() {
						m.store.corrupt[ref] = m.store.corrupt[ref] || rapid.IntRange(0, 4).Draw(t, "this one") == 0
					}
				}
				m.retryAll()
				batch := m.fixture.Batch(records, bytes)
				m.forgetEmpty()
				m.batch = append([]*pack.Record{}, batch...)
				total := 0
				for i, r := range batch {
					total += r.Size()
					p := m.by[r.Last]
					at := slices.Index(m.records, p)
					// Records that cannot be read are skipped, in order.
					if p == nil {
						t.Fatalf("the batch has record %d, which has left", r.First)
					}
					if at < i || at > i && !m.store.fails() || i > 0 && at <= slices.Index(m.records, m.by[batch[i-1].Last]) {
						t.Fatalf("the batch has record %d, want number %d, %d", i+1, m.records[i].first, r.First)
					}
					if p != nil {
						p.first = r.First // without its dropped events, a record may begin later
					}
				}
				if len(batch) > records || len(batch) > 1 && total > bytes {
					t.Fatalf("a batch of %d records and %d bytes, want at most %d and %d", len(batch), total, records, bytes)
				}
				if len(batch) == 0 && len(m.records) > 0 && !m.store.fails() {
					t.Fatalf("nothing is in the batch, and %d records wait", len(m.records))
				}
			},
			"ack": func(t *rapid.T) {
				m.t = t
				if m.batch == nil {
					t.Skip("the consumer has none")
				}
				done := rapid.SliceOfN(rapid.Bool(), len(m.batch), len(m.batch)).Draw(t, "done")
				m.injectFailure(t)
				batch := m.batch
				m.batch = nil
				m.fixture.Ack(func(i int) bool {
					if done[i] {
						m.remove(batch[i])
					}
					return done[i]
				})
			},
			"spill": func(t *rapid.T) {
				m.t = t
				if m.batch != nil {
					t.Skip("the consumer has a batch")
				}
				m.injectFailure(t)
				m.fixture.Spill()
				if got := m.fixture.Waiting(); got.Events != got.Spooled.Events {
					t.Fatalf("not all is in the store: %+v", got)
				}
			},
			"wait": func(*rapid.T) {
				drained, forget := m.fixture.Drained()
				m.waits = append(m.waits, wait{drained, forget, m.orders})
			},
			"forget": func(t *rapid.T) {
				if len(m.waits) == 0 {
					t.Skip("there is no waiter")
				}
				i := rapid.IntRange(0, len(m.waits)-1).Draw(t, "waiter")
				m.waits[i].forget()
				m.waits = slices.Delete(m.waits, i, i+1)
			},
			"": m.check,
		})

		// In the end Batch returns all waiting records, and nothing else.
		m.t, m.batch = t, nil
		m.fixture.Ack(none)
		if m.store != nil {
			m.store.failing = false
		}
		for m.fixture.Waiting().Records > 0 {
			m.retryAll()
			m.batch = m.fixture.Batch(500, 1<<30)
			m.fixture.Ack(all)
			for _, r := range m.batch {
				m.remove(r)
			}
			m.batch = nil
		}
		m.check(t)
		if len(m.by) > 0 || m.store != nil && m.store.bytes() > 0 {
			t.Fatalf("%d events are missing, %d bytes are left in the store", len(m.by), m.store.bytes())
		}
	})
}
