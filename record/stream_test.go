package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/record"
)

// collect returns the events and the errors of a sequence.
func collect(all iter.Seq2[record.Event, error]) (events []record.Event, errs []error) {
	for e, err := range all {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		events = append(events, e)
	}
	return events, errs
}

func stream(data string) ([]record.Event, []error) {
	return collect(record.Events(strings.NewReader(data)))
}

// numbered is aLine with a number.
func numbered(seq int) string { return strings.Replace(aLine, "17", fmt.Sprint(seq), 1) }

func seqs(events []record.Event) (all []uint64) {
	for _, e := range events {
		all = append(all, e.Seq)
	}
	return all
}

// readers pass the same data in different pieces.
var readers = map[string]func(io.Reader) io.Reader{
	"whole": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with the end": iotest.DataErrReader,
}

// A stream has the events of its records, whatever their formats and compressions, and
// however they are cut.
func TestEventsReadsAnyConcatenation(t *testing.T) {
	cloudWatch := func(lines []format.Line) []byte {
		return cloudwatch.Append(nil, aCloudWatchSource(aResource, false), "", lines)
	}
	formats := map[string]func([]format.Line) []byte{"lines": encodings["lines"], "logs": encodings["logs"], "spans": encodings["spans"], "cloudwatch": cloudWatch}
	names := []string{"lines", "logs", "spans", "cloudwatch"}
	rapid.Check(t, func(t *rapid.T) {
		var data strings.Builder
		var want []record.Event
		one := func(name, compression string) {
			text := rapid.SliceOfN(aLineOf(aResource, name == "spans"), 1, 3).Draw(t, "lines")
			if name == "cloudwatch" {
				text = []string{aLine, numbered(18)}
			}
			encode := formats[name]
			if name == "kpl" {
				encode = encodings["kpl"]
			}
			data1 := compressions[compression](t, string(encode(read(t, text...))))
			events, err := record.Decode([]byte(data1))
			if err != nil {
				t.Fatalf("%s: %v in %q", name, err, text)
			}
			data.WriteString(data1)
			want = append(want, events...)
		}
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			one(rapid.SampledFrom(names).Draw(t, "format"), rapid.SampledFrom([]string{"plain", "gzip", "zstd"}).Draw(t, "compression"))
		}
		if rapid.Bool().Draw(t, "aggregate") {
			one("kpl", "plain")
		}
		reader := rapid.SampledFrom([]string{"whole", "one byte", "half", "data with the end"}).Draw(t, "reader")
		got, errs := collect(record.Events(readers[reader](strings.NewReader(data.String()))))
		if len(errs) > 0 {
			t.Fatalf("%v in %q", errs, data.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("events (-want +got):\n%s", diff)
		}
	})
}

// A tool that compresses again may cut lines at the ends of gzip members.
func TestEventsReadsLinesThatSpanCompressedPieces(t *testing.T) {
	for name, compress := range compressions {
		var data string
		for piece := range slices.Chunk([]byte(numbered(1)+numbered(2)+anOTLP+numbered(3)), 50) {
			data += compress(t, string(piece))
		}
		got, errs := stream(data)
		if diff := cmp.Diff([]uint64{1, 2, 17, 3}, seqs(got)); diff != "" || len(errs) > 0 {
			t.Errorf("%s: %v, events (-want +got):\n%s", name, errs, diff)
		}
	}
}

func TestEventsReadsAValueInPiecesBeforeDamage(t *testing.T) {
	text := ofCloudWatch(logEvent(7, cloudwatch.FunctionText, `"a"`))
	data := zip(t, text[:200]) + zip(t, text[200:]) + "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00\xff" + zip(t, numbered(2))
	for name, reader := range readers {
		got, errs := collect(record.Events(reader(strings.NewReader(data))))
		if diff := cmp.Diff([]uint64{7, 2}, seqs(got)); diff != "" || len(errs) != 1 {
			t.Errorf("%s: the errors %v, events (-want +got):\n%s", name, errs, diff)
		}
	}
}

