package lambdasim

import (
	"bytes"
	"errors"
	"sync"
	"time"
)

// relay turns what happens into telemetry events and gives them to subscribers.
//
// Its lock gives events their one order: an emitter holds it from the event's
// creation until the event is in every subscriber's queue and OnEvent returned.
// Lock order: relay.mu before subscriber.mu before nothing; Sandbox.mu is never
// held when relay.mu is taken, so that OnEvent may signal processes.
type relay struct {
	cfg *Config // read only

	mu        sync.Mutex
	number    uint64 // of the last event
	requestID string
	lines     int   // function lines since the invocation's start
	lineBytes int64 // and their bytes
	subs      []*subscriber
	// open is set while subscriptions are accepted; replay then holds all
	// events since the begin of Init for later subscribers, as far as
	// the backlog's bound allows; what it does not is counted.
	open              bool
	replay            []emission
	replayBytes       int
	replayMissed      int64
	replayMissedBytes int64
	// arena is where events are encoded: one allocation serves thousands of
	// lines. Its parts are never written again, so events may be kept.
	arena []byte
	held  [][]byte // the LateLines: copies, at most cfg.LateLines
	late  [][]byte // held lines that wait for LateBy
	kept  []Event
}

// emission is an event in the encodings of the schema versions, which share
// memory where they are the same.
type emission struct {
	event    Event
	stream   stream
	envelope int // length up to and including `"record":`
	raw      [schemas][]byte
}

var errSubscriptionClosed = errors.New("the telemetry subscription phase is closed")

// begin starts a generation without subscribers.
func (r *relay) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs, r.replay, r.open = nil, nil, true
	r.replayBytes, r.replayMissed, r.replayMissedBytes = 0, 0, 0
}

// closeSubscriptions ends the time in which extensions may subscribe.
func (r *relay) closeSubscriptions() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open, r.replay = false, nil
}

// end detaches the subscribers; later events have no receiver.
func (r *relay) end() []*subscriber {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sub := range r.subs {
		r.reportDropped(sub)
	}
	subs := r.subs
	r.subs, r.open, r.replay = nil, false, nil
	return subs
}

// subscribe adds sub, gives it all events since the begin of Init, and starts its deliveries.
func (r *relay) subscribe(sub *subscriber) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return errSubscriptionClosed
	}
	for i := range r.replay {
		r.offer(sub, &r.replay[i])
	}
	if sub.streams&^streamPlatform != 0 {
		sub.miss(r.replayMissed, r.replayMissedBytes)
	}
	r.subs = append(r.subs, sub)
	sub.start()
	return nil
}

// setRequest names the invocation to which what follows belongs.
func (r *relay) setRequest(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requestID = id
	if id != "" {
		r.lines, r.lineBytes = 0, 0
	}
}

func (r *relay) counts() (lines int, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines, r.lineBytes
}

func (r *relay) events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.kept...)
}

// platform emits a platform event.
func (r *relay) platform(eventType string, record any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitPlatform(r.requestID, eventType, record, nil)
}

// platformOf emits a platform event of one among several invocations.
func (r *relay) platformOf(requestID, eventType string, record any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitPlatform(requestID, eventType, record, nil)
}

// emitPlatform emits a platform event, to one subscriber only where that is
// given. r.mu is held.
func (r *relay) emitPlatform(requestID, eventType string, record any, only *subscriber) {
	now := time.Now()
	stamp := isoTime(now)
	r.number++
	e := emission{stream: streamPlatform, event: Event{Number: r.number, Time: now, Type: eventType, RequestID: requestID}}
	for schema := range schemas {
		raw := appendEnvelope(nil, stamp, eventType)
		e.envelope = len(raw)
		raw = append(raw, encodeRecord(record, schema)...)
		e.raw[schema] = append(raw, '}')
	}
	if only != nil {
		e.event.Only = only.name
		only.enqueue(&e, false)
		r.publish(&e)
		return
	}
	r.emit(&e)
}

// output emits a block of complete lines, each ended by a newline, that a
// process wrote.
func (r *relay) output(kind ProcessKind, block []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	stamp := isoTime(now)
	for len(block) > 0 {
		line := block
		if end := bytes.IndexByte(block, '\n'); end >= 0 {
			line, block = block[:end], block[end+1:]
		} else {
			block = nil
		}
		if kind == KindFunction && r.cfg.LateLines > 0 {
			// Held lines are copied: block is the reader's buffer.
			r.held = append(r.held, bytes.Clone(line))
			if len(r.held) <= r.cfg.LateLines {
				continue
			}
			line = r.held[0]
			r.held = r.held[1:]
		}
		r.emitLine(kind, line, now, stamp)
	}
}

// holdLate makes the held lines late ones. They are not emitted yet.
func (r *relay) holdLate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late, r.held = append(r.late, r.held...), nil
}

// releaseLate emits the late lines, if there are any.
func (r *relay) releaseLate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	stamp := isoTime(now)
	for _, line := range r.late {
		r.emitLine(KindFunction, line, now, stamp)
	}
	r.late = nil
}

