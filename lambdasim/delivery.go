package lambdasim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
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

// Back-off of a refused POST. AWS documents that it retries with back-off, but
// not how.
const (
	firstRetry = 25 * time.Millisecond
	lastRetry  = time.Second
)

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
	// tellDropped emits platform.logsDropped; nil: nothing is dropped because of
	// a POST that is not answered.
	tellDropped func(sub *subscriber, events int, size int64, reason string)

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

// item is an event that waits. Where sent is not 0, the event was cut and that
// much of it was sent.
type item struct {
	number   uint64
	raw      []byte
	envelope int
	sent     int
}

// length is how much of a body the item needs.
func (it *item) length() int {
	if it.sent == 0 {
		return len(it.raw)
	}
	return it.envelope + len(it.raw) - it.sent
}

func (s *subscriber) missed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missedEvents > 0
}

// hasRoom reports whether there is room for e and some more: telling about
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
	if s.tellDropped != nil {
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

// deliverOrDrop is deliver with Config.DropUnanswered. In a shutdown nothing is
// dropped for want of an answer, which is kinder than the emulator.
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
	s.tellDropped(s, len(taken), int64(size), reason)
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

// take moves the next batch from the queue to body, and returns the numbers of
// the events that it completes, appended to taken, and their size.
//
// A batch is at most maxBytes long. An event that is larger than that by itself
// is cut, as AWS Lambda was seen to do: the first body ends in the middle of the
// record, with a forged "}]"; the next begins with "[", the same envelope up to
// `"record":`, and the bytes that follow. The cut is at the byte that fills
// maxBytes, wherever that is: in an escape sequence, or in a character. At least
// the last two bytes of the event are left for the next body, so that no part
// is complete by chance.
func (s *subscriber) take(body []byte, taken []uint64) (_ []byte, _ []uint64, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := 0
	if s.tcp {
		for events < len(s.queue) && events < s.maxItems && (events == 0 || len(body)+len(s.queue[events].raw) < s.maxBytes) {
			body = append(body, s.queue[events].raw...)
			body = append(body, '\n')
			size += len(s.queue[events].raw)
			events++
		}
		return body, s.pop(events, taken), size
	}
	body = append(body, '[')
	for events < len(s.queue) && events < s.maxItems {
		it := &s.queue[events]
		comma := 0
		if events > 0 {
			comma = 1
		}
		if len(body)+comma+it.length()+1 <= s.maxBytes {
			if comma > 0 {
				body = append(body, ',')
			}
			body = it.append(body, len(it.raw))
			size += len(it.raw)
			events++
			continue
		}
		if it.length()+2 <= s.maxBytes {
			break // it fits into the next batch
		}
		fits := s.maxBytes - len(body) - comma - it.envelope - len("}]")
		if fits < 1 {
			break
		}
		if comma > 0 {
			body = append(body, ',')
		}
		from := max(it.sent, it.envelope)
		to := min(from+fits, len(it.raw)-2)
		body = it.append(body, to)
		it.sent = to
		body = append(body, '}')
		// The rest is to follow at once, with what else waits.
		s.due = len(s.queue)
		break
	}
	return append(body, ']'), s.pop(events, taken), size
}

// append appends the envelope and the unsent part of the record up to the end.
func (it *item) append(body []byte, end int) []byte {
	body = append(body, it.raw[:it.envelope]...)
	return append(body, it.raw[max(it.sent, it.envelope):end]...)
}

// pop removes n items from the queue's head and appends their numbers to taken.
// s.mu is held.
func (s *subscriber) pop(n int, taken []uint64) []uint64 {
	for _, it := range s.queue[:n] {
		taken = append(taken, it.number)
	}
	clear(s.queue[:n]) // lets the events go
	s.queue = s.queue[n:]
	s.due = max(s.due-n, 0)
	s.oldest = time.Now()
	return taken
}

// send delivers a batch, and again until it was accepted. It returns how often
// it was not, and false when ctx ended first.
func (s *subscriber) send(ctx context.Context, body []byte, events int) (failed int, ok bool) {
	bodies := [][]byte{body}
	if s.hook != nil {
		bodies = s.hook(s.name, body)
	}
	for _, b := range bodies {
		retry := firstRetry
		for {
			if ctx.Err() != nil {
				return failed, false
			}
			err := s.post(ctx, b)
			s.mu.Lock()
			s.posts++
			if err != nil {
				s.failedPosts++
			}
			s.mu.Unlock()
			if err == nil {
				break
			}
			failed++
			if ctx.Err() != nil {
				return failed, false
			}
			s.notice(Notice{Kind: NoticeDeliveryError, Process: s.name, Detail: err.Error(), Events: events})
			if !s.pause(ctx, retry) {
				return failed, false
			}
			retry = min(2*retry, lastRetry)
		}
	}
	return failed, true
}

// pause waits before a retry: the back-off, and as long as the environment is
// frozen. In a shutdown it is short.
func (s *subscriber) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	over := false
	for {
		s.mu.Lock()
		paused, urgent := s.paused, s.urgent
		s.mu.Unlock()
		if urgent && !over && d > firstRetry {
			d = firstRetry
			timer.Reset(d)
		}
		if over && !paused {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			over = true
		case <-s.wake:
		}
	}
}

// post sends one body.
func (s *subscriber) post(ctx context.Context, body []byte) error {
	if s.tcp {
		_, err := s.conn.Write(body)
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.uri, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Host = s.host
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)); err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the extension answered %s", res.Status)
	}
	return nil
}

// newTelemetryClient dials the extension, which is on this machine whatever the
// name in its URI is. Redirects are not followed: only a 2xx is an acceptance.
func newTelemetryClient(port int, timeout time.Duration) *http.Client {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, address)
			},
			MaxIdleConnsPerHost: 1,
			WriteBufferSize:     64 << 10,
			DisableCompression:  true,
		},
	}
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
