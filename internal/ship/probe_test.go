package ship_test

import (
	"slices"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/kinesis"
)

// The first record of a process is one that Kinesis refuses. Nothing was accepted
// yet, so the reason may be in all requests: the next record shows that it is not.
func TestARefusedFirstRecordDoesNotBlockTheOthers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, refuseInvalid(1))
		r.push(1)
		time.Sleep(time.Second)
		if r.account.Total() != 0 || r.waiting() != 1 || !r.NeedsAnother() {
			t.Fatalf("%d dropped, %d wait, another is needed: %t", r.account.Total(), r.waiting(), r.NeedsAnother())
		}
		r.push(2)
		time.Sleep(101 * time.Millisecond)
		wantRequests(t, r, []uint64{1}, []uint64{1}, []uint64{2})
		if stored := r.kinesis.accepted(); !slices.Equal(stored, []uint64{2}) || r.account.Total() != 1 || r.waiting() != 0 {
			t.Errorf("stored %v, %d dropped, %d wait", stored, r.account.Total(), r.waiting())
		}
		if r.Unavailable() || r.NeedsAnother() || r.PermanentError() != nil {
			t.Errorf("unavailable: %t, another is needed: %t, permanent error: %v", r.Unavailable(), r.NeedsAnother(), r.PermanentError())
		}
		r.push(3)
		time.Sleep(time.Second)
		if stored := r.kinesis.accepted(); !slices.Equal(stored, []uint64{2, 3}) {
			t.Errorf("stored %v", stored)
		}
	})
}

// Several records may be invalid.
func TestSeveralRefusedRecordsAtTheFrontDoNotBlockTheOthers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, refuseInvalid(1, 2, 3, 4))
		r.push(1)
		time.Sleep(time.Second)
		for seq := range uint64(10) {
			r.add(newRecord(seq + 2))
		}
		r.Wake()
		time.Sleep(time.Minute)
		stored := r.kinesis.accepted()
		slices.Sort(stored)
		if !slices.Equal(stored, []uint64{5, 6, 7, 8, 9, 10, 11}) || r.account.Total() != 4 {
			t.Errorf("stored %v, %d dropped", stored, r.account.Total())
		}
	})
}

// Kinesis refuses every record: the reason is in the request, and nothing is dropped.
func TestRecordsAreKeptIfKinesisRefusesEveryRequest(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, refuse(kinesis.Invalid, "ValidationException"))
		for seq := range uint64(100) {
			r.push(seq + 1)
			time.Sleep(100 * time.Millisecond)
		}
		if r.account.Total() != 0 || r.waiting() != 100 || r.PermanentError() == nil {
			t.Errorf("%d dropped, %d wait, permanent error: %v", r.account.Total(), r.waiting(), r.PermanentError())
		}
		if n := len(r.kinesis.requests()); n > 6 {
			t.Errorf("%d requests in 10 s", n)
		}
		time.Sleep(time.Minute)
		if n := len(r.kinesis.requests()); n > 24 {
			t.Errorf("%d requests in 70 s", n)
		}
		r.kinesis.setAnswer(accept) // it is fixed
		time.Sleep(time.Minute)
		if stored := r.kinesis.accepted(); len(stored) != 100 {
			t.Errorf("%d records were stored, want 100", len(stored))
		}
	})
}

// A probe that fails for another reason shows nothing.
func TestAProbeThatFailsDropsNoRecord(t *testing.T) {
	for name, failure := range map[string]answer{"throttled": throttle, "no answer": unreachable, "denied": deny} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, refuseInvalid(1), refuseInvalid(1), failure, refuseInvalid(1))
				r.push(1)
				time.Sleep(time.Second)
				r.push(2)
				time.Sleep(200 * time.Millisecond)
				if r.account.Total() != 0 && r.kinesis.accepted() == nil {
					t.Errorf("%d dropped, and nothing was accepted yet", r.account.Total())
				}
				time.Sleep(time.Minute)
				if stored := r.kinesis.accepted(); !slices.Equal(stored, []uint64{2}) || r.account.Total() != 1 {
					t.Errorf("stored %v, %d dropped", stored, r.account.Total())
				}
			})
		})
	}
}
