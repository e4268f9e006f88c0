package kinesissim

import (
	"bytes"
	"encoding/json"
	"time"
)

// Answer is how a request ends. Make one with the functions below, and join several with
// [Combine]. You can use one Answer for many requests, also at the same time, unless a
// function that you give to [FailRecords] forbids it.
//
// A nil Answer, or an empty one, carries the request out.
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

// Combine joins several answers. It adds up delays, and calls the function of every
// [FailRecords] in turn until one returns an error code. If two answers exclude each
// other, the first one counts. Nil answers have no effect.
//
//	Combine(Delay(time.Second), Throttle())
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

// Refuse answers with an HTTP status, an exception's type and a message. Nothing is stored.
func Refuse(status int, exception, message string) *Answer {
	return &Answer{reject: func(*Server, *Request) *apiError {
		return &apiError{status: status, kind: exception, message: message}
	}}
}

// Throttle refuses the whole request with ProvisionedThroughputExceededException,
// status 400. To throttle single records of a PutRecords, use [FailRecords].
func Throttle() *Answer {
	return &Answer{reject: func(s *Server, r *Request) *apiError {
		return badRequest(throughputExceeded, "Rate exceeded for stream %s under account %s.", r.Stream, s.cfg.AccountID)
	}}
}

// DenyAccess refuses the request as IAM does, with AccessDeniedException, status 400.
func DenyAccess() *Answer {
	return &Answer{reject: func(s *Server, r *Request) *apiError {
		return badRequest("AccessDeniedException",
			"User: arn:aws:sts::%s:assumed-role/producer/session is not authorized to perform: kinesis:%s on resource: %s because no identity-based policy allows the kinesis:%s action",
			s.cfg.AccountID, r.Operation, s.StreamARN(r.Stream), r.Operation)
	}}
}

// RefuseExpiredToken refuses the request with ExpiredTokenException, status 400, as
// Kinesis does when temporary credentials have expired. [Server.ExpireToken] does the same
// to one session token.
func RefuseExpiredToken() *Answer {
	return &Answer{reject: func(*Server, *Request) *apiError { return expiredToken() }}
}

// FailRecords fails the records of a put for which f returns an error code, such as
// "ProvisionedThroughputExceededException" or "InternalFailure". If f returns the empty
// string, the record is stored. PutRecords answers with status 200, and its results
// contain the failures. PutRecord is refused: with status 500 for "InternalFailure", else
// 400. Other operations are carried out.
//
// f is called once a record, in order, without any lock held.
func FailRecords(f func(i int, e PutEntry) (errorCode string)) *Answer {
	return &Answer{fail: f}
}

// Hang never answers: the request ends when the client goes away or the server closes.
// Nothing is stored.
func Hang() *Answer { return &Answer{before: endHang} }

// ResetConnection ends the connection with a TCP reset. Nothing is stored.
func ResetConnection() *Answer { return &Answer{before: endReset} }

// DropAnswer carries the request out and then closes the connection without an answer.
// The records are stored, and their producer cannot know it.
func DropAnswer() *Answer { return &Answer{after: endDrop} }

// DropAnswerAndReset is [DropAnswer] with a TCP reset instead of an orderly close.
func DropAnswerAndReset() *Answer { return &Answer{after: endReset} }

// Delay waits before the request is carried out, in real time. The wait goes on when the
// client disconnects, so a producer that gives up finds its records stored. When the server
// closes, the wait ends, and the request is not carried out.
func Delay(d time.Duration) *Answer { return &Answer{delay: d} }

// TruncateAnswer carries the request out, and closes the connection after n bytes of the
// answer's body. The header announces all of it.
func TruncateAnswer(n int) *Answer { return &Answer{after: endCut, cut: max(n, 0)} }

// ReplaceAnswer carries the request out, and answers 200 with another body, as a proxy may
// do: ReplaceAnswer("<html>Sign in</html>").
func ReplaceAnswer(body string) *Answer {
	return &Answer{edit: func([]byte) []byte { return []byte(body) }}
}

// OmitResults carries a PutRecords out, and omits the last n results from its answer, so
// that results and records do not match.
func OmitResults(n int) *Answer {
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

// CloseAfterAnswer carries the request out, answers, and then closes the connection without
// a Connection: close header, as a server's idle time limit or a freeze of the client does
// to a connection in a pool.
func CloseAfterAnswer() *Answer { return &Answer{after: endClose} }
