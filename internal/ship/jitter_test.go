package ship

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestJitterIsBelowItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := time.Duration(rapid.Int64Range(1, int64(1<<62)).Draw(t, "most"))
		if got := Jitter(most); got < 0 || got >= most {
			t.Fatalf("Jitter(%d) is %d", most, got)
		}
	})
	if got := Jitter(1); got != 0 {
		t.Errorf("Jitter(1ns) is %s", got)
	}
}

func TestJitterIsSpreadEvenly(t *testing.T) {
	const draws, buckets = 64_000, 16
	for _, most := range []time.Duration{buckets, 50 * time.Millisecond, 5 * time.Second, 15 * time.Second, 15 * time.Minute, 1<<62 + 12345} {
		var counts [buckets]int
		for range draws {
			counts[int(float64(Jitter(most))/float64(most)*buckets)]++
		}
		// Pearson's chi-squared, 15 degrees of freedom: above 70 once in 3e8
		// times.
		sum := 0.0
		for _, n := range counts {
			d := float64(n) - draws/buckets
			sum += d * d / (draws / buckets)
		}
		if sum > 70 {
			t.Errorf("Jitter(%s) is not even: %v", most, counts)
		}
	}
}

// Waits must differ between environments that were restored from one snapshot, which
// contains the state of any generator of the process.
func TestJitterUsesNoGeneratorOfTheProcess(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("files %v, %v", files, err)
	}
	decisions, err := filepath.Glob("../breaker/*.go")
	if err != nil || len(decisions) < 2 {
		t.Fatalf("files %v, %v", decisions, err)
	}
	for _, name := range append(files, decisions...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if strings.HasPrefix(i.Path.Value, `"math/rand`) {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}
