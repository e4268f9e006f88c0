package record_test

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/kinetel/kinetel/record"
)

// A pipe may stay open for hours after a line: Events must not wait for what follows it.
func TestEventsYieldsALineWhenItsLastByteArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		var got []uint64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e, err := range record.Events(in) {
				if err != nil {
					t.Error(err)
				}
				got = append(got, e.Seq)
			}
		}()
		for i := 1; i <= 3; i++ {
			line := numbered(i)
			for _, piece := range []string{line[:len(line)-2], line[len(line)-2:]} {
				if _, err := io.WriteString(out, piece); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if len(got) != i {
				t.Errorf("after line %d: %v", i, got)
			}
		}
		_ = out.Close()
		<-done
	})
}
