package streamreader_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/kinetel/kinetel/internal/streamreader"
)

// shardServer answers as a Kinesis with some shards, in the time of synctest. Each shard
// has pages of records, and then nothing.
type shardServer struct {
	shards int
	size   int // of a record's data
	count  int // records of a shard
	refuse func(read int) bool
	broken func(read int) bool

	mu    sync.Mutex
	reads map[string][]read // by iterator, which is the shard
	next  map[string]int
}

type read struct {
	at    time.Time
	bytes int
}

// Do implements aws.HTTPClient.
func (s *shardServer) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch operation {
	case "ListShards":
		var all []string
		for i := range s.shards {
			all = append(all, fmt.Sprintf(`{"ShardId":"shard-%d","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},"SequenceNumberRange":{"StartingSequenceNumber":"0"}}`, i))
		}
		return answer(200, `{"Shards":[`+strings.Join(all, ",")+`]}`), nil
	case "GetShardIterator":
		_, id, _ := strings.Cut(string(body), `"ShardId":"`)
		id, _, _ = strings.Cut(id, `"`)
		return answer(200, fmt.Sprintf(`{"ShardIterator":%q}`, id)), nil
	}
	_, id, _ := strings.Cut(string(body), `"ShardIterator":"`)
	id, _, _ = strings.Cut(id, `"`)
	var limit int
	_, after, _ := strings.Cut(string(body), `"Limit":`)
	if _, err := fmt.Sscan(strings.TrimRight(strings.SplitN(after, ",", 2)[0], "}"), &limit); err != nil {
		return nil, err
	}
	if s.refuse != nil && s.refuse(len(s.reads[id])) {
		s.reads[id] = append(s.reads[id], read{at: time.Now()})
		return answer(400, `{"__type":"ProvisionedThroughputExceededException","message":"slow down"}`), nil
	}
	if s.broken != nil && s.broken(len(s.reads[id])) {
		s.reads[id] = append(s.reads[id], read{at: time.Now()})
		return answer(500, `{"__type":"InternalFailureException"}`), nil
	}
	var records []string
	for ; len(records) < limit && s.next[id] < s.count; s.next[id]++ {
		records = append(records, fmt.Sprintf(`{"Data":%q,"PartitionKey":"k","SequenceNumber":"%d","ApproximateArrivalTimestamp":1}`,
			base64.StdEncoding.EncodeToString(make([]byte, s.size)), s.next[id]))
	}
	s.reads[id] = append(s.reads[id], read{time.Now(), len(records) * s.size})
	behind := 0
	if s.next[id] < s.count {
		behind = 1000
	}
	return answer(200, fmt.Sprintf(`{"Records":[%s],"NextShardIterator":%q,"MillisBehindLatest":%d}`, strings.Join(records, ","), id, behind)), nil
}

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
	}
}

func (s *shardServer) reader(follow bool) *streamreader.Reader {
	s.reads, s.next = map[string][]read{}, map[string]int{}
	return streamreader.New(streamreader.Config{Stream: "telemetry", Follow: follow, AWS: aws.Config{
		Region: "eu-west-1", HTTPClient: s, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}})
}

func TestPollingStaysWithinTheLimitsOfAShard(t *testing.T) {
	for _, size := range []int{100, 100 << 10, 1 << 20} {
		if testing.Short() && size == 1<<20 {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			s := &shardServer{shards: 2, size: size, count: 20}
			n := 0
			for _, err := range s.reader(false).Records(t.Context()) {
				if n++; err != nil {
					t.Fatal(err)
				}
			}
			if n != 40 {
				t.Errorf("%d records of %d bytes", n, size)
			}
			for id, reads := range s.reads {
				for i, r := range reads[1:] {
					gap, need := r.at.Sub(reads[i].at), max(200*time.Millisecond, time.Second*time.Duration(reads[i].bytes)/(2<<20))
					if gap < need || gap > 2*need {
						t.Errorf("%s: %v after a read of %d bytes, want %v", id, gap, reads[i].bytes, need)
					}
				}
			}
		})
	}
}

func TestAShardWithoutNewRecordsIsReadOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shardServer{shards: 1}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for range s.reader(true).Records(ctx) {
		}
		if n := len(s.reads["shard-0"]); n < 10 || n > 11 {
			t.Errorf("%d reads in 10 s", n)
		}
	})
}

// Other consumers may use up what a shard allows, for any time.
func TestAThrottledReaderWaitsLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const refused = 30
		s := &shardServer{shards: 1, size: 1, count: 1, refuse: func(read int) bool { return read < refused }}
		n := 0
		for _, err := range s.reader(false).Records(t.Context()) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		reads := s.reads["shard-0"]
		if n != 1 || len(reads) != refused+2 { // the last one is empty
			t.Fatalf("%d records, %d reads", n, len(reads))
		}
		waits, longest := map[time.Duration]bool{}, time.Duration(0)
		for i, r := range reads[1:] {
			gap := r.at.Sub(reads[i].at)
			waits[gap], longest = true, max(longest, gap)
			if gap < 200*time.Millisecond || gap > 6*time.Second {
				t.Errorf("wait %d is %v", i, gap)
			}
		}
		if first := reads[1].at.Sub(reads[0].at); first > 2500*time.Millisecond || longest < 2500*time.Millisecond {
			t.Errorf("the first wait took %v, the longest %v", first, longest)
		}
		if len(waits) < refused/2 {
			t.Errorf("the waits have no jitter: %v", waits)
		}
	})
}

func TestAReaderEndsAfterEightFailuresAlsoIfItWasThrottledBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const throttled = 10
		s := &shardServer{shards: 1, refuse: func(read int) bool { return read < throttled }, broken: func(read int) bool { return read < throttled+100 }}
		var last error
		for _, last = range s.reader(false).Records(t.Context()) {
		}
		if n := len(s.reads["shard-0"]); last == nil || n != throttled+8 {
			t.Errorf("%d reads, %v", n, last)
		}
	})
}

// unreachable is a client of HTTP without a network.
type unreachable struct{ tries int }

func (u *unreachable) Do(*http.Request) (*http.Response, error) {
	u.tries++
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

func TestAReaderThatCannotReachKinesisSaysSoSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network unreachable
		r := streamreader.New(streamreader.Config{Stream: "telemetry", AWS: aws.Config{
			Region: "eu-wst-1", HTTPClient: &network, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		}})
		var last error
		for _, last = range r.Records(t.Context()) {
		}
		if last == nil || !strings.Contains(last.Error(), "Kinesis of the region eu-wst-1 cannot be reached: check the network, --region and --endpoint-url") || !strings.Contains(last.Error(), "connection refused") {
			t.Error(last)
		}
		if network.tries != 3 {
			t.Errorf("%d tries", network.tries)
		}
	})
}

// A consumer that is slow must not find all shards in memory.
func TestASlowConsumerBoundsThePagesInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shardServer{shards: 50, size: 10, count: 1}
		first := true
		n := 0
		for _, err := range s.reader(false).Records(t.Context()) {
			if n++; err != nil {
				t.Fatal(err)
			}
			if first {
				time.Sleep(time.Minute) // in the time of synctest
				s.mu.Lock()
				if len(s.reads) > 5 {
					t.Errorf("%d shards are read", len(s.reads))
				}
				s.mu.Unlock()
				first = false
			}
		}
		if n != 50 {
			t.Errorf("%d records", n)
		}
	})
}
