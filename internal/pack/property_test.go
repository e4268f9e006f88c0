package pack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

// compressions are all of them.
func compressions() []format.Compression {
	return []format.Compression{format.Gzip, format.Zstd, format.Uncompressed}
}

// text makes so many bytes of text, which can be compressed or cannot.
func text(size int, random bool, seed uint64) []byte {
	b := make([]byte, size)
	if !random {
		pattern := fmt.Sprintf("GET /orders/%d 200 OK\n", seed%1000)
		for i := range b {
			b[i] = pattern[i%len(pattern)]
		}
		return b
	}
	var s [32]byte
	s[0], s[1], s[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	_, _ = rand.NewChaCha8(s).Read(b)
	for i := range b {
		b[i] = '0' + b[i]&63 // six bits a byte, and only the backslash needs an escape
		if b[i] == '\\' {
			b[i] = '!'
		}
	}
	return b
}

// anyEvent draws an event. Its record's size is mostly small, and now and then
// at the limits.
func anyEvent() *rapid.Generator[*event.Event] {
	size := rapid.Custom(func(t *rapid.T) int {
		switch dice := rapid.IntRange(0, 99).Draw(t, "kind of size"); {
		case dice < 70:
			return rapid.IntRange(0, 400).Draw(t, "size")
		case dice < 90:
			return rapid.IntRange(400, 20<<10).Draw(t, "size")
		case dice < 97:
			return rapid.IntRange(20<<10, 300<<10).Draw(t, "size")
		case dice < 99:
			return rapid.IntRange(1<<20-6<<10, 1<<20+1<<10).Draw(t, "size")
		default:
			return rapid.IntRange(300<<10, 3<<20).Draw(t, "size")
		}
	})
	return rapid.Custom(func(t *rapid.T) *event.Event {
		ev := &event.Event{Received: received, Type: []byte("function")}
		if rapid.Bool().Draw(t, "has a time") {
			ev.Time = []byte("2026-11-22T20:14:59.5Z")
		}
		content := jsontext.AppendQuote(nil, text(size.Draw(t, "size"), rapid.Bool().Draw(t, "random"), rapid.Uint64Range(0, 1<<16).Draw(t, "seed")))
		switch rapid.IntRange(0, 6).Draw(t, "shape") {
		case 0:
			ev.Record = fmt.Appendf(nil, "{\n  \"message\": %s,\n\t\"n\": 1.50\r\n}", content)
		case 1:
			ev.Record = fmt.Appendf(nil, "[%s,\n\n null]", content)
		case 2:
			if rapid.Bool().Draw(t, "none") {
				break
			}
			fallthrough
		default:
			ev.Record = content
		}
		switch rapid.IntRange(0, 5).Draw(t, "more") {
		case 0:
			ev.Extra = []byte("\"a\":{\n\"b\":[1,\n2]},\n\"c\":\"\\n\"")
		case 1:
			ev.Type = []byte(event.TypePlatformStart)
			ev.Record = fmt.Appendf(nil, "{\n\"requestId\":\"request-%d\"}", rapid.IntRange(0, 9).Draw(t, "request"))
		}
		return ev
	})
}

func TestEveryEventArrivesOrIsReportedLost(t *testing.T) {
	huge := fmt.Appendf(nil, `"x":%s`, jsontext.AppendQuote(nil, text(1600<<10, true, 7)))
	rapid.Check(t, func(t *rapid.T) {
		r := newPacker(func(set *setup) {
			set.id.Config.Attributes = []config.Attribute{{Name: "env", Value: "prod"}}
			set.Compression = rapid.SampledFrom(compressions()).Draw(t, "compression")
			set.PartitionKey = rapid.SampledFrom([]config.PartitionKey{
				config.PartitionByEnvironment, config.PartitionByRequest, config.PartitionByFunction, config.PartitionRandom,
			}).Draw(t, "partition key")
			set.Next = rapid.SampledFrom([]uint64{0, 1, 1000}).Draw(t, "next")
		})
		// Some of the pushed records are lost, as if memory were full.
		lossy := rapid.Bool().Draw(t, "lossy")
		r.lose = func(*pack.Record) bool { return lossy && rapid.IntRange(0, 3).Draw(t, "lost") == 0 }

		var added []*event.Event
		var want pack.Added
		add := func(ev *event.Event) {
			added = append(added, ev)
			want.Events++
			r.Add(ev)
		}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 12).Draw(t, "step") {
			case 0, 1:
				r.Seal()
			case 2:
				ev := own(event.TypeReport, `{"final":false}`)
				added = append(added, ev)
				want.Own++
				r.AddOwn(ev)
			case 3:
				for range rapid.IntRange(1, 700).Draw(t, "burst") {
					add(line("one of many"))
				}
			case 4:
				ev := line("too large besides its body")
				ev.Extra = huge
				add(ev)
			default:
				add(anyEvent().Draw(t, "event"))
			}
		}
		lossy = false
		r.Seal()

		// All that was pushed, lost or not: the events as they were added, whole
		// or in parts, numbered without holes but for those that are oversize.
		var rows []row
		for _, rec := range r.pushed {
			checkLimits(t, rec)
			if rec.Environment != r.env {
				t.Fatalf("a record of another env: %+v", rec.Environment)
			}
			rows = append(rows, decode(t, rec)...)
		}
		first := max(1, r.next)
		seq := first - 1
		oversize := map[uint64]bool{}
		pending := added
		skip := func(to uint64) {
			for seq < to && len(pending) > 0 && len(pending[0].Extra) > 64<<10 {
				pending = pending[1:]
				seq++
				oversize[seq] = true
			}
		}
		for _, e := range join(t, rows) {
			skip(e.numbers[0] - 1)
			for _, n := range e.numbers {
				if seq++; n != seq {
					t.Fatalf("event %d comes after %d", n, seq-1)
				}
			}
			want.Parts += int64(len(e.numbers) - 1)
			if e.Type == event.TypeLoss {
				want.Own++
				continue
			}
			if len(pending) == 0 {
				t.Fatalf("event %d was never added", seq)
			}
			checkSame(t, pending[0], e)
			pending = pending[1:]
		}
		if len(pending) > 0 {
			t.Fatalf("%d events did not come out", len(pending))
		}
		if diff := cmp.Diff(want, r.Added()); diff != "" {
			t.Fatalf("Added (-want +got):\n%s", diff)
		}
		if n := uint64(want.Events + want.Own + want.Parts); n != seq+1-first {
			t.Fatalf("%d events were ingested, and %d numbers were assigned", n, seq+1-first)
		}

		// In the records that were not lost, each number is present or reported lost, once.
		state := make(map[uint64]ledger.Reason, seq)
		for _, rec := range r.records {
			for n := rec.First; n <= rec.Last; n++ {
				state[n] = "arrived"
			}
		}
		var reported int64
		for _, rec := range r.records {
			for _, loss := range rec.Losses {
				reported += int64(loss.Count)
				for n := loss.First; n <= loss.Last; n++ {
					if state[n] != "" {
						t.Fatalf("event %d is reported lost (%s), but it is: %s", n, loss.Reason, state[n])
					}
					state[n] = loss.Reason
				}
			}
		}
		for n := first; n <= seq; n++ {
			switch reason := state[n]; {
			case reason == "":
				t.Fatalf("event %d of %d did not arrive and is not reported lost", n, seq)
			case oversize[n] != (reason == ledger.Oversize):
				t.Fatalf("event %d is reported: %s, but oversize: %t", n, reason, oversize[n])
			}
		}
		if uint64(len(state)) != seq+1-first || reported != r.account.Total() {
			t.Fatalf("%d numbers of %d are accounted for; %d reported lost, %d in the ledger", len(state), seq+1-first, reported, r.account.Total())
		}
	})
}

