package faults

import (
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// terminate ends the extension in the middle of an invocation, as a container
// would. Lambda then resets the environment.
func terminate(s *scenario, _ uint64) {
	s.acknowledged = true
	r := s.start()
	s.invoke(r, `{"id":"before","lines":40}`)
	ended := s.background(r, `{"id":"during","lines":500,"sleep":"10s"}`)
	before, _ := r.Acknowledged()
	s.waitFor("the lines", func() bool {
		taken, _ := r.Acknowledged()
		return len(taken) > len(before)+500
	})
	if err := r.Sandbox.SignalExtension(sandbox.Extension, syscall.SIGTERM); err != nil {
		s.Fatal(err)
	}
	if result := ended(); result.ErrorType != "Extension.Crash" {
		s.Errorf("the invocation ended with %s %s", result.Status, result.ErrorType)
	}
	s.traffic(r)
	s.shutdown(r)
}

func crash(s *scenario, _ uint64) {
	r := s.start()
	s.invoke(r, `{"id":"before","lines":40}`)
	s.failing(r, "Runtime.ExitError", `{"id":"panic","lines":40,"panic":true}`)
	s.invoke(r, `{"id":"between","lines":40}`)
	s.failing(r, "Runtime.ExitError", `{"id":"exit","lines":40,"exit":3}`)
	s.invoke(r, `{"id":"after","lines":40}`)
	s.shutdown(r)
}

func timeOut(s *scenario, _ uint64) {
	r := s.start(func(c *lambdasim.Config) { c.Timeout = 2 * time.Second })
	s.invoke(r, `{"id":"before","lines":40}`)
	s.failing(r, "Sandbox.Timedout", `{"id":"hang","lines":40,"hang":true}`)
	s.invoke(r, `{"id":"after","lines":40}`)
	s.shutdown(r)
}

func outOfMemory(s *scenario, _ uint64) {
	r := s.start()
	s.invoke(r, `{"id":"before","lines":40}`)
	ended := s.background(r, `{"id":"during","lines":40,"sleep":"10s"}`)
	s.waitFor("a line", func() bool { return strings.Contains(lastLine(r), "during") })
	if err := r.Sandbox.SignalFunction(os.Kill); err != nil {
		s.Fatal(err)
	}
	if result := ended(); result.ErrorType != "Runtime.OutOfMemory" {
		s.Errorf("the invocation ended with %s %s", result.Status, result.ErrorType)
	}
	s.invoke(r, `{"id":"after","lines":40}`)
	s.shutdown(r)
}

func lastLine(r *sandbox.Run) string {
	emitted := r.Emitted()
	return emitted[len(emitted)-1].Record
}

func burst(s *scenario, _ uint64) {
	r := s.start()
	s.invoke(r, `{"id":"burst","lines":5000}`)
	s.shutdown(r)
	s.requireFullReport()
}
