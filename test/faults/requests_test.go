package faults

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

func unavailable() *kinesissim.Answer {
	return kinesissim.Refuse(503, "ServiceUnavailable", "down")
}

// skewed is how AWS answers a signature of another time. The machine's clock
// cannot be moved for one process; what is tested is the answer.
func skewed() *kinesissim.Answer {
	return kinesissim.Refuse(400, "InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than 20261123T235500Z")
}

func everyHundredth() kinesissim.Interceptor {
	var n atomic.Int64
	fail := kinesissim.FailRecords(func(int, kinesissim.PutEntry) string {
		if n.Add(1)%100 == 7 {
			return "ProvisionedThroughputExceededException"
		}
		return ""
	})
	return kinesissim.AnswerAll(fail)
}

func records(share float64, code string) func() kinesissim.Interceptor {
	return func() kinesissim.Interceptor { return kinesissim.FailRecordsAtRandom(1, share, code) }
}

func half(answer *kinesissim.Answer) func() kinesissim.Interceptor {
	return func() kinesissim.Interceptor { return kinesissim.AnswerAtRandom(7, 0.5, answer) }
}

func silent() kinesissim.Interceptor {
	return kinesissim.AnswerInOrder(kinesissim.Combine(kinesissim.Delay(1500*time.Millisecond), kinesissim.ResetConnection()))
}

// some sends traffic and a burst to a Kinesis that fails sometimes.
func some(faults func() kinesissim.Interceptor, lines int) func(*scenario, uint64) {
	return func(s *scenario, _ uint64) {
		s.kinesis.SetIntercept(faults())
		r := s.start()
		s.traffic(r)
		s.invoke(r, `{"id":"burst","lines":%d}`, lines)
		s.invokeUntil(r, "the fault", func() bool {
			stats := s.kinesis.Stats()
			return stats.Rejected+stats.Unanswered > 0
		})
		s.shutdown(r)
	}
}

// most fails so often that Lambda's two seconds for the shutdown may be too short. The
// next environment sends what is left in the spool. The request that is cancelled at
// the end may have stored some records.
func most(s *scenario, _ uint64) {
	s.kinesis.SetIntercept(records(0.9, "InternalFailure")())
	r := s.start(lambdaShutdownTimeout)
	s.traffic(r)
	s.invoke(r, `{"id":"burst","lines":2000}`)
	s.invokeUntil(r, "the fault", func() bool { return s.kinesis.Stats().Rejected > 0 })
	s.shutdown(r)
	s.runAgain()
}

// slow is a Kinesis in a distant region.
func slow(s *scenario, _ uint64) {
	s.kinesis.SetIntercept(kinesissim.AnswerAll(kinesissim.Delay(1500 * time.Millisecond)))
	r := s.start()
	s.invoke(r, `{"id":"one","lines":40}`)
	s.invoke(r, `{"id":"two","lines":40}`)
	s.shutdown(r)
}

func outage(s *scenario, _ uint64) {
	var down, requests atomic.Bool
	down.Store(true)
	s.kinesis.SetIntercept(func(*kinesissim.Request) *kinesissim.Answer {
		requests.Store(true)
		if down.Load() {
			return kinesissim.ResetConnection()
		}
		return nil
	})
	r := s.start()
	over := time.AfterFunc(3*time.Second, func() { down.Store(false) })
	defer over.Stop()
	for i := 0; down.Load(); i++ {
		s.invoke(r, `{"id":"down-%d","lines":20,"sleep":"100ms"}`, i)
	}
	s.requireFault(requests.Load())
	s.invoke(r, `{"id":"up","lines":20}`)
	s.shutdown(r)
}

// outageToTheEnd ends the environment before Kinesis is back.
func outageToTheEnd(answer func() *kinesissim.Answer) func(*scenario, uint64) {
	return func(s *scenario, _ uint64) {
		s.kinesis.SetIntercept(kinesissim.AnswerAll(answer()))
		r := s.start(lambdaShutdownTimeout)
		s.traffic(r)
		s.shutdown(r)
		s.requireFault(s.kinesis.Stats().Records == 0)
		if s.spool == spoolOff && s.inLog() == 0 {
			s.Errorf("nothing is reported lost in the log:\n%s", s.log())
		}
		s.runAgain()
	}
}

