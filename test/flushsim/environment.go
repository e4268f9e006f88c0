package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/ship"
)

const (
	// buffered is how long Lambda keeps telemetry (telemetry.Subscribe asks for
	// the least).
	buffered = 25 * time.Millisecond
	// lines is how many an invocation writes.
	lines = 10
	// deadlineMargin is the end of an invocation's time that is never held.
	deadlineMargin = 100 * time.Millisecond
	// quiet is how long the shutdown waits for telemetry that is still to come.
	quiet = 40 * time.Millisecond
)

// epoch is where the runs begin; the policy wants times of day.
var epoch = time.Date(2026, time.November, 24, 0, 0, 0, 0, time.UTC)

// telemetry is an event.
type telemetry struct {
	made time.Duration
	done *invocation // of a platform.runtimeDone: whose; otherwise nil
	late bool        // it comes with the next invocation in any case: a platform.report
}

// environment is one execution environment: Lambda's side of it, and the
// extension with the real policy in it.
type environment struct {
	*simulation
	random *rand.Rand // of its puts

	// Lambda's side.
	frozen   bool
	froze    time.Duration // when, the last time
	thawed   time.Duration // when, the last time
	worked   time.Duration // how long it was not frozen, up to the last freeze
	buffer   []telemetry   // not yet handed over
	running  *invocation
	spindown *moment
	ended    bool // SHUTDOWN was sent

	// The extension's side.
	timers      []*timer
	invocations []*invocation
	busy        time.Duration // since when no gap was late
	open        []telemetry   // the open record
	opened      time.Duration
	waiting     [][]telemetry // closed records
	closed      int           // records, ever
	arrived     int           // of these, in Kinesis
	attempt     *attempt      // in flight
	last        *attempt      // that ended
	broken      bool          // it left a connection that is no good
	behind      time.Duration // since when attempts are made for what waits
	lazily      time.Duration // when cutUnheld has cut last
	holds       breaker.Holds
}

// invocation is one, as Lambda knows it.
type invocation struct {
	flush.Invocation      // as the extension knows it
	done, freed      bool // the runtime, the extension
	why              flush.Reason

	// Of its flush.
	began time.Duration
	had   int     // records that were in Kinesis when it began
	wants int     // records that are there when it is over; 0: it has not begun
	limit *moment // the end of the hold
}

// attempt is a request in flight.
type attempt struct {
	records [][]telemetry
	began   time.Duration
	answer  *timer
	timeout *timer
	grace   *timer // nil: it is not suspect

	beganWorked, ended, worked time.Duration // when it began and ended, also by the extension's clock
}

// timer is one of the extension's. It stands still while the environment is
// frozen.
type timer struct {
	left time.Duration
	m    *moment // nil: it stands still
	fire func()
}

func (e *environment) after(d time.Duration, fire func()) *timer {
	t := &timer{left: d, fire: fire}
	e.timers = append(e.timers, t)
	if !e.frozen {
		e.start(t)
	}
	return t
}

func (e *environment) start(t *timer) {
	t.m = e.at(e.now+t.left, func() { e.stop(t); t.fire() })
}

func (e *environment) stop(t *timer) {
	if t == nil {
		return
	}
	if t.m != nil {
		t.m.cancel()
	}
	e.timers = slices.DeleteFunc(e.timers, func(other *timer) bool { return other == t })
}

// work is how long the environment was not frozen, ever: the extension's own
// clock.
func (e *environment) work() time.Duration {
	if e.frozen {
		return e.worked
	}
	return e.worked + e.now - e.thawed
}

func (e *environment) freeze() {
	e.worked = e.work()
	e.frozen, e.froze = true, e.now
	for _, t := range e.timers {
		t.left = t.m.at - e.now
		t.m.cancel()
		t.m = nil
	}
}

func (e *environment) thaw() {
	if !e.frozen {
		return
	}
	e.frozen, e.thawed = false, e.now
	for _, t := range e.timers {
		e.start(t)
	}
}

