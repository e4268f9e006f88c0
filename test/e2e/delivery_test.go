package e2e

import (
	"fmt"
	"testing"

	"kinetel/lambdasim"
)

func TestEverythingArrivesOnce(t *testing.T) {
	for _, format := range []lambdasim.LogFormat{lambdasim.LogText, lambdasim.LogJSON} {
		for _, flush := range []string{"end", "interval"} {
			t.Run(fmt.Sprintf("%s/%s", format, flush), func(t *testing.T) {
				t.Parallel()
				r := start(t, options{
					env:    map[string]string{"KINETEL_FLUSH": flush},
					lambda: func(c *lambdasim.Config) { c.LogFormat = format },
				})
				for i := range 20 {
					r.invoke(fmt.Sprintf(`{"id":"run-%d","lines":10,"format":"mixed"}`, i))
				}
				r.complete()
			})
		}
	}
}
