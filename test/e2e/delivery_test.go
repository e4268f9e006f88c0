package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

func TestEverythingArrivesOnce(t *testing.T) {
	for _, format := range []lambdasim.LogFormat{lambdasim.LogText, lambdasim.LogJSON} {
		for _, flush := range []string{"adaptive", "end", "interval"} {
			t.Run(fmt.Sprintf("%s logs, flush %s", format, flush), func(t *testing.T) {
				t.Parallel()
				r := start(t, sandbox.Options{
					Env:    map[string]string{"KINETEL_FLUSH": flush},
					Lambda: func(c *lambdasim.Config) { c.LogFormat = format },
				})
				for i := range 20 {
					r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10,"format":"mixed"}`, i))
				}
				r.complete()
			})
		}
	}
}

func TestEveryCompressionAndPartitionKeyArrives(t *testing.T) {
	compressions := []string{"gzip", "zstd", "none"}
	for i, compression := range compressions {
		for j, key := range []string{"environment", "request", "function", "random"} {
			if testing.Short() && j%len(compressions) != i {
				continue // each one in one combination
			}
			t.Run(compression+", "+key, func(t *testing.T) {
				t.Parallel()
				r := start(t, sandbox.Options{Env: map[string]string{
					"KINETEL_COMPRESSION":   compression,
					"KINETEL_PARTITION_KEY": key,
					"KINETEL_TAGS":          "env=test,team=payments",
				}})
				result := r.Invoke(`{"id":"one","lines":600}`)
				r.complete()
				keys := map[string]bool{}
				for _, rec := range r.kinesis.Records(sandbox.Stream) {
					keys[rec.PartitionKey] = true
				}
				if key == "function" && !keys["function"] || key == "request" && !keys[result.RequestID] {
					t.Errorf("partition keys %v", keys)
				}
				if e := r.arrived()[0]; e.Resource["team"] != "payments" || e.Resource["cloud.account.id"] != "123456789012" {
					t.Errorf("resource %v", e.Resource)
				}
			})
		}
	}
}

func TestABurstOfLinesArrives(t *testing.T) {
	r := start(t, sandbox.Options{})
	lines := 100_000
	if testing.Short() {
		lines = 20_000
	}
	r.Invoke(fmt.Sprintf(`{"id":"burst","lines":%d}`, lines))
	r.complete()
}

func TestLongLinesArriveAlsoWhereLambdaCutsThem(t *testing.T) {
	for name, size := range map[string]int{
		"60 kB":                        60_000,
		"1.4 MB, cut over two POSTs":   1_400_000,
		"2.5 MB, cut over three POSTs": 2_500_000,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, sandbox.Options{})
			result := r.Invoke(fmt.Sprintf(`{"id":"long","lines":3,"bytes":%d}`, size))
			// Had the cut hidden platform.runtimeDone, the function would have
			// been held to its time-out.
			if result.Status != lambdasim.StatusSuccess || result.Held > 5*time.Second {
				t.Errorf("status %s, held %v", result.Status, result.Held)
			}
			r.complete()
		})
	}
}

func TestBrokenTextArrivesByteForByte(t *testing.T) {
	r := start(t, sandbox.Options{})
	r.Invoke(`{"id":"broken","lines":5,"invalidUTF8":true}`)
	r.Invoke(`{"id":"open","lines":2,"noNewline":true}`)
	r.Invoke(`{"id":"many","lines":2,"multiline":true,"stderr":true}`)
	r.complete()
}

// The last lines of a function that is never called again must not wait for the next
// invocation.
func TestLinesArriveBeforeTheInvocationEnds(t *testing.T) {
	// A Kinesis so slow that nothing is in it by chance.
	r := start(t, sandbox.Options{}, func(c *kinesissim.Config) {
		c.Intercept = kinesissim.AnswerAll(kinesissim.Delay(150 * time.Millisecond))
	})
	if result := r.Invoke(`{"id":"last","lines":2}`); result.Held > 5*time.Second {
		t.Errorf("held %v, as if platform.runtimeDone had not been seen", result.Held)
	}
	lines, done := 0, false
	for _, e := range r.arrived() {
		switch e.Type {
		case "function":
			lines++
		case event.TypePlatformRuntimeDone:
			done = true
		}
	}
	if lines != 2 || !done {
		t.Errorf("%d lines of 2 are in the stream, platform.runtimeDone: %v", lines, done)
	}
	r.complete()
}

// The lines of a long invocation arrive before its end.
func TestLinesArriveAtTheIntervalWhileTheFunctionRuns(t *testing.T) {
	for _, flush := range []string{"interval", "end", "adaptive"} {
		t.Run(flush, func(t *testing.T) {
			t.Parallel()
			first := make(chan struct{})
			var once sync.Once
			r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_FLUSH": flush, "KINETEL_FLUSH_INTERVAL": "100ms"}}, func(c *kinesissim.Config) {
				c.OnRequest = func(o kinesissim.Observation) {
					if o.Records > 0 && o.Failed == 0 {
						once.Do(func() { close(first) })
					}
				}
			})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = r.Sandbox.Invoke(t.Context(), []byte(`{"id":"long","lines":5,"sleep":"3s"}`))
			}()
			select {
			case <-first:
			case <-ended:
				t.Error("nothing was sent before the invocation ended")
			}
			<-ended
			r.complete()
		})
	}
}

// Lambda makes the last platform.report when everybody has called next, and sends
// it while the environment is shutting down.
func TestTheLastReportIsWaitedFor(t *testing.T) {
	var ending atomic.Bool
	r := start(t, sandbox.Options{Lambda: func(c *lambdasim.Config) {
		c.RewritePost = func(_ string, body []byte) [][]byte {
			if ending.Load() && bytes.Contains(body, []byte(event.TypePlatformReport)) {
				<-time.After(100 * time.Millisecond) // Lambda is slow
			}
			return [][]byte{body}
		}
	}})
	r.Invoke(`{"id":"last","lines":2}`)
	ending.Store(true)
	r.complete()
}

func TestAFunctionThatFailsLosesNothing(t *testing.T) {
	for name, payload := range map[string]string{
		"error":    `{"id":"f","lines":5,"error":"out of beans"}`,
		"panic":    `{"id":"f","lines":5,"panic":true}`,
		"exit":     `{"id":"f","lines":5,"exit":3}`,
		"time-out": `{"id":"f","lines":5,"hang":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, sandbox.Options{Lambda: func(c *lambdasim.Config) { c.Timeout = 2 * time.Second }})
			r.Invoke(`{"id":"before","lines":5}`)
			if result := r.Invoke(payload); result.FunctionError == "" {
				t.Errorf("the function did not fail: %+v", result)
			}
			r.Invoke(`{"id":"after","lines":5}`)
			r.complete()
			environments := map[string]bool{}
			for _, e := range r.arrived() {
				environments[e.InstanceID()] = true
			}
			reset := name != "error"
			if want := map[bool]int{false: 1, true: 2}[reset]; len(environments) != want {
				t.Errorf("%d environment ids, want %d: a new process counts its events anew", len(environments), want)
			}
		})
	}
}

func TestASchemaThatThePlatformKnowsIsChosen(t *testing.T) {
	r := start(t, sandbox.Options{Lambda: func(c *lambdasim.Config) {
		c.AcceptSchemas = []string{lambdasim.Schema20221213}
		c.LogFormat = lambdasim.LogJSON
	}})
	r.Invoke(`{"id":"old","lines":10,"format":"mixed"}`)
	r.Ended(r.Shutdown())
	// The audit knows events in the newest schema's shape, in which
	// platform.initReport alone has a member more.
	v := r.Verdict(r.arrived())
	if v.Lost != 1 || v.Unknown != 1 || !strings.Contains(strings.Join(v.Examples, ""), "platform.initReport") {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
}

func TestABodyThatIsNoTelemetryIsKeptAsText(t *testing.T) {
	const garbage = "<html>\x00 not \"telemetry\" \xff"
	posts := 0
	r := start(t, sandbox.Options{Lambda: func(c *lambdasim.Config) {
		c.RewritePost = func(_ string, body []byte) [][]byte {
			if posts++; posts == 2 {
				return [][]byte{[]byte(garbage), body, []byte(`[{"time":`)}
			}
			return [][]byte{body}
		}
	}})
	for i := range 3 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10}`, i))
	}
	r.Ended(r.Shutdown())
	v := r.Verdict(r.arrived())
	if v.Lost+v.Duplicated+v.Unknown+v.Holes != 0 || v.Own != 7 { // with the report, the environment and an event for each invocation
		t.Errorf("%v, own %d\n%s", v, v.Own, strings.Join(v.Examples, "\n"))
	}
	var texts [][]byte
	for _, e := range r.arrived() {
		if e.Type == event.TypeUnparsed {
			texts = append(texts, e.Body)
		}
	}
	want := jsontext.AppendQuote(nil, garbage)
	if len(texts) != 2 || !bytes.Equal(texts[0], want) {
		t.Errorf("kept %q, want %q first", texts, want)
	}
}

func TestOnlyFailedRecordsAreSentAgain(t *testing.T) {
	r := start(t, sandbox.Options{Lambda: patient}, func(c *kinesissim.Config) {
		c.Intercept = kinesissim.FailRecordsAtRandom(1, 0.3, "ProvisionedThroughputExceededException")
	})
	for i := range 5 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":3000}`, i))
	}
	r.Ended(r.Shutdown())
	if v := r.Verdict(r.arrived()); !v.OK() { // which means also: none twice
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
}