// If the end of a value were looked for after each piece, this would take hours.
func TestEventsReadsAValueInManyPieces(t *testing.T) {
	pieces := 30_000
	if testing.Short() {
		pieces = 3_000
	}
	cloudWatch := ofCloudWatch(logEvent(7, cloudwatch.FunctionText, `"`+strings.Repeat("x", 30<<20)+`"`))
	for name, compress := range compressions {
		for _, tt := range []struct {
			name, before, after string
			want                []uint64
			errors              int
		}{
			{"a line without a line feed", aLine[:strings.Index(aLine, "user")], strings.TrimSuffix(aLine[strings.Index(aLine, "user"):], "\n"), []uint64{17}, 0},
			{"a line that is cut", aLine[:strings.Index(aLine, "user")], "", nil, 1},
			{"a record of cloudwatch", cloudWatch[:strings.Index(cloudWatch, "x")], cloudWatch[strings.LastIndex(cloudWatch, "x")+1:], []uint64{7}, 0},
		} {
			if name == "plain" {
				continue
			}
			data := compress(t, tt.before) + strings.Repeat(compress(t, strings.Repeat("x", 1000)), pieces) + compress(t, tt.after)
			got, errs := stream(data)
			if diff := cmp.Diff(tt.want, seqs(got)); diff != "" || len(errs) != tt.errors {
				t.Errorf("%s, %s: %v, events (-want +got):\n%s", name, tt.name, errs, diff)
			}
		}
	}
}

func TestEventsContinuesAfterAnError(t *testing.T) {
	cut := func(s string) string { return s[:len(s)-9] }
	flipped := func(s string) string { return s[:len(s)-6] + "?" + s[len(s)-5:] } // in the checksum of gzip
	cloudWatch := ofCloudWatch(logEvent(7, cloudwatch.FunctionText, `"a"`))
	control := strings.Replace(cloudWatch, "DATA_MESSAGE", "CONTROL_MESSAGE", 1)
	for _, tt := range []struct {
		name, data string
		want       []uint64
		lines      int    // before the error
		wrong      string // empty: there is no error
	}{
		{"nothing", "", nil, 0, ""},
		{"gzip of nothing", zip(t, ""), nil, 0, ""},
		{"a bad line", numbered(1) + "hello\n" + numbered(2), []uint64{1, 2}, 1, "invalid character"},
		{"empty lines", numbered(1) + "\n\r\n" + numbered(2) + "\n", []uint64{1, 2}, 0, ""},
		{"line feeds between gzip members", zip(t, numbered(1)) + "\n" + zip(t, numbered(2)) + "\n", []uint64{1, 2}, 0, ""},
		{"another schema", `{"schema":"x"}` + "\n" + numbered(2), []uint64{2}, 0, `schema "x" is not`},
		{"a bad line in gzip", zip(t, "hello\n"+numbered(1)) + zip(t, numbered(2)), []uint64{1, 2}, 0, "invalid character"},
		{"text without an end, before gzip", "hello" + zip(t, numbered(1)), []uint64{1}, 0, "the last line does not end"},
		{"text without an end, before zstd", "hello(" + zst(t, numbered(1)), []uint64{1}, 0, "the last line does not end"},
		{"text without an end, in gzip before zstd", zip(t, "hello") + zst(t, numbered(1)), []uint64{1}, 0, "the last line does not end"},
		{"the last line is cut", numbered(1) + numbered(2)[:50], []uint64{1}, 1, "the last line does not end: unexpected EOF"},
		{"the last line has no line feed", numbered(1) + strings.TrimSuffix(numbered(2), "\n"), []uint64{1}, 1, "the last line does not end: unexpected EOF"},
		{"a user record in gzip", zip(t, strings.TrimSuffix(numbered(1), "\n")) + zip(t, numbered(2)), []uint64{1, 2}, 0, ""},
		{"the last gzip is cut", zip(t, numbered(1)) + cut(zip(t, numbered(2))), []uint64{1, 2}, 2, "unexpected EOF"},
		{"the last zstd is cut", zst(t, numbered(1)) + cut(zst(t, numbered(2))), []uint64{1}, 1, "unexpected EOF"},
		{"gzip ends in its header", zip(t, numbered(1)) + "\x1f\x8b\x08\x00", []uint64{1}, 1, "unexpected EOF"},
		{"zstd ends in its header", zst(t, numbered(1)) + "\x28\xb5\x2f\xfd", []uint64{1}, 1, "unexpected EOF"},
		// The end is found inside the next record.
		{"a gzip in the middle is cut", zip(t, numbered(1))[:40] + zip(t, numbered(2)) + zip(t, numbered(3)), []uint64{3}, 0, "flate: corrupt input"},
		{"a gzip with another checksum", zip(t, numbered(1)) + flipped(zip(t, numbered(2))) + zip(t, numbered(3)), []uint64{1, 2, 3}, 2, "gzip: invalid checksum"},
		{"a header that is none", zip(t, numbered(1)) + "\x1f\x8b\x08\x02crc is wrong" + zip(t, numbered(2)), []uint64{1, 2}, 1, "gzip: invalid header"},
		{"a zstd that is damaged", "\x28\xb5\x2f\xfd\xff\xff\xff\xff" + zst(t, numbered(2)), []uint64{2}, 0, "reserved bit"},
		{"CloudWatch's own message", zip(t, control) + zip(t, cloudWatch), []uint64{7}, 0, "CONTROL_MESSAGE"},
		{"a record of cloudwatch that is cut", zip(t, cloudWatch[:90]) + zst(t, numbered(1)), []uint64{1}, 0, "the last line does not end"},
		{"a record of cloudwatch that is damaged", cloudWatch[:90] + "\n" + cloudWatch, []uint64{7}, 0, "not a JSON value"},
		{"an aggregate that is not the last", aggregated(numbered(1)) + numbered(2), nil, 0, "not an aggregate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, reader := range readers {
				got, errs := collect(record.Events(reader(strings.NewReader(tt.data))))
				if diff := cmp.Diff(tt.want, seqs(got)); diff != "" || len(errs) > 1 || len(errs) > 0 != (tt.wrong != "") {
					t.Fatalf("%s: the errors %q, events (-want +got):\n%s", name, errs, diff)
				}
				for _, err := range errs {
					at := (*record.Error)(nil)
					if !errors.As(err, &at) || !errors.Is(err, record.ErrNotRecord) {
						t.Fatalf("the error is %v", err)
					}
					if at.Offset != int64(tt.lines*len(numbered(1))) || at.Events != tt.lines || !strings.Contains(err.Error(), tt.wrong) {
						t.Errorf("%s: the error is %v, want %q after %d lines", name, err, tt.wrong, tt.lines)
					}
					if strings.Contains(tt.wrong, "unexpected EOF") && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("%s: %v is no ErrUnexpectedEOF", name, err)
					}
				}
			}
		})
	}
}

