package kinesissim

import (
	"math/rand/v2"
	"net/http"
	"sync"
)

// An Interceptor decides how a request ends, before the server carries it out. A nil
// Answer means: carry it out. Requests that come at the same time call it at the same
// time. It may call every method of the server but [Server.Close].
type Interceptor func(*Request) *Answer

// Request is a request that an [Interceptor] sees: one that names a known operation, is
// JSON or CBOR and has a valid signature.
type Request struct {
	Operation string // such as "PutRecords"
	// Number counts the requests of this operation that interceptors see, from 1.
	Number int
	Header http.Header // do not change it
	Body   []byte      // in JSON, also if it was CBOR; do not change it
	// Stream is the stream's name, even if the request has its ARN; empty if the
	// request has neither.
	Stream string
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

// SetIntercept replaces Config.Intercept; nil carries every request out. A request that
// already has its [Answer] keeps it.
func (s *Server) SetIntercept(i Interceptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = i
}

// AnswerAll gives every request the same answer.
func AnswerAll(a *Answer) Interceptor {
	return func(*Request) *Answer { return a }
}

// AnswerInOrder gives the first request the first answer, the second request the second,
// and so on. A nil answer carries its request out, and so does the end of the list.
func AnswerInOrder(answers ...*Answer) Interceptor {
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

// AnswerAtRandom gives a share of all requests, 0 to 1, the answer, and carries the others
// out. The choice depends on the seed and on the order of requests only.
func AnswerAtRandom(seed uint64, share float64, a *Answer) Interceptor {
	draw := newRandom(seed)
	return func(*Request) *Answer {
		if draw() < share {
			return a
		}
		return nil
	}
}

// FailRecordsAtRandom fails a share of all records, 0 to 1, with an error code. Each
// record is drawn by itself. See [FailRecords].
func FailRecordsAtRandom(seed uint64, share float64, errorCode string) Interceptor {
	draw := newRandom(seed)
	return AnswerAll(FailRecords(func(int, PutEntry) string {
		if draw() < share {
			return errorCode
		}
		return ""
	}))
}

// ForOperation calls another interceptor for one operation, such as "PutRecords", and
// carries all other requests out.
func ForOperation(operation string, i Interceptor) Interceptor {
	return func(r *Request) *Answer {
		if r.Operation != operation {
			return nil
		}
		return i(r)
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
