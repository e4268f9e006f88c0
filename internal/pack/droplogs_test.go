package pack_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

// losing returns an environment whose ledger records the losses before it joins adjacent ranges.
func losing() (env *environment.Environment, account *ledger.Account, lost *[]ledger.Loss) {
	account, lost = &ledger.Account{}, new([]ledger.Loss)
	env = environmentOf(identity())
	env.Ledger = ledger.New(account, func(loss ledger.Loss) {
		loss.Number = 0 // only the ledger uses it
		*lost = append(*lost, loss)
	})
	return env, account, lost
}

// recordOf returns a record of lines, as a Packer makes it.
func recordOf(t fataler, kind format.Compression, lines []byte) *pack.Record {
	t.Helper()
	r := &pack.Record{Data: deflate(t, kind, lines), PartitionKey: "key", Lines: int64(len(lines)), Throttled: 0}
	rows := decode(t, r)
	r.First, r.Last, r.Events = rows[0].Seq, rows[len(rows)-1].Seq, len(rows)
	for _, one := range rows {
		if event.Droppable([]byte(one.Type)) {
			r.Droppable++
		}
	}
	return r
}

// describe formats the fields of a record.
func describe(r *pack.Record) string {
	if r == nil {
		return "nothing"
	}
	return fmt.Sprintf("a record of %d bytes, key %q: %d to %d, %d events, %d of them droppable, %d bytes of lines, %d losses, throttled %d times",
		len(r.Data), r.PartitionKey, r.First, r.Last, r.Events, r.Droppable, r.Lines, len(r.Losses), r.Throttled)
}

// typed is an event of a type.
func typed(kind, text string) *event.Event {
	ev := line(text)
	ev.Type = []byte(kind)
	return ev
}

// linesOfTypes are lines of events of these types, numbered from 1.
func linesOfTypes(t fataler, kinds ...string) []byte {
	t.Helper()
	r := newPacker(plain)
	for i, kind := range kinds {
		r.Add(typed(kind, fmt.Sprint("event ", i+1)))
	}
	r.Seal()
	return r.records[0].Data
}

// readable are the compressions that a LogDropper reads.
func readable() []format.Compression {
	return []format.Compression{format.Gzip, format.Uncompressed}
}

func TestDropLogsKeepsPlatformEvents(t *testing.T) {
	for _, compression := range readable() {
		t.Run(string(compression), func(t *testing.T) {
			lines := linesOfTypes(t, "function", "extension", "platform.start", "function", "kinetel.unparsed", "kinetel.report", "platform.report", "function")
			var each []string
			for text := range bytes.Lines(lines) {
				each = append(each, string(text))
			}
			env, account, lost := losing()
			r := recordOf(t, compression, lines)
			r.Environment = env
			r.Losses = []ledger.Loss{{First: 90, Last: 99, Count: 10, Reason: ledger.Rejected}}
			before := bytes.Clone(r.Data)

			got := pack.NewLogDropper(compression).DropLogs(r, ledger.SpoolFull)
			if got == nil {
				t.Fatal("nothing is left")
			}
			size := func(numbers ...int) (n int64) {
				for _, number := range numbers {
					n += int64(len(each[number-1]))
				}
				return n
			}
			want := &pack.Record{
				Data: got.Data, PartitionKey: "key", Environment: env,
				First: 3, Last: 7, Events: 3, Droppable: 0, Lines: size(3, 6, 7), Losses: r.Losses,
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *environment.Environment) bool { return a == b })); diff != "" {
				t.Errorf("the rest (-want +got):\n%s", diff)
			}
			if string(inflate(t, got.Data)) != each[2]+each[5]+each[6] {
				t.Errorf("the rest's lines are\n%s", inflate(t, got.Data))
			}
			if compressed := bytes.HasPrefix(got.Data, []byte("{")); compressed != (compression == format.Uncompressed) {
				t.Errorf("the rest is not compressed by %s", compression)
			}
			wantLost := []ledger.Loss{
				{First: 1, Last: 2, Count: 2, Bytes: size(1, 2), Reason: ledger.SpoolFull},
				{First: 4, Last: 5, Count: 2, Bytes: size(4, 5), Reason: ledger.SpoolFull},
				{First: 8, Last: 8, Count: 1, Bytes: size(8), Reason: ledger.SpoolFull},
			}
			if diff := cmp.Diff(wantLost, *lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
			if account.Total() != 5 || !bytes.Equal(before, r.Data) {
				t.Errorf("%d events lost in total; the record itself changed: %t", account.Total(), !bytes.Equal(before, r.Data))
			}
		})
	}
}