// A block of zstd may be one byte and how often it repeats (RFC 8878, section 3.1.1.2.2).
func TestEventsReadsEveryKindOfZstdBlock(t *testing.T) {
	nineSpaces := "\x28\xb5\x2f\xfd\x20\x09" + "\x4b\x00\x00 "
	got, errs := stream(nineSpaces + zst(t, numbered(1)) + zip(t, numbered(2)))
	if diff := cmp.Diff([]uint64{1, 2}, seqs(got)); diff != "" || len(errs) > 0 {
		t.Errorf("%v, events (-want +got):\n%s", errs, diff)
	}
}

// A record that is cut is reported, wherever that is. The blocks of zstd are 128 KiB of
// text.
func TestEventsReportsEveryCut(t *testing.T) {
	long := strings.Replace(numbered(2), "user", strings.Repeat("a", 400_000), 1)
	for name, compress := range compressions {
		data := compress(t, numbered(1)) + compress(t, long)
		cuts := 1000
		if testing.Short() {
			cuts = 100
		}
		for cut := len(compress(t, numbered(1))) + 1; cut < len(data); cut += 1 + len(data)/cuts {
			events, errs := stream(data[:cut])
			if len(errs) != 1 || !errors.Is(errs[0], io.ErrUnexpectedEOF) || len(events) == 0 || events[0].Seq != 1 {
				t.Fatalf("%s, cut at %d of %d: %d events, %v", name, cut, len(data), len(events), errs)
			}
		}
		if events, errs := stream(data + compress(t, numbered(3))); len(events) != 3 || len(errs) > 0 {
			t.Errorf("%s: %d events, %v", name, len(events), errs)
		}
	}
}

// Somebody may have written each record of cloudwatch to a line.
func TestEventsSkipsWhiteSpaceAfterRecordsOfCloudWatch(t *testing.T) {
	cloudWatch := ofCloudWatch(logEvent(7, cloudwatch.FunctionText, `"a"`))
	for name, reader := range readers {
		got, errs := collect(record.Events(reader(strings.NewReader(cloudWatch + "\n" + cloudWatch + "\r\n \t" + cloudWatch + cloudWatch + "\n" + numbered(1)))))
		if diff := cmp.Diff([]uint64{7, 7, 7, 7, 1}, seqs(got)); diff != "" || len(errs) > 0 {
			t.Errorf("%s: %v, events (-want +got):\n%s", name, errs, diff)
		}
	}
}

