package spool

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/seqrange"
)

// libraryMeta is recordMeta as encoding/json reads and writes it.
type libraryMeta struct {
	PartitionKey []byte        `json:"partitionKey,omitempty"`
	Droppable    int64         `json:"droppable,omitempty"`
	Lines        int64         `json:"lines,omitempty"`
	Losses       []ledger.Loss `json:"losses,omitempty"`
	Reported     uint64        `json:"reported,omitempty"`
}

// libraryManifest is manifest as encoding/json reads and writes it.
type libraryManifest struct {
	Version int
	manifest
}

// changed draws a text with a few changes, as a corrupt or a hostile file has them.
func changed(t *rapid.T, text []byte) []byte {
	b := strings.Clone(string(text))
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		end := min(at+rapid.IntRange(0, 3).Draw(t, "removed"), len(b))
		b = b[:at] + rapid.SampledFrom([]string{"", `"`, "{", "}", "[", "]", ",", ":", "-", ".", "9", "e3", "x", "\\", " "}).Draw(t, "piece") + b[end:]
	}
	return []byte(b)
}

func numbers() *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, math.MaxUint64}))
}

func losses() *rapid.Generator[ledger.Loss] {
	return rapid.Custom(func(t *rapid.T) ledger.Loss {
		return ledger.Loss{
			First: numbers().Draw(t, "first"), Last: numbers().Draw(t, "last"), Count: rapid.Int().Draw(t, "count"), Bytes: rapid.Int64().Draw(t, "bytes"),
			Reason: rapid.SampledFrom([]ledger.Reason{ledger.Shutdown, "", "a \"reason\""}).Draw(t, "reason"),
		}
	})
}

func TestAMetaIsReadAndWrittenAsByEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		written := recordMeta{
			PartitionKey: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "key"), Droppable: rapid.Int64().Draw(t, "droppable"), Lines: rapid.Int64().Draw(t, "lines"),
			Losses: rapid.SliceOfN(losses(), 0, 2).Draw(t, "losses"), Reported: numbers().Draw(t, "reported"),
		}
		want, err := json.Marshal(libraryMeta(written))
		if got := written.json(); err != nil || string(got) != string(want) {
			t.Fatalf("the meta is %s, want %s, %v", got, want, err)
		}
		text := changed(t, want)
		var got recordMeta
		var library libraryMeta
		ok := got.read(text)
		if err := json.Unmarshal(text, &library); ok && err != nil {
			t.Fatalf("%s is accepted: %v", text, err)
		} else if diff := cmp.Diff(library, libraryMeta(got)); ok && diff != "" {
			t.Fatalf("%s is read as (-want +got):\n%s", text, diff)
		}
		if string(text) == string(want) && !ok {
			t.Fatalf("%s is refused", text)
		}
	})
}

func TestAManifestIsReadAndWrittenAsByEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		written := manifest{Last: numbers().Draw(t, "last"), Numbers: seqrange.Set{}, Events: rapid.Int64().Draw(t, "events"), Bytes: rapid.Int64().Draw(t, "bytes")}
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			written.Numbers = append(written.Numbers, seqrange.Range{First: numbers().Draw(t, "first"), Last: numbers().Draw(t, "last")})
		}
		want, err := json.Marshal(libraryManifest{1, written})
		if got := written.json(); err != nil || string(got) != string(want) {
			t.Fatalf("the manifest is %s, want %s, %v", got, want, err)
		}
		text := changed(t, want)
		got, library := manifest{}, libraryManifest{}
		ok := got.read(text)
		if err := json.Unmarshal(text, &library); ok && (err != nil || library.Version != 1) {
			t.Fatalf("%s is accepted: %v", text, err)
		} else if diff := cmp.Diff(library.manifest, got, cmpopts.EquateEmpty()); ok && diff != "" {
			t.Fatalf("%s is read as (-want +got):\n%s", text, diff)
		}
		if string(text) == string(want) && !ok {
			t.Fatalf("%s is refused", text)
		}
	})
}
