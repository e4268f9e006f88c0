package pack_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received is when the events of these tests arrived.
var received = time.Date(2026, 11, 22, 20, 15, 0, 123e6, time.UTC)

// environmentOf returns the environment of a function's resource.
func environmentOf(id resource.Resource) *environment.Environment {
	return environment.New(id.EnvironmentID, id.Details())
}

func identity() resource.Resource {
	return resource.Resource{
		Config:          config.Config{Lambda: config.Lambda{Region: "eu-west-1"}},
		AccountID:       "123456789012",
		FunctionName:    "orders",
		FunctionVersion: "$LATEST",
		EnvironmentID:   "0123456789abcdef",
	}
}

// packer is a Packer and the records that it pushed.
type packer struct {
	*pack.Packer
	env     *environment.Environment
	ledger  *ledger.Ledger
	account *ledger.Account
	next    uint64         // as set
	pushed  []*pack.Record // all that came out
	records []*pack.Record // of them, those that were not lost
	// lose reports whether a record is lost, as the queue and the shipper lose them.
	lose func(*pack.Record) bool
}

// setup has the options of a packer; its Environment is that of id.
type setup struct {
	pack.Options
	id resource.Resource
}

func newPacker(change ...func(*setup)) *packer {
	r := &packer{account: &ledger.Account{}, lose: func(*pack.Record) bool { return false }}
	r.ledger = ledger.New(r.account, nil)
	set := setup{
		Options: pack.Options{
			Compression:  format.Gzip,
			PartitionKey: config.PartitionByEnvironment,
			Push: func(rec *pack.Record) {
				r.pushed = append(r.pushed, rec)
				if r.lose(rec) {
					rec.Drop(ledger.BufferFull)
					return
				}
				r.records = append(r.records, rec)
			},
			Log: slog.New(slog.DiscardHandler),
		},
		id: identity(),
	}
	for _, one := range change {
		one(&set)
	}
	set.FunctionName = set.id.FunctionName
	set.Environment = environmentOf(set.id)
	set.Environment.Ledger = r.ledger
	r.env, r.next = set.Environment, set.Next
	r.Packer = pack.New(set.Options)
	return r
}

func plain(set *setup) { set.Compression = format.Uncompressed }

func keyBy(by config.PartitionKey) func(*setup) {
	return func(set *setup) { set.PartitionKey = by }
}

// line is a function's log line.
func line(text string) *event.Event {
	return &event.Event{
		Time:     []byte("2026-11-22T20:15:00.000Z"),
		Received: received,
		Type:     []byte("function"),
		Record:   jsontext.AppendQuote(nil, text),
	}
}

// own is one of Kinetel's own events.
func own(kind, body string) *event.Event {
	return &event.Event{Received: received, Type: []byte(kind), Record: []byte(body)}
}

// start is the platform.start of a request.
func start(request string) *event.Event {
	ev := line("")
	ev.Type = []byte(event.TypePlatformStart)
	ev.RequestID = request
	ev.Record = fmt.Appendf(nil, `{"requestId":%q,"version":"$LATEST"}`, request)
	return ev
}

// bodies returns the bodies of all records' events, record by record.
func (r *packer) bodies(t *testing.T) [][]string {
	t.Helper()
	var all [][]string
	for _, rec := range r.records {
		var bodies []string
		for _, e := range decode(t, rec) {
			bodies = append(bodies, string(e.Body))
		}
		all = append(all, bodies)
	}
	return all
}

