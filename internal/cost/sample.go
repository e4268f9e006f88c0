package cost

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/event"
)

// Limits of a sample, so that it fits into memory.
const (
	MaxLine       = 256 << 10 // bytes of a line
	MaxInvocation = 4 << 20   // bytes of an invocation's lines
)

// Sample makes invocations like those of a function. They are always the same.
type Sample struct {
	lines int              // of an invocation
	line  func() string    // the next line of the function
	rand  *rand.Rand       // what differs from one invocation to the next
	clock func() time.Time // of the next event
}

// NewSample returns invocations of so many lines: those of text, again and again, or, if
// it has none, JSON objects of lineBytes.
func NewSample(lines, lineBytes int, text []string) *Sample {
	random := rand.New(rand.NewPCG(1, 4))
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	s := &Sample{lines: lines, rand: random, clock: func() time.Time {
		now = now.Add(time.Duration(random.ExpFloat64() * float64(5*time.Millisecond)))
		return now
	}}
	s.line = func() string { return invented(random, lineBytes) }
	if next := 0; len(text) > 0 {
		s.line = func() string {
			next++
			return text[(next-1)%len(text)]
		}
	}
	return s
}

// ReadLines reads lines of a function's log for NewSample, the first 4 MiB of them.
func ReadLines(text io.Reader) (all []string, err error) {
	in := bufio.NewScanner(io.LimitReader(text, MaxInvocation))
	in.Buffer(nil, MaxLine)
	for in.Scan() {
		if len(in.Bytes()) > 0 {
			all = append(all, in.Text())
		}
	}
	switch {
	case errors.Is(in.Err(), bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d is longer than %d bytes, the longest that Lambda delivers: cut it", len(all)+1, MaxLine)
	case in.Err() != nil:
		return nil, in.Err()
	case len(all) == 0:
		return nil, errors.New("it has no lines: put 500 lines or more of your function's log into it")
	}
	return all, nil
}

// uuid returns a random UUID.
func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Uint64()>>16)
}

// invented returns a line of exactly this size, as a program logs again and again: a
// fifth of it is different each time.
func invented(r *rand.Rand, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"level":"info","logger":"orders.checkout","message":"payment authorised"`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `,"order%d":"%s","method":"card","amount":%d.%02d,"currency":"EUR","attempt":%d,"durationMs":%.3f,"queueDepth":%d,"warehouse":"w-%02d","feature":"express checkout"`,
			i, uuid(r), r.IntN(999), r.IntN(100), 1+r.IntN(3), r.ExpFloat64()*80, r.IntN(40), r.IntN(13))
	}
	if size < 2 {
		return b.String()[:size]
	}
	return b.String()[:size-1] + "}"
}

// invocation returns the events of an invocation as Lambda sends them, with Kinetel's own
// at the end, and the bytes that CloudWatch Logs would have of it.
func (s *Sample) invocation() (events []event.Event, logBytes int) {
	id, ms := uuid(s.rand), s.rand.ExpFloat64()*80
	add := func(kind, record string) {
		at := s.clock()
		events = append(events, event.Event{
			Time: []byte(at.Format(event.TimeFormat)), Received: at, Type: []byte(kind), Record: []byte(record), RequestID: id,
		})
	}
	start := s.clock().Format(event.TimeFormat)
	metrics := fmt.Sprintf(`"durationMs":%.3f,"billedDurationMs":%.0f,"memorySizeMB":128,"maxMemoryUsedMB":%d`, ms, ms+1, 60+s.rand.IntN(9))
	add(event.TypePlatformStart, fmt.Sprintf(`{"requestId":"%s","version":"$LATEST"}`, id))
	for range s.lines {
		line := s.line() + "\n"
		logBytes += len(line)
		add(event.TypeFunction, strconv.Quote(line))
	}
	add(event.TypePlatformRuntimeDone, fmt.Sprintf(`{"requestId":"%s","status":"success","metrics":{"durationMs":%.3f,"producedBytes":%d},"spans":[{"name":"responseLatency","start":"%s","durationMs":%.3f}]}`,
		id, ms, s.rand.IntN(400), start, s.rand.ExpFloat64()))
	add(event.TypePlatformReport, fmt.Sprintf(`{"requestId":"%s","status":"success","metrics":{%s}}`, id, metrics))
	add(event.TypeInvocation, fmt.Sprintf(`{"requestId":"%s","status":"success","metrics":{%s},"coldStart":false,"initType":"on-demand","start":"%s","events":%d,"firstSeq":%d,"lastSeq":%d,"heldMs":%.3f}`,
		id, metrics, start, s.lines+3, s.rand.IntN(1e6), s.rand.IntN(1e6), s.rand.ExpFloat64()*50))
	return events, logBytes + lambdaLines
}
