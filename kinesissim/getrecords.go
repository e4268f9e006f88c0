package kinesissim

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	maxRead      = 10000    // records
	maxReadBytes = 10 << 20 // data and partition keys
	maxIterator  = 512      // characters
)

// getRecords reads on from an iterator.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
type getRecords struct {
	arn, iterator *string
	limit         *int64
	dry           bool
}

func (g *getRecords) field(name string, v value) error {
	switch name {
	case "ShardIterator":
		return v.into(&g.iterator)
	case "Limit":
		return v.integer(&g.limit)
	case "StreamARN":
		return v.into(&g.arn)
	case "DryRun":
		return v.flag(&g.dry)
	}
	return nil
}

func (g *getRecords) streamName() string {
	t, _ := parseToken(iteratorToken, aws.ToString(g.iterator))
	return t.Stream
}

func (g *getRecords) validate(v *violations) {
	v.within(g.limit, "limit", 1, maxRead)
	if g.iterator == nil {
		v.missing("shardIterator")
	} else {
		v.length(*g.iterator, "shardIterator", 1, maxIterator)
	}
	if g.arn != nil {
		v.arn(*g.arn)
	}
}

type getRecordsOutput struct {
	ChildShards        []childShard `json:",omitempty"`
	MillisBehindLatest int64
	NextShardIterator  string `json:",omitempty"` // absent at the end of a closed shard
	Records            []readRecord
}

type childShard struct {
	HashKeyRange hashKeyRange
	ParentShards []string
	ShardId      string // the protocol's name
}

// childShards are the shards to read after the end of a closed one.
func (sh *shard) childShards() (out []childShard) {
	for _, child := range sh.children {
		c := childShard{HashKeyRange: child.hashKeys(), ShardId: shardName(child.index)}
		for _, p := range child.parents {
			c.ParentShards = append(c.ParentShards, shardName(p.index))
		}
		out = append(out, c)
	}
	return out
}

type readRecord struct {
	ApproximateArrivalTimestamp seconds
	Data                        []byte
	EncryptionType              string
	PartitionKey                string
	SequenceNumber              string
}

func (g *getRecords) run(s *Server, x *exchange) (any, *apiError) {
	now := x.at
	t, ok := parseToken(iteratorToken, *g.iterator)
	if !ok {
		return nil, invalidArgument("Invalid ShardIterator.")
	}
	if made, old := t.expired(now); old {
		text := func(t time.Time) string { return t.UTC().Format("Mon Jan 02 15:04:05 UTC 2006") }
		return nil, badRequest("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while right now it is %s "+
			"which is further in the future than the tolerated delay of %d milliseconds.", text(made), text(now), tokenLife.Milliseconds())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[t.Stream]
	if st == nil || t.Shard >= uint32(len(st.shards)) {
		return nil, s.shardNotFound(t.Stream, t.Shard)
	}
	if g.arn != nil && *g.arn != s.StreamARN(st.Name) {
		return nil, invalidArgument("StreamARN %s does not match the stream of the ShardIterator.", *g.arn)
	}
	if g.dry {
		return nil, dryRun()
	}
	sh := st.shards[t.Shard]
	next := min(t.Next, len(sh.records))
	if t.ID != st.id {
		next = 0 // of a deleted stream: everything in this one is newer
	}
	next = max(next, sh.horizon(now, st.retention()))
	if s.cfg.EnforceRate && !sh.limit.mayRead(now) {
		return nil, s.rateExceeded(st, sh)
	}
	page := sh.read(next, orDefault(g.limit, maxRead), maxReadBytes, now)
	sh.limit.haveRead(page.bytes)
	x.Records, x.Bytes = len(page.records), page.bytes
	out := &getRecordsOutput{MillisBehindLatest: page.behind, Records: page.records}
	if page.next == len(sh.records) && !sh.closed.IsZero() {
		out.ChildShards = sh.childShards()
	} else {
		out.NextShardIterator = st.iterator(sh, page.next, now)
	}
	return out, nil
}

// page is a part of a shard's records.
type page struct {
	records []readRecord
	bytes   int
	next    int   // the index of the record after it
	behind  int64 // milliseconds; zero means that there are no more records
}

// read reads records from an index on, at least one if there is one.
func (sh *shard) read(next, limit, most int, now time.Time) page {
	p := page{records: []readRecord{}, next: next}
	for _, r := range sh.records[next:] {
		if len(p.records) == limit || len(p.records) > 0 && p.bytes+r.size() > most {
			break
		}
		p.bytes += r.size()
		p.records = append(p.records, readRecord{
			ApproximateArrivalTimestamp: seconds(r.Arrival),
			Data:                        r.Data,
			EncryptionType:              "NONE",
			PartitionKey:                r.PartitionKey,
			SequenceNumber:              r.SequenceNumber,
		})
	}
	p.next += len(p.records)
	if p.next < len(sh.records) {
		p.behind = max(1, now.Sub(sh.records[p.next-1].Arrival).Milliseconds())
	}
	return p
}
