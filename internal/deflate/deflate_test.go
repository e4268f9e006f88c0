package deflate_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/deflate"
)

// read unpacks one gzip member with the standard library's decoder, which checks its sum and
// its length.
func read(t interface{ Fatalf(string, ...any) }, member []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(member))
	if err != nil {
		t.Fatalf("%v", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return text
}

// lines returns lines as package format writes them, of n events.
func lines(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var text []byte
	for i := range n {
		at := fmt.Sprintf("2026-11-22T20:15:%02d.%03dZ", i/60%60, i*13%1000)
		text = fmt.Appendf(text, `{"schema":"kinetel/1","seq":%d,"time":"%s","type":"function","severity":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","body":"%s\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\torder %d accepted for customer %x: %d items, total %d.%02d EUR, reserved in warehouse %d until midnight, payment pending\n","resource":{"cloud.provider":"aws","cloud.region":"eu-west-1","cloud.account.id":"123456789012","faas.name":"orders","faas.version":"$LATEST","faas.instance":"2026/11/22/[$LATEST]8476a536e9f411e897392dfe598c3fcd","service.name":"orders","service.instance.id":"58c8eb4a649d6fb2718c6ad267544483"}}`+"\n",
			i+1, at, at, random.Uint32(), random.Uint64(), random.IntN(10), random.IntN(1000), random.IntN(100), random.IntN(20))
	}
	return text
}

// fibonacci returns bytes in random order whose best code would have more than 15 bits for
// some.
func fibonacci(seed uint64) (text []byte) {
	for b, n, next := byte(0), 1, 1; n < 20_000; b, n, next = b+1, next, n+next {
		text = append(text, bytes.Repeat([]byte{b}, n)...)
	}
	random := rand.New(rand.NewPCG(5, seed))
	random.Shuffle(len(text), func(i, j int) { text[i], text[j] = text[j], text[i] })
	return text
}

// rare returns bytes in random order that hardly repeat. Some occur once, and have codes of
// 15 bits.
func rare(seed uint64) (text []byte) {
	random := rand.New(rand.NewPCG(7, seed))
	for range 50_000 {
		text = append(text, byte(random.IntN(200)))
	}
	for b := 200; b < 256; b++ {
		text[random.IntN(len(text))] = byte(b)
	}
	return text
}

func TestTheLongestCodesAreReadByOthers(t *testing.T) {
	var e deflate.Encoder
	for seed := range uint64(40) {
		for _, text := range [][]byte{fibonacci(seed), rare(seed)} {
			if got := read(t, e.Gzip(nil, text)); !bytes.Equal(got, text) {
				t.Fatalf("with seed %d %d bytes are read as %d others", seed, len(text), len(got))
			}
		}
	}
}

func TestGzipIsReadByOthers(t *testing.T) {
	var e deflate.Encoder
	random := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "a byte": {'x'}, "eight bytes": []byte("abcdefgh"), "one line": lines(1), "a record": lines(500), "many lines": lines(5000),
		"zeros": make([]byte, 1<<20), "noise": noise, "noise and lines": append(bytes.Clone(noise), lines(200)...), "lines and noise": append(lines(200), noise...),
		"a period of the window": []byte(strings.Repeat(string(noise[:32<<10]), 3)), "a period that is too long": []byte(strings.Repeat(string(noise[:32<<10+1]), 3)),
		"one character": []byte(strings.Repeat("a", 259)), "few characters": []byte(strings.Repeat("ab", 131)),
	} {
		t.Run(name, func(t *testing.T) {
			before := []byte("before")
			member := e.Gzip(bytes.Clone(before), text)
			if !bytes.HasPrefix(member, before) {
				t.Fatal("it changed what was there")
			}
			member = member[len(before):]
			if got := read(t, member); !bytes.Equal(got, text) {
				t.Fatalf("%d bytes are read as %d others", len(text), len(got))
			}
			if again := new(deflate.Encoder).Gzip(nil, text); !bytes.Equal(again, member) {
				t.Error("another encoder writes other bytes")
			}
			if most := len(text) + 5*(len(text)/16384+1) + 18; len(member) > most {
				t.Errorf("%d bytes take %d, more than %d", len(text), len(member), most)
			}
		})
	}
}

func TestGzipDoesNotAllocate(t *testing.T) {
	var e deflate.Encoder
	text := lines(500)
	out := e.Gzip(nil, text)
	if n := testing.AllocsPerRun(10, func() { out = e.Gzip(out[:0], text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestGzipOfAnyText(t *testing.T) {
	var e deflate.Encoder
	piece := rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 40),
		rapid.SampledFrom([][]byte{lines(1), lines(3), []byte("aaaa"), make([]byte, 700), []byte("order accepted")}),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := bytes.Repeat(bytes.Join(rapid.SliceOfN(piece, 0, 30).Draw(t, "pieces"), nil), rapid.IntRange(1, 20).Draw(t, "times"))
		if got := read(t, e.Gzip(nil, text)); !bytes.Equal(got, text) {
			t.Fatalf("%d bytes are read as %d others", len(text), len(got))
		}
	})
}

func FuzzGzip(f *testing.F) {
	f.Add(lines(3))
	f.Add([]byte("abcabcabcabcabcabcabcabcabc"))
	var e deflate.Encoder
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := read(t, e.Gzip(nil, text)); !bytes.Equal(got, text) {
			t.Fatalf("%d bytes are read as %d others", len(text), len(got))
		}
	})
}

func BenchmarkGzip(b *testing.B) {
	for _, n := range []int{1, 13, 500} {
		text := lines(n)
		b.Run(fmt.Sprintf("own/%d", n), func(b *testing.B) {
			var e deflate.Encoder
			var out []byte
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				out = e.Gzip(out[:0], text)
			}
			b.ReportMetric(float64(len(out))/float64(n), "B/line")
		})
		b.Run(fmt.Sprintf("klauspost/%d", n), func(b *testing.B) {
			var out bytes.Buffer
			w, _ := kgzip.NewWriterLevel(&out, kgzip.BestSpeed)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				w.Reset(&out)
				_, _ = w.Write(text)
				_ = w.Close()
			}
			b.ReportMetric(float64(out.Len())/float64(n), "B/line")
		})
	}
}
