package faults

import (
	"bytes"
	"strings"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// slowToTheEnd is a Kinesis that answers each request late, and a shutdown in
// Lambda's own two seconds: nothing may wait for another request's answer then.
func slowToTheEnd(s *scenario, _ uint64) {
	s.kinesis.SetIntercept(kinesissim.AnswerAll(kinesissim.Delay(1500 * time.Millisecond)))
	r := s.start(lambdaShutdownTimeout)
	for i := range 5 {
		s.invoke(r, `{"id":"run-%d","lines":10,"sleep":"%s"}`, i, s.interval())
	}
	s.shutdown(r)
	if log := s.log(); strings.Contains(log, "the environment ends before") {
		s.Errorf("not everything was sent:\n%s", log)
	}
}

// lostToTheEnd is a Kinesis whose answers are lost from some time on, up to the end.
func lostToTheEnd(s *scenario, _ uint64) {
	r := s.start(lambdaShutdownTimeout)
	s.traffic(r)
	s.kinesis.SetIntercept(kinesissim.AnswerAll(kinesissim.DropAnswerAndReset()))
	s.invoke(r, `{"id":"last","lines":10,"sleep":"%s"}`, s.interval())
	s.shutdown(r)
	most := 0
	copies := map[string]int{}
	for _, one := range s.kinesis.Records(sandbox.Stream) {
		copies[string(one.Data)]++
		most = max(most, copies[string(one.Data)])
	}
	// The held invocation makes some, and the shutdown some more.
	if most > 14 {
		s.Errorf("a record was stored %d times", most)
	}
	s.Logf("a record was stored %d times at most", most)
}

// poisonFirst is a record that Kinesis refuses before it has accepted any. What follows must not wait for the shutdown.
func poisonFirst(s *scenario, _ uint64) {
	s.env["KINETEL_COMPRESSION"] = "none"
	s.kinesis.SetIntercept(func(r *kinesissim.Request) *kinesissim.Answer {
		for _, e := range r.Entries {
			if bytes.Contains(e.Data, []byte("poison")) {
				return kinesissim.Refuse(400, "InvalidArgumentException", "a record is not to be had")
			}
		}
		return nil
	})
	r := s.start()
	s.invoke(r, `{"id":"poison","lines":10,"sleep":"%s"}`, s.interval())
	s.invokeUntil(r, "a record", func() bool { return s.kinesis.Stats().Records > 0 })
	s.shutdown(r)
	if reported := s.losses(); reported["rejected"] == 0 {
		s.Errorf("reported lost: %v", reported)
	}
}
