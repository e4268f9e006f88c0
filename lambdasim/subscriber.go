package lambdasim

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// subscription is what an extension asked the Telemetry API for.
type subscription struct {
	schema   int
	streams  stream
	types    []string
	maxItems int
	maxBytes int
	timeout  time.Duration
	uri      string // HTTP
	host     string // HTTP: the Host header
	port     int
	tcp      bool
}

// subscriber delivers events to one extension. Its goroutine, deliver, is the
// only one that takes from the queue.
type subscriber struct {
	subscription
	name       string
	generation int
	backlog    int
	hook       func(ext string, body []byte) [][]byte
	delivered  func(Delivery)
	onDropped  func(Delivery)
	notice     func(Notice)
	client     *http.Client
	conn       net.Conn // TCP
	// reportDropped emits platform.logsDropped; nil: nothing is dropped because of
	// a POST that is not answered.
	reportDropped func(sub *subscriber, events int, size int64, reason string)

	cancel context.CancelFunc
	done   chan struct{} // closed when deliver returned
	wake   chan struct{} // one slot: look at the state again

	mu     sync.Mutex // guards what follows
	queue  []item
	size   int // bytes in queue and in flight
	paused bool
	urgent bool // everything is due
	// due is how many items at the queue's head are to be sent although they
	// fill no batch; oldest is when the wait for the others began.
	due    int
	oldest time.Time
	// What did not fit, since the last platform.logsDropped.
	missedEvents, missedBytes int64

	// lost counts the events of the batch whose delivery was abandoned.
	lost, posts, failedPosts, deliveredEvents, droppedEvents int
	deliveredBytes                                           int64
}

func (s *subscriber) missed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missedEvents > 0
}

// hasRoom reports whether there is room for e and some more: a report for
// every single drop would only add to the load.
func (s *subscriber) hasRoom(e *emission) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size+len(e.raw[s.schema])+s.backlog/8 <= s.backlog
}

// miss counts events that never came this far.
func (s *subscriber) miss(events, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missedEvents += events
	s.missedBytes += size
	s.droppedEvents += int(events)
}

func (s *subscriber) takeMissed() (events, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, size = s.missedEvents, s.missedBytes
	s.missedEvents, s.missedBytes = 0, 0
	return events, size
}

// enqueue adds an event and reports whether it was taken. Only droppable ones
// are ever refused. While there are drops to be reported, all droppable events are
// dropped, so that a run of losses is reported as one.
func (s *subscriber) enqueue(e *emission, droppable bool) bool {
	raw := e.raw[s.schema]
	s.mu.Lock()
	if droppable && (s.missedEvents > 0 || s.size+len(raw) > s.backlog) {
		s.missedEvents++
		s.missedBytes += int64(len(raw))
		s.droppedEvents++
		s.mu.Unlock()
		return false
	}
	if len(s.queue) == 0 {
		s.oldest = time.Now()
	}
	s.queue = append(s.queue, item{number: e.event.Number, raw: raw, envelope: e.envelope})
	s.size += len(raw)
	// The goroutine needs to look when a wait begins and when a batch is full;
	// in between it would find nothing to do.
	wake := len(s.queue) == 1 || s.size >= s.maxBytes || len(s.queue) >= s.maxItems || s.urgent
	s.mu.Unlock()
	if wake {
		s.wakeUp()
	}
	return true
}

func (s *subscriber) setPaused(paused bool) {
	s.mu.Lock()
	s.paused = paused
	// The time-out counts the environment's own time: it begins anew at a thaw.
	s.oldest = time.Now()
	s.mu.Unlock()
	s.wakeUp()
}

func (s *subscriber) setUrgent() {
	s.mu.Lock()
	s.urgent = true
	s.mu.Unlock()
	s.wakeUp()
}

func (s *subscriber) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// start begins to deliver.
func (s *subscriber) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan struct{})
	if s.reportDropped != nil {
		go s.deliverOrDrop(ctx)
		return
	}
	go s.deliver(ctx)
}

// stop ends the delivery; what still waits stays.
func (s *subscriber) stop() {
	s.cancel()
	<-s.done
	if s.conn != nil {
		s.conn.Close()
	}
	s.client.CloseIdleConnections()
}

// stats adds the subscriber's counters to a report.
func (s *subscriber) stats(p *ProcessReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Posts, p.FailedPosts = s.posts, s.failedPosts
	p.DeliveredEvents, p.DeliveredBytes = s.deliveredEvents, s.deliveredBytes
	p.DroppedEvents = s.droppedEvents
	p.UndeliveredEvents = s.lost + len(s.queue)
}
