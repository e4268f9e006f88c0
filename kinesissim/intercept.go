package kinesissim

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Request is what a hook sees of a request: one that named a known operation,
// held JSON and passed the check of its signature.
type Request struct {
	Operation string // such as "PutRecords"
	// N counts such requests of this operation, this one included, from 1.
	N      int
	Header http.Header // do not change it
	Body   []byte      // do not change it
	// Stream is the stream's name, also where the request has its ARN; empty
	// where it has neither.
	Stream     string
	NumRecords int // records in a put, otherwise zero
	// Entries are the records of a put. Nil where the body cannot be decoded,
	// as with broken base64.
	Entries []PutEntry
	Conn    uint64 // numbers the connection, from 1
	// ConnRequests counts the requests on this connection, from 1. So more
	// than 1 means that the client used a connection again.
	ConnRequests int
}

// PutEntry is one record as a producer sends it.
type PutEntry struct {
	PartitionKey    string
	ExplicitHashKey string // decimal, or empty
	Data            []byte // do not change it
}

func (e *PutEntry) size() int { return len(e.Data) + len(e.PartitionKey) }

// Answer is the fate of a request. Make one with the functions of this file
// and put several together with [Combine]. It is not changed by its use: one
// Answer can serve many requests, also at the same time, unless a function
// given to [FailRecords] says otherwise.
//
// A nil Answer, and an empty one, let the request be carried out.
type Answer struct {
	delay  time.Duration                         // waits first
	before fate                                  // then ends the request so,
	reject func(s *Server, r *Request) *apiError // or refuses it
	fail   func(i int, e PutEntry) string        // or fails some of its records,
	edit   func([]byte) []byte                   // changes the answer,
	after  fate                                  // and ends the connection so
	cut    int                                   // for fateCut
}

type fate int

const (
	fateNone  fate = iota
	fateHang       // no answer until someone goes away
	fateReset      // RST
	fateDrop       // FIN, no answer
	fateCut        // FIN, part of an answer
	fateClose      // FIN after the answer
)

// Combine makes one fate of several: delays add up, every [FailRecords] is
// asked in turn until one names an error, and of what excludes each other the
// first counts. Nil answers are left out.
//
//	Combine(FailRecords(some), CloseIdle())
func Combine(answers ...*Answer) *Answer {
	sum := &Answer{}
	for _, a := range answers {
		if a == nil {
			continue
		}
		sum.delay += a.delay
		if sum.before == fateNone {
			sum.before = a.before
		}
		if sum.reject == nil {
			sum.reject = a.reject
		}
		switch first := sum.fail; {
		case first == nil:
			sum.fail = a.fail
		case a.fail != nil:
			second := a.fail
			sum.fail = func(i int, e PutEntry) string {
				if code := first(i, e); code != "" {
					return code
				}
				return second(i, e)
			}
		}
		if sum.edit == nil {
			sum.edit = a.edit
		}
		if sum.after == fateNone {
			sum.after, sum.cut = a.after, a.cut
		}
	}
	return sum
}

// Error refuses the request with a status, an exception's type and a message.
// Nothing is stored.
func Error(status int, exception, message string) *Answer {
	return &Answer{reject: func(*Server, *Request) *apiError {
		return &apiError{status: status, kind: exception, message: message}
	}}
}

// Throttle refuses the whole request with ProvisionedThroughputExceededException,
// status 400. See [FailRecords] for throttling that PutRecords reports per record.
func Throttle() *Answer {
	return &Answer{reject: func(s *Server, r *Request) *apiError {
		return badRequest(throughputExceeded, "Rate exceeded for stream %s under account %s.", r.Stream, s.cfg.AccountID)
	}}
}

// AccessDenied refuses the request as IAM does, with AccessDeniedException,
// status 400.
func AccessDenied() *Answer {
	return &Answer{reject: func(s *Server, r *Request) *apiError {
		return badRequest("AccessDeniedException",
			"User: arn:aws:sts::%s:assumed-role/producer/session is not authorized to perform: kinesis:%s on resource: %s because no identity-based policy allows the kinesis:%s action",
			s.cfg.AccountID, r.Operation, s.StreamARN(r.Stream), r.Operation)
	}}
}

// ExpiredToken refuses the request with ExpiredTokenException, status 400, as
// for temporary credentials past their end.
func ExpiredToken() *Answer {
	return &Answer{reject: func(*Server, *Request) *apiError { return expiredToken() }}
}