// emitLine emits one line without its newline. r.mu is held.
func (r *relay) emitLine(kind ProcessKind, line []byte, now time.Time, stamp string) {
	r.number++
	e := emission{stream: streamFunction, event: Event{Number: r.number, Time: now, Type: typeFunctionLine, RequestID: r.requestID}}
	requestID := r.requestID
	if kind == KindExtension {
		e.stream, e.event.Type, requestID = streamExtension, typeExtensionLine, ""
	} else {
		r.lines++
		r.lineBytes += int64(len(line))
	}
	text := r.encodeLine(&e, line, stamp, requestID, false)
	e.raw = [schemas][]byte{text, text, text}
	if r.cfg.LogFormat == LogJSON {
		object := r.encodeLine(&e, line, stamp, requestID, true)
		e.raw[schema20221213], e.raw[schema20250129] = object, object
	}
	r.emit(&e)
}

// encodeLine encodes a line in the arena.
func (r *relay) encodeLine(e *emission, line []byte, stamp, requestID string, object bool) []byte {
	const chunk = 256 << 10
	if room := len(line) + len(line)/8 + 256; cap(r.arena)-len(r.arena) < room {
		r.arena = make([]byte, 0, max(chunk, room))
	}
	start := len(r.arena)
	raw := appendEnvelope(r.arena, stamp, e.event.Type)
	e.envelope = len(raw) - start
	raw = appendLogRecord(raw, line, stamp, requestID, object, r.cfg.ReplaceInvalidUTF8)
	raw = append(raw, '}')
	r.arena = raw
	return raw[start:len(raw):len(raw)]
}

// emit gives an event to all that subscribed to its stream. r.mu is held.
func (r *relay) emit(e *emission) {
	for _, sub := range r.subs {
		if !r.offer(sub, e) {
			e.event.DroppedFor = append(e.event.DroppedFor, sub.name)
		}
	}
	if r.open {
		r.keepForReplay(e)
	}
	r.publish(e)
}

// keepForReplay keeps an event of Init. r.mu is held.
func (r *relay) keepForReplay(e *emission) {
	size := len(e.raw[schema20250129])
	if e.stream != streamPlatform && r.replayBytes+size > r.cfg.TelemetryBacklogBytes {
		r.replayMissed++
		r.replayMissedBytes += int64(size)
		return
	}
	r.replayBytes += size
	r.replay = append(r.replay, *e)
}

// offer gives an event to one subscriber, if it wants it, and reports whether
// it was taken. If a subscriber has room again, it first gets a report of what it missed.
func (r *relay) offer(sub *subscriber, e *emission) bool {
	if sub.streams&e.stream == 0 {
		return true
	}
	droppable := e.stream != streamPlatform
	if sub.missed() && sub.hasRoom(e) {
		r.reportDropped(sub)
	}
	return sub.enqueue(e, droppable)
}

// reportDropped emits platform.logsDropped for a subscriber that missed events.
// r.mu is held.
func (r *relay) reportDropped(sub *subscriber) {
	events, size := sub.takeMissed()
	if events == 0 {
		return
	}
	record := droppedRecord{
		DroppedBytes: size, DroppedRecords: events,
		Reason: "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.",
	}
	if sub.streams&streamPlatform == 0 {
		return // it is not subscribed to platform events
	}
	r.emitPlatform(r.requestID, typeLogsDropped, record, sub)
}

// reportAllDropped reports to every subscriber what it missed; the end of an
// invocation is a time to do so.
func (r *relay) reportAllDropped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sub := range r.subs {
		r.reportDropped(sub)
	}
}

// reportBatchDropped emits platform.logsDropped for a subscriber whose batch was
// dropped. It may be dropped as well.
func (r *relay) reportBatchDropped(sub *subscriber, events int, size int64, reason string) {
	if sub.streams&streamPlatform == 0 {
		return // it is not subscribed to platform events
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitPlatform("", typeLogsDropped, droppedRecord{DroppedBytes: size, DroppedRecords: int64(events), Reason: reason}, sub)
}

func (r *relay) publish(e *emission) {
	if r.cfg.OnEvent == nil && !r.cfg.KeepEvents {
		return
	}
	e.event.Raw = e.raw[schema20250129]
	envelope := e.envelope
	e.event.Record = e.event.Raw[envelope : len(e.event.Raw)-1]
	if r.cfg.KeepEvents {
		r.kept = append(r.kept, e.event)
	}
	if r.cfg.OnEvent != nil {
		r.cfg.OnEvent(e.event)
	}
}

// setPaused stops deliveries, or lets them go on.
func (r *relay) setPaused(paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sub := range r.subs {
		sub.setPaused(paused)
	}
}

// closeIdle closes the connections to subscribers in which nothing is under way.
func (r *relay) closeIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sub := range r.subs {
		sub.client.CloseIdleConnections()
	}
}

// flush makes everything that waits due at once, and keeps it so: during a
// shutdown there is no time to gather batches.
func (r *relay) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, sub := range r.subs {
		sub.setUrgent()
	}
}
