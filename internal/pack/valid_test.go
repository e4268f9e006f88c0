package pack_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/record"
	schematest "github.com/kinetel/kinetel/test/schema"
)

// broken are bodies that are not UTF-8, or have half a surrogate pair.
func broken(size int) map[string][]byte {
	quoted := func(unit string) []byte { return []byte(`"` + strings.Repeat(unit, size/len(unit)+1) + `"`) }
	return map[string][]byte{
		"one byte":             append(bytes.TrimSuffix(quoted("a"), []byte{'"'}), 0xff, '"'),
		"no character":         quoted("\xff"),
		"cut characters":       quoted("\xe4\xb8 😀"),
		"random bytes":         quoted(escaped(noise(min(size, 64<<10)))), // gzip does not look back that far
		"lone surrogates":      quoted(`\ud800`),
		"a cut pair":           quoted(`\ud83d\ude00\ud83d`),
		"escapes between":      quoted("\\\"\\\\\xff\\n"),
		"an object":            fmt.Appendf(nil, "{%s:\n[%s]}", quoted("\xfe"), quoted("b")),
		"text that is no JSON": quoted(escaped([]byte("\x00\x01\xff"))),
	}
}

// escaped returns text between the quotes of a JSON string.
func escaped(text []byte) string { return string(jsontext.Unquoted(jsontext.AppendQuote(nil, text))) }

// noise is bytes of all values, the same each time.
func noise(size int) []byte {
	b := text(size, true, 9)
	for i := range b {
		b[i] = b[i]<<3 ^ byte(i)
	}
	return b
}

// In every format, whatever its size, a body that is not UTF-8 arrives: in records
// that are legal and valid, and with its original bytes.
func TestABodyThatIsNotUTF8Arrives(t *testing.T) {
	for _, f := range formats() {
		for _, compression := range []format.Compression{format.Gzip, format.Uncompressed} {
			if (f == kpl.Name) != (compression == format.Uncompressed) && f != ndjson.Name {
				continue
			}
			t.Run(string(f)+" "+string(compression), func(t *testing.T) {
				sizes := []int{1, 1000, 70 << 10, 250 << 10, 3 << 19}
				if testing.Short() {
					sizes = []int{1, 1000, 70 << 10}
					if f == ndjson.Name && compression == format.Gzip { // parts are made of lines, in every format
						sizes = append(sizes, 250<<10)
					}
				}
				for _, size := range sizes {
					for name, body := range broken(size) {
						if size > 1000 && (name == "escapes between" || name == "a cut pair" || name == "cut characters") {
							continue // which would only take time
						}
						if size > pack.MaxRecord && name != "no character" && name != "random bytes" && name != "an object" {
							continue
						}
						if testing.Short() && size > 1000 && name != "no character" {
							continue
						}
						r := newPacker(formatted(f), func(set *setup) { set.Compression = compression })
						ev := line("")
						ev.Record, ev.Extra = body, []byte("\"a\xff\":1")
						r.Add(line("before"))
						r.Add(ev)
						r.Add(line("after"))
						r.Seal()
						var all []record.Event
						for _, rec := range r.records {
							if rec.Size() > pack.MaxRecord {
								t.Errorf("%d bytes of %s: a record of %d bytes", size, name, rec.Size())
							}
							if size <= 1000 {
								schematest.Check(t, rec.Data)
							} else if f != kpl.Name && !jsontext.ValidUnicode(inflate(t, rec.Data)) {
								t.Errorf("%d bytes of %s: a record that is not valid", size, name)
							}
							events, err := record.Decode(rec.Data)
							if err != nil {
								t.Fatalf("%d bytes of %s: %v", size, name, err)
							}
							all = append(all, events...)
						}
						all = record.Join(all)
						if len(all) != 3 || !bytes.Equal(all[1].Body, body) || r.account.Total() != 0 {
							t.Errorf("%d bytes of %s: %d events, %d lost", size, name, len(all), r.account.Total())
						}
					}
				}
			})
		}
	}
}

// Without the originals the parts' strings make a body that is valid, whether or
// not a character stands where they are cut.
func TestPartsOfABodyThatIsNotUTF8AreValidTogether(t *testing.T) {
	size := 2 << 20
	if testing.Short() {
		size = 1 << 20
	}
	for _, unit := range []string{`\ud83d\ude00`, "😀", `\\`, `\u00e9`} {
		for shift := range len(unit) {
			if testing.Short() && shift != 1 {
				continue
			}
			r := newPacker(plain)
			ev := line("")
			ev.Record = []byte("\"\xff" + strings.Repeat("x", shift) + strings.Repeat(unit, size/len(unit)) + `"`)
			r.Add(ev)
			r.Seal()
			var body []byte
			for _, rec := range r.records {
				for text := range bytes.Lines(inflate(t, rec.Data)) {
					l, ok := format.ReadLine(text)
					if !ok || !jsontext.ValidUnicode(text) {
						t.Fatalf("not a valid line: %.100q", text)
					}
					body = append(body, unquote(t, l.Body)...)
				}
			}
			if want := bytes.Replace(ev.Record, []byte("\xff"), []byte("\uFFFD"), 1); !bytes.Equal(body, want) {
				t.Errorf("%s, shifted by %d: %d bytes, want %d", unit, shift, len(body), len(want))
			}
		}
	}
}

// 16 MiB of bytes that are not UTF-8, as one POST may have, are 70 MB with
// replacements and original: never all of it at once.
func TestABodyThatIsNotUTF8TakesBoundedMemory(t *testing.T) {
	size := 16 << 20
	if testing.Short() {
		size = 3 << 20 // all of it at once would be 13 MB
	}
	ev := line("")
	ev.Record = append(append([]byte{'"'}, bytes.Repeat([]byte{0xff}, size)...), '"')
	most := uint64(0)
	var before, now runtime.MemStats
	env := environmentOf(identity())
	r := newPacker(plain)
	env.Ledger = r.ledger
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := pack.New(pack.Options{
		Environment: env, Compression: format.Gzip, PartitionKey: config.PartitionByEnvironment,
		Push: func(rec *pack.Record) {
			if rec.Size() > pack.MaxRecord {
				t.Errorf("a record of %d bytes", rec.Size())
			}
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
		},
	})
	p.Add(ev)
	p.Seal()
	if most > 8<<20 {
		t.Errorf("%d bytes are in use", most)
	}
}
