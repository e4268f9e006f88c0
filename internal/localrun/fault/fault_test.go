package fault

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Fault{
		"kinesis:throttle=0.3":      {Target: Kinesis, kind: throttle, share: 0.3},
		"kinesis:error=1@2s":        {Target: Kinesis, kind: failure, share: 1, From: 2 * time.Second},
		"kinesis:latency=200ms":     {Target: Kinesis, kind: latency, delay: 200 * time.Millisecond},
		"kinesis:down@1s..1m":       {Target: Kinesis, kind: down, From: time.Second, To: time.Minute},
		"extension:kill@5s":         {Target: Extension, kind: kill, From: 5 * time.Second},
		"extension:kill=my-ext@0s":  {Target: Extension, kind: kill, Name: "my-ext"},
		"function:kill@1500ms":      {Target: Function, kind: kill, From: 1500 * time.Millisecond},
		"kinesis:throttle=0@0s..1s": {Target: Kinesis, kind: throttle, To: time.Second},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                       "--fault : it must be one of kinesis:throttle=SHARE",
		"kinesis:explode":        "it must be one of",
		"function:kill=x@1s":     "function:kill=x has no value",
		"kinesis:throttle":       `"" is no share: it must be from 0 to 1`,
		"kinesis:throttle=2":     `"2" is no share`,
		"kinesis:error=NaN":      `"NaN" is no share`,
		"kinesis:latency=fast":   `"fast" is no duration, such as 200ms or 5s`,
		"kinesis:latency=-1s":    `"-1s" is no duration`,
		"kinesis:down=1":         "kinesis:down=1 has no value",
		"kinesis:down@later":     `"later" is no duration`,
		"kinesis:down@2s..1s":    "2s..1s ends before it begins",
		"extension:kill":         "when? write extension:kill@5s",
		"extension:kill@1s..2s":  "a kill has one time",
		"kinesis:down@1s..later": `"later" is no duration`,
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestInterceptor puts one record at different times.
func TestInterceptor(t *testing.T) {
	var now atomic.Int64
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "s", Shards: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	put := func() int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.URL(), bytes.NewReader([]byte(`{"StreamName":"s","PartitionKey":"p","Data":"YQ=="}`)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecord")
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 x")
		res, err := client.Do(req)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for _, test := range []struct {
		fault string
		at    time.Duration
		want  int
	}{
		{"kinesis:throttle=1", 0, 400},
		{"kinesis:throttle=0", 0, 200},
		{"kinesis:error=1", 0, 500},
		{"kinesis:down", time.Hour, 0},
		{"kinesis:down@1s..2s", 999 * time.Millisecond, 200},
		{"kinesis:down@1s..2s", time.Second, 0},
		{"kinesis:down@1s..2s", 2 * time.Second, 200},
		{"kinesis:latency=1ms", 0, 200},
	} {
		f, err := Parse(test.fault)
		if err != nil {
			t.Fatal(err)
		}
		now.Store(int64(test.at))
		sim.SetIntercept(Interceptor([]Fault{f}, 1, func() time.Duration { return time.Duration(now.Load()) }))
		if got := put(); got != test.want {
			t.Errorf("%s after %v: status %d, want %d", test.fault, test.at, got, test.want)
		}
	}
	killing, err := Parse("extension:kill@1s")
	if Interceptor([]Fault{killing}, 1, nil) != nil || err != nil {
		t.Error("a kill is a fault of Kinesis", err)
	}
}
