package kinesissim

import (
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	maxRecords      = 500
	maxRequestBytes = 10 << 20
	maxKey          = 256

	throughputExceeded = "ProvisionedThroughputExceededException"
	internalFailure    = "InternalFailure"
)

// entry is one record of a put request.
type entry struct {
	key, explicit *string
	data          []byte
	hasData       bool
}

func (e *entry) field(name string, v value) (err error) {
	switch name {
	case "PartitionKey":
		return v.into(&e.key)
	case "ExplicitHashKey":
		return v.into(&e.explicit)
	case "Data":
		e.hasData = true
		e.data, err = v.blob()
	}
	return err
}

func (e *entry) put() PutEntry {
	return PutEntry{PartitionKey: aws.ToString(e.key), ExplicitHashKey: aws.ToString(e.explicit), Data: e.data}
}

// validate checks what does not depend on the stream; path is what comes
// before the name of a member.
func (e *entry) validate(v *violations, path string) {
	if e.key == nil {
		v.missing(path + "partitionKey")
	} else {
		v.length(*e.key, path+"partitionKey", 1, maxKey)
	}
	if e.explicit != nil {
		v.decimal(*e.explicit, path+"explicitHashKey", 38)
	}
	if !e.hasData {
		v.missing(path + "data")
	}
}

// checkSize checks a record against its stream's limit. Data that is too long by
// itself is a ValidationException, with Kinesis' message. The API reference does
// not say what Kinesis answers if data and key are too long together.
func (st *stream) checkSize(e PutEntry, path string) *apiError {
	most := st.maxRecord()
	if n := len(e.Data); n > most {
		var v violations
		v.add(fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%[1]d]", n), path+"data", fmt.Sprintf(atMost, most))
		return v.err()
	}
	if n := e.size(); n > most {
		return invalidArgument("Record size %d, of data and partition key, exceeds the stream's maximum of %d bytes", n, most)
	}
	return nil
}

// place finds a record's shard.
func (st *stream) place(e PutEntry) (*shard, *apiError) {
	if e.ExplicitHashKey == "" {
		return st.shardOf(hash(e.PartitionKey)), nil
	}
	h, ok := parseHashKey(e.ExplicitHashKey)
	if !ok {
		return nil, invalidArgument("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", e.ExplicitHashKey)
	}
	return st.shardOf(h), nil
}

// failCodes returns the error code of each record; empty if it is to be stored.
func (x *exchange) failCodes() (codes []string) {
	if x.answer.fail == nil {
		return make([]string, len(x.entries))
	}
	for i, e := range x.entries {
		codes = append(codes, x.answer.fail(i, e))
	}
	return codes
}

// storeLocked stores a record, unless it has an error code or its shard's rate is
// exceeded. It returns the record, or the code and message of its failure.
func (s *Server) storeLocked(x *exchange, st *stream, sh *shard, e PutEntry, code string, now time.Time) (r *Record, _, message string) {
	if code == "" && s.cfg.EnforceRate && !sh.limit.take(now, e.size()) {
		code = throughputExceeded
	}
	switch code {
	case "":
	case throughputExceeded:
		return nil, code, s.rateExceeded(st, sh).message
	case internalFailure:
		return nil, code, "Internal service failure."
	default:
		return nil, code, code
	}
	r = st.store(sh, e, now)
	x.stored++
	x.bytes += int64(r.size())
	return r, "", ""
}

// putRecords stores up to 500 records, each with a result of its own.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
type putRecords struct {
	target
	has     bool
	records []entry
	dry     bool
}

func (p *putRecords) field(name string, v value) error {
	switch name {
	case "Records":
		p.has, p.records = true, nil
		return v.elements(func(v value) error {
			var e entry
			err := v.fields(e.field)
			p.records = append(p.records, e)
			return err
		})
	case "DryRun":
		return v.flag(&p.dry)
	}
	return p.target.field(name, v)
}

func (p *putRecords) puts() []PutEntry {
	all := make([]PutEntry, len(p.records))
	for i := range p.records {
		all[i] = p.records[i].put()
	}
	return all
}

func (p *putRecords) validate(v *violations) {
	switch n := len(p.records); {
	case !p.has:
		v.missing("records")
	case n == 0:
		v.add("[]", "records", fmt.Sprintf(atLeast, 1))
	case n > maxRecords:
		v.add("[PutRecordsRequestEntry...]", "records", fmt.Sprintf(atMost, maxRecords))
	}
	for i := range p.records {
		p.records[i].validate(v, p.path(i))
	}
	p.target.validate(v)
}

// path names a record in a message; Kinesis counts from one.
func (p *putRecords) path(i int) string { return fmt.Sprintf("records.%d.member.", i+1) }

type putRecordsOutput struct {
	EncryptionType    string
	FailedRecordCount int
	Records           []putResult
}

type putResult struct {
	SequenceNumber string `json:",omitempty"`
	ShardId        string `json:",omitempty"` // the protocol's name
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

func (p *putRecords) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&p.target)
	if failure != nil {
		return nil, failure
	}
	shards := make([]*shard, len(x.entries))
	for i, e := range x.entries {
		if failure := st.checkSize(e, p.path(i)); failure != nil {
			return nil, failure
		}
		if shards[i], failure = st.place(e); failure != nil {
			return nil, failure
		}
	}
	if x.Bytes > maxRequestBytes {
		return nil, invalidArgument("Records size exceeds 10 MB limit")
	}
	if p.dry {
		return nil, dryRun()
	}
	out := &putRecordsOutput{EncryptionType: st.encryptionType(), Records: make([]putResult, len(x.entries))}
	for i, e := range x.entries {
		r, code, message := s.storeLocked(x, st, shards[i], e, x.codes[i], now)
		if r == nil {
			out.FailedRecordCount++
			x.failed = append(x.failed, i)
			out.Records[i] = putResult{ErrorCode: code, ErrorMessage: message}
			continue
		}
		out.Records[i] = putResult{SequenceNumber: r.SequenceNumber, ShardId: r.ShardID}
	}
	return out, nil
}

// asRequestError returns a record's failure for a request of only that record.
func asRequestError(code, message string) *apiError {
	if code == internalFailure {
		return &apiError{status: http.StatusInternalServerError, kind: code, message: message}
	}
	return badRequest(code, "%s", message)
}
