package render_test

import (
	"testing"

	"github.com/kinetel/kinetel/test/render"
)

func TestNumbersAreWrittenShort(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 0.024: "0.02", 0.994: "0.99", 0.996: "1.0", 9.94: "9.9", 9.96: "10", 1003.4: "1003",
	} {
		if got := render.Significant(n); got != want {
			t.Errorf("%v is %q, want %q", n, got, want)
		}
	}
}