func TestALine(t *testing.T) {
	const resource = `"resource":{"cloud.provider":"aws","cloud.region":"eu-west-1","cloud.account.id":"123456789012",` +
		`"faas.name":"orders","faas.version":"$LATEST","service.name":"orders","service.instance.id":"0123456789abcdef"}}` + "\n"
	for _, tt := range []struct {
		name string
		ev   event.Event
		want string
	}{
		{
			"text",
			event.Event{Time: []byte("2026-11-22T20:14:59.5Z"), Type: []byte("function"), Record: []byte(`"signed in\n"`)},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:14:59.5Z","type":"function","body":"signed in\n",`,
		},
		{
			"an object keeps its white space and its order",
			event.Event{Time: []byte("2026-11-22T20:14:59Z"), Type: []byte("platform.start"), Record: []byte(`{ "z":1,  "a" : 1.0e2 }`)},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:14:59Z","type":"platform.start","body":{ "z":1,  "a" : 1.0e2 },`,
		},
		{
			"line feeds between tokens are left out, and nothing else",
			event.Event{Time: []byte("2026-11-22T20:14:59Z"), Type: []byte("function"), Record: []byte("{\n\t\"a\":\r\n1,\n\"b\": \"x\\ny\"\n}")},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:14:59Z","type":"function","body":{` + "\t\"a\":\r1,\"b\": \"x\\ny\"},",
		},
		{
			"what is not UTF-8 is replaced, and kept beside it",
			event.Event{Time: []byte("2026-11-22T20:14:59Z"), Type: []byte("function"), Record: []byte("\"a\xff\xfe\"")},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:14:59Z","type":"function","body":"a` + "\uFFFD\uFFFD" + `","bodyBase64":"ImH//iI=",`,
		},
		{
			"a record that is missing is null",
			event.Event{Time: []byte("2026-11-22T20:14:59Z"), Type: []byte("platform.fault")},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:14:59Z","type":"platform.fault","body":null,`,
		},
		{
			"without a time, when it was received, in UTC",
			event.Event{Received: received.In(time.FixedZone("", 3600)), Type: []byte("function"), Record: []byte(`1`)},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:15:00.123Z","type":"function","body":1,`,
		},
		{
			"unknown members are kept",
			event.Event{Time: []byte("2026-11-22T20:14:59Z"), Type: []byte("function"), Record: []byte(`""`), Extra: []byte("\"a\":{\n\"b\":1},\n\"c\":null")},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:14:59Z","type":"function","body":"","extra":{"a":{"b":1},"c":null},`,
		},
		{
			"a type with escapes stays escaped",
			event.Event{Time: []byte("2026-11-22T20:14:59Z"), Type: []byte(`odd \"type\"`), Record: []byte(`[]`)},
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:14:59Z","type":"odd \"type\"","body":[],`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newPacker(plain)
			r.Add(&tt.ev)
			r.Seal()
			if len(r.records) != 1 {
				t.Fatalf("%d records", len(r.records))
			}
			if diff := cmp.Diff(tt.want+resource, string(r.records[0].Data)); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
			decode(t, r.records[0])
		})
	}
}

func TestSealWithoutAnOpenRecordMakesNoRecord(t *testing.T) {
	r := newPacker()
	r.Seal()
	r.Add(line("x"))
	r.Seal()
	r.Seal()
	if len(r.records) != 1 {
		t.Errorf("%d records, want 1", len(r.records))
	}
}

func TestARecordDescribesItself(t *testing.T) {
	r := newPacker(plain)
	r.Add(line("one"))
	r.Seal()
	r.Add(line("two"))
	r.Add(line("three"))
	r.Seal()
	rec := r.records[1]
	if rec.Environment != r.env || rec.Droppable != 2 || rec.Throttled != 0 || len(rec.Losses) != 0 {
		t.Errorf("the second record is of %+v, has %d droppable events and reports %v", rec.Environment, rec.Droppable, rec.Losses)
	}
	if rec.First != 2 || rec.Last != 3 || rec.Events != 2 || rec.Lines != int64(len(rec.Data)) || rec.Size() != len(rec.Data)+len(rec.PartitionKey) {
		t.Errorf("the second record is %d to %d, %d events, %d bytes of lines, size %d", rec.First, rec.Last, rec.Events, rec.Lines, rec.Size())
	}
	want := ledger.Loss{First: 2, Last: 3, Count: 2, Bytes: int64(len(rec.Data)), Reason: ledger.Rejected}
	if diff := cmp.Diff(want, rec.Loss(ledger.Rejected)); diff != "" {
		t.Errorf("as a loss (-want +got):\n%s", diff)
	}
}

func TestDroppableEventsAreCounted(t *testing.T) {
	r := newPacker()
	for _, kind := range []string{"function", "platform.start", "extension", "platform.report", "kinetel.unparsed"} {
		ev := line("x")
		ev.Type = []byte(kind)
		r.Add(ev)
	}
	r.AddOwn(own(event.TypeReport, "{}"))
	r.Seal()
	r.Add(start("request-1"))
	r.Seal()
	if a, b := r.records[0], r.records[1]; a.Events != 6 || a.Droppable != 3 || b.Events != 1 || b.Droppable != 0 {
		t.Errorf("%d of %d events are droppable, and %d of %d; want 3 of 6 and 0 of 1", a.Droppable, a.Events, b.Droppable, b.Events)
	}
}

func TestADroppedRecordIsReportedLostWithTheLossesThatItReports(t *testing.T) {
	r := newPacker(plain)
	r.lose = func(rec *pack.Record) bool { return len(rec.Losses) > 0 }
	old := ledger.Loss{First: 100, Last: 109, Count: 7, Bytes: 70, Reason: ledger.SpoolFull}
	r.ledger.Lost(old)
	r.Seal() // one record, which reports it and is lost
	size := r.pushed[0].Lines
	want := []ledger.Loss{{First: 1, Last: 1, Count: 1, Bytes: size, Reason: ledger.BufferFull}, old}
	if diff := cmp.Diff(want, r.ledger.TakePending()); diff != "" {
		t.Errorf("losses that are pending (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[ledger.Reason]int64{ledger.BufferFull: 1, ledger.SpoolFull: 7}, r.account.Lost()); diff != "" {
		t.Errorf("events lost (-want +got):\n%s", diff)
	}
}

func TestNumbersBeginWithNext(t *testing.T) {
	for _, tt := range []struct{ next, want uint64 }{{0, 1}, {1, 1}, {2, 2}, {1 << 40, 1 << 40}} {
		r := newPacker(plain, func(set *setup) { set.Next = tt.next })
		r.Add(line("one"))
		r.Add(line("two"))
		r.Seal()
		rows := decode(t, r.records...)
		if rec := r.records[0]; rec.First != tt.want || rec.Last != tt.want+1 || rows[0].Seq != tt.want || rows[1].Seq != tt.want+1 {
			t.Errorf("Next %d: the events are %d and %d of the record %d to %d", tt.next, rows[0].Seq, rows[1].Seq, rec.First, rec.Last)
		}
	}
}

func TestLastIsTheHighestNumberThatWasAssigned(t *testing.T) {
	r := newPacker(func(set *setup) { set.Next = 100 })
	want := func(name string, want uint64) {
		t.Helper()
		if got := r.Last(); got != want {
			t.Errorf("%s: Last is %d, want %d", name, got, want)
		}
	}
	want("none yet", 99)
	r.Add(line("one"))
	r.AddOwn(own(event.TypeReport, "{}"))
	want("in the open record", 101)
	r.Seal()
	want("in a closed record", 101)
	r.Restore(3, linesOf(t, 3, 3, 10))
	want("after older lines", 101)
	r.ledger.Lost(ledger.Loss{First: 7, Last: 7, Count: 1, Reason: ledger.Rejected})
	r.Seal()
	want("after a loss is reported", 102)
	r.Add(line(string(text(3<<20, true, 1))))
	want("after an event in parts", 102+uint64(r.Added().Parts)+1)
	if r.Environment() != r.env {
		t.Errorf("Environment is %v", r.Environment())
	}
}

func TestAddedCountsWhatWasAdded(t *testing.T) {
	r := newPacker()
	want := func(want pack.Added) {
		t.Helper()
		if diff := cmp.Diff(want, r.Added()); diff != "" {
			t.Errorf("Added (-want +got):\n%s", diff)
		}
	}
	want(pack.Added{})
	ev := line("12345678")
	ev.Extra = []byte(`"not":"counted"`)
	r.Add(ev)
	want(pack.Added{Events: 1})
	r.AddOwn(own(event.TypeReport, "{}"))
	want(pack.Added{Events: 1, Own: 1})
	r.ledger.Lost(ledger.Loss{First: 7, Last: 7, Count: 1, Reason: ledger.Rejected})
	r.ledger.Lost(ledger.Loss{First: 9, Last: 9, Count: 1, Reason: ledger.Rejected})
	want(pack.Added{Events: 1, Own: 1})
	r.Seal() // reports two losses
	want(pack.Added{Events: 1, Own: 3})
	long := text(3<<20, true, 1)
	r.Add(line(string(long)))
	parts := int64(len(r.pushed) - 2)
	if parts < 3 {
		t.Fatalf("%d parts", parts)
	}
	want(pack.Added{Events: 2, Own: 3, Parts: parts - 1})
}

func TestAddKeepsNothingOfTheEvent(t *testing.T) {
	r := newPacker()
	body := []byte(`"text"`)
	ev := line("")
	ev.Record, ev.Extra = body, []byte(`"a":1`)
	r.Add(ev)
	for _, b := range [][]byte{ev.Record, ev.Extra, ev.Type, ev.Time} {
		for i := range b {
			b[i] = '#'
		}
	}
	r.Seal()
	got := decode(t, r.records[0])[0]
	if string(got.Body) != `"text"` || string(got.Extra["a"]) != "1" || got.Type != "function" || got.Time != "2026-11-22T20:15:00.000Z" {
		t.Errorf("the event changed after Add: %+v", got)
	}
}

func TestRecordsDoNotShareMemory(t *testing.T) {
	for _, compression := range []format.Compression{format.Gzip, format.Zstd, format.Uncompressed} {
		t.Run(string(compression), func(t *testing.T) {
			r := newPacker(func(set *setup) { set.Compression = compression })
			var want [][]string
			for i := range 20 {
				text := fmt.Sprintf("line %d of many", i)
				r.Add(line(text))
				r.Seal()
				want = append(want, []string{`"` + text + `"`})
			}
			if diff := cmp.Diff(want, r.bodies(t)); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARecordHoldsAtMost500Events(t *testing.T) {
	r := newPacker()
	for range 1001 {
		r.Add(line("x"))
	}
	r.Seal()
	var got []int
	for _, rec := range r.records {
		got = append(got, rec.Events)
	}
	if diff := cmp.Diff([]int{500, 500, 1}, got); diff != "" {
		t.Errorf("events a record (-want +got):\n%s", diff)
	}
}

func TestALineThatDoesNotFitGoesIntoTheNextRecord(t *testing.T) {
	r := newPacker(plain)
	half := strings.Repeat("x", 600<<10)
	r.Add(line("small"))
	r.Add(line(half))
	r.Add(line(half))
	r.Add(line("small"))
	r.Seal()
	var got []int
	for _, rec := range r.records {
		got = append(got, rec.Events)
		if rec.Size() > pack.MaxRecord {
			t.Errorf("a record of %d bytes", rec.Size())
		}
	}
	if diff := cmp.Diff([]int{2, 2}, got); diff != "" {
		t.Errorf("events a record (-want +got):\n%s", diff)
	}
}

func TestALineThatFillsARecordIsAdded(t *testing.T) {
	r := newPacker(plain)
	r.Add(line(""))
	r.Seal()
	// Without compression the record can be filled to its last byte.
	text := strings.Repeat("x", pack.MaxRecord-r.records[0].Size())
	r.Add(line(text))
	r.Add(line(text + "x"))
	r.Seal()
	if len(r.records) < 2 || r.records[1].Size() != pack.MaxRecord || r.records[1].Events != 1 {
		t.Fatalf("%d records; want an event of %d bytes alone in the second one", len(r.records), pack.MaxRecord)
	}
	if first := decode(t, r.records[1])[0]; first.Part != 0 || first.Parts != 0 {
		t.Errorf("an event that fits is part %d of %d", first.Part, first.Parts)
	}
	// One byte more, and it goes in parts.
	events := decode(t, r.records[2:]...)
	if len(events) != 2 || events[0].Seq != 3 || events[0].Parts != 2 || events[1].Seq != 4 || events[1].Parts != 2 {
		t.Errorf("one byte more makes %d events, want parts 1 and 2, numbered 3 and 4", len(events))
	}
	if total := r.account.Total(); total != 0 {
		t.Errorf("%d events lost", total)
	}
}

// Lines that fill a record to the limit, with a long key and nothing that can
// be compressed, are never mistaken for one line that is too large.
func TestLinesThatTogetherAreAtTheLimitAreNotLost(t *testing.T) {
	for _, compression := range []format.Compression{format.Gzip, format.Zstd, format.Uncompressed} {
		for i, below := range []int{0, -1, 1, 200, 256, 4096} {
			if testing.Short() && i >= 1 {
				break
			}
			r := newPacker(keyBy(config.PartitionByFunction), func(set *setup) {
				set.Compression = compression
				set.id.FunctionName = strings.Repeat("f", 256)
			})
			short := newPacker(plain, keyBy(config.PartitionByFunction), func(set *setup) { set.id.FunctionName = strings.Repeat("f", 256) })
			short.Add(line(""))
			short.Seal()
			size := pack.MaxRecord - below - 2*int(short.records[0].Lines)
			r.Add(line(string(text(size/2, true, 1))))
			r.Add(line(string(text(size-size/2, true, 2))))
			r.Seal()
			var events int
			for _, rec := range r.records {
				events += rec.Events
			}
			if events != 2 || r.account.Total() != 0 {
				t.Errorf("%s, %d bytes below the limit: %d events, %d of them lost", compression, below, events, r.account.Total())
			}
		}
	}
}

func TestALineThatCompressesWellMayBeLonger(t *testing.T) {
	for _, compression := range []format.Compression{format.Gzip, format.Zstd} {
		t.Run(string(compression), func(t *testing.T) {
			r := newPacker(func(set *setup) { set.Compression = compression })
			text := strings.Repeat("a word and ", 150_000)
			r.Add(line("before"))
			r.Add(line(text))
			r.Add(line("after"))
			r.Seal()
			want := [][]string{{`"before"`}, {`"` + text + `"`}, {`"after"`}}
			if got := r.bodies(t); !cmp.Equal(want, got) {
				t.Errorf("%d records, want 3 with the long line alone in the second", len(got))
			}
		})
	}
}

// One line may be very large; its memory is released.
func TestTheMemoryOfAHugeLineIsNotKept(t *testing.T) {
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	r := newPacker()
	r.Add(line("before"))
	r.Seal()
	before := heap()
	huge := line("")
	huge.Record = []byte(`"` + strings.Repeat("x", 24<<20) + `"`)
	r.Add(huge)
	r.Seal()
	if n := heap() - before; n > 12<<20 || len(r.records) != 2 {
		t.Errorf("after %d records %d bytes are kept", len(r.records), n)
	}
	r.Add(line("after"))
	r.Seal()
	if got := r.bodies(t); len(got) != 3 || got[2][0] != `"after"` {
		t.Errorf("%d records", len(got))
	}
}

// Trim changes nothing but memory.
func TestTrimChangesNoRecord(t *testing.T) {
	for _, compression := range []format.Compression{format.Gzip, format.Zstd, format.Uncompressed} {
		var records [2][]*pack.Record
		for i := range records {
			p := newPacker(func(s *setup) { s.Compression = compression })
			for n := range 1200 {
				p.Add(line(fmt.Sprintf("line %d", n*n)))
				if i == 1 && n%7 == 0 {
					p.Trim()
				}
			}
			p.Seal()
			records[i] = p.records
		}
		if diff := cmp.Diff(records[0], records[1], cmpopts.IgnoreFields(pack.Record{}, "Environment")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", compression, diff)
		}
	}
}

func TestPartitionKeys(t *testing.T) {
	t.Run("by environment", func(t *testing.T) {
		r := newPacker(keyBy(config.PartitionByEnvironment))
		r.Add(start("request-1"))
		r.Add(line("x"))
		r.Seal()
		wantKeys(t, r, "0123456789abcdef")
	})
	t.Run("by function", func(t *testing.T) {
		r := newPacker(keyBy(config.PartitionByFunction))
		r.Add(start("request-1"))
		r.Seal()
		wantKeys(t, r, "orders")
	})
	t.Run("by function, without a name from Lambda", func(t *testing.T) {
		r := newPacker(keyBy(config.PartitionByFunction), func(set *setup) { set.id.FunctionName = "" })
		r.Add(line("x"))
		r.Seal()
		wantKeys(t, r, "0123456789abcdef")
	})
	t.Run("random", func(t *testing.T) {
		r := newPacker(keyBy(config.PartitionRandom))
		seen := map[string]bool{}
		for range 100 {
			r.Add(line("x"))
			r.Seal()
		}
		for _, rec := range r.records {
			seen[rec.PartitionKey] = true
		}
		if len(r.records) != 100 || len(seen) != 100 {
			t.Errorf("%d records have %d keys", len(r.records), len(seen))
		}
	})
}

func wantKeys(t *testing.T, r *packer, want ...string) {
	t.Helper()
	var got []string
	for _, rec := range r.records {
		got = append(got, rec.PartitionKey)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partition keys (-want +got):\n%s", diff)
	}
}

// of is a line of a request.
func of(request, text string) *event.Event {
	ev := line(text)
	ev.RequestID = request
	return ev
}

func TestByRequestEachHasRecordsOfItsOwn(t *testing.T) {
	events := []*event.Event{
		line("init"),
		start("request-1"), of("request-1", "a"), of("request-1", "b"),
		start("request-2"), of("request-2", "c"), of("request-1", "late"),
		line("between"), of("request-2", "d"), of(strings.Repeat("x", 257), "of a request that cannot be a key"),
	}
	for _, tt := range []struct {
		name string
		runs bool
		want []string // key and numbers of each record
	}{
		{"together", false, []string{"0123456789abcdef 1 8 10", "request-1 2 3 4 7", "request-2 5 6 9"}},
		{"in runs, for a journal", true, []string{
			"0123456789abcdef 1", "request-1 2 3 4", "request-2 5 6", "request-1 7", "0123456789abcdef 8", "request-2 9", "0123456789abcdef 10",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newPacker(keyBy(config.PartitionByRequest), func(set *setup) { set.Runs = tt.runs })
			for _, ev := range events {
				r.Add(ev)
			}
			r.Seal()
			var got []string
			for _, rec := range r.records {
				text := rec.PartitionKey
				rows := decode(t, rec)
				for _, row := range rows {
					text += fmt.Sprint(" ", row.Seq)
				}
				got = append(got, text)
				if rec.First != rows[0].Seq || rec.Last != rows[len(rows)-1].Seq || rec.Events != len(rows) {
					t.Errorf("record %s has %d events, %d to %d by its fields", text, rec.Events, rec.First, rec.Last)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestByOtherKeysARequestSealsNoRecord(t *testing.T) {
	for _, by := range []config.PartitionKey{config.PartitionByEnvironment, config.PartitionByFunction, config.PartitionRandom} {
		r := newPacker(keyBy(by))
		r.Add(start("request-1"))
		r.Add(start("request-2"))
		r.Seal()
		if len(r.records) != 1 {
			t.Errorf("by %s: %d records, want 1", by, len(r.records))
		}
	}
}

func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPacker()
		want := func(name string, age time.Duration) {
			t.Helper()
			if got := r.Age(); got != age {
				t.Errorf("%s: the open record is %s old, want %s", name, got, age)
			}
		}
		want("nothing open", 0)
		time.Sleep(time.Hour)
		want("nothing open, for long", 0)
		r.Add(line("first"))
		want("just opened, however long nothing came", 0)
		time.Sleep(time.Minute)
		r.Add(line("second, which does not make it younger"))
		r.AddOwn(own(event.TypeReport, "{}"))
		want("of the first event's age", time.Minute)
		time.Sleep(time.Nanosecond)
		want("to the nanosecond", time.Minute+1)
		r.Seal()
		want("nothing open after a cut", 0)
		r.AddOwn(own(event.TypeReport, "{}"))
		time.Sleep(time.Second)
		want("an event of Kinetel's own opens one as well", time.Second)

		// A record that is opened because the one before was full.
		for range pack.MaxEvents {
			r.Add(line("x"))
		}
		want("the full record went by itself, the open one is young", 0)
		time.Sleep(time.Second)
		want("the open one gets older", time.Second)
		r.Seal()

		// And one that is opened by a line that did not fit.
		r.Add(line(strings.Repeat("x", 600<<10)))
		time.Sleep(time.Minute)
		r.Add(line(strings.Repeat("y", 600<<10)))
		want("the line that did not fit is young", 0)
		time.Sleep(time.Second)
		want("the line that did not fit gets older", time.Second)

		// And by what comes after one that went in parts.
		r.Add(line(string(text(3<<20, true, 1))))
		want("nothing is open after an event in parts", 0)
		time.Sleep(time.Second)
		r.Add(line("x"))
		want("what follows an event in parts is young", 0)
	})
}

func TestLossesOfALostRecordAreReportedAgain(t *testing.T) {
	r := newPacker()
	losing := true
	r.lose = func(*pack.Record) bool { return losing }
	r.Add(line("one"))
	r.Add(line("two"))
	r.Seal() // loses 1 and 2, and then 3, which reports them
	r.Seal() // loses 4, which reports 1 to 3
	losing = false
	r.Seal()
	if len(r.records) != 1 || r.records[0].Events != 1 {
		t.Fatalf("%d records, want one with one event", len(r.records))
	}
	e := decode(t, r.records[0])[0]
	if e.Seq != 5 || e.Type != event.TypeLoss {
		t.Fatalf("event %d of type %s, want 5 to report losses", e.Seq, e.Type)
	}
	reported := reportedBy(t, r.records[0])
	if len(reported) != 1 || reported[0].First != 1 || reported[0].Last != 4 || reported[0].Count != 4 || reported[0].Reason != ledger.BufferFull {
		t.Errorf("losses reported: %+v, want 1 to 4", reported)
	}
	if diff := cmp.Diff(r.records[0].Losses, reported); diff != "" {
		t.Errorf("losses reported (-record +lines):\n%s", diff)
	}
	if total := r.account.Total(); total != 4 {
		t.Errorf("%d events lost in total, want 4", total)
	}
	r.Seal()
	if len(r.records) != 1 {
		t.Error("the losses were reported twice")
	}
}

// If a record that reports losses is lost, its Losses are exactly those that must be
// reported again.
func TestEachOfManyLossesIsInTheRecordThatReportsIt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		losses uint64
		tags   []config.Attribute
	}{
		{"as many as a record holds", pack.MaxEvents, nil},
		{"more than a record holds", pack.MaxEvents + 12, nil},
		{"so long that they fill a record before it has 500", pack.MaxEvents, []config.Attribute{{Name: "long", Value: strings.Repeat("x", 2000)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newPacker(func(set *setup) { set.id.Config.Attributes = tt.tags })
			for i := range tt.losses {
				r.ledger.Lost(ledger.Loss{First: 1 + 2*i, Last: 1 + 2*i, Count: 1, Reason: ledger.BufferFull}) // no two touch
			}
			r.Seal()
			var reported int
			for i, rec := range r.records {
				lines := reportedBy(t, rec)
				reported += len(lines)
				if rec.Droppable != 0 {
					t.Errorf("record %d has %d droppable events", i, rec.Droppable)
				}
				if diff := cmp.Diff(lines, rec.Losses); diff != "" {
					t.Errorf("record %d (%d to %d) reports %d losses and its field has %d (-lines +Losses):\n%.500s",
						i, rec.First, rec.Last, len(lines), len(rec.Losses), diff)
				}
			}
			if reported != int(tt.losses) {
				t.Errorf("%d losses are reported, want %d", reported, tt.losses)
			}
		})
	}
}

func TestTheSameEventsGiveTheSameBytes(t *testing.T) {
	events := func() (all []*event.Event) {
		for i := range 700 {
			if i%50 == 0 {
				all = append(all, start(fmt.Sprint("request-", i)))
			}
			all = append(all, line(strings.Repeat(fmt.Sprint("word ", i), i%40)))
		}
		return append(all, line(strings.Repeat("y", 1<<20)), line(string(text(5<<18, true, 1))), line("last"))
	}
	for _, compression := range []format.Compression{format.Gzip, format.Zstd, format.Uncompressed} {
		for _, by := range []config.PartitionKey{config.PartitionByEnvironment, config.PartitionByRequest, config.PartitionByFunction} {
			if testing.Short() && by != config.PartitionByRequest {
				continue
			}
			t.Run(fmt.Sprintf("%s by %s", compression, by), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // a loss is reported with the time
					var first []*pack.Record
					for range 2 {
						r := newPacker(keyBy(by), func(set *setup) { set.Compression = compression })
						for i, ev := range events() {
							r.Add(ev)
							if i == 100 {
								r.Seal()
							}
						}
						r.Seal()
						if first == nil {
							first = r.records
							continue
						}
						same := slices.EqualFunc(first, r.records, func(a, b *pack.Record) bool {
							return bytes.Equal(a.Data, b.Data) && a.PartitionKey == b.PartitionKey && a.First == b.First && a.Last == b.Last
						})
						if len(first) < 4 || !same {
							t.Errorf("%d records, and the same again: %t", len(first), same)
						}
					}
				})
			})
		}
	}
}

func TestPackerIsSafeForConcurrentUse(t *testing.T) {
	const writers, each = 4, 300
	var mu sync.Mutex
	var records []*pack.Record
	r := newPacker(func(set *setup) {
		set.Journal = &journal{t: t, numbers: map[uint64][]byte{}}
		set.Push = func(rec *pack.Record) {
			mu.Lock()
			defer mu.Unlock()
			records = append(records, rec)
		}
	})
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				r.Add(line(fmt.Sprintf("%d.%d", w, i)))
				if i%97 == 0 {
					r.Seal()
				}
				r.Age()
				r.Added()
				r.Commit([]byte("fragment"))
			}
		})
	}
	writing.Wait()
	r.Seal()

	var seq uint64
	next := [writers]int{}
	for _, rec := range records {
		for _, e := range decode(t, rec) {
			seq++
			var w, i int
			if _, err := fmt.Sscanf(string(e.Body), `"%d.%d"`, &w, &i); err != nil || e.Seq != seq || i != next[w] {
				t.Fatalf("event %d after %d is %s (%v), want the writer's line %d", e.Seq, seq-1, e.Body, err, next[w])
			}
			next[w]++
		}
	}
	if seq != writers*each {
		t.Errorf("%d events, want %d", seq, writers*each)
	}
}
