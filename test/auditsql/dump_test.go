package auditsql_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/kinetel/kinetel/internal/audit/audittest"
)

func TestDump(t *testing.T) {
	os.MkdirAll("/tmp/asql/data", 0o755)
	f, _ := os.Create("/tmp/asql/data/a.gz")
	z := gzip.NewWriter(f)
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	all := audittest.Cases()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		all = append(all, audittest.Random(r, fmt.Sprintf("%032x", i)))
	}
	for _, e := range all {
		for _, ev := range e.Events {
			if err := enc.Encode(ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, ev := range audittest.Strangers() {
		if err := enc.Encode(ev); err != nil {
			t.Fatal(err)
		}
	}
	z.Close()
	f.Close()
}
