package pack_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

func TestAnEventThatIsTooLongGoesInParts(t *testing.T) {
	for _, compression := range compressions() {
		t.Run(string(compression), func(t *testing.T) {
			if testing.Short() && compression != format.Gzip {
				t.Skip("-short: other compressions run in make test-deep")
			}
			r := newPacker(func(set *setup) { set.Compression = compression })
			long := line("")
			long.Record = fmt.Appendf(nil, "{\n\"a\": %s,\n\"b\": [1,\n2]}", jsontext.AppendQuote(nil, text(3<<20, true, 1)))
			long.Extra = []byte(`"tenant":"a"`)
			r.Add(line("before"))
			r.Add(long)
			r.Add(line("after"))
			r.Seal()
			for _, rec := range r.records {
				checkLimits(t, rec)
			}
			rows := decode(t, r.records...)
			for i, one := range rows {
				if one.Seq != uint64(i+1) || one.Resource["service.instance.id"] != identity().EnvironmentID {
					t.Errorf("line %d has the number %d and the resource %v", i, one.Seq, one.Resource)
				}
			}
			events := join(t, rows)
			if len(events) != 3 || string(events[0].Body) != `"before"` || string(events[2].Body) != `"after"` {
				t.Fatalf("%d events, want three", len(events))
			}
			got := events[1]
			if !bytes.Equal(got.Body, bytes.ReplaceAll(long.Record, []byte("\n"), nil)) {
				t.Errorf("the parts make %d bytes: %.50q", len(got.Body), got.Body)
			}
			if string(got.Extra["tenant"]) != `"a"` || got.Type != "function" || got.Time != string(long.Time) {
				t.Errorf("the parts are of %s, %s, with %v", got.Type, got.Time, got.Extra)
			}
			// As few as can be: all but the last one fill a record.
			for _, one := range rows[1 : len(rows)-2] {
				if len(one.text) < pack.MaxRecord-8<<10 {
					t.Errorf("part %d of %d has only %d bytes", one.Part, one.Parts, len(one.text))
				}
			}
			if total := r.account.Total(); total != 0 {
				t.Errorf("%d events lost", total)
			}
		})
	}
}

func TestALinePartIsWrittenAsDocumented(t *testing.T) {
	r := newPacker(plain)
	long := line("")
	long.Record = fmt.Appendf(nil, "[%s,\n\"a\\n\\\\\tb\"]", strings.Repeat("1,", 600<<10)+"2")
	long.Extra = []byte(`"tenant":"a"`)
	r.Add(long)
	r.Seal()
	rows := decode(t, r.records...)
	if len(rows) != 2 {
		t.Fatalf("%d lines, want 2", len(rows))
	}
	const resource = `,"resource":{"cloud.provider":"aws","cloud.region":"eu-west-1","cloud.account.id":"123456789012",` +
		`"faas.name":"orders","faas.version":"$LATEST","service.name":"orders","service.instance.id":"0123456789abcdef"}}` + "\n"
	for i, tt := range []struct{ begin, end string }{
		{
			`{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:15:00.000Z","type":"function","part":1,"parts":2,"body":"[1,1,1,`,
			`","extra":{"tenant":"a"}` + resource,
		},
		{
			`{"schema":"kinetel/1","seq":2,"time":"2026-11-22T20:15:00.000Z","type":"function","part":2,"parts":2,"body":"`,
			`1,2,\"a\\n\\\\\tb\"]"` + resource,
		},
	} {
		line := string(rows[i].text)
		if !strings.HasPrefix(line, tt.begin) || !strings.HasSuffix(line, tt.end) {
			t.Errorf("part %d is\n%.200s … %s, want\n%s … %s", i+1, line, line[len(line)-300:], tt.begin, tt.end)
		}
	}
}

func TestAPlatformEventInPartsIsNotDroppable(t *testing.T) {
	r := newPacker(plain)
	ev := line(string(text(2<<20, true, 1)))
	ev.Type = []byte("platform.report")
	r.Add(ev)
	r.Seal()
	if len(r.records) < 2 {
		t.Fatalf("%d records", len(r.records))
	}
	for _, rec := range r.records {
		checkLimits(t, rec)
		if rec.Droppable != 0 {
			t.Errorf("%d of %d parts are droppable", rec.Droppable, rec.Events)
		}
	}
}

