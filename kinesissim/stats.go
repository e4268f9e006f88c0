package kinesissim

import (
	"maps"
	"time"
)

// Observation describes a request and its outcome.
type Observation struct {
	Operation string // as the request names it; empty if it names none
	Stream    string
	// Records and Bytes are those of a put, stored or not, or those that
	// GetRecords returned. Bytes are of data and partition keys.
	Records, Bytes int
	// Failed is how many of a put's records were not stored, even if the answer
	// does not say so.
	Failed int
	// Status is the HTTP status, or zero if there was no answer.
	Status int
	// Error is the type of the exception in the answer, or empty.
	Error        string
	RequestID    string        // as in the x-amzn-RequestId header
	Duration     time.Duration // from the request's header until its outcome is known
	Conn         uint64        // numbers the connection, from 1
	ConnRequests int           // counts the requests on it, from 1
}

// Stats counts what has happened since the start.
type Stats struct {
	Requests    map[string]int // by operation; "" for requests without one
	Errors      map[string]int // refused requests, by the exception's type
	Unanswered  int            // requests that got no answer
	Records     int            // records stored
	Bytes       int64          // data and partition keys stored
	Rejected    int            // records that were not stored
	Connections int            // connections accepted
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Requests = maps.Clone(stats.Requests)
	stats.Errors = maps.Clone(stats.Errors)
	return stats
}

// count adds a request whose outcome is known to the figures.
func (s *Server) count(x *exchange) {
	x.Duration = time.Since(x.began)
	if x.entries != nil {
		x.Failed = len(x.entries) - x.stored
	}
	s.mu.Lock()
	s.stats.Requests[x.Operation]++
	if x.Error != "" {
		s.stats.Errors[x.Error]++
	}
	if x.Status == 0 {
		s.stats.Unanswered++
	}
	s.stats.Records += x.stored
	s.stats.Bytes += x.bytes
	s.stats.Rejected += x.Failed
	s.announceLocked()
	s.mu.Unlock()
	if s.cfg.OnRequest != nil {
		s.cfg.OnRequest(x.Observation)
	}
}
