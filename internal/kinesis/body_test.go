package kinesis

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/pack"
)

func TestABodyIsWhatKinesisReads(t *testing.T) {
	s := bodies{destination: []byte(`"StreamName":"s"`)}
	rapid.Check(t, func(t *rapid.T) {
		var records []*pack.Record
		for range rapid.IntRange(1, 4).Draw(t, "records") {
			data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
			times := rapid.SampledFrom([]int{1, 1, 1, 3000}).Draw(t, "times")
			records = append(records, &pack.Record{Data: bytes.Repeat(data, times), PartitionKey: rapid.StringN(1, 30, 256).Draw(t, "key")})
		}
		b := s.encode(records)
		if b.sum != sha256.Sum256(b.text) {
			t.Fatal("the sum is not that of the text")
		}
		var request struct {
			StreamName string
			Records    []struct {
				Data         []byte
				PartitionKey string
			}
		}
		if err := json.Unmarshal(b.text, &request); err != nil {
			t.Fatalf("%v: %s", err, b.text)
		}
		if request.StreamName != "s" || len(request.Records) != len(records) {
			t.Fatalf("the request is %+v", request)
		}
		for i, r := range request.Records {
			if !bytes.Equal(r.Data, records[i].Data) || r.PartitionKey != records[i].PartitionKey {
				t.Fatalf("record %d is %+v, want %+v", i, r, records[i])
			}
		}
		b.done()
	})
}

// The memory of a body is used again when nothing reads it any more.
func TestABodyGivesItsMemoryBackOnce(t *testing.T) {
	record := []*pack.Record{{Data: make([]byte, 100<<10), PartitionKey: "k"}}
	s := &bodies{}
	b := s.encode(record)
	first, second := b.reader(), b.reader()
	b.done()
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if b.users.Load() != 1 {
		t.Fatalf("%d users, want the second reader", b.users.Load())
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a closed reader returns %v", err)
	}
	text, err := io.ReadAll(second)
	if err != nil || !bytes.Equal(text, b.text) {
		t.Errorf("the second reader reads %d bytes, %v", len(text), err)
	}
	_ = second.Close()
	if b.users.Load() != 0 {
		t.Errorf("%d users at the end", b.users.Load())
	}
	if n := testing.AllocsPerRun(20, func() {
		b := s.encode(record)
		r := b.reader()
		b.done()
		_ = r.Close()
	}); n > 6 { // a sync.Pool may lose one
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBase64(b *testing.B) {
	data := make([]byte, 300_000)
	s := &bodies{}
	s.fill()
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(data)))
	for name, encode := range map[string]func(b, data []byte) []byte{"own": s.appendBase64, "encoding": base64.StdEncoding.AppendEncode} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				encode(out, data)
			}
		})
	}
}