func TestDropLogsOfARecordOfLogLinesLeavesNothing(t *testing.T) {
	for _, compression := range compressions() {
		env, account, lost := losing()
		r := recordOf(t, compression, linesOfTypes(t, "function", "extension", "kinetel.unparsed"))
		r.Environment = env
		if got := pack.NewLogDropper(compression).DropLogs(r, ledger.BufferFull); got != nil {
			t.Errorf("%d events are left", got.Events)
		}
		if diff := cmp.Diff([]ledger.Loss{{First: 1, Last: 3, Count: 3, Bytes: r.Lines, Reason: ledger.BufferFull}}, *lost); diff != "" || account.Total() != 3 {
			t.Errorf("lost (-want +got):\n%s", diff)
		}
	}
}

// Nothing remains either if a record has only droppable events, and its field
// its field Droppable is another number.
func TestDropLogsOfARecordThatCountsTooFewLogLinesLeavesNothing(t *testing.T) {
	env, account, lost := losing()
	r := recordOf(t, format.Gzip, linesOfTypes(t, "function", "function"))
	r.Environment, r.Droppable = env, 1
	if got := pack.NewLogDropper(format.Gzip).DropLogs(r, ledger.BufferFull); got != nil {
		t.Errorf("%d events are left", got.Events)
	}
	if diff := cmp.Diff([]ledger.Loss{{First: 1, Last: 2, Count: 2, Bytes: r.Lines, Reason: ledger.BufferFull}}, *lost); diff != "" || account.Total() != 2 {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
}

func TestDropLogsOfARecordOfPlatformEventsChangesNothing(t *testing.T) {
	for _, compression := range compressions() {
		env, account, _ := losing()
		r := recordOf(t, compression, linesOfTypes(t, "platform.start", "kinetel.loss", "platform.report"))
		r.Environment, r.Throttled = env, 3
		before := *r
		before.Data = bytes.Clone(r.Data)
		got := pack.NewLogDropper(compression).DropLogs(r, ledger.BufferFull)
		if got == nil || account.Total() != 0 {
			t.Fatalf("%s: %s is left, %d events lost", compression, describe(got), account.Total())
		}
		if diff := cmp.Diff(&before, got, cmp.Comparer(func(a, b *environment.Environment) bool { return a == b })); diff != "" {
			t.Errorf("%s: the rest (-want +got):\n%s", compression, diff)
		}
	}
}

// An event that is longer than a record before compression is alone in its
// record, and must come out as it went in.
func TestDropLogsKeepsALongPlatformEventWhole(t *testing.T) {
	r := newPacker()
	r.Add(typed("platform.report", string(text(2<<20, false, 1))))
	r.Seal()
	if len(r.records) != 1 || r.records[0].Events != 1 || r.records[0].Droppable != 0 {
		t.Fatalf("%d records", len(r.records))
	}
	before := inflate(t, r.records[0].Data)
	rest := pack.NewLogDropper(format.Gzip).DropLogs(r.records[0], ledger.BufferFull)
	if rest == nil {
		if r.account.Total() != 1 {
			t.Error("it is neither kept nor reported lost")
		}
		return
	}
	if after := inflate(t, rest.Data); !bytes.Equal(before, after) {
		t.Errorf("a line of %d bytes is left as one of %d, and %d events are reported lost", len(before), len(after), r.account.Total())
	}
}

// A LogDropper cannot read zstd.
// Records whose log lines are dropped wait for long, where memory is scarce.
func TestDropLogsReleasesTheMemoryOfTheRecord(t *testing.T) {
	env, _, _ := losing()
	r := recordOf(t, format.Uncompressed, linesOfTypes(t, "function", event.TypePlatformStart))
	r.Environment = env
	released := weak.Make(r)
	rest := pack.NewLogDropper(format.Uncompressed).DropLogs(r, ledger.BufferFull)
	if rest == nil || rest.Events != 1 {
		t.Fatalf("the rest is %s", describe(rest))
	}
	r = nil
	runtime.GC()
	if released.Value() != nil {
		t.Error("the whole record is still in memory")
	}
	runtime.KeepAlive(rest)
}

func TestDropLogsDropsARecordOfZstd(t *testing.T) {
	env, account, lost := losing()
	r := recordOf(t, format.Zstd, linesOfTypes(t, "function", "platform.start", "function", "kinetel.loss"))
	r.Environment = env
	r.Losses = []ledger.Loss{{First: 90, Last: 99, Count: 10, Bytes: 7, Reason: ledger.Rejected}}
	if got := pack.NewLogDropper(format.Zstd).DropLogs(r, ledger.SpoolFull); got != nil {
		t.Errorf("%d events are left", got.Events)
	}
	want := []ledger.Loss{{First: 1, Last: 4, Count: 4, Bytes: r.Lines, Reason: ledger.SpoolFull}, r.Losses[0]}
	if diff := cmp.Diff(want, *lost); diff != "" || account.Total() != 4 {
		t.Errorf("lost (-want +got), %d in total:\n%s", account.Total(), diff)
	}
}

// If a record does not match its fields, all of it is dropped.
func TestDropLogsDropsARecordThatItCannotRead(t *testing.T) {
	mixed := func(t *testing.T, compression format.Compression) *pack.Record {
		return recordOf(t, compression, linesOfTypes(t, "function", "platform.start", "function", "platform.report"))
	}
	for _, tt := range []struct {
		name   string
		damage func(*pack.Record)
	}{
		{"no data", func(r *pack.Record) { r.Data = nil }},
		{"half of the data", func(r *pack.Record) { r.Data = r.Data[:len(r.Data)/2] }},
		{"all but the last byte", func(r *pack.Record) { r.Data = r.Data[:len(r.Data)-1] }},
		{"only what compression begins with", func(r *pack.Record) { r.Data = r.Data[:4] }},
		{"a bit is another one", func(r *pack.Record) { r.Data[len(r.Data)/2] ^= 4 }},
		{"numbers below the first one", func(r *pack.Record) { r.First = 2 }},
		{"numbers above the last one", func(r *pack.Record) { r.Last = 3 }},
		{"more events", func(r *pack.Record) { r.Events = 3 }},
		{"fewer events", func(r *pack.Record) { r.Events = 5 }},
		{"fewer bytes of lines", func(r *pack.Record) { r.Lines++ }},
		{"more bytes of lines", func(r *pack.Record) { r.Lines-- }},
		{"no bytes of lines", func(r *pack.Record) { r.Lines = 0 }},
	} {
		for _, compression := range []format.Compression{format.Gzip, format.Zstd} {
			t.Run(tt.name+", "+string(compression), func(t *testing.T) {
				env, account, lost := losing()
				r := mixed(t, compression)
				r.Environment = env
				r.Losses = []ledger.Loss{{First: 90, Last: 99, Count: 10, Bytes: 7, Reason: ledger.Rejected}}
				tt.damage(r)
				if got := pack.NewLogDropper(compression).DropLogs(r, ledger.SpoolFull); got != nil {
					t.Errorf("%d events are left", got.Events)
				}
				want := []ledger.Loss{{First: r.First, Last: r.Last, Count: r.Events, Bytes: r.Lines, Reason: ledger.SpoolFull}, r.Losses[0]}
				if diff := cmp.Diff(want, *lost); diff != "" || account.Total() != int64(r.Events) {
					t.Errorf("lost (-want +got), %d in total:\n%s", account.Total(), diff)
				}
			})
		}
	}
	t.Run("lines of something else", func(t *testing.T) {
		for _, data := range []string{"no line", "{}\n{}\n{}\n{}\n", `{"schema":"kinetel/2","seq":1,"type":"function"}` + "\n", "\n\n\n\n"} {
			env, account, _ := losing()
			r := mixed(t, format.Uncompressed)
			r.Environment, r.Data = env, []byte(data)
			if got := pack.NewLogDropper(format.Uncompressed).DropLogs(r, ledger.SpoolFull); got != nil || account.Total() != 4 {
				t.Errorf("%q: %s is left, %d events lost", data, describe(got), account.Total())
			}
		}
	})
}

// Other processes can write to the folder that a record is read from.
func TestDropLogsDropsARecordOfANegativeSize(t *testing.T) {
	env, account, _ := losing()
	r := recordOf(t, format.Gzip, linesOfTypes(t, "function", "platform.start"))
	r.Environment, r.Lines = env, -1
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
		}
	}()
	if got := pack.NewLogDropper(format.Gzip).DropLogs(r, ledger.SpoolFull); got != nil || account.Total() != 2 {
		t.Errorf("%s is left, %d events lost", describe(got), account.Total())
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// mostToRead bounds what reading any record may allocate: its lines, which grow
// by doubling at most, what compression needs, and room to spare.
const mostToRead = 24 << 20

func TestDropLogsOfADecompressionBombUsesBoundedMemory(t *testing.T) {
	for _, tt := range []struct {
		name string
		data func(t *testing.T) []byte
	}{
		{"gzip", func(t *testing.T) []byte {
			return bytes.Repeat(deflate(t, format.Gzip, make([]byte, 1<<20)), 3*mostToRead>>20)
		}},
		{"zstd", func(t *testing.T) []byte {
			return bytes.Repeat(deflate(t, format.Zstd, make([]byte, 1<<20)), 3*mostToRead>>20)
		}},
		// A frame that asks for a window of 1 GiB (RFC 8878, 3.1.1.1.2).
		{"zstd with a huge window", func(*testing.T) []byte {
			return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x03, 0x00, 0x08, 'x'}
		}},
		// A frame with a content size of 1 TiB in one segment.
		{"zstd with a huge content", func(*testing.T) []byte {
			return []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 0x03, 0x00, 0x08, 'x'}
		}},
		{"no compression", func(*testing.T) []byte { return make([]byte, 2*pack.MaxRecord) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, account, _ := losing()
			r := &pack.Record{Data: tt.data(t), Environment: env, First: 1, Last: 2, Events: 2, Droppable: 1, Lines: 1 << 40}
			var got *pack.Record
			n := allocated(func() { got = pack.NewLogDropper(format.Gzip).DropLogs(r, ledger.BufferFull) })
			if got != nil || account.Total() != 2 {
				t.Errorf("%s is left, %d events lost", describe(got), account.Total())
			}
			if n > mostToRead {
				t.Errorf("it took %d bytes of memory", n)
			}
		})
	}
}

