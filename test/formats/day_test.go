package formats

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/day.jsonl anew")

const dayFile = "testdata/day.jsonl"

func TestTheRecordingIsWhatTheGeneratorMakes(t *testing.T) {
	d := makeDay()
	if *update {
		if err := os.WriteFile(dayFile, d.file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(dayFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, d.file.Bytes()) {
		t.Errorf("%s is not what the generator makes; go test -run %s -update ./test/formats writes it", dayFile, t.Name())
	}
}

const (
	functionName = "orders"
	accountID    = "123456789012"
	logStream    = "2026/09/21/orders[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	runtimeARN   = "arn:aws:lambda:eu-west-1::runtime:0cdcfbdefbc5e7d3343f73c2e2dd3cba17d61dea0686b404502a0c9ce83931b9"
)

// want is what docs/format.md specifies for an event of the recording, written beside
// the event by hand: no code works it out.
type want struct {
	requestID, traceID, severity string
	word                         string // the logger's own for the severity
	trace, span                  string // W3C's, of a line that has them
	message                      string // CloudWatch Logs' line for a platform event; empty: it has none
	ownLog                       bool   // Kinetel's own log, which is not shipped
}

// day writes the recording of what Lambda sends to an extension. A line of it is a
// POST of telemetry, `[…]`, the answer to a register, `{"register":…}`, or that to
// a next, `{"next":…}`, in the order in which they come. A register is a new
// process, a SHUTDOWN its end.
type day struct {
	file  bytes.Buffer
	wants []want // of the events in the file, in its order
	rand  *rand.Rand
	now   time.Time
	body  []string // the events of the next POST
	last  *call    // whose platform.report is still to come
	calls int

	tracingOff bool
}

// call is an invocation.
type call struct {
	id, root, parent, span string // root is empty where nothing is traced
	sampled                int
	from, done             time.Time
	status, errorType      string
	initMs                 string // of a cold start
}

// makeDay makes the recording.
func makeDay() *day {
	d := &day{
		rand: rand.New(rand.NewPCG(20260921, 1)), // the same in all versions of Go
		now:  time.Date(2026, 9, 21, 6, 12, 30, 101e6, time.UTC),
	}
	d.register()
	d.coldStart()
	for d.calls < 33 {
		d.next(true)
	}
	d.timeOut()
	d.shutdown("timeout")

	d.register()
	d.warmStart()
	for d.calls < 50 {
		d.next(false)
	}
	d.report(d.last)
	d.post()
	d.shutdown("spindown")
	return d
}

// next is an invocation, which may be one of those in which something odd
// happens; the others take turns with how they log.
func (d *day) next(odd bool) {
	special := map[int]func(){
		2: d.longLine, 4: d.cutLine, 6: d.stackInOneRecord, 7: d.stackLineByLine, 13: d.oddText, 15: d.oddJSON,
		17: d.oddEvents, 19: d.otherStreams, 21: d.manyLines, 23: d.lateLines, 25: d.outOfOrder, 27: d.sameMillisecond,
		28: d.between, 30: d.untraced,
	}
	if f := special[d.calls]; odd && f != nil {
		f()
		return
	}
	c := d.begin(time.Duration(3+d.calls*d.calls%41) * time.Minute)
	d.start(c)
	switch d.calls % 5 {
	case 0:
		d.node(c, "INFO", "order 4711 has 3 items")
		d.node(c, "DEBUG", "cache hit for customer 1702")
		d.node(c, "WARN", "payment took 812 ms")
	case 1:
		d.line(c, "INFO", fmt.Sprintf("[INFO]\t%s\t%s\tfound credentials in environment variables.\n", d.tick(), c.id))
		d.line(c, "WARN WARNING", fmt.Sprintf("[WARNING]\t%s\t%s\tretrying: 429 Too Many Requests\n", d.tick(), c.id))
		d.line(c, "FATAL CRITICAL", fmt.Sprintf("[CRITICAL]\t%s\t%s\tstock is negative\n", d.tick(), c.id))
	case 2:
		d.line(c, "", "loaded 3 items for cart 17\n")
		d.line(c, "WARN WARNING", "WARNING: the price list is from yesterday\n")
		d.line(c, "ERROR error", `level=error msg="no such voucher" code=17`+"\n")
		d.line(c, "", "no error, no warning: all is fine\n")
	case 3:
		d.object(c, "INFO", fmt.Sprintf(`{"timestamp":"%s","level":"INFO","requestId":"%s","message":"order accepted","total":129.90}`, d.tick(), c.id))
		d.object(c, "ERROR error", fmt.Sprintf(`{"timestamp":"%s","level":"error","AWSRequestId":"%s","message":{"errorType":"Timeout","retries":[1,2,3]}}`, d.tick(), c.id))
		// An id of some web request misleads nobody.
		d.object(c, "DEBUG debug", `{"level":"debug","requestId":"web-17","message":"GET /orders/17"}`)
		d.object(c, "", `{"message":"no level and no id"}`)
	case 4:
		trace, span := d.hex(16), d.hex(8)
		w := d.of(c, "INFO info")
		w.trace, w.span = trace, span
		d.add("function", d.tickTime(), quote(fmt.Sprintf(`{"level":"info","msg":"charged","traceparent":"00-%s-%s-01"}`+"\n", trace, span)), w)
		w.severity, w.word = "WARN", "WARNING"
		d.add("function", d.tickTime(), fmt.Sprintf(`{"severity":"WARNING","message":"slow","trace_id":"%s","span_id":"%s","trace_flags":"01"}`, trace, span), w)
		d.line(c, "TRACE 10", `{"level":10,"msg":"pino's numbers"}`+"\n")
	}
	d.end(c)
}

// coldStart is the init and the first invocation.
func (d *day) coldStart() {
	d.initialize("init")
	d.line(nil, "", "connecting to the database\n")
	d.line(nil, "INFO", fmt.Sprintf("%s\tundefined\tINFO\tconnected in 81 ms\n", d.tick()))
	d.initialized("init", "380.512")
	d.post()
	c := d.begin(9 * time.Millisecond)
	c.initMs = "380.512"
	d.start(c)
	d.node(c, "INFO", "hello")
	d.post() // what the runtime is slow about comes in a POST of its own
	d.node(c, "ERROR", "no order 0")
	// What the init logged arrives late, and is still no invocation's.
	d.add("function", c.from.Add(-300*time.Millisecond), quote("warming up\n"), want{})
	d.end(c)
}

// timeOut is an invocation that takes longer than it may, and the last of its
// environment.
func (d *day) timeOut() {
	c := d.begin(11 * time.Minute)
	d.start(c)
	d.node(c, "INFO", "asking the warehouse")
	d.line(c, "", "still waiting\n")
	d.post()
	d.now = c.from.Add(3 * time.Second)
	c.status, c.errorType = "timeout", "Sandbox.Timedout"
	d.end(c)
	// What is logged after a time-out is no invocation's.
	d.add("function", c.done.Add(6*time.Millisecond), quote("the warehouse answered after all\n"), want{})
	d.add("function", c.done.Add(80*time.Millisecond), quote("ERROR: nobody is waiting\n"), d.of(nil, "ERROR"))
	d.report(c)
	d.post()
}

// warmStart is the init after the time-out, which runs inside of the next
// invocation, and that one.
func (d *day) warmStart() {
	late, at := *d.last, d.last.from.Add(40*time.Millisecond)
	d.last = nil
	d.now = d.now.Add(14 * time.Minute)
	d.initialize("invoke")
	d.line(nil, "", "connecting to the database\n")
	d.post()
	d.initialized("invoke", "211.07")
	d.post()
	c := d.begin(2 * time.Millisecond)
	d.start(c)
	// Of an invocation that an earlier process knew: the id is not taken.
	d.add("function", at, quote(fmt.Sprintf("%s\t%s\tINFO\tasked the warehouse\n", iso(at), late.id)), d.of(nil, "INFO"))
	d.node(c, "INFO", "hello again")
	d.end(c)
}

func (d *day) initialize(phase string) {
	d.platform("platform.initStart", fmt.Sprintf(`{"initializationType":"on-demand","phase":"%s","functionName":"%s","functionVersion":"$LATEST","instanceId":"%s","instanceMaxMemory":268435456,"runtimeVersion":"nodejs:22.v101","runtimeVersionArn":"%s"}`,
		phase, functionName, logStream, runtimeARN),
		want{message: "INIT_START Runtime Version: nodejs:22.v101\tRuntime Version ARN: " + runtimeARN + "\n"})
	d.platform("platform.telemetrySubscription", `{"name":"kinesis-telemetry-extension","state":"Subscribed","types":["platform","function","extension"]}`,
		want{message: "TELEMETRY\tName: kinesis-telemetry-extension\tState: Subscribed\tTypes: [Platform, Function, Extension]\n"})
}

func (d *day) initialized(phase, ms string) {
	d.platform("platform.initRuntimeDone", fmt.Sprintf(`{"initializationType":"on-demand","phase":"%s","status":"success"}`, phase), want{})
	d.platform("platform.extension", `{"name":"kinesis-telemetry-extension","state":"Ready","events":["INVOKE","SHUTDOWN"]}`,
		want{message: "EXTENSION\tName: kinesis-telemetry-extension\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n"})
	d.platform("platform.extension", `{"name":"profiler","state":"Ready","events":[]}`,
		want{message: "EXTENSION\tName: profiler\tState: Ready\tEvents: []\n"})
	d.platform("platform.initReport", fmt.Sprintf(`{"initializationType":"on-demand","phase":"%s","status":"success","metrics":{"durationMs":%s}}`, phase, ms), want{})
}

func (d *day) stackInOneRecord() {
	c := d.begin(7 * time.Minute)
	d.start(c)
	d.line(c, "INFO", fmt.Sprintf("[INFO]\t%s\t%s\tpricing\n", d.tick(), c.id))
	// Python's runtime indents with no-break spaces.
	d.line(c, "ERROR", "[ERROR] KeyError: 'sku'\nTraceback (most recent call last):\n\u00a0\u00a0File \"/var/task/index.py\", line 17, in handler\n\u00a0\u00a0\u00a0\u00a0price = prices[item[\"sku\"]]\n")
	d.node(c, "ERROR", "Invoke Error \t"+`{"errorType":"TypeError","errorMessage":"Cannot read properties of undefined (reading 'sku')","stack":["TypeError: Cannot read properties of undefined (reading 'sku')","    at Runtime.handler (file:///var/task/index.mjs:17:23)"]}`)
	c.status, c.errorType = "error", "Function.KeyError"
	d.end(c)
}

func (d *day) stackLineByLine() {
	c := d.begin(time.Minute)
	d.start(c)
	d.line(c, "", "java.lang.IllegalStateException: out of beans\n")
	d.line(c, "", "\tat com.example.orders.Machine.brew(Machine.java:42)\n")
	d.line(c, "", "\tat com.example.orders.Handler.handleRequest(Handler.java:17)\n")
	d.post() // in the middle of it
	d.line(c, "", "Caused by: java.io.IOException: valve stuck\n")
	d.line(c, "", "\t... 2 more\n")
	c.status, c.errorType = "error", "Runtime.ExitError"
	d.end(c)
}

// longLine has a line of 200 kB.
func (d *day) longLine() {
	c := d.begin(5 * time.Minute)
	d.start(c)
	d.node(c, "INFO", strings.Repeat("the basket is full of it; ", 200_000/26))
	d.end(c)
}

// cutLine has a line that is longer than a POST may be: Lambda cuts it, with an
// end of its own making, and goes on in the next POST behind the same beginning.
func (d *day) cutLine() {
	c := d.begin(5 * time.Minute)
	d.start(c)
	d.node(c, "INFO", "all of the stock follows")
	at := d.tickTime()
	var text strings.Builder
	for i := 0; text.Len() < 1_060_000; i++ {
		fmt.Fprintf(&text, "%06d: \"beans\" ☕ from shelf %d\t", i, i%97)
	}
	envelope := fmt.Sprintf(`{"time":"%s","type":"function","record":`, iso(at))
	line := quote(text.String() + "\n")
	cut := 1<<20 - 700 // where the POST is full, which is no place in particular
	d.wants = append(d.wants, d.of(c, ""))
	d.body = append(d.body, envelope+line[:cut]+"}")
	d.post()
	d.body = append(d.body, envelope+line[cut:]+"}")
	d.node(c, "INFO", "that was all")
	d.end(c)
}

// lone has two surrogates that are no pair.
const lone = `half a pair \ud83d and the other half \ude00`

func (d *day) oddText() {
	c := d.begin(2 * time.Minute)
	d.start(c)
	d.line(c, "", "☕️ for 👩‍👩‍👧‍👦, na zdraví, 你好\n")
	d.line(c, "", "")
	d.line(c, "", "\n")
	d.line(c, "", "caf\xe9 is \xff\xfe\n")
	d.line(c, "", "cut in the middle of \xf0\x9f\x98")
	d.add("function", d.tickTime(), "{\"level\":\"INFO\",\"message\":\"a \xc3( in an object\",\"n\":1.10}", d.of(c, "INFO"))
	d.add("function", d.tickTime(), `"`+lone+`"`, d.of(c, ""))
	d.line(c, "ERROR", "\x1b[31mERROR\x1b[0m red, and a bell \x07 and a NUL \x00\n")
	d.line(c, "", "no line feed at the end")
	d.line(c, "", "two lines\r\nin one record\r\n")
	d.end(c)
}

func (d *day) oddJSON() {
	c := d.begin(2 * time.Minute)
	d.start(c)
	d.object(c, "", `{"price":1.10,"factor":1e3,"big":12345678901234567890,"small":-0.0,"tiny":1E-7,"whole":9007199254740993}`)
	d.object(c, "ERROR", `{"level":"ERROR","level":"ERROR","a":{"x":1,"x":2},"a":{"x":3}}`)
	d.object(c, "INFO info", `{"caf\u00e9":"\u00e9\/\ud83d\ude00","lvl":"info"}`)
	d.object(c, "WARN", `{ "level" : "WARN", "list": [1, 2, [ ]], "nothing" : { } }`)
	d.object(c, "", `{"deep":[[[[[[[[[[[[[[[["down here"]]]]]]]]]]]]]]]]}`)
	d.object(c, "", `{"bytes":[`+strings.Repeat("255,", 1999)+`255]}`)
	d.object(c, "", `[true,null,"a list"]`)
	d.object(c, "", `17.50`)
	d.add("function", d.tickTime(), `"escapes that need not be: \u0041\/\u00e9\u2028 \ud83d\ude00\b\f"`, d.of(c, ""))
	d.end(c)
}

// oddEvents has events that Lambda does not document.
func (d *day) oddEvents() {
	c := d.begin(2 * time.Minute)
	d.start(c)
	d.add("function", d.tickTime(), "null", d.of(c, ""))
	d.add("function", d.tickTime(), "", d.of(c, "")) // no record at all
	d.add("function", d.tickTime(), quote("with more than is known\n"), d.of(c, ""), `"stream":"stderr"`, `"sequence":1.10`, `"of":{"\u00e9":[1, 2]}`)
	d.platform("platform.tenantCheck", fmt.Sprintf(`{"requestId":"%s","tenantId":"t-17","allowed":true}`, c.id), d.of(c, ""))
	d.platform("platform.weather", `{"sky":"blue"}`, want{})
	d.platform("platform.extension", `{"name":"profiler","state":"ExitError","events":["INVOKE"],"errorType":"Extension.Crash"}`,
		want{message: "EXTENSION\tName: profiler\tState: ExitError\tEvents: [INVOKE]\tError Type: Extension.Crash\n"})
	d.end(c)
}

// otherStreams has lines of extensions, and what Lambda reports about lines that it
// dropped.
func (d *day) otherStreams() {
	c := d.begin(2 * time.Minute)
	d.start(c)
	d.add("extension", d.tickTime(), quote("[profiler] 120 samples\n"), want{})
	d.add("extension", d.tickTime(), quote("WARN: 12 samples left\n"), d.of(nil, "WARN"))
	d.add("extension", d.tickTime(), fmt.Sprintf(`{"level":"ERROR","requestId":"%s","message":"no route"}`, c.id), d.of(nil, "ERROR"))
	d.add("extension", d.tickTime(), quote(`{"time":"2026-09-21T12:00:00Z","level":"WARN","msg":"Kinesis throttles","logger":"kinetel"}`+"\n"), want{ownLog: true})
	d.platform("platform.logsDropped", `{"droppedBytes":12345,"droppedRecords":87,"reason":"Consumer seems to have fallen behind as it has not acknowledged receipt of logs."}`, want{})
	d.end(c)
}

// manyLines has more lines than a record may.
func (d *day) manyLines() {
	c := d.begin(2 * time.Minute)
	d.start(c)
	for i := range 300 {
		d.line(c, "", fmt.Sprintf("item %d of 300 costs %d.%02d\n", i+1, d.rand.IntN(90), d.rand.IntN(100)))
		if i%120 == 119 {
			d.post()
		}
	}
	d.end(c)
}

// lateLines are two invocations; lines of the first arrive in the second, one
// that says whose it is, and one that does not. The report comes later still.
func (d *day) lateLines() {
	c := d.begin(3 * time.Minute)
	d.start(c)
	d.node(c, "INFO", "in time")
	late := d.tickTime()
	d.end(c)
	afterEnd := c.done.Add(4 * time.Millisecond) // lines take another way than the word that the runtime is done

	d.last = nil // its report comes further on
	next := d.begin(20 * time.Second)
	d.start(next)
	d.line(next, "", "the second\n")
	d.add("function", late, quote("late, and says nothing of whose it is\n"), d.of(c, ""))
	d.add("function", late, quote(fmt.Sprintf("%s\t%s\tWARN\tlate, and says whose it is\n", iso(late), c.id)), d.of(c, "WARN"))
	d.add("function", afterEnd, quote("just after the end\n"), d.of(c, ""))
	d.post()
	d.line(next, "", "the second goes on\n")
	// Work that was begun in the first ends in the second.
	d.object(c, "INFO", fmt.Sprintf(`{"level":"INFO","function_request_id":"%s","message":"sent the mail"}`, c.id))
	d.report(c)
	d.end(next)
}

// outOfOrder are two invocations; of the first, lines come before its start in
// a POST, and the end after the start of the second.
func (d *day) outOfOrder() {
	c := d.begin(3 * time.Minute)
	c.from = d.tickTime()
	d.line(c, "", "before its start, and after it by time\n")
	d.node(c, "INFO", "before its start, and says whose it is")
	d.platformStart(c)
	d.line(c, "", "and behind it\n")
	d.post()
	late := d.tickTime()
	c.done = d.tickTime()

	d.last = nil
	next := d.begin(time.Second)
	d.start(next)
	d.line(next, "", "the second has begun\n")
	d.add("function", late, quote("the first has not ended\n"), d.of(c, ""))
	d.runtimeDone(c)
	d.report(c)
	d.line(next, "", "the second goes on\n")
	d.end(next)
}

// sameMillisecond is an invocation that begins just when the one before has
// ended. Of lines in the millisecond of a start the order decides whose they are.
func (d *day) sameMillisecond() {
	before := d.last
	c := d.begin(0)
	c.from = before.done.Add(3 * time.Millisecond)
	d.now = c.from
	d.add("function", c.from, quote("the end of the first\n"), d.of(before, ""))
	d.platformStart(c)
	d.add("function", c.from, quote("the begin of the second\n"), d.of(c, ""))
	d.line(c, "", "the second goes on\n")
	d.end(c)
}

// between is an invocation, and what is logged before the next one.
func (d *day) between() {
	c := d.begin(time.Minute)
	d.start(c)
	d.node(c, "INFO", "hello")
	d.end(c)
	d.add("function", c.done.Add(4*time.Millisecond), quote("on its heels\n"), d.of(c, ""))
	d.add("function", c.done.Add(40*time.Millisecond), quote("background work\n"), want{})
	d.add("function", c.done.Add(41*time.Millisecond), quote(fmt.Sprintf("%s\t0b5c1c52-9f6e-4d57-a3a2-6f1d7c7f0a11\tERROR\tof nothing that is known\n", iso(c.done.Add(41*time.Millisecond)))),
		d.of(nil, "ERROR"))
	d.post()
}

// untraced is an invocation without a trace.
func (d *day) untraced() {
	d.tracingOff = true
	c := d.begin(time.Minute)
	d.tracingOff = false
	d.start(c)
	d.node(c, "INFO", "nobody traces this")
	d.end(c)
}

// begin has Lambda start an invocation, with the report of the one before in its
// first POST.
func (d *day) begin(gap time.Duration) *call {
	d.now = d.now.Add(gap)
	c := &call{from: d.now, status: "success", parent: d.hex(8), span: d.hex(8), sampled: d.calls % 2}
	traced := ""
	if !d.tracingOff {
		c.root = fmt.Sprintf("1-%08x-%s", d.now.Unix(), d.hex(12))
		traced = fmt.Sprintf(`,"tracing":{"type":"X-Amzn-Trace-Id","value":"%s"}`, c.header())
	}
	id := d.hex(16)
	c.id = id[:8] + "-" + id[8:12] + "-4" + id[13:16] + "-a" + id[17:20] + "-" + id[20:]
	d.calls++
	fmt.Fprintf(&d.file, `{"next":{"eventType":"INVOKE","deadlineMs":%d,"requestId":"%s","invokedFunctionArn":"arn:aws:lambda:eu-west-1:%s:function:%s"%s}}`+"\n",
		c.from.Add(3*time.Second).UnixMilli(), c.id, accountID, functionName, traced)
	if d.last != nil {
		d.report(d.last)
	}
	d.last = c
	return c
}

func (d *day) start(c *call) {
	c.from = d.tickTime()
	d.platformStart(c)
}

func (d *day) platformStart(c *call) {
	w := d.of(c, "")
	w.message = fmt.Sprintf("START RequestId: %s Version: $LATEST\n", c.id)
	d.add("platform.start", c.from, fmt.Sprintf(`{"requestId":"%s","version":"$LATEST"%s}`, c.id, c.tracing()), w)
}

// end ends an invocation that start began, and posts what there is.
func (d *day) end(c *call) {
	c.done = d.tickTime()
	d.runtimeDone(c)
	d.post()
	d.last = c
}

func (d *day) runtimeDone(c *call) {
	w := d.of(c, "")
	w.message = fmt.Sprintf("END RequestId: %s\n", c.id)
	d.add("platform.runtimeDone", c.done, fmt.Sprintf(`{"requestId":"%s","status":"%s"%s,"metrics":{"durationMs":%s,"producedBytes":42},"spans":[{"name":"responseLatency","start":"%s","durationMs":1.5},{"name":"runtimeOverhead","start":"%s","durationMs":0.206}]%s}`,
		c.id, c.status, c.failed(), c.durationMs(), iso(c.from), iso(c.done), c.tracing()), w)
}

// report reports an invocation as a whole, a while after its end.
func (d *day) report(c *call) {
	initMs, initText := "", ""
	if c.initMs != "" {
		initMs, initText = `,"initDurationMs":`+c.initMs, "\tInit Duration: 380.51 ms"
	}
	outcome := "\t"
	if c.status != "success" {
		outcome = "\tStatus: " + c.status + "\tError Type: " + c.errorType
	}
	billed := c.done.Sub(c.from).Milliseconds() + 1
	w := d.of(c, "")
	w.message = fmt.Sprintf("REPORT RequestId: %s\tDuration: %d.25 ms\tBilled Duration: %d ms\tMemory Size: 256 MB\tMax Memory Used: 88 MB%s%s\n",
		c.id, c.done.Sub(c.from).Milliseconds(), billed, initText, outcome)
	if c.root != "" {
		w.message += fmt.Sprintf("XRAY TraceId: %s\tSegmentId: %s\tSampled: %t\t\n", c.root, c.span, c.sampled == 1)
	}
	at := c.done.Add(7 * time.Millisecond)
	d.add("platform.report", at, fmt.Sprintf(`{"requestId":"%s","status":"%s"%s,"metrics":{"durationMs":%s,"billedDurationMs":%d,"memorySizeMB":256,"maxMemoryUsedMB":88%s},"spans":[{"name":"extensionOverhead","start":"%s","durationMs":6.5}]%s}`,
		c.id, c.status, c.failed(), c.durationMs(), billed, initMs, iso(c.done), c.tracing()), w)
}

func (c *call) header() string {
	return fmt.Sprintf("Root=%s;Parent=%s;Sampled=%d", c.root, c.parent, c.sampled)
}

func (c *call) tracing() string {
	if c.root == "" {
		return ""
	}
	return fmt.Sprintf(`,"tracing":{"spanId":"%s","type":"X-Amzn-Trace-Id","value":"%s"}`, c.span, c.header())
}

func (c *call) failed() string {
	if c.errorType == "" {
		return ""
	}
	return fmt.Sprintf(`,"errorType":"%s"`, c.errorType)
}

func (c *call) durationMs() string { return fmt.Sprintf("%d.25", c.done.Sub(c.from).Milliseconds()) }

// of is what is to be found out of an event of an invocation. The logger's word for the
// severity may follow the severity; else they are the same.
func (d *day) of(c *call, severity string) want {
	severity, word, ok := strings.Cut(severity, " ")
	if !ok {
		word = severity
	}
	w := want{severity: severity, word: word}
	if c != nil {
		w.requestID, w.traceID = c.id, c.root
	}
	return w
}

// line is a line of text that the function writes.
func (d *day) line(c *call, severity, text string) {
	d.add("function", d.tickTime(), quote(text), d.of(c, severity))
}

// node is a line of text by the logger of Node's runtime.
func (d *day) node(c *call, severity, text string) {
	d.line(c, severity, fmt.Sprintf("%s\t%s\t%s\t%s\n", d.tick(), c.id, severity, text))
}

// object is a line in the log format JSON.
func (d *day) object(c *call, severity, json string) {
	d.add("function", d.tickTime(), json, d.of(c, severity))
}

func (d *day) platform(kind, record string, w want) { d.add(kind, d.tickTime(), record, w) }

// add puts an event into the next POST.
func (d *day) add(kind string, at time.Time, record string, w want, members ...string) {
	text := fmt.Sprintf(`{"time":"%s","type":"%s"`, iso(at), kind)
	if record != "" {
		text += `,"record":` + record
	}
	for _, member := range members {
		text += "," + member
	}
	d.body = append(d.body, text+"}")
	d.wants = append(d.wants, w)
}

// post ends a POST.
func (d *day) post() {
	fmt.Fprintf(&d.file, "[%s]\n", strings.Join(d.body, ","))
	d.body = nil
}

func (d *day) register() {
	fmt.Fprintf(&d.file, `{"register":{"functionName":"%s","functionVersion":"$LATEST","handler":"index.handler","accountId":"%s"}}`+"\n", functionName, accountID)
}

func (d *day) shutdown(reason string) {
	fmt.Fprintf(&d.file, `{"next":{"eventType":"SHUTDOWN","deadlineMs":%d,"shutdownReason":"%s"}}`+"\n", d.now.Add(2*time.Second).UnixMilli(), reason)
}

// tickTime is a moment later.
func (d *day) tickTime() time.Time {
	d.now = d.now.Add(time.Duration(1+d.rand.IntN(9)) * time.Millisecond)
	return d.now
}

// tick is a moment later, as loggers write it. The event's own time is later
// still: Lambda reads a line when it has been written.
func (d *day) tick() string { return iso(d.tickTime()) }

func (d *day) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.rand.IntN(256))
	}
	return hex.EncodeToString(b)
}

func iso(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// quote writes text as a JSON string, and leaves bytes that are no UTF-8 as they
// are.
func quote(text string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`, "\x00", `\u0000`, "\x07", `\u0007`, "\x1b", `\u001b`).Replace(text) + `"`
}