// The error of the reader is no error of the data.
func TestEventsPassesTheReadersErrorOn(t *testing.T) {
	broken := errors.New("connection reset")
	for name, compress := range compressions {
		for _, keep := range []int{0, 2, 20, 1000} {
			data := compress(t, numbered(1)) + compress(t, strings.Repeat(numbered(2), 50))
			data = data[:min(keep, len(data)-1)]
			_, errs := collect(record.Events(io.MultiReader(strings.NewReader(data), iotest.ErrReader(broken))))
			if len(errs) != 1 || !errors.Is(errs[0], broken) || errors.Is(errs[0], record.ErrNotRecord) {
				t.Errorf("%s, %d bytes: the errors are %v", name, keep, errs)
			}
			// The second read fails. No read follows, although it would have data.
			events, errs := collect(record.Events(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(aLine)))))
			if len(events) > 0 || len(errs) != 1 || !errors.Is(errs[0], iotest.ErrTimeout) {
				t.Errorf("%s, %d bytes: after a timeout: %v, %v", name, keep, events, errs)
			}
		}
	}
}

func TestEventsCanStopAtEachEventAndError(t *testing.T) {
	for name, compress := range compressions {
		data := compress(t, numbered(1)+"hello\n"+numbered(2)) + "bye" + compress(t, anOTLP) + "\x1f\x8b\x08"
		all := 0
		for range record.Events(strings.NewReader(data)) {
			all++
		}
		for stop := 1; stop <= all; stop++ {
			n := 0
			for range record.Events(strings.NewReader(data)) {
				if n++; n == stop {
					break
				}
			}
			if n != stop {
				t.Errorf("%s: it stops at %d, want %d", name, n, stop)
			}
		}
		if all < 5 {
			t.Errorf("%s: %d events and errors", name, all)
		}
	}
}

// counting counts what is read.
type counting struct {
	from io.Reader
	n    int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += n
	return n, err
}

// repeated is a reader of the same data many times.
func repeated(data string, times int) io.Reader {
	all := make([]io.Reader, times)
	for i := range all {
		all[i] = strings.NewReader(data)
	}
	return io.MultiReader(all...)
}

// Events reads no further ahead than its buffers are large.
func TestEventsReadsWhatItNeedsOnly(t *testing.T) {
	for name, compress := range compressions {
		one, times := compress(t, strings.Repeat(aLine, 100)), 1000
		if testing.Short() {
			times = 200
		}
		in := &counting{from: repeated(one, times)}
		events := 0
		for e, err := range record.Events(in) {
			if err != nil || e.Seq != 17 {
				t.Fatal(e, err)
			}
			events++
			if needed := events / 100 * len(one); in.n > needed+len(one)+64<<10 {
				t.Fatalf("%s: %d bytes are read for %d events, which have %d", name, in.n, events, needed)
			}
		}
		if events != 100*times {
			t.Errorf("%s: %d events", name, events)
		}
	}
}

// The buffers of a stream do not grow with its length.
func TestEventsNeedsTheSameMemoryForAnyLength(t *testing.T) {
	for name, compress := range compressions {
		allocations := func(times int) uint64 {
			one := compress(t, strings.Repeat(`{"a":"`+strings.Repeat("b", 10_000)+"\"}\n", 100)) // no events, which take memory
			return allocated(func() {
				for e, err := range record.Events(repeated(one, times)) {
					if err == nil {
						t.Errorf("an event %v", e)
					}
				}
			}) / uint64(times)
		}
		// The errors take a tenth of what the lines would take.
		if few, many := allocations(2), allocations(20); many > few+few/10 || many > 500_000 {
			t.Errorf("%s: %d bytes are allocated for a record of many, %d of two", name, many, few)
		}
	}
}