// anyType draws the type of an event, odd ones among them.
func anyType() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"function", "function", "function", "extension", "platform.start", "platform.report", "platform.", "kinetel.loss", "kinetel.report",
		"kinetel.unparsed", "kinetel.", "kinetel", "platform", "platformx.start", `odd \"type\"`, `platform.\"x`, `kinetel.unparsed\"`, "type", "世",
	})
}

func TestDropLogsKeepsOrReportsEveryEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		compression := rapid.SampledFrom(readable()).Draw(t, "compression")
		// Lines of mixed types, with texts that look like other lines.
		r := newPacker(plain, func(set *setup) {
			set.Next = rapid.SampledFrom([]uint64{1, 99, 1 << 50}).Draw(t, "next")
			set.id.Config.Attributes = []config.Attribute{{Name: "env", Value: `","type":"platform.start"`}}
		})
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			ev := typed(anyType().Draw(t, "type"), rapid.SampledFrom([]string{
				"text", `","type":"platform.start","body":"`, `{"schema":"kinetel/1","seq":7,`, "\n", "\xff",
			}).Draw(t, "text"))
			if rapid.Bool().Draw(t, "large") {
				ev.Record = jsontext.AppendQuote(nil, text(rapid.IntRange(0, 4<<10).Draw(t, "size"), rapid.Bool().Draw(t, "random"), 1))
			}
			if rapid.IntRange(0, 9).Draw(t, "extra") == 0 {
				ev.Extra = []byte(`"type":"platform.start","seq":3`)
			}
			r.Add(ev)
		}
		r.Seal()
		// Some were dropped before.
		var lines []byte
		gaps := rapid.Bool().Draw(t, "gaps")
		for text := range bytes.Lines(r.records[0].Data) {
			if !gaps || rapid.IntRange(0, 4).Draw(t, "dropped before") > 0 {
				lines = append(lines, text...)
			}
		}
		if len(lines) == 0 {
			return
		}
		rec := recordOf(t, compression, lines)
		env, account, lost := losing()
		rec.Environment, rec.PartitionKey = env, rapid.StringN(1, 20, -1).Draw(t, "key")
		rec.Losses = []ledger.Loss{{First: 1, Last: 1, Count: 1, Reason: ledger.Oversize}}

		dropper := pack.NewLogDropper(rapid.SampledFrom(compressions()).Draw(t, "compression of the rest"))
		rest := dropper.DropLogs(rec, ledger.SpoolFull)

		var wantKept []byte
		var wantLost []ledger.Loss
		for _, one := range decode(t, rec) {
			if !event.Droppable([]byte(one.Type)) {
				wantKept = append(wantKept, one.text...)
				continue
			}
			if n := len(wantLost); n > 0 && wantLost[n-1].Last+1 == one.Seq {
				wantLost[n-1].Last++
				wantLost[n-1].Count++
				wantLost[n-1].Bytes += int64(len(one.text))
				continue
			}
			wantLost = append(wantLost, ledger.Loss{First: one.Seq, Last: one.Seq, Count: 1, Bytes: int64(len(one.text)), Reason: ledger.SpoolFull})
		}
		if account.Total() != int64(rec.Droppable) {
			t.Fatalf("%d events are lost, want %d", account.Total(), rec.Droppable)
		}
		if len(wantKept) == 0 {
			want := []ledger.Loss{rec.Loss(ledger.SpoolFull), rec.Losses[0]}
			if diff := cmp.Diff(want, *lost); diff != "" || rest != nil {
				t.Fatalf("%s is left; lost (-want +got):\n%s", describe(rest), diff)
			}
			return
		}
		if diff := cmp.Diff(wantLost, *lost); diff != "" {
			t.Fatalf("lost (-want +got):\n%s", diff)
		}
		if rest == nil || !bytes.Equal(inflate(t, rest.Data), wantKept) {
			t.Fatalf("the rest is %s, want the lines\n%s", describe(rest), wantKept)
		}
		rows := decode(t, rest)
		if rest.First != rows[0].Seq || rest.Last != rows[len(rows)-1].Seq || rest.Events != len(rows) || rest.Droppable != 0 ||
			rest.Lines != int64(len(wantKept)) || rest.PartitionKey != rec.PartitionKey || rest.Environment != env || !slices.Equal(rest.Losses, rec.Losses) {
			t.Fatalf("the rest is: %s", describe(rest))
		}
	})
}

