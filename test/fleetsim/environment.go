package main

import (
	"time"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
)

// environment is one execution environment: the real breaker, and models of
// packages pack, queue and ship. Its own times count while it is not frozen.
type sandbox struct {
	*simulation
	rate    float64 // bytes a second
	breaker breaker.Breaker
	backlog backlog
	key     uint16
	period  time.Duration // between two records
	due     time.Duration // the next one
	open    time.Duration // how long that is open
	next    time.Duration // how long the one after it is open
	phase   time.Duration // of its freezes

	// Of the whole run, in bytes.
	made, arrived, twice int64
}

func (e *sandbox) start(w *simulation, rate float64) {
	*e = sandbox{simulation: w, rate: rate, breaker: breaker.New(w.jitter), key: w.stream.key()}
	e.backlog.buffer, e.backlog.spool = w.buffer, w.spool
	e.period = w.interval
	if w.cycle > 0 {
		e.phase = time.Duration(w.random.Int64N(int64(w.cycle)))
		e.period = w.awake // it is rare: a record at the end of each invocation
	}
	// A record that is full is sent at once.
	e.period = min(e.period, time.Duration(pack.MaxEvents*w.event/e.perTurn()*float64(time.Second)))
	e.open, e.next = e.period, e.period
	if e.period == w.interval && !w.inStep { // as in lifecycle
		e.open -= w.jitter(e.period / 2)
		e.next -= w.jitter(e.period)
	}
	e.due = e.open
	if w.cycle == 0 {
		e.due += time.Duration(w.random.Int64N(int64(w.started)))
	}
}

// perTurn is what it writes in a second of its own.
func (e *sandbox) perTurn() float64 {
	if e.cycle == 0 {
		return e.rate
	}
	return e.rate * float64(e.cycle) / float64(e.awake)
}

// wall is the time of the simulation when it is that time for the environment.
func (e *sandbox) wall(own time.Duration) time.Duration {
	if e.cycle == 0 {
		return own
	}
	return own/e.awake*e.cycle + own%e.awake + e.phase
}

// own is the environment's time when it is that time in the simulation, or as soon as
// it is awake after that.
func (e *sandbox) own(wall time.Duration) time.Duration {
	if e.cycle == 0 {
		return wall
	}
	wall = max(wall-e.phase, 0)
	if in := wall % e.cycle; in < e.awake {
		return wall/e.cycle*e.awake + in
	}
	return (wall/e.cycle + 1) * e.awake
}

// turn is its moment: records are closed that are due, and a request is made
// where something waits. It returns when the next one is, by its own time.
func (e *sandbox) turn(at time.Duration) time.Duration {
	now := e.own(at)
	e.catchUp(now)
	if e.backlog.count() == 0 {
		return e.due
	}
	records, bytes := e.breaker.Limits()
	if e.unpaced && !e.breaker.Open() {
		records, bytes = kinesis.MaxRecords, breaker.MaxBytes
	}
	batch := e.backlog.batch(records, bytes)
	e.result.request()
	took, delay := e.attempt(at, now, batch)
	next := now + took + delay
	if e.byWall {
		next = e.own(e.wall(now+took) + delay)
	}
	if e.backlog.count() == 0 {
		return max(next, e.due)
	}
	return next
}

// catchUp closes the records that are due.
func (e *sandbox) catchUp(now time.Duration) {
	for e.due <= now {
		size := e.perTurn() * e.open.Seconds()
		if e.period == e.interval {
			size *= 0.5 + e.random.Float64() // no interval is like the other
		}
		r := waiting{size: uint32(min(max(size, 200), pack.MaxRecord)), key: e.key}
		if e.randomKeys {
			r.key = e.stream.key()
		}
		e.made += int64(r.size)
		lost := e.backlog.lost
		e.backlog.push(r)
		e.result.change(int64(r.size) - (e.backlog.lost - lost))
		e.open, e.next = e.next, e.period
		e.due += e.open
	}
}

// attempt makes one request and applies its results. It returns how long it took, and how
// long to wait then.
func (e *sandbox) attempt(at, now time.Duration, batch []waiting) (took, delay time.Duration) {
	if e.down(at) {
		took = e.takes()
		if e.failure == silent {
			took = breaker.AttemptTimeout
			if e.landed > 0 && e.random.Float64() < e.landed {
				for i := range batch {
					e.arrive(&batch[i])
					batch[i].landed = true
				}
			}
		}
		e.catchUp(now + took)
		e.ack(nil)
		e.breaker.Failed(epoch.Add(e.wall(now+took)), took, kinesis.Transient)
		return took, e.breaker.Delay(0)
	}
	took = e.takes()
	gone := e.gone[:0]
	var sent int64
	failed := 0
	for i := range batch {
		r := &batch[i]
		ok := e.stream.take(at, r.key, r.size)
		gone = append(gone, ok)
		if ok {
			sent += int64(r.size)
			e.arrive(r)
			continue
		}
		failed++
		if r.throttled++; e.keyAfter > 0 && r.throttled%e.keyAfter == 0 {
			r.key = e.stream.key()
		}
	}
	e.gone = gone
	e.result.answer(len(batch), failed)
	of := len(batch)
	e.catchUp(now + took)
	e.ack(gone)
	answered, left := epoch.Add(e.wall(now+took)), e.backlog.size
	switch failed {
	case 0:
		e.breaker.Succeeded(sent, left)
		if !e.unpaced {
			delay = e.breaker.Pace(sent)
		}
	case of:
		e.breaker.Failed(answered, took, kinesis.Throttled)
		delay = e.breaker.Delay(0)
	default:
		e.breaker.Partly(answered, left)
		delay = e.breaker.Delay(0)
	}
	return took, delay
}

// arrive counts a record that is in the stream.
func (e *sandbox) arrive(r *waiting) {
	if r.landed {
		e.twice += int64(r.size)
		return
	}
	e.arrived += int64(r.size)
}

// ack ends the batch; nil: all stay.
func (e *sandbox) ack(gone []bool) {
	before := e.backlog.size
	if gone == nil {
		for range e.backlog.flight {
			e.gone = append(e.gone, false)
		}
		gone = e.gone[:e.backlog.flight]
		clear(gone)
	}
	e.backlog.ack(gone)
	e.result.change(e.backlog.size - before)
}
