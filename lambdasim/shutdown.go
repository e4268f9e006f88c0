package lambdasim

import (
	"context"
	"strconv"
	"syscall"
	"time"
)

// Reasons of a SHUTDOWN event. The AWS documentation writes them in upper case,
// AWS's code and captures in lower case.
const (
	reasonSpindown = "spindown"
	reasonTimeout  = "timeout"
	reasonFailure  = "failure"
)

// Shutdown ends the environment as AWS Lambda does when it is no longer needed, and then
// closes everything. It waits for an invocation that runs. If ctx ends before the processes
// do, they are killed. A second call returns the report of the first.
func (s *Sandbox) Shutdown(ctx context.Context) (ShutdownReport, error) {
	// The right to run is waited for without ctx's end: everything must be
	// closed in the end. An invocation is bounded by its time-outs.
	s.turn <- struct{}{}
	defer s.end()
	if s.report != nil {
		return *s.report, nil
	}
	close(s.leaving)
	if s.cfg.managed() {
		s.closeDoors()
	}
	start := time.Now()
	s.notice(Notice{Time: start, Kind: NoticeShutdownStart})
	report := ShutdownReport{}
	if s.gen != nil {
		s.relay.setRequest("")
		reason := reasonSpindown
		if s.cfg.managed() && s.crashed(s.gen) {
			reason = reasonFailure // and watch had not begun yet
		}
		ended := s.stopGeneration(ctx, s.gen, reason)
		report.Took = time.Since(start)
		s.mu.Lock()
		for _, p := range ended {
			report.Processes = append(report.Processes, p.report())
		}
		s.mu.Unlock()
	}
	s.report = &report
	s.notice(Notice{Kind: NoticeShutdownDone, Detail: report.Took.String()})
	s.close()
	return report, ctx.Err()
}

// stopGeneration runs the shutdown phase, of the environment or of a reset, and
// returns the processes that it ended.
//
// The order and the times are those of the AWS documentation ("Lambda execution
// environment lifecycle") and of the aws-lambda-runtime-interface-emulator: the
// runtime first; extensions get the SHUTDOWN event only, never
// SIGTERM; all deadlines count from the start of the phase.
func (s *Sandbox) stopGeneration(ctx context.Context, g *generation, reason string) []*process {
	start := time.Now()
	s.thaw()
	living := s.living()
	s.samplePeaks()
	s.mu.Lock()
	g.stopping = true
	limit := s.shutdownLimit(g)
	s.mu.Unlock()
	deadline := start.Add(limit)

	// From here on telemetry is delivered as it comes.
	s.relay.releaseLate()
	s.relay.reportAllDropped()
	s.relay.flush()

	if rt := g.runtime; rt != nil {
		graceful := limit > 0 && (reason == reasonSpindown || s.cfg.managed())
		s.stopRuntime(ctx, g, rt, graceful, start)
	}
	s.sendShutdown(g, reason, deadline)
	everybodyGone := func() bool {
		for _, p := range g.processes {
			if !p.gone {
				return false
			}
		}
		return true
	}
	if err := s.await(ctx, deadline, everybodyGone); err != nil {
		s.mu.Lock()
		var late []*process
		for _, p := range g.processes {
			if !p.gone {
				p.killed, p.killedAtDeadline = true, err == errDeadline
				late = append(late, p)
			}
		}
		s.mu.Unlock()
		for _, p := range late {
			p.signalGroup(syscall.SIGKILL)
			s.notice(Notice{Kind: NoticeKill, Process: p.name, Detail: err.Error()})
		}
	}
	for _, p := range g.processes {
		<-p.exited
	}
	s.endGeneration(g)
	return living
}

// shutdownLimit is the time for runtime and extensions together. s.mu is held.
func (s *Sandbox) shutdownLimit(g *generation) time.Duration {
	limit := time.Duration(0)
	for _, ext := range g.extensions {
		if !ext.internal {
			return s.cfg.ShutdownTimeout
		}
		limit = 500 * time.Millisecond
	}
	return limit
}

// stopRuntime ends the runtime: with SIGTERM and some time where graceful, and
// by SIGKILL.
func (s *Sandbox) stopRuntime(ctx context.Context, g *generation, rt *process, graceful bool, start time.Time) {
	s.mu.Lock()
	gone := rt.gone
	if !gone {
		rt.shutdownAt = time.Now()
	}
	s.mu.Unlock()
	if gone {
		return
	}
	if graceful {
		rt.signalGroup(syscall.SIGTERM)
		err := s.await(ctx, start.Add(s.cfg.RuntimeShutdownTimeout), func() bool { return rt.gone })
		if err == nil {
			<-rt.exited
			return
		}
	}
	s.mu.Lock()
	rt.killed, rt.killedAtDeadline = true, graceful
	s.mu.Unlock()
	rt.signalGroup(syscall.SIGKILL)
	s.notice(Notice{Kind: NoticeKill, Process: rt.name})
	<-rt.exited
}

// sendShutdown sends the SHUTDOWN event to extensions that subscribed to it, and
// kills the others.
func (s *Sandbox) sendShutdown(g *generation, reason string, deadline time.Time) {
	event := []byte(`{"eventType":"SHUTDOWN","deadlineMs":` + strconv.FormatInt(deadline.UnixMilli(), 10) +
		`,"shutdownReason":"` + reason + `"}`)
	var killed, notified []*process
	s.mu.Lock()
	for _, ext := range g.extensions {
		if ext.proc == nil || ext.proc.gone {
			continue
		}
		ext.proc.shutdownAt = time.Now()
		if ext.shutdown {
			ext.inbox <- event // has room: see newExtension
			notified = append(notified, ext.proc)
		} else {
			ext.proc.killed = true
			killed = append(killed, ext.proc)
		}
	}
	s.mu.Unlock()
	for _, p := range killed {
		p.signalGroup(syscall.SIGKILL)
		s.notice(Notice{Kind: NoticeKill, Process: p.name, Detail: "not subscribed to SHUTDOWN"})
	}
	for _, p := range notified {
		s.notice(Notice{Kind: NoticeShutdownSent, Process: p.name, Detail: reason})
	}
}

// endGeneration forgets a generation whose processes are dead.
func (s *Sandbox) endGeneration(g *generation) {
	for _, sub := range s.relay.end() {
		sub.stop()
		sub.mu.Lock()
		left := len(sub.queue) + sub.lost
		sub.mu.Unlock()
		if left > 0 {
			s.notice(Notice{Kind: NoticeUndelivered, Process: sub.name, Events: left})
		}
	}
	s.mu.Lock()
	s.gen = nil
	close(g.done)
	s.broadcast()
	s.mu.Unlock()
}
