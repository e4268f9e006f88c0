package lambdasim

import (
	"context"
	"slices"
	"strconv"
	"time"
)

func (s *subscriber) deliver(ctx context.Context) {
	defer close(s.done)
	if s.conn != nil {
		// A write to an extension that does not read ends with ctx, too.
		defer context.AfterFunc(ctx, func() { s.conn.Close() })()
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var body []byte
	var taken []uint64
	for {
		wait := s.ready()
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
			case <-timer.C:
			}
			continue
		}
		var size int
		body, taken, size = s.take(body[:0], taken[:0])
		events := len(taken)
		failed, ok := s.send(ctx, body, events)
		if !ok {
			s.mu.Lock()
			s.lost += events
			s.mu.Unlock()
			return
		}
		s.accepted(body, slices.Clone(taken), failed)
		s.mu.Lock()
		s.size -= size
		s.mu.Unlock()
	}
}

// accepted notes a batch that the extension has accepted.
func (s *subscriber) accepted(body []byte, taken []uint64, failed int) {
	if s.delivered != nil {
		s.delivered(Delivery{Extension: s.name, Generation: s.generation, Events: taken, FailedPosts: failed})
	}
	s.notice(Notice{Kind: NoticeDelivered, Process: s.name, Events: len(taken), Detail: strconv.Itoa(len(body)) + " bytes"})
	s.mu.Lock()
	s.deliveredEvents += len(taken)
	s.deliveredBytes += int64(len(body))
	s.mu.Unlock()
}

// deliverOrDrop is deliver with Config.DropUnanswered. In a shutdown it waits for
// answers and drops nothing, unlike the emulator.
func (s *subscriber) deliverOrDrop(ctx context.Context) {
	defer close(s.done)
	posted := make(chan struct{}, 1) // the POST under way has ended
	posting := false
	defer func() {
		if posting {
			<-posted
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-posted:
			posting = false
		default:
		}
		wait := s.ready()
		s.mu.Lock()
		if posting && s.urgent {
			wait = time.Hour
		}
		s.mu.Unlock()
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-posted:
				posting = false
			case <-s.wake:
			case <-timer.C:
			}
			continue
		}
		body, taken, size := s.take(nil, nil)
		s.mu.Lock()
		s.size -= size
		s.mu.Unlock()
		if posting {
			s.drop(taken, size, "Some logs were dropped because the downstream consumer is slower than the logs production rate")
			continue
		}
		posting = true
		go func() {
			defer func() { posted <- struct{}{} }()
			s.postOnce(ctx, body, taken, size)
		}()
	}
}

// postOnce posts a batch, which is dropped when that fails.
func (s *subscriber) postOnce(ctx context.Context, body []byte, taken []uint64, size int) {
	bodies := [][]byte{body}
	if s.hook != nil {
		bodies = s.hook(s.name, body)
	}
	for _, b := range bodies {
		err := s.post(ctx, b)
		s.mu.Lock()
		s.posts++
		if err != nil {
			s.failedPosts++
		}
		s.mu.Unlock()
		if ctx.Err() != nil { // the environment has ended
			s.mu.Lock()
			s.lost += len(taken)
			s.mu.Unlock()
			return
		}
		if err != nil {
			s.notice(Notice{Kind: NoticeDeliveryError, Process: s.name, Detail: err.Error(), Events: len(taken)})
			s.drop(taken, size, "could not send events: "+err.Error())
			return
		}
	}
	s.accepted(body, taken, 0)
}

// drop notes a batch that is not delivered.
func (s *subscriber) drop(taken []uint64, size int, reason string) {
	s.mu.Lock()
	s.droppedEvents += len(taken)
	s.mu.Unlock()
	if s.onDropped != nil {
		s.onDropped(Delivery{Extension: s.name, Generation: s.generation, Events: taken})
	}
	s.reportDropped(s, len(taken), int64(size), reason)
}

// ready returns 0 when a batch is to be sent now, and otherwise how long to wait
// for one, unless woken.
func (s *subscriber) ready() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.paused || len(s.queue) == 0:
		return time.Hour
	case s.urgent || s.due > 0 || len(s.queue) >= s.maxItems:
		return 0
	case s.size >= s.maxBytes: // nothing is in flight when this is asked
		return 0
	}
	wait := time.Until(s.oldest.Add(s.timeout))
	if wait > 0 {
		return wait
	}
	s.due = len(s.queue)
	return 0
}
