package faults

import (
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/lambdasim"
)

// tooSlow makes Lambda drop lines. Lambda reports them in platform.logsDropped, and the
// extension in kinetel.report. They are not expected in the stream.
func tooSlow(s *scenario, _ uint64) {
	r := s.start(func(c *lambdasim.Config) {
		c.TelemetryBacklogBytes = 256 << 10
		c.RewritePost = func(_ string, body []byte) [][]byte {
			<-time.After(20 * time.Millisecond) // so slow is the subscriber
			return [][]byte{body}
		}
	})
	s.invoke(r, `{"id":"flood","lines":20000,"bytes":200,"sleep":"200ms"}`)
	s.invoke(r, `{"id":"after","lines":1}`)
	s.shutdown(r)
	var want, got int
	for _, e := range s.arrived() {
		if e.Type == "platform.logsDropped" {
			want += number(s, e.Body, "droppedRecords")
		}
	}
	s.requireFault(want > 0)
	for _, r := range s.reports() {
		got += r.LogsDropped.Records
	}
	if got != want {
		s.Errorf("kinetel.report has %d lines dropped by Lambda, platform.logsDropped %d", got, want)
	}
}

func unparseable(s *scenario, _ uint64) {
	var posts atomic.Int64
	r := s.start(func(c *lambdasim.Config) {
		c.RewritePost = func(_ string, body []byte) [][]byte {
			if posts.Add(1) == 2 {
				return [][]byte{[]byte("<html>\x00 no \"telemetry\" \xff"), body, []byte(`[{"time":`)}
			}
			return [][]byte{body}
		}
	})
	s.traffic(r)
	s.shutdown(r)
	texts := 0
	for _, e := range s.arrived() {
		if e.Type == event.TypeUnparsed {
			texts++
		}
	}
	if texts != 2 {
		s.Errorf("%d texts are in the stream, want 2", texts)
	}
}

func oversize(s *scenario, _ uint64) {
	s.env["KINETEL_COMPRESSION"] = "none"
	r := s.start()
	s.invoke(r, `{"id":"before","lines":10}`)
	s.invoke(r, `{"id":"huge","lines":1,"bytes":3000000,"sleep":"150ms"}`)
	s.invoke(r, `{"id":"after","lines":10}`)
	s.shutdown(r)
	parts := 0
	for _, e := range s.arrived() {
		if e.Parts > 0 {
			parts++
		}
	}
	if parts < 3 {
		s.Errorf("%d parts are in the stream, want 3 at least", parts)
	}
}
