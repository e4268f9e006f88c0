package kpl_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/kpl"
)

// linesWith returns what Append sees of lines.
func linesWith(text ...string) (lines []format.Line) {
	for _, one := range text {
		lines = append(lines, format.Line{Text: []byte(one)})
	}
	return lines
}

func TestAppendBytes(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		name, key string
		lines     []string
		message   string // in hexadecimal
	}{
		{"no line", "k", nil, "0a016b"},
		{"no key", "", nil, "0a00"},
		{"a line", "k", []string{"ab\n"}, "0a016b" + "1a06" + "0800" + "1a02" + "6162"},
		{"a line that does not end", "k", []string{"ab"}, "0a016b" + "1a06" + "0800" + "1a02" + "6162"},
		{"a line that is empty", "k", []string{"\n"}, "0a016b" + "1a04" + "0800" + "1a00"},
		{"only the last line feed goes", "k", []string{"\n\n"}, "0a016b" + "1a05" + "0800" + "1a01" + "0a"},
		{"two lines, one of them long", "key", []string{"a\n", long + "\n"}, "0a036b6579" + "1a05" + "0800" + "1a01" + "61" + "1ab102" + "0800" + "1aac02" + hex.EncodeToString([]byte(long))},
		{"a key that is long", long, nil, "0aac02" + hex.EncodeToString([]byte(long))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			message, err := hex.DecodeString(tt.message)
			if err != nil {
				t.Fatal(err)
			}
			sum := md5.Sum(message)
			want := "before\xf3\x89\x9a\xc2" + string(message) + string(sum[:])
			if got := kpl.Append([]byte("before"), nil, tt.key, linesWith(tt.lines...)); string(got) != want {
				t.Errorf("the aggregate is\n%x\nnot\n%x", got, want)
			}
		})
	}
}

// aggregate is what the Kinesis Client Library reads.
type aggregate struct {
	keys, hashKeys []string
	records        []userRecord
}

type userRecord struct {
	keyIndex, hashKeyIndex int // -1: absent
	data                   string
	tags                   int
}

// readAggregate reads an aggregate as protocol buffers define it.
func readAggregate(data []byte) (a aggregate, err error) {
	message, ok := bytes.CutPrefix(data, []byte{0xf3, 0x89, 0x9a, 0xc2})
	if !ok || len(message) < md5.Size {
		return a, errors.New("no aggregate")
	}
	message, digest := message[:len(message)-md5.Size], message[len(message)-md5.Size:]
	if sum := md5.Sum(message); !bytes.Equal(sum[:], digest) {
		return a, errors.New("another digest")
	}
	err = fields(message, func(number protowire.Number, kind protowire.Type, value []byte, _ uint64) error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			a.keys = append(a.keys, string(value))
		case number == 2 && kind == protowire.BytesType:
			a.hashKeys = append(a.hashKeys, string(value))
		case number == 3 && kind == protowire.BytesType:
			one := userRecord{keyIndex: -1, hashKeyIndex: -1}
			has := false
			err := fields(value, func(number protowire.Number, kind protowire.Type, value []byte, n uint64) error {
				switch {
				case number == 1 && kind == protowire.VarintType:
					one.keyIndex = int(n)
				case number == 2 && kind == protowire.VarintType:
					one.hashKeyIndex = int(n)
				case number == 3 && kind == protowire.BytesType:
					has, one.data = true, string(value)
				case number == 4 && kind == protowire.BytesType:
					one.tags++
				default:
					return fmt.Errorf("field %d of a user record", number)
				}
				return nil
			})
			if err == nil && !has {
				err = errors.New("a user record without data")
			}
			a.records = append(a.records, one)
			return err
		default:
			return fmt.Errorf("field %d", number)
		}
		return nil
	})
	return a, err
}

func fields(message []byte, each func(number protowire.Number, kind protowire.Type, value []byte, n uint64) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		default:
			return fmt.Errorf("a field of kind %d", kind)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := each(number, kind, value, n); err != nil {
			return err
		}
		message = message[size:]
	}
	return nil
}