// FailRecords carries a put out except for the records that f gives an error
// code, such as "ProvisionedThroughputExceededException" or "InternalFailure";
// the empty string stores the record. PutRecords answers with status 200 and
// the failures among its results. PutRecord is refused as a whole: with status
// 500 for "InternalFailure", else 400. Other operations are carried out.
//
// f is called once a record, in order, without any lock held.
func FailRecords(f func(i int, e PutEntry) (errorCode string)) *Answer {
	return &Answer{fail: f}
}

// Hang gives no answer until the client goes away or the server closes.
// Nothing is stored.
func Hang() *Answer { return &Answer{before: fateHang} }

// Reset ends the connection with a TCP reset, before the request is carried
// out.
func Reset() *Answer { return &Answer{before: fateReset} }

// ResetAfter carries the request out and then resets the connection instead of
// answering: records are stored and their producer cannot know.
func ResetAfter() *Answer { return &Answer{after: fateReset} }

// DropAnswer carries the request out and then closes the connection in good
// order instead of answering.
func DropAnswer() *Answer { return &Answer{after: fateDrop} }

// Delay waits, in real time, and then does as then says; nil carries the
// request out. The wait does not end when the client does: a producer that
// stopped waiting after its own time limit will find its records stored. It does end
// when the server closes, and then the request is not carried out.
func Delay(d time.Duration, then *Answer) *Answer {
	return Combine(&Answer{delay: d}, then)
}

// Truncate carries the request out and closes the connection after n bytes of
// the answer's body; the header announces all of it.
func Truncate(n int) *Answer { return &Answer{after: fateCut, cut: max(n, 0)} }

// Garbage carries the request out and answers 200 with a body that is not
// JSON.
func Garbage() *Answer {
	return &Answer{edit: func([]byte) []byte { return []byte("<html>not Kinesis</html>") }}
}

// ShortResults carries a PutRecords out and leaves the last n results out of
// its answer, so that results and records no longer match.
func ShortResults(n int) *Answer {
	return &Answer{edit: func(body []byte) []byte {
		var out map[string]json.RawMessage
		var results []json.RawMessage
		if json.Unmarshal(body, &out) != nil || json.Unmarshal(out["Records"], &results) != nil {
			return body
		}
		results = results[:max(0, len(results)-n)]
		if results == nil {
			results = []json.RawMessage{}
		}
		short, err := json.Marshal(results)
		if err != nil {
			return body
		}
		return bytes.Replace(body, out["Records"], short, 1)
	}}
}

// CloseIdle carries the request out, answers, and then closes the connection
// without having said so: what an idle time limit of the server, or a freeze
// of the client, does to a connection in a pool.
func CloseIdle() *Answer { return &Answer{after: fateClose} }

// Seeded is a hook that gives a share of all requests, 0 to 1, the fate that
// answer makes. The choice depends on the seed and on the order of requests
// only.
func Seeded(seed uint64, ratio float64, answer func() *Answer) func(*Request) *Answer {
	draw := newDice(seed)
	return func(*Request) *Answer {
		if draw() < ratio {
			return answer()
		}
		return nil
	}
}

// SeededRecords is a hook that fails a share of all records, 0 to 1, with an
// error code, each by its own draw. See [FailRecords].
func SeededRecords(seed uint64, ratio float64, errorCode string) func(*Request) *Answer {
	draw := newDice(seed)
	some := FailRecords(func(int, PutEntry) string {
		if draw() < ratio {
			return errorCode
		}
		return ""
	})
	return func(*Request) *Answer { return some }
}

// Sequence is a hook that gives the first request the first answer, the second
// the second, and lets every one after the last be carried out. A nil among
// the answers lets that request be carried out too.
func Sequence(answers ...*Answer) func(*Request) *Answer {
	var mu sync.Mutex
	next := 0
	return func(*Request) *Answer {
		mu.Lock()
		defer mu.Unlock()
		if next >= len(answers) {
			return nil
		}
		next++
		return answers[next-1]
	}
}

// Always is a hook that gives every request the same answer.
func Always(a *Answer) func(*Request) *Answer {
	return func(*Request) *Answer { return a }
}

// On is a hook that asks another one for one operation only.
func On(operation string, hook func(*Request) *Answer) func(*Request) *Answer {
	return func(r *Request) *Answer {
		if r.Operation != operation {
			return nil
		}
		return hook(r)
	}
}

// newDice makes a source of numbers from 0 to 1 that many goroutines may use.
func newDice(seed uint64) func() float64 {
	var mu sync.Mutex
	source := rand.New(rand.NewPCG(seed, 0))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return source.Float64()
	}
}

// SetIntercept replaces [Config.Intercept]; nil carries every request out. It
// may be called at any time; a request that already has its answer keeps it.
func (s *Server) SetIntercept(hook func(*Request) *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = hook
}
