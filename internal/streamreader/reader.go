// Package streamreader reads all shards of a Kinesis stream, through splits and merges.
package streamreader

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// Config is what to read.
type Config struct {
	AWS    aws.Config
	Stream string   // the name or the ARN
	From   Position // zero: the oldest record
	// Follow waits for new records, also those of new shards. Without it, the reader ends
	// when it has read each shard up to the time of its start.
	Follow bool
	// Consumer is the name of a consumer with enhanced fan-out: the reader registers it,
	// and removes it at the end. Without it, the reader polls.
	Consumer string
}

// Record is a record of the stream. Records of a shard, and of a shard and those that
// replace it, come in the order of the stream.
type Record struct {
	Data           []byte
	Shard          string
	SequenceNumber string
	PartitionKey   string
	Arrival        time.Time
}

// Progress is how far a Reader has come.
type Progress struct {
	Shards  int // that are known
	Done    int // of these, those that are read to their end
	Records int64
	Bytes   int64         // of the records' data
	Behind  time.Duration // how far the last shard is behind the end of the stream
}

// Reader reads a stream once.
type Reader struct {
	cfg       Config
	client    *kinesis.Client
	retryer   *retry.Standard
	name, arn *string // one of them is nil, unless there is a consumer
	consumer  *string // the ARN of the registered consumer
	start     time.Time
	slots     chan struct{} // one for each page of polled records in memory
	pages     chan []Record
	ended     chan result

	mu     sync.Mutex // guards what follows, and the fields of each shard that say so
	shards map[string]*shard
	done   Progress // Records and Bytes
}

// result is how the reading of a shard ended.
type result struct {
	shard *shard
	err   error
}

// maxPages is how many pages of polled records may be in memory.
const maxPages = 4

// New returns a Reader. It makes no request yet.
func New(cfg Config) *Reader {
	r := &Reader{
		cfg: cfg, slots: make(chan struct{}, maxPages), pages: make(chan []Record), ended: make(chan result),
		shards: map[string]*shard{},
		retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = maxAttempts, maxBackoff, ratelimit.None
		}),
	}
	r.name = &r.cfg.Stream
	if strings.HasPrefix(cfg.Stream, "arn:") {
		r.name, r.arn = nil, &r.cfg.Stream
	}
	r.client = r.newClient()
	return r
}

const (
	maxAttempts   = 8
	firstAttempts = 3
	maxBackoff    = 5 * time.Second
)

func (r *Reader) newClient() *kinesis.Client {
	return kinesis.NewFromConfig(r.cfg.AWS, func(o *kinesis.Options) { o.Retryer = r.retryer })
}

// Records reads the stream. An error comes with an empty Record, and is the last. If ctx
// ends, the error is its cause, unless the consumer could not be removed. The loop may
// stop at any time. The data of a record does not change later.
func (r *Reader) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		reading, stop := context.WithCancel(ctx)
		finished := make(chan error, 1)
		go func() {
			err := r.run(reading)
			close(r.pages)
			finished <- err
		}()
		wanted := true
		for page := range r.pages {
			for i := range page {
				if wanted = wanted && yield(page[i], nil); !wanted {
					stop()
					break
				}
				page[i] = Record{} // the garbage collector may have it
			}
		}
		stop()
		if err := <-finished; err != nil && wanted {
			yield(Record{}, err)
		}
	}
}

// Start returns the time by the clock of Kinesis up to which a Reader that does not follow
// reads. Call it when there was a record.
func (r *Reader) Start() time.Time { return r.start }

// Progress returns how far the reader is. You may call it from any goroutine.
func (r *Reader) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.done
	p.Shards = len(r.shards)
	for _, s := range r.shards {
		switch s.state {
		case ended:
			p.Done++
		case started:
			p.Behind = max(p.Behind, s.behind)
		}
	}
	return p
}

// run starts the shards, each when its parents have ended, and waits for all.
func (r *Reader) run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := r.list(ctx); err != nil {
		return err
	}
	read := r.poll
	if r.cfg.Consumer != "" {
		if err := r.register(ctx); err != nil {
			return err
		}
		defer func() {
			failure := r.deregister(ctx)
			if failure != nil && errors.Is(err, context.Cause(ctx)) {
				err = nil // it must not hide the failure
			}
			err = errors.Join(err, failure)
		}()
		read = r.subscribe
	}
	for running := 0; ; {
		for _, s := range r.ready() {
			if err != nil {
				break
			}
			running++
			go func() { r.ended <- result{s, read(ctx, s)} }()
		}
		if running == 0 {
			return err
		}
		end := <-r.ended
		running--
		r.update(end.shard, func(s *shard) { s.state = ended })
		if end.err == nil && err == nil && r.cfg.Follow {
			end.err = r.list(ctx) // a shard that was split or merged has children
		}
		if end.err != nil && err == nil {
			err = end.err
			stop()
		}
	}
}

// deliver passes records on, and reports whether some arrived after the reader's start.
func (r *Reader) deliver(ctx context.Context, s *shard, page []Record, behind time.Duration) (afterStart bool, err error) {
	if len(page) > 0 {
		last := page[len(page)-1]
		afterStart = last.Arrival.After(r.start)
		s.last = last.SequenceNumber
		bytes := 0
		for i := range page {
			bytes += len(page[i].Data)
		}
		n := len(page)
		select {
		case r.pages <- page:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		r.update(s, func(*shard) {
			r.done.Records += int64(n)
			r.done.Bytes += int64(bytes)
		})
	}
	r.update(s, func(s *shard) { s.behind = behind })
	return afterStart, nil
}

// update changes what the mutex guards.
func (r *Reader) update(s *shard, change func(*shard)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(s)
}

// sleep waits, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