// kplText draws lines of all lengths.
func kplText() *rapid.Generator[string] {
	length := rapid.OneOf(rapid.IntRange(0, 20), rapid.SampledFrom([]int{120, 122, 123, 124, 127, 128, 16376, 16377, 16378, 16379, 16383, 16384}), rapid.IntRange(0, 1<<16))
	return rapid.Custom(func(t *rapid.T) string {
		piece := string(rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "piece"))
		n := length.Draw(t, "length")
		return strings.Repeat(piece, n/len(piece)+1)[:n] + "\n"
	})
}

func TestProtocolBuffersReadAggregates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(1, 256, -1).Draw(t, "key")
		text := rapid.SliceOfN(kplText(), 0, 5).Draw(t, "lines")
		data := kpl.Append(nil, nil, key, linesWith(text...))
		if !strings.HasPrefix(string(data), kpl.Magic) {
			t.Fatalf("no aggregate: %x", data)
		}
		got, err := readAggregate(data)
		if err != nil {
			t.Fatal(err)
		}
		want := aggregate{keys: []string{key}}
		for _, one := range text {
			want.records = append(want.records, userRecord{keyIndex: 0, hashKeyIndex: -1, data: one[:len(one)-1]})
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(aggregate{}, userRecord{})); diff != "" {
			t.Fatalf("aggregate (-want +got):\n%s", diff)
		}
		var lines []string
		if err := readAll(data, func(line []byte) error { lines = append(lines, string(line)+"\n"); return nil }); err != nil || !slices.Equal(lines, text) {
			t.Fatalf("%v; read back as %q", err, lines)
		}
		room := append(make([]byte, 0, rapid.IntRange(0, 999).Draw(t, "room")), "before"...)
		if again, ok := bytes.CutPrefix(kpl.Append(room, nil, key, linesWith(text...)), []byte("before")); !ok || !bytes.Equal(again, data) {
			t.Fatal("it is another one the second time")
		}
	})
}

func TestAUserRecordTakesNoMoreSpaceThanDocumented(t *testing.T) {
	around := len(kpl.Append(nil, nil, "k", nil))
	worst := 0
	for _, n := range []int{0, 1, 121, 122, 123, 124, 127, 128, 16375, 16376, 16383, 16384, 2097142, 2097143, 2097151, 2097152, 1 << 24} {
		line := append(bytes.Repeat([]byte{'x'}, n), '\n')
		size := len(kpl.Append(nil, nil, "k", []format.Line{{Text: line}})) - around
		worst = max(worst, size-n)
	}
	if worst > 16 {
		t.Errorf("a user record takes %d bytes of its own", worst)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(kplText(), 0, 5).Draw(t, "lines")
		size := len(kpl.Append(nil, nil, "k", linesWith(text...))) - around
		if most := len(strings.Join(text, "")) + 16*len(text); size > most {
			t.Fatalf("user records take %d bytes of %d", size, most)
		}
	})
}

// readAll calls each with every user record.
func readAll(data []byte, each func(line []byte) error) error {
	_, err := kpl.Read(data, each)
	return err
}

func nothing([]byte) error { return nil }

func TestReadRefusesDamagedAggregates(t *testing.T) {
	data := kpl.Append(nil, nil, "key", linesWith("first\n", "second\n"))
	if err := readAll(data, nothing); err != nil {
		t.Fatal(err)
	}
	for i := range len(data) {
		if err := readAll(data[:i], nothing); err == nil {
			t.Errorf("its first %d bytes are accepted as an aggregate", i)
		}
		for bit := range 8 {
			flipped := bytes.Clone(data)
			flipped[i] ^= 1 << bit
			if err := readAll(flipped, nothing); err == nil {
				t.Errorf("bit %d of byte %d does not matter", bit, i)
			}
		}
	}
	for _, more := range []string{"\x00", "\n", string(data)} {
		if err := readAll(append(bytes.Clone(data), more...), nothing); err == nil {
			t.Errorf("%q behind it does not matter", more)
		}
	}
}