// What an escape takes in a part's string counts: each line stays within the
// limit, whatever the text is made of.
func TestPartsOfTextThatNeedsEscapesAreWithinTheLimits(t *testing.T) {
	for _, tt := range []struct{ name, unit string }{
		{"quotes", `\"`},
		{"backslashes", `\\`},
		{"tabs and carriage returns", "\\t\\r"},
		{"control characters", `\u0000`},
		{"characters of four bytes", "😀"},
		{"broken UTF-8", "\x80\xbf\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && tt.name != "control characters" && tt.name != "quotes" {
				t.Skip("-short: other texts run in make test-deep")
			}
			r := newPacker(plain, keyBy(config.PartitionByFunction), func(set *setup) { set.id.FunctionName = strings.Repeat("f", 256) })
			ev := line("")
			ev.Record = []byte(`"` + strings.Repeat(tt.unit, 5<<18/len(tt.unit)) + `"`)
			r.Add(ev)
			r.Seal()
			for _, rec := range r.records {
				checkLimits(t, rec)
			}
			events := join(t, decode(t, r.records...))
			if len(events) != 1 || !bytes.Equal(events[0].Body, ev.Record) || len(events[0].numbers) < 2 {
				t.Fatalf("%d events of %d parts", len(events), len(events[0].numbers))
			}
		})
	}
}

// White space that JSON allows between tokens needs escapes in a part.
func TestPartsOfWhiteSpaceAreWithinTheLimits(t *testing.T) {
	spaces := []string{"\t\r \n", "\r"}
	if testing.Short() {
		spaces = spaces[:1]
	}
	for _, space := range spaces {
		r := newPacker(plain)
		ev := line("")
		ev.Record = []byte("[" + strings.Repeat(space, 3<<19/len(space)) + "]")
		r.Add(ev)
		r.Seal()
		for _, rec := range r.records {
			checkLimits(t, rec)
		}
		events := join(t, decode(t, r.records...))
		if len(events) != 1 || len(events[0].numbers) < 2 || !bytes.Equal(events[0].Body, bytes.ReplaceAll(ev.Record, []byte("\n"), nil)) {
			t.Errorf("%d events of %q", len(events), space)
		}
	}
}

func TestPartsAreCutBetweenCharacters(t *testing.T) {
	for _, character := range []string{"é", "世", "😀"} {
		for shift := range len(character) {
			if testing.Short() && shift != 1 {
				continue
			}
			r := newPacker(plain)
			ev := line(strings.Repeat("x", shift) + strings.Repeat(character, 2<<20/len(character)))
			r.Add(ev)
			r.Seal()
			for _, one := range decode(t, r.records...) {
				if !utf8.Valid(one.Body) {
					t.Errorf("%s, shifted by %d: part %d of %d is cut inside of a character", character, shift, one.Part, one.Parts)
				}
			}
		}
	}
}

// An event fits whole, or just does not: nothing is ever lost between.
func TestEventsAroundTheLimitAreNotLost(t *testing.T) {
	random := text(2*pack.MaxRecord, true, 5)
	for _, compression := range compressions() {
		if testing.Short() && compression == format.Zstd {
			continue
		}
		// Random text has six bits a byte.
		limits := []int{pack.MaxRecord, pack.MaxRecord * 8 / 6}
		for _, limit := range limits {
			for i, below := range []int{600, 1, 8 << 10, 4096 + 400, 4096, 700, 300, 0, -1, -5000} {
				if testing.Short() && i >= 1 {
					break
				}
				r := newPacker(keyBy(config.PartitionByFunction), func(set *setup) {
					set.Compression = compression
					set.id.FunctionName = strings.Repeat("f", 256)
				})
				ev := line("")
				ev.Record = slices.Concat([]byte{'"'}, random[:limit-below], []byte{'"'})
				r.Add(line("before"))
				r.Add(ev)
				r.Add(line("after"))
				r.Seal()
				for _, rec := range r.pushed {
					if rec.Size() > pack.MaxRecord {
						t.Errorf("%s, %d below %d: a record of %d bytes", compression, below, limit, rec.Size())
					}
				}
				events := join(t, decode(t, r.pushed...))
				if len(events) != 3 || !bytes.Equal(events[1].Body, ev.Record) || r.account.Total() != 0 {
					t.Errorf("%s, %d below %d: %d events, %d of them lost", compression, below, limit, len(events), r.account.Total())
				}
			}
		}
	}
}

