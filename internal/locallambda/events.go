package locallambda

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxEventBytes bounds the payloads of the events that wait or run.
const maxEventBytes = 64 << 20

// eventQueue runs asynchronous invocations. Each has a goroutine, which waits for a place
// in the pool, and for its retries.
type eventQueue struct {
	function Invoker
	cfg      HandlerConfig
	ctx      context.Context // ends what waits
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu    sync.Mutex
	count int
	bytes int
}

func newEventQueue(function Invoker, cfg HandlerConfig) *eventQueue {
	q := &eventQueue{function: function, cfg: cfg}
	q.ctx, q.stop = context.WithCancel(context.Background())
	return q
}

// add takes an event, or returns ErrThrottled.
func (q *eventQueue) add(req Request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ctx.Err() != nil {
		return ErrClosed
	}
	if q.count >= q.cfg.MaxEvents || q.bytes+len(req.Payload) > maxEventBytes {
		return ErrThrottled
	}
	q.count++
	q.bytes += len(req.Payload)
	received := time.Now()
	q.running.Go(func() {
		outcome := q.process(req, received)
		q.mu.Lock()
		q.count--
		q.bytes -= len(req.Payload)
		q.mu.Unlock()
		outcome.RequestID, outcome.Age = req.RequestID, time.Since(received)
		if q.cfg.OnEventDone != nil {
			q.cfg.OnEventDone(outcome)
		}
	})
	return nil
}

// process invokes the function until it succeeds, or there is no retry left.
func (q *eventQueue) process(req Request, received time.Time) EventOutcome {
	ctx, cancel := context.WithDeadline(q.ctx, received.Add(q.cfg.MaxEventAge))
	defer cancel()
	req.Wait, req.StopWaiting = true, ctx.Done()
	var outcome EventOutcome
	for ctx.Err() == nil {
		result, err := q.function.Invoke(context.Background(), req)
		if errors.Is(err, ErrThrottled) || errors.Is(err, ErrClosed) {
			break // it got no place in time
		}
		outcome.Attempts++
		outcome.Result, outcome.Err = result, err
		switch {
		case err == nil && result.FunctionError == "":
			outcome.Condition = EventSucceeded
			return outcome
		case outcome.Attempts > len(q.cfg.RetryDelays):
			outcome.Condition = EventRetriesExhausted
			return outcome
		}
		pause(ctx, q.cfg.RetryDelays[outcome.Attempts-1])
	}
	outcome.Condition = EventDiscarded
	if ctx.Err() == context.DeadlineExceeded {
		outcome.Condition = EventAgeExceeded
	}
	return outcome
}

// pause waits, until ctx ends at most.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// close discards what waits, and returns when the rest is done, or ctx ends.
func (q *eventQueue) close(ctx context.Context) error {
	q.mu.Lock()
	q.stop()
	q.mu.Unlock()
	done := make(chan struct{})
	go func() {
		q.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