// make makes an event, which Lambda hands over after a while.
func (e *environment) make(t telemetry) {
	t.made = e.now
	e.result.made++
	e.buffer = append(e.buffer, t)
	e.at(e.now+buffered, e.deliver)
}

// deliver hands over what is due, unless the environment is frozen.
func (e *environment) deliver() {
	for !e.frozen && len(e.buffer) > 0 && e.buffer[0].made+buffered <= e.now {
		t := e.buffer[0]
		e.buffer = e.buffer[1:]
		e.ingest(t)
	}
}

// tick is the ticker's.
func (e *environment) tick() {
	e.after(e.policy.Interval, e.tick)
	e.cut()
}

// invoke begins an invocation that takes so long.
func (e *environment) invoke(takes time.Duration) {
	e.thaw()
	if e.spindown != nil {
		e.spindown.cancel()
	}
	in := &invocation{Invocation: flush.Invocation{Arrived: epoch.Add(e.now)}}
	e.running = in
	e.make(telemetry{})
	for i := range lines {
		e.at(e.now+takes*time.Duration(i+1)/(lines+1), func() { e.make(telemetry{}) })
	}
	e.at(e.now+takes, func() {
		in.done = true
		e.make(telemetry{done: in})
		e.responded()
		e.over(in)
	})

	if len(e.invocations) == flush.Remember {
		e.invocations = e.invocations[1:]
	}
	e.invocations = append(e.invocations, in)
	situation := e.situation()
	e.hurry(ship.StaleGrace)
	if len(e.open) > 0 && e.now-e.opened >= e.policy.Age(situation) {
		e.cut()
	}
	if in.why = e.policy.Decide(situation); !in.why.Hold() {
		e.free(in)
	}
	// Telemetry of before the freeze comes by another connection than the
	// invocation: here it is always too late for the decision.
	e.at(e.now, e.deliver)
}

func (e *environment) situation() flush.Situation {
	invocations := make([]flush.Invocation, len(e.invocations))
	for i, v := range e.invocations {
		invocations[i] = v.Invocation
	}
	if gap, ok := flush.LastGap(invocations); !ok || gap > e.policy.Soon() {
		e.busy = e.now
	}
	s := flush.Situation{
		Invocations: invocations,
		Left:        e.timeout - deadlineMargin,
		Unavailable: e.holds.Exhausted(),
		Busy:        e.now - e.busy,
	}
	if e.attempt != nil { // as there is whenever something waits
		s.Behind = e.now - e.behind
	}
	return s
}

// take is the extension taking an event in.
func (e *environment) ingest(t telemetry) {
	if len(e.open) == 0 {
		e.opened = e.now
	}
	if e.open = append(e.open, t); len(e.open) == pack.MaxEvents {
		e.cut()
	}
	if t.done == nil {
		return
	}
	t.done.Done = epoch.Add(t.made)
	if t.done.why.Hold() && !t.done.freed {
		e.flush(t.done)
	}
	if e.policy.MaxHold < flush.MinHold {
		e.cutUnheld()
	}
}

// cutUnheld sends what would have been sent by a hold, where none is wanted.
func (e *environment) cutUnheld() {
	switch e.policy.Mode {
	case flush.ModeEnd:
		e.cut()
	case flush.ModeAdaptive:
		if e.lazily == 0 || e.now-e.lazily >= flush.Soon {
			e.lazily = e.now
			e.cut()
		}
	case flush.ModeInterval:
	}
}

// flush begins to wait until everything is in Kinesis.
func (e *environment) flush(in *invocation) {
	e.cut()
	e.hurry(ship.WaitGrace)
	in.began, in.had, in.wants = e.now, e.arrived, e.closed
	in.limit = e.at(in.Done.Add(e.policy.MaxHold).Sub(epoch), func() {
		if e.arrived == in.had {
			e.holds.Unproductive(epoch.Add(e.now), e.now-in.began)
		}
		e.free(in)
	})
	e.flushed()
}