func TestPartsShareNoRecordWithOtherEvents(t *testing.T) {
	r := newPacker(plain)
	r.Add(line("before"))
	r.Add(line(string(text(3<<20, true, 1))))
	if age := r.Age(); age != 0 {
		t.Errorf("a record is open for %s", age)
	}
	n := len(r.records)
	r.Add(line("after"))
	r.Seal()
	if len(r.records) != n+1 || r.records[0].Events != 1 || r.records[n].Events != 1 {
		t.Errorf("%d records after the parts, %d events in the first one", len(r.records)-n, r.records[0].Events)
	}
	for _, rec := range r.records[1:n] {
		for _, one := range decode(t, rec) {
			if one.Parts == 0 {
				t.Errorf("event %d is in a record of parts", one.Seq)
			}
		}
	}
}

// Only an event whose line is too large without its body is lost: a part could not
// hold it either.
func TestOnlyAnEnvelopeCanBeOversize(t *testing.T) {
	huge := func(n int) []byte { return fmt.Appendf(nil, `"x":%s`, jsontext.AppendQuote(nil, text(n, true, 3))) }
	for _, tt := range []struct {
		name     string
		change   func(*event.Event)
		oversize bool
	}{
		{"unknown members that leave no room", func(ev *event.Event) { ev.Extra = huge(2 << 20) }, true},
		{"a type that leaves no room", func(ev *event.Event) { ev.Type = text(2<<20, true, 1) }, true},
		{"a long body and an envelope above 64 KiB", func(ev *event.Event) { ev.Record, ev.Extra = huge(2 << 20)[4:], huge(66<<10) }, true},
		{"a long body and an envelope below 64 KiB", func(ev *event.Event) { ev.Record, ev.Extra = huge(2 << 20)[4:], huge(62<<10) }, false},
		{"an envelope above 64 KiB alone", func(ev *event.Event) { ev.Extra = huge(66 << 10) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			r := newPacker(plain, func(set *setup) { set.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
			r.Add(line("before"))
			ev := line("x")
			tt.change(ev)
			r.Add(ev)
			r.Add(line("after"))
			r.Seal()
			for _, rec := range r.records {
				checkLimits(t, rec)
			}
			events := join(t, decode(t, r.records...))
			if !tt.oversize {
				if len(events) != 3 || !bytes.Equal(events[1].Body, ev.Record) || log.Len() != 0 || r.account.Total() != 0 {
					t.Errorf("%d events, %d lost; the log: %.300s", len(events), r.account.Total(), &log)
				}
				return
			}
			var loss ledger.Loss
			if reported := reportedBy(t, r.records[len(r.records)-1]); len(reported) == 1 {
				loss = reported[0]
			}
			envelope := len(ev.Extra) + len(ev.Type) + len(ev.Record)
			if loss.First != 2 || loss.Last != 2 || loss.Count != 1 || loss.Reason != ledger.Oversize || loss.Bytes < int64(envelope) || loss.Bytes > int64(envelope)+1000 {
				t.Errorf("the loss is reported as %+v", loss)
			}
			if len(events) != 3 || events[0].Seq != 1 || events[1].Seq != 3 || events[2].Seq != 4 {
				t.Errorf("events around the loss: %d", len(events))
			}
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), `"seq":2`) || log.Len() > 1000 {
				t.Errorf("the log has %d lines, want one that names the event by its number only: %.1000s", n, &log)
			}
			if diff := cmp.Diff(pack.Added{Events: 3, Own: 1}, r.Added()); diff != "" {
				t.Errorf("Added (-want +got):\n%s", diff)
			}
		})
	}
}