// checkLimits checks a record against Kinesis' limits and against its fields.
func checkLimits(t fataler, r *pack.Record) {
	t.Helper()
	if r.Events < 1 || r.Events > pack.MaxEvents || r.Size() > pack.MaxRecord || len(r.PartitionKey) < 1 || len(r.PartitionKey) > 256 {
		t.Fatalf("a record of %d events and %d bytes with the key %q", r.Events, r.Size(), r.PartitionKey)
	}
	rows := decode(t, r)
	droppable, size := 0, int64(0)
	for _, one := range rows {
		size += int64(len(one.text))
		if event.Droppable([]byte(one.Type)) {
			droppable++
		}
	}
	if last := rows[len(rows)-1].Seq; len(rows) != r.Events || r.First != rows[0].Seq || r.Last != last || last-r.First+1 != uint64(r.Events) {
		t.Fatalf("a record of %d events, %d to %d, has the fields %d events, %d to %d", len(rows), rows[0].Seq, last, r.Events, r.First, r.Last)
	}
	if droppable != r.Droppable || size != r.Lines || r.Throttled != 0 {
		t.Fatalf("a record of %d droppable events and %d bytes has the fields %d and %d; throttled %d times", droppable, size, r.Droppable, r.Lines, r.Throttled)
	}
	if diff := cmp.Diff(reportedBy(t, r), r.Losses); diff != "" {
		t.Fatalf("the losses of the record (-lines +Losses):\n%s", diff)
	}
}

// checkSame checks that an event arrived as it was added, in parts or not.
func checkSame(t fataler, want *event.Event, got whole) {
	t.Helper()
	body := []byte("null")
	if len(want.Record) > 0 {
		body = bytes.ReplaceAll(want.Record, []byte("\n"), nil)
	}
	if !bytes.Equal(body, bytes.ReplaceAll(got.Body, []byte("\n"), nil)) { // an original has them still
		t.Fatalf("event %d has the body %.200q, want %.200q", got.Seq, got.Body, body)
	}
	at := string(want.Time)
	if at == "" {
		at = "2026-11-22T20:15:00.123Z"
	}
	if got.Time != at || got.Type != string(want.Type) || got.Schema != "kinetel/1" {
		t.Fatalf("event %d is %s, %s, %s; want %s, %s", got.Seq, got.Schema, got.Time, got.Type, at, want.Type)
	}
	var extra map[string]json.RawMessage
	if len(want.Extra) > 0 {
		if err := json.Unmarshal(fmt.Appendf(nil, "{%s}", bytes.ReplaceAll(want.Extra, []byte("\n"), nil)), &extra); err != nil {
			t.Fatalf("extra: %v", err)
		}
	}
	if diff := cmp.Diff(extra, got.Extra); diff != "" {
		t.Fatalf("event %d: extra members (-want +got):\n%s", got.Seq, diff)
	}
	if diff := cmp.Diff(ofAll, got.Resource); diff != "" {
		t.Fatalf("event %d: resource (-want +got):\n%s", got.Seq, diff)
	}
}

// ofAll is the resource of identity() with a tag.
var ofAll = map[string]string{
	"cloud.provider": "aws", "cloud.region": "eu-west-1", "cloud.account.id": "123456789012", "faas.name": "orders",
	"faas.version": "$LATEST", "service.instance.id": "0123456789abcdef", "service.name": "orders", "env": "prod",
}
