package kinesissim

import (
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

const (
	subscriptionLife = 5 * time.Minute
	takeoverAfter    = 5 * time.Second
	maxEventBytes    = 1 << 20 // data and partition keys of one event
)

// subscribeToShard streams a shard's records to a registered consumer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
type subscribeToShard struct {
	consumerTarget
	startingPosition
	shard       *string
	hasPosition bool
	dry         bool
}

func (p *subscribeToShard) field(name string, v value) error {
	switch name {
	case "ConsumerARN":
		return p.consumerTarget.field(name, v)
	case "ShardId":
		return v.into(&p.shard)
	case "DryRun":
		return v.flag(&p.dry)
	case "StartingPosition":
		p.hasPosition = true
		return v.fields(func(name string, v value) error {
			switch name {
			case "Type":
				return v.into(&p.kind)
			case "SequenceNumber":
				return v.into(&p.sequence)
			case "Timestamp":
				return v.moment(&p.startingPosition.at)
			}
			return nil
		})
	}
	return nil
}

func (p *subscribeToShard) validate(v *violations) {
	if p.consumerARN == nil {
		v.missing("consumerARN")
	}
	v.shardName(p.shard, "shardId")
	if p.hasPosition {
		p.startingPosition.validate(v, "startingPosition.type", "startingPosition.sequenceNumber")
	} else {
		v.missing("startingPosition")
	}
	p.consumerTarget.validate(v)
}

// subscription is a consumer's stream of one shard. The server's mutex guards next.
type subscription struct {
	stream   *stream
	consumer *consumer
	shard    *shard
	began    time.Time
	next     int
}

func (p *subscribeToShard) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	s.mu.Lock()
	defer s.mu.Unlock()
	st, c, failure := s.findConsumerLocked(&p.consumerTarget)
	if failure != nil {
		return nil, failure
	}
	_, sh, failure := s.findShardLocked(&target{name: &st.Name}, *p.shard)
	if failure != nil {
		return nil, failure
	}
	next, failure := p.position(s, st, sh, now)
	if failure != nil {
		return nil, failure
	}
	if last := c.subscriptions[sh.index]; last != nil && now.Sub(last.began) < takeoverAfter {
		return nil, badRequest("ResourceInUseException", "Another active subscription exists for this consumer: %s:%s:%s",
			s.cfg.AccountID, st.Name, strings.TrimPrefix(c.arn, s.StreamARN(st.Name)+"/"))
	}
	if p.dry {
		return nil, dryRun()
	}
	sub := &subscription{stream: st, consumer: c, shard: sh, began: now, next: next}
	c.subscriptions[sh.index] = sub
	return sub, nil
}

// announceLocked wakes the subscriptions.
func (s *Server) announceLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

type shardEvent struct {
	Records                    []readRecord
	ContinuationSequenceNumber string `json:",omitempty"` // absent at the end of the shard
	MillisBehindLatest         int64
	ChildShards                []childShard `json:",omitempty"`
}

// serve sends events until the shard, the subscription or the connection ends.
func (sub *subscription) serve(s *Server, w http.ResponseWriter, r *http.Request, x *exchange) {
	x.identify(w.Header())
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	w.WriteHeader(http.StatusOK)
	if !x.sendMessage(w, "event", "initial-response", struct{}{}) {
		return
	}
	timer := time.NewTimer(subscriptionLife)
	defer timer.Stop()
	for first := true; ; first = false {
		event, changed, failure := sub.read(s)
		switch {
		case failure != nil:
			x.sendMessage(w, "exception", failure.kind, map[string]string{"message": failure.message})
			return
		case event == nil:
			return
		case first || len(event.Records) > 0 || event.ChildShards != nil:
			if !x.sendMessage(w, "event", "SubscribeToShardEvent", event) || event.ChildShards != nil {
				return
			}
		}
		if len(event.Records) > 0 {
			continue // there may be more
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-r.Context().Done(): // the client disconnects, or the server closes
			return
		}
	}
}

// read returns the next event, or nil if the subscription has ended, and a channel that is
// closed when there may be another event.
func (sub *subscription) read(s *Server) (*shardEvent, <-chan struct{}, *apiError) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st, c, sh := sub.stream, sub.consumer, sub.shard
	switch {
	case s.streams[st.Name] != st || st.consumers[c.name] != c:
		return nil, nil, badRequest("ResourceNotFoundException", "Consumer %s not found.", c.arn)
	case c.subscriptions[sh.index] != sub:
		return nil, nil, badRequest("ResourceInUseException", "Another subscription of the consumer has replaced this one.")
	case now.Sub(sub.began) >= subscriptionLife:
		return nil, nil, nil
	}
	page := sh.read(max(sub.next, sh.horizon(now, st.retention())), maxRead, maxEventBytes, now)
	sub.next = page.next
	event := &shardEvent{Records: page.records, MillisBehindLatest: page.behind}
	switch {
	case page.next == len(sh.records) && !sh.closed.IsZero():
		event.ChildShards = sh.childShards()
	case page.next == 0:
		event.ContinuationSequenceNumber = sh.starting()
	default:
		event.ContinuationSequenceNumber = sh.records[page.next-1].SequenceNumber
	}
	return event, s.changed, nil
}

// sendMessage sends one message of an event stream, and reports whether it could.
func (x *exchange) sendMessage(w http.ResponseWriter, kind, name string, payload any) bool {
	m := eventstream.Message{Payload: x.marshal(payload)}
	m.Headers.Set(":message-type", eventstream.StringValue(kind))
	m.Headers.Set(":"+kind+"-type", eventstream.StringValue(name))
	m.Headers.Set(":content-type", eventstream.StringValue(x.contentType()))
	if eventstream.NewEncoder().Encode(w, m) != nil {
		return false
	}
	return http.NewResponseController(w).Flush() == nil
}