func ofMessage(message string) []byte {
	sum := md5.Sum([]byte(message))
	return []byte("\xf3\x89\x9a\xc2" + message + string(sum[:]))
}

// Whatever is no aggregate of Kinetel's, its digest being right.
func TestReadRefusesOtherAggregates(t *testing.T) {
	const key, one = "\x0a\x01k", "\x1a\x05\x08\x00\x1a\x01a"
	for _, tt := range []struct{ name, message string }{
		{"nothing", ""},
		{"no key", one},
		{"a key that is a number", "\x08\x01" + one},
		{"a key that is cut", "\x0a\x02k"},
		{"a size that is cut", "\x0a"},
		{"a size that does not end", "\x0a\xff"},
		{"a size that is no number", "\x0a" + strings.Repeat("\xff", 11)},
		{"a size beyond all", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k"},
		{"a second key", key + key + one},
		{"an explicit hash key", key + "\x12\x01" + "1" + one},
		{"a user record's own hash key", key + "\x1a\x07\x08\x00\x10\x00\x1a\x01a"},
		{"a user record of the second key", key + "\x1a\x05\x08\x01\x1a\x01a"},
		{"a user record of no key", key + "\x1a\x03\x1a\x01a"},
		{"a user record of another field", key + "\x1a\x05\x10\x00\x1a\x01a"},
		{"a user record without data", key + "\x1a\x02\x08\x00"},
		{"a user record that is empty", key + "\x1a\x00"},
		{"a user record of one byte", key + "\x1a\x01\x08"},
		{"data that is cut", key + "\x1a\x05\x08\x00\x1a\x02a"},
		{"data that is a number", key + "\x1a\x04\x08\x00\x18\x01"},
		{"data in another order", key + "\x1a\x05\x1a\x01a\x08\x00"},
		{"a tag", key + "\x1a\x07\x08\x00\x1a\x01a\x22\x00"},
		{"a user record that is cut", key + one + "\x1a\x06\x08\x00\x1a\x01a"},
		{"another field behind", key + one + "\x22\x00"},
		{"half a field behind", key + one + "\x1a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := readAll(ofMessage(tt.message), nothing); err == nil {
				t.Errorf("%x is accepted", tt.message)
			}
		})
	}
	if err := readAll(ofMessage(key+one+one), nothing); err != nil {
		t.Error(err)
	}
	if err := readAll(append([]byte("x"), ofMessage(key + one)[1:]...), nothing); err == nil {
		t.Error("another beginning is accepted")
	}
}

func TestReadEndsWithAnError(t *testing.T) {
	want := errors.New("enough")
	calls := 0
	err := readAll(kpl.Append(nil, nil, "k", linesWith("a\n", "b\n", "c\n")), func(line []byte) error {
		if calls++; string(line) == "b" {
			return want
		}
		return nil
	})
	if !errors.Is(err, want) || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// FuzzRead reads messages with the digest that they need, and as they are.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\x0a\x01k\x1a\x05\x08\x00\x1a\x01a"))
	f.Add([]byte("\x0a\x01k"))
	f.Add([]byte("\x0a\x01k\x1a\x07\x08\x00\x10\x00\x1a\x01a"))
	f.Add([]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k"))
	f.Add(kpl.Append(nil, nil, "k", linesWith("a\n")))
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, data := range [][]byte{message, ofMessage(string(message))} {
			var got []string
			if readAll(data, func(line []byte) error { got = append(got, string(line)); return nil }) != nil {
				continue
			}
			a, err := readAggregate(data)
			if err != nil || len(a.keys) != 1 || len(a.hashKeys) > 0 || len(a.records) != len(got) {
				t.Fatalf("%v; %+v is read as %q", err, a, got)
			}
			for i, one := range a.records {
				if one.data != got[i] || one.keyIndex != 0 || one.hashKeyIndex != -1 || one.tags > 0 {
					t.Fatalf("%+v is read as %q", one, got[i])
				}
			}
		}
	})
}