// checkDropLogs drops the logs of any record, and checks that each of its events is
// kept or reported lost.
func checkDropLogs(t fataler, r *pack.Record) (rest *pack.Record) {
	t.Helper()
	env, account, _ := losing()
	r.Environment = env
	dropper := pack.NewLogDropper(format.Gzip)
	n := allocated(func() { rest = dropper.DropLogs(r, ledger.SpoolCorrupt) })
	if n > mostToRead+4*uint64(len(r.Data)) {
		t.Fatalf("%d bytes of data took %d of memory", len(r.Data), n)
	}
	kept := 0
	switch {
	case rest == r: // it has no droppable events
		kept = r.Events
		if r.Droppable != 0 {
			t.Fatalf("no event was dropped of %s", describe(r))
		}
	case rest != nil:
		kept = rest.Events
		lines := inflate(t, rest.Data)
		if bytes.Count(lines, []byte("\n")) < kept-1 || int64(len(lines)) != rest.Lines || rest.Droppable != 0 || rest.First < r.First || rest.Last > r.Last {
			t.Fatalf("the rest is: %s", describe(rest))
		}
	}
	if int64(kept)+account.Total() != int64(r.Events) {
		t.Fatalf("of %d events %d are kept and %d lost", r.Events, kept, account.Total())
	}
	return rest
}