// flushed ends the wait where there is nothing to wait for any more.
func (e *environment) flushed() {
	if in := e.running; in != nil && in.wants > 0 && !in.freed && e.arrived >= in.wants {
		in.limit.cancel()
		e.free(in)
	}
}

// free is the extension calling next.
func (e *environment) free(in *invocation) {
	in.freed, in.Freed = true, epoch.Add(e.now)
	e.over(in)
}

// over ends an invocation when the function and the extension are done.
func (e *environment) over(in *invocation) {
	if !in.done || !in.freed {
		return
	}
	e.result.over(in)
	e.running = nil
	e.make(telemetry{late: true})
	e.freeze()
	if !e.pattern.provisioned {
		e.spindown = e.at(e.now+e.idle, e.shutDown)
	}
	e.at(e.now, e.serve)
}

// cut closes the open record and has it sent.
func (e *environment) cut() {
	if len(e.open) > 0 {
		e.waiting = append(e.waiting, e.open)
		e.open = nil
		e.closed++
	}
	e.wake()
}

// wake begins a request, if there is none.
func (e *environment) wake() {
	if e.attempt != nil || len(e.waiting) == 0 {
		return
	}
	e.behind = e.now
	a := &attempt{records: e.waiting}
	e.waiting = nil
	e.attempt = a
	e.try(a)
}

// try makes a request.
func (e *environment) try(a *attempt) {
	e.result.puts++
	takes := time.Duration(float64(e.put) * math.Exp(e.spread*e.random.NormFloat64())).Round(time.Microsecond)
	if e.fresh() {
		takes += e.connect
	}
	a.began, a.beganWorked = e.now, e.work()
	a.answer = e.after(takes, func() { e.answered(a) })
	a.timeout = e.after(breaker.AttemptTimeout, func() { e.again(a) })
}

// fresh reports whether the request that is made now needs a new connection.
func (e *environment) fresh() bool {
	if e.last == nil || e.ended || e.broken {
		e.broken = false
		return true
	}
	idle, worked := e.now-e.last.ended, e.work()-e.last.worked
	return idle > ship.MaxIdle || idle-worked > ship.MaxJump
}

// hurry breaks a request off that a freeze has made old.
func (e *environment) hurry(grace time.Duration) {
	a := e.attempt
	if a == nil || e.now-a.began < ship.StaleAfter {
		return
	}
	e.stop(a.answer)
	if e.kept {
		a.answer = e.after(0, func() { e.answered(a) })
	}
	if a.grace != nil {
		grace = min(grace, a.grace.m.at-e.now)
		e.stop(a.grace)
	}
	a.grace = e.after(grace, func() { e.again(a) })
}

// again makes a request again that got no answer.
func (e *environment) again(a *attempt) {
	e.endAttempt(a)
	e.broken = true
	e.try(a)
}

// endAttempt ends a request.
func (e *environment) endAttempt(a *attempt) {
	e.stop(a.answer)
	e.stop(a.timeout)
	e.stop(a.grace)
	a.grace = nil
	a.ended, a.worked = e.now, e.work()
	e.last = a
}

// answered notes that Kinesis has a request's records.
func (e *environment) answered(a *attempt) {
	e.endAttempt(a)
	e.attempt = nil
	e.holds.Answered(epoch.Add(e.now), a.worked-a.beganWorked)
	e.arrived += len(a.records)
	for _, r := range a.records {
		for _, t := range r {
			e.result.arrived(t, e.now)
		}
	}
	e.wake()
	e.flushed()
}

// shutDown is Lambda's SHUTDOWN.
func (e *environment) shutDown() {
	e.ended = true
	e.thaw()
	e.hurry(ship.WaitGrace)
	e.cut()
	e.at(e.now, e.deliver)
	e.at(e.now+quiet, func() {
		e.cut()
		for _, t := range slices.Clone(e.timers) {
			if a := e.attempt; a == nil || t != a.answer && t != a.timeout && t != a.grace {
				e.stop(t) // the ticker
			}
		}
	})
}
