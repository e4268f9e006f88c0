package lambdasim

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answering answers every POST after a while.
type answering struct {
	after  time.Duration
	status func(post int) int
	posts  int
	bodies [][]byte
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	a.posts++
	a.bodies = append(a.bodies, body)
	time.Sleep(a.after) // fake time
	status := http.StatusOK
	if a.status != nil {
		status = a.status(a.posts)
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: http.NoBody, Request: r}, nil
}

// outcome is what became of what a relay emitted.
type outcome struct {
	emitted, delivered, dropped int
	reported                    int // records in platform.logsDropped
	reportsDropped              int // platform.logsDropped events that were dropped
}

// dropping runs a relay that drops, in a bubble of fake time.
func dropping(t *testing.T, items int, timeout time.Duration, to *answering, play func(r *relay)) (out outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		logsDropped := map[uint64]bool{}
		cfg := &Config{LogFormat: LogJSON, TelemetryBacklogBytes: 64 << 20, OnEvent: func(e Event) {
			out.emitted++
			if e.Type == typeLogsDropped {
				logsDropped[e.Number] = true
				var records int
				if _, err := fmt.Sscanf(string(e.Record[bytes.Index(e.Record, []byte(`"droppedRecords":`)):]), `"droppedRecords":%d`, &records); err != nil {
					t.Error(err)
				}
				out.reported += records
			}
		}}
		r := &relay{cfg: cfg}
		r.begin()
		sub := &subscriber{
			subscription: subscription{schema: schema20250129, streams: streamPlatform | streamFunction, maxItems: items, maxBytes: 1 << 20, timeout: timeout, uri: "http://extension/"},
			name:         "extension", backlog: cfg.TelemetryBacklogBytes, notice: func(Notice) {}, wake: make(chan struct{}, 1),
			client: &http.Client{Transport: to}, reportDropped: r.reportBatchDropped,
			delivered: func(d Delivery) { out.delivered += len(d.Events) },
			onDropped: func(d Delivery) {
				out.dropped += len(d.Events)
				for _, number := range d.Events {
					if logsDropped[number] {
						out.reportsDropped++
					}
				}
			},
		}
		if err := r.subscribe(sub); err != nil {
			t.Fatal(err)
		}
		play(r)
		time.Sleep(10 * time.Second) // fake time
		r.end()
		sub.stop()
		if out.delivered+out.dropped != out.emitted {
			t.Errorf("%+v", out)
		}
	})
	return out
}

// crowd40 is 40 invocations that write 20,863 lines in 0.2 s.
func crowd40(r *relay) {
	line := []byte(strings.Repeat("x", 90) + "\n")
	for i := range 200 {
		if i%5 == 0 {
			r.platformOf(fmt.Sprint(i), typeStart, startRecord{RequestID: fmt.Sprint(i)})
		}
		n := 104
		if i < 63 {
			n++
		}
		r.output(KindFunction, bytes.Repeat(line, n))
		time.Sleep(time.Millisecond) // fake time
	}
}

// What AWS's emulator of managed instances was seen to do: with the smallest
// batches a part of the lines is lost, with the largest ones none, though the
// subscriber is the same.
func TestTheRelayDropsWhatIsReadyBeforeTheLastAnswer(t *testing.T) {
	// With 1,000 items and 25 ms a batch is full every 10 ms.
	small := dropping(t, 1000, 25*time.Millisecond, &answering{after: 12 * time.Millisecond}, crowd40)
	if small.dropped < 5000 || small.reported < 5000 {
		t.Errorf("with small batches: %+v", small)
	}
	large := dropping(t, 10000, 100*time.Millisecond, &answering{after: 12 * time.Millisecond}, crowd40)
	if large.dropped != 0 || large.reported != 0 || large.emitted != 20863+40 {
		t.Errorf("with large batches: %+v", large)
	}
}

func TestPlatformLogsDroppedCanBeDropped(t *testing.T) {
	slow := dropping(t, 1000, 25*time.Millisecond, &answering{after: 150 * time.Millisecond}, crowd40)
	if slow.reportsDropped == 0 || slow.reported <= slow.delivered {
		t.Errorf("%+v", slow)
	}
}

// A POST that fails is not made again.
func TestTheRelayThatDropsDoesNotRetry(t *testing.T) {
	to := &answering{status: func(post int) int {
		if post == 1 {
			return http.StatusBadRequest
		}
		return http.StatusOK
	}}
	out := dropping(t, 1000, 25*time.Millisecond, to, func(r *relay) { r.output(KindFunction, []byte("hello\n")) })
	if out.dropped != 1 || out.reported != 1 || out.delivered != 1 || to.posts != 2 || !bytes.Contains(to.bodies[1], []byte("could not send events")) {
		t.Errorf("%+v in %d posts", out, to.posts)
	}
}

func TestDropUnansweredIsForManagedInstances(t *testing.T) {
	_, err := Config{Function: Process{Path: "/bin/true"}, DropUnanswered: true}.withDefaults()
	if err == nil || !strings.Contains(err.Error(), "DropUnanswered is for lambda-managed-instances only") {
		t.Errorf("error %v", err)
	}
}
