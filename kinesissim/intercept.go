package kinesissim

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Request is what a hook sees of a request. Hooks see the requests that name a
// known operation, are JSON and have a valid signature.
type Request struct {
	Operation string // such as "PutRecords"
	// N counts the requests of this operation that hooks see, from 1.
	N      int
	Header http.Header // do not change it
	Body   []byte      // do not change it
	// Stream is the stream's name, even if the request has its ARN; empty if the
	// request has neither.
	Stream     string
	NumRecords int // records in a put, otherwise zero
	// Entries are the records of a put; nil if the body cannot be decoded, for
	// example because of invalid base64.
	Entries []PutEntry
	Conn    uint64 // numbers the connection, from 1
	// ConnRequests counts the requests on this connection, from 1. More than 1
	// means that the client has reused the connection.
	ConnRequests int
}

// PutEntry is one record as a producer sends it.
type PutEntry struct {
	PartitionKey    string
	ExplicitHashKey string // decimal, or empty
	Data            []byte // do not change it
}

func (e *PutEntry) size() int { return len(e.Data) + len(e.PartitionKey) }

// Answer is how a request ends. Make one with the functions of this file, and
// combine several with [Combine]. You can use one Answer for many requests, also at
// the same time, unless a function that you give to [FailRecords] forbids it.
//
// A nil Answer, or an empty one, means: carry the request out.
type Answer struct {
	delay  time.Duration                         // waits first
	before ending                                // then ends the request like this,
	reject func(s *Server, r *Request) *apiError // or refuses it
	fail   func(i int, e PutEntry) string        // or fails some of its records,
	edit   func([]byte) []byte                   // changes the answer,
	after  ending                                // and ends the connection like this
	cut    int                                   // bytes of the body, for endCut
}

// ending is how a request or its connection ends.
type ending int

const (
	endNone  ending = iota
	endHang         // no answer until the client goes away or the server closes
	endReset        // RST
	endDrop         // FIN, no answer
	endCut          // FIN, part of an answer
	endClose        // FIN after the answer
)

// Combine returns one Answer for several: it adds up delays, and calls the function
// of every [FailRecords] in turn until one returns an error code. Where answers
// exclude each other, the first one counts. Nil answers have no effect.
//
//	Combine(FailRecords(some), CloseIdle())
func Combine(answers ...*Answer) *Answer {
	sum := &Answer{}
	for _, a := range answers {
		if a == nil {
			continue
		}
		sum.delay += a.delay
		if sum.before == endNone {
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
		if sum.after == endNone {
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

// FailRecords carries a put out except for the records for which f returns an error
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
func Hang() *Answer { return &Answer{before: endHang} }

// Reset ends the connection with a TCP reset, before the request is carried
// out.
func Reset() *Answer { return &Answer{before: endReset} }

// ResetAfter carries the request out and then resets the connection instead of
// answering: the records are stored, and their producer cannot know that.
func ResetAfter() *Answer { return &Answer{after: endReset} }

// DropAnswer carries the request out and then closes the connection in good
// order instead of answering.
func DropAnswer() *Answer { return &Answer{after: endDrop} }

// Delay waits, in real time, and then applies then; nil carries the request out.
// The wait goes on when the client disconnects: a producer whose own time limit is
// over will find its records stored. When the server closes, the wait ends and the
// request is not carried out.
func Delay(d time.Duration, then *Answer) *Answer {
	return Combine(&Answer{delay: d}, then)
}

// Truncate carries the request out and closes the connection after n bytes of
// the answer's body; the header announces all of it.
func Truncate(n int) *Answer { return &Answer{after: endCut, cut: max(n, 0)} }

// Garbage carries the request out and answers 200 with a body that is not
// JSON.
func Garbage() *Answer {
	return &Answer{edit: func([]byte) []byte { return []byte("<html>not Kinesis</html>") }}
}

// ShortResults carries a PutRecords out and omits the last n results from its
// answer, so that results and records do not match.
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

// CloseIdle carries the request out, answers, and then closes the connection without
// a Connection: close header, as an idle time limit of the server or a freeze of the
// client does to a connection in a pool.
func CloseIdle() *Answer { return &Answer{after: endClose} }

// Seeded is a hook that applies answer to a share of all requests, 0 to 1. The choice
// depends on the seed and on the order of requests only.
func Seeded(seed uint64, ratio float64, answer func() *Answer) func(*Request) *Answer {
	draw := newRandom(seed)
	return func(*Request) *Answer {
		if draw() < ratio {
			return answer()
		}
		return nil
	}
}

// SeededRecords is a hook that fails a share of all records, 0 to 1, with an
// error code, each drawn by itself. See [FailRecords].
func SeededRecords(seed uint64, ratio float64, errorCode string) func(*Request) *Answer {
	draw := newRandom(seed)
	some := FailRecords(func(int, PutEntry) string {
		if draw() < ratio {
			return errorCode
		}
		return ""
	})
	return func(*Request) *Answer { return some }
}

// Sequence is a hook that gives the first request the first answer, the second the
// second, and so on. A nil answer, and the end of the answers, means: carry the
// request out.
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

// On is a hook that calls another one for one operation only.
func On(operation string, hook func(*Request) *Answer) func(*Request) *Answer {
	return func(r *Request) *Answer {
		if r.Operation != operation {
			return nil
		}
		return hook(r)
	}
}

// newRandom returns a source of numbers from 0 to 1, safe for concurrent use.
func newRandom(seed uint64) func() float64 {
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