// refused is a refusal that is fixed while the environment runs.
func refused(answer func() *kinesissim.Answer) func(*scenario, uint64) {
	return func(s *scenario, _ uint64) {
		s.kinesis.SetIntercept(kinesissim.AnswerAll(answer()))
		r := s.start()
		s.traffic(r)
		s.invokeUntil(r, "a refusal", func() bool { return len(s.kinesis.Stats().Errors) > 0 })
		s.kinesis.SetIntercept(nil)
		s.invoke(r, `{"id":"fixed","lines":40}`)
		s.shutdown(r)
	}
}

func missing(s *scenario, _ uint64) {
	r := s.start()
	s.traffic(r)
	s.invokeUntil(r, "a refusal", func() bool { return s.kinesis.Stats().Errors["ResourceNotFoundException"] > 0 })
	if err := s.kinesis.CreateStream(kinesissim.Stream{Name: sandbox.Stream, Shards: 1}); err != nil {
		s.Fatal(err)
	}
	s.invoke(r, `{"id":"fixed","lines":40}`)
	s.shutdown(r)
}

// frozen freezes the environment while Kinesis has a request, which Kinesis
// answers before the thaw.
func frozen(answer func() *kinesissim.Answer) func(*scenario, uint64) {
	return func(s *scenario, _ uint64) {
		s.env["KINETEL_MAX_HOLD"] = "50ms" // less than Kinesis takes
		var asked atomic.Bool
		freeze := make(chan struct{})
		frozen := sync.OnceFunc(func() { close(freeze) })
		s.kinesis.SetIntercept(func(*kinesissim.Request) *kinesissim.Answer {
			if asked.Swap(true) {
				return nil
			}
			<-freeze
			return answer()
		})
		defer frozen() // whatever happens, the server's goroutine must end
		r := s.start(func(c *lambdasim.Config) {
			c.OnNotice = func(n lambdasim.Notice) {
				if n.Kind == lambdasim.NoticeFreeze && asked.Load() {
					frozen()
				}
			}
		})
		// Long enough for the interval's request to begin before the end.
		s.invoke(r, `{"id":"before","lines":40,"sleep":"300ms"}`)
		s.invokeUntil(r, "a request", asked.Load)
		// The answer is on its way while everything stands still.
		s.waitFor("the request's end", func() bool {
			stats := s.kinesis.Stats()
			return stats.Records > 0 || stats.Unanswered > 0
		})
		s.traffic(r)
		s.shutdown(r)
	}
}

// poison is a record that Kinesis refuses, with every request that has it.
func poison(s *scenario, _ uint64) {
	s.env["KINETEL_COMPRESSION"] = "none"
	refused := kinesissim.Refuse(400, "InvalidArgumentException", "a record is not to be had")
	healthy := func(r *kinesissim.Request) *kinesissim.Answer {
		for _, e := range r.Entries {
			if bytes.Contains(e.Data, []byte("poison")) {
				return refused
			}
		}
		return nil
	}
	s.kinesis.SetIntercept(healthy)
	r := s.start()
	s.invoke(r, `{"id":"before","lines":40}`)
	s.invokeUntil(r, "a record", func() bool { return s.kinesis.Stats().Records > 0 })
	// Its neighbours are to be in the same request.
	s.kinesis.SetIntercept(kinesissim.AnswerAll(unavailable()))
	for _, id := range []string{"left", "poison", "right"} {
		s.invoke(r, `{"id":"%s","lines":600,"sleep":"150ms"}`, id)
	}
	s.kinesis.SetIntercept(healthy)
	s.invoke(r, `{"id":"after","lines":40}`)
	s.shutdown(r)
	reported := s.losses()
	if reported["rejected"] == 0 {
		s.Errorf("reported lost: %v", reported)
	}
	arrived := map[string]int{}
	for _, e := range s.arrived() {
		if e.Type == "function" {
			id, _, _ := bytes.Cut(e.Body, []byte(" "))
			arrived[string(id)]++
		}
	}
	// A record has 500 lines, so at most that many neighbours are in one with
	// the poison, on each side.
	if arrived[`"before`] != 40 || arrived[`"after`] != 40 || arrived[`"left`] < 100 || arrived[`"right`] < 100 || arrived[`"poison`] > 0 {
		s.Errorf("arrived: %v", arrived)
	}
}