// Wherever a record is damaged, it is either dropped or unchanged: its checksum
// detects damage.
func TestDropLogsOfADamagedRecordNeverInventsLines(t *testing.T) {
	whole := newPacker()
	for i := range 40 {
		whole.Add(typed([]string{"function", "platform.report"}[i%2], fmt.Sprint("event ", i, " and more")))
	}
	whole.Seal()
	sound := *whole.records[0]
	want := inflate(t, checkDropLogs(t, &sound).Data)
	for i := range sound.Data {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := sound
			damaged.Data = bytes.Clone(sound.Data)
			damaged.Data[i] ^= flip
			if rest := checkDropLogs(t, &damaged); rest != nil && !bytes.Equal(inflate(t, rest.Data), want) {
				t.Fatalf("byte %d flipped by %x: the rest has other lines", i, flip)
			}
		}
		short := sound
		short.Data = sound.Data[:i]
		if checkDropLogs(t, &short) != nil {
			t.Fatalf("%d of %d bytes are accepted as the record", i, len(sound.Data))
		}
	}
}

func FuzzDropLogs(f *testing.F) {
	lines := linesOfTypes(f, "function", "platform.start", "extension", "platform.report")
	for _, compression := range compressions() {
		data := deflate(f, compression, lines)
		size := uint32(len(lines))
		f.Add(data, uint64(1), uint64(4), uint16(4), uint16(2), size)
		f.Add(data, uint64(1), uint64(4), uint16(4), uint16(2), size-1)
		f.Add(data, uint64(1), uint64(4), uint16(4), uint16(2), uint32(1<<32-1))
		f.Add(data[:len(data)/2], uint64(1), uint64(4), uint16(4), uint16(2), size)
		f.Add(append(bytes.Clone(data), data...), uint64(1), uint64(4), uint16(8), uint16(1), 2*size)
	}
	f.Add(deflate(f, format.Gzip, make([]byte, 4<<20)), uint64(0), uint64(9), uint16(2), uint16(1), uint32(4<<20))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x03, 0x00, 0x08, 'x'}, uint64(0), uint64(0), uint16(2), uint16(1), uint32(1<<30))
	f.Add([]byte(`{"schema":"kinetel/1","seq":18446744073709551615,"type":"`), uint64(0), uint64(1<<64-1), uint16(2), uint16(1), uint32(57))
	f.Fuzz(func(t *testing.T, data []byte, first, last uint64, events, droppable uint16, size uint32) {
		checkDropLogs(t, &pack.Record{
			Data: data, PartitionKey: "key", First: first, Last: last,
			Events: int(events), Droppable: int(droppable), Lines: int64(size),
		})
	})
}