func TestAShortOutageLosesNothing(t *testing.T) {
	down := 0
	r := start(t, sandbox.Options{}, func(c *kinesissim.Config) {
		c.Intercept = func(*kinesissim.Request) *kinesissim.Answer {
			if down++; down <= 2 { // too few to be logged
				return kinesissim.ResetConnection()
			}
			return nil
		}
	})
	for i := range 3 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10}`, i))
	}
	r.complete()
}

func TestLossesAreReportedInTheStream(t *testing.T) {
	r := start(t, sandbox.Options{Env: map[string]string{
		"KINETEL_BUFFER_BYTES": "2MiB",
		"KINETEL_COMPRESSION":  "none",
		"KINETEL_MAX_HOLD":     "50ms",
		"KINETEL_SPOOL":        "off",
	}, Lambda: patient}, func(c *kinesissim.Config) {
		c.Intercept = kinesissim.AnswerAll(kinesissim.Refuse(503, "ServiceUnavailable", "down"))
	})
	r.Invoke(`{"id":"flood","lines":10000,"bytes":500}`) // some 8 MB
	for i := 0; !strings.Contains(r.Log(), "does not accept telemetry") && i < 100; i++ {
		r.Invoke(`{"id":"meanwhile","sleep":"100ms"}`)
	}
	r.kinesis.SetIntercept(nil)
	r.Invoke(`{"id":"after","lines":5}`)
	r.Ended(r.Shutdown())
	v := r.Verdict(r.arrived())
	// More may be reported: earlier reports that were dropped themselves.
	if v.Lost == 0 || v.Lost > v.ReportedLost || v.Holes != 0 || v.Duplicated != 0 || v.Unknown != 0 {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
	t.Log(v)
	for _, word := range []string{"does not accept telemetry", "accepts telemetry again", "events were dropped"} {
		if n := strings.Count(r.Log(), word); n != 1 || len(r.LogLines()) != 3 {
			t.Errorf("the log has %d lines, not one, that Kinesis or Kinetel %s:\n%s", n, word, r.Log())
		}
	}
}

func TestAnEventThatNoRecordCanCarryGoesInParts(t *testing.T) {
	r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_COMPRESSION": "none"}})
	r.Invoke(`{"id":"huge","lines":2,"bytes":1200000}`)
	r.Invoke(`{"id":"larger","lines":1,"bytes":5000000}`)
	r.Invoke(`{"id":"after","lines":5}`)
	r.complete()
	most := 0
	for _, e := range r.arrived() {
		most = max(most, e.Parts)
	}
	if most < 5 {
		t.Errorf("an event of 5 MB went in %d parts; a record has 1 MiB", most)
	}
}

// patient gives the shutdown more than Lambda's two seconds, for tests in which
// it has megabytes to send while other tests have the machine's cores.
func patient(c *lambdasim.Config) { c.ShutdownTimeout = 30 * time.Second }
