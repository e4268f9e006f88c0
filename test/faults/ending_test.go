package faults

import (
	"bytes"
	"strings"
	"time"

	"kinetel/kinesissim"
	"kinetel/test/sandbox"
)

// slowToTheEnd is a Kinesis that answers each request late, and a shutdown in
// Lambda's own two seconds: nothing may wait for another request's answer then.
func slowToTheEnd(w *world, _ uint64) {
	w.kinesis.SetIntercept(kinesissim.Always(kinesissim.Delay(1500*time.Millisecond, nil)))
	r := w.start(hasty)
	for i := range 5 {
		w.invoke(r, `{"id":"run-%d","lines":10,"sleep":"%s"}`, i, w.interval())
	}
	w.shutdown(r)
	if log := w.log(); strings.Contains(log, "the environment ends before") {
		w.Errorf("not everything was sent:\n%s", log)
	}
}

// lostToTheEnd is a Kinesis whose answers are lost from some time on, up to the end.
func lostToTheEnd(w *world, _ uint64) {
	r := w.start(hasty)
	w.traffic(r)
	w.kinesis.SetIntercept(kinesissim.Always(kinesissim.ResetAfter()))
	w.invoke(r, `{"id":"last","lines":10,"sleep":"%s"}`, w.interval())
	w.shutdown(r)
	most := 0
	copies := map[string]int{}
	for _, one := range w.kinesis.Records(sandbox.Stream) {
		copies[string(one.Data)]++
		most = max(most, copies[string(one.Data)])
	}
	// The held invocation makes some, and the shutdown some more.
	if most > 14 {
		w.Errorf("a record was stored %d times", most)
	}
	w.Logf("a record was stored %d times at most", most)
}

// poisonFirst is a record that Kinesis refuses for what it is, and nothing was
// accepted before. What follows must not wait for the shutdown.
func poisonFirst(w *world, _ uint64) {
	w.env["KINETEL_COMPRESSION"] = "none"
	w.kinesis.SetIntercept(func(r *kinesissim.Request) *kinesissim.Answer {
		for _, e := range r.Entries {
			if bytes.Contains(e.Data, []byte("poison")) {
				return kinesissim.Error(400, "InvalidArgumentException", "a record is not to be had")
			}
		}
		return nil
	})
	r := w.start()
	w.invoke(r, `{"id":"poison","lines":10,"sleep":"%s"}`, w.interval())
	w.goOn(r, "a record", func() bool { return w.kinesis.Stats().Records > 0 })
	w.shutdown(r)
	if told := w.losses(); told["rejected"] == 0 {
		w.Errorf("reported lost: %v", told)
	}
}