func TestEventsLimitsALine(t *testing.T) {
	const limit = 900_000 // not 4^n: Events looks for the end of a cloudwatch record at such lengths
	d := record.Decoder{MaxBytes: limit, MaxEvents: 3}
	long := strings.Replace(aLine, "user", strings.Repeat("a", limit), 1)
	spaces := 64 << 20
	if testing.Short() {
		spaces = 8 << 20
	}
	endless := `{"messageType"` + strings.Repeat(" ", spaces)
	cloudWatch := ofCloudWatch(logEvent(7, cloudwatch.FunctionText, `"a"`), logEvent(8, cloudwatch.FunctionText, quoted(strings.Repeat("b", limit*9/10))))
	four := strings.Repeat(logEvent(9, cloudwatch.FunctionText, `"a"`)+",", 3) + logEvent(9, cloudwatch.FunctionText, `"a"`)
	for name, compress := range compressions {
		for _, tt := range []struct {
			name, data string
			want       []uint64
			errors     int
		}{
			{"many lines", compress(t, strings.Repeat(numbered(5), 10_000)), slices.Repeat([]uint64{5}, 10_000), 0},
			{"a long line", compress(t, numbered(1)+long+numbered(2)), []uint64{1, 2}, 1},
			{"a long line in its own record", compress(t, numbered(1)) + compress(t, long) + compress(t, numbered(2)), []uint64{1, 2}, 1},
			{"an endless line", compress(t, numbered(1)+endless) + zip(t, numbered(2)), []uint64{1, 2}, 1},
			{"a large record of cloudwatch", compress(t, cloudWatch) + compress(t, numbered(1)), []uint64{7, 8, 1}, 0},
			{"a large record of cloudwatch before others", compress(t, cloudWatch+strings.Repeat(numbered(1), 10_000)), append([]uint64{7, 8}, slices.Repeat([]uint64{1}, 10_000)...), 0},
			{"many events of a line", compress(t, ofCloudWatch(four)) + compress(t, numbered(1)), []uint64{9, 9, 9, 1}, 1},
			{"a line of many members", compress(t, strings.Replace(aLine, `"b":[1, 2]`, names(10_100, "0"), 1)+numbered(1)), []uint64{1}, 1},
		} {
			var events []record.Event
			var errs []error
			took := allocated(func() { events, errs = collect(d.Events(strings.NewReader(tt.data))) })
			limits := 0
			for _, err := range errs {
				if errors.Is(err, record.ErrLimit) && !errors.Is(err, record.ErrNotRecord) {
					limits++
				}
			}
			if diff := cmp.Diff(tt.want, seqs(events)); diff != "" || len(errs) != tt.errors || limits != min(tt.errors, 1) {
				t.Errorf("%s, %s: %v, events (-want +got):\n%s", name, tt.name, errs, diff)
			}
			if took > 5*limit+16<<20+2000*uint64(len(events)) { // the window of zstd included
				t.Errorf("%s, %s: %d bytes are allocated", name, tt.name, took)
			}
		}
	}
}

func FuzzEvents(f *testing.F) {
	for _, compress := range compressions {
		for _, text := range []string{aLine, "hello", "{}\n", anOTLP, ofCloudWatch(logEvent(17, cloudwatch.FunctionText, `"a"`)), aggregated(aLine)} {
			f.Add([]byte(compress(f, text)), []byte(aLine))
			f.Add([]byte(aLine), []byte(compress(f, text)))
			f.Add([]byte(compress(f, aLine)), []byte(compress(f, text)))
		}
	}
	f.Add([]byte("\x1f\x8b\x08"), []byte(zip(f, aLine)))
	f.Add([]byte("\x28\xb5\x2f\xfd\xff\xff"), []byte(zst(f, aLine)))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		small := record.Decoder{MaxBytes: 4 << 10, MaxEvents: 5}
		data := slices.Concat(first, second)
		want, wantErrs := collect(small.Events(bytes.NewReader(data)))
		// However the data comes, it has the same events and errors.
		got, errs := collect(small.Events(iotest.OneByteReader(bytes.NewReader(data))))
		if diff := cmp.Diff(want, got); diff != "" || len(wantErrs) != len(errs) {
			t.Errorf("the errors %v, want %v; events by single bytes (-want +got):\n%s", errs, wantErrs, diff)
		}
		for _, err := range errs {
			if at := (*record.Error)(nil); !errors.As(err, &at) || errors.Is(err, record.ErrNotRecord) == errors.Is(err, record.ErrLimit) {
				t.Errorf("the error %v", err)
			}
		}
		// Decode finds nothing that Events does not find.
		if events, err := small.Decode(data); err == nil {
			if diff := cmp.Diff(events, got); diff != "" || len(errs) > 0 {
				t.Errorf("%v; events, Decode's and (-want +got):\n%s", errs, diff)
			}
		}
		// What is in a record of its own is found after anything that is complete.
		if _, err := small.Decode(first); err == nil && bytes.HasSuffix(first, []byte("\n")) {
			if got, errs := collect(small.Events(io.MultiReader(bytes.NewReader(first), strings.NewReader(zip(t, aLine))))); len(errs) > 0 || got[len(got)-1].Seq != 17 {
				t.Errorf("after %q: %d events, %v", first, len(got), errs)
			}
		}
	})
}
