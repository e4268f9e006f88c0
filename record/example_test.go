package record_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/kinetel/kinetel/record"
)

// In the examples the resource has only the id of the environment.
const resource = `"resource":{"service.instance.id":"4f1e0c9a"}}` + "\n"

const (
	signedIn = `{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:15:00.123Z","type":"function","severity":"INFO","body":"user signed in",` + resource
	cartHead = `{"schema":"kinetel/1","seq":2,"time":"2026-11-22T20:15:00.124Z","type":"function","part":1,"parts":2,"body":"{\"cart\":[1,",` + resource
	cartTail = `{"schema":"kinetel/1","seq":3,"time":"2026-11-22T20:15:00.124Z","type":"function","part":2,"parts":2,"body":"2,3]}",` + resource
	dropped  = `{"schema":"kinetel/1","seq":41,"time":"2026-11-22T20:15:06.000Z","type":"kinetel.loss","body":{"firstSeq":17,"lastSeq":40,"count":20,"bytes":5312,"reason":"buffer-full"},` + resource
)

// printOnce prints the events of Kinesis records, each once.
func printOnce(records [][]byte) error {
	seen := map[record.Key]bool{}
	var parts record.Joiner
	for _, data := range records {
		events, err := record.Decode(data)
		if err != nil {
			return err
		}
		for _, e := range events {
			if seen[e.Key()] {
				continue
			}
			seen[e.Key()] = true
			for _, e := range parts.Add(e) {
				fmt.Println(e.Seq, e.Type, e.Severity, string(e.Body))
			}
		}
	}
	return nil
}

// printFile prints the events of a file of records, and returns what it cannot read.
func printFile(file io.Reader) (errs []error) {
	for e, err := range record.Events(file) {
		if err != nil {
			errs = append(errs, err) // and go on: the events after it come all the same
			continue
		}
		fmt.Println(e.TimeText, e.Type, string(e.Body))
	}
	return errs
}

// The same record twice, as can happen if it is unknown whether the first try
// arrived, and an event in two parts.
func Example() {
	if err := printOnce([][]byte{[]byte(signedIn + cartHead), []byte(signedIn + cartHead), []byte(cartTail)}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1 function INFO "user signed in"
	// 2 function  {"cart":[1,2,3]}
}

func ExampleDecode() {
	events, err := record.Decode([]byte(signedIn + "hello\n"))
	for _, e := range events {
		fmt.Println(e.Time.Unix(), e.TimeText, string(e.Body))
	}
	fmt.Println(err)
	fmt.Println("damaged:", errors.Is(err, record.ErrNotRecord))
	// Output:
	// 1795378500 2026-11-22T20:15:00.123Z "user signed in"
	// not a record of Kinetel's: event 2, at byte 171: line: invalid character 'h' looking for beginning of value
	// damaged: true
}

// Firehose writes records one after the other to an object in S3. Here the last one is
// cut.
func ExampleEvents() {
	var object bytes.Buffer
	for _, lines := range []string{signedIn, cartHead + cartTail} {
		z := gzip.NewWriter(&object)
		_, _ = io.WriteString(z, lines)
		_ = z.Close()
	}
	object.Truncate(object.Len() - 8)

	for _, err := range printFile(&object) {
		fmt.Println(err)
		if damage := (*record.Error)(nil); errors.As(err, &damage) {
			fmt.Println(damage.Events, "events were read before,", errors.Is(err, io.ErrUnexpectedEOF))
		}
	}
	// Output:
	// 2026-11-22T20:15:00.123Z function "user signed in"
	// 2026-11-22T20:15:00.124Z function "{\"cart\":[1,"
	// 2026-11-22T20:15:00.124Z function "2,3]}"
	// not a record of Kinetel's: event 4, at byte 505: unexpected EOF
	// 3 events were read before, true
}

// A decoder with limits of its own, for a consumer that has little memory.
func ExampleDecoder() {
	d := record.Decoder{MaxBytes: 1 << 20, MaxEvents: 1}
	events, err := d.Decode([]byte(signedIn + dropped))
	fmt.Println(len(events), errors.Is(err, record.ErrLimit))
	// Output: 1 true
}

func ExampleEvent_Key() {
	seen := map[record.Key]bool{}
	for e, err := range record.Events(bytes.NewReader([]byte(signedIn + dropped + signedIn))) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		if seen[e.Key()] {
			fmt.Println("again:", e.Key())
			continue
		}
		seen[e.Key()] = true
		fmt.Println(e.Key())
	}
	// Output:
	// seq 1 of 4f1e0c9a
	// seq 41 of 4f1e0c9a
	// again: seq 1 of 4f1e0c9a
}

func ExampleEvent_Loss() {
	events, err := record.Decode([]byte(signedIn + dropped))
	if err != nil {
		fmt.Println(err)
	}
	for _, e := range events {
		loss, err := e.Loss()
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%d events from seq %d to %d are lost: %s\n", loss.Count, loss.FirstSeq, loss.LastSeq, loss.Reason)
	}
	// Output:
	// another type of event: seq 1 of 4f1e0c9a is a function, not a kinetel.loss
	// 20 events from seq 17 to 40 are lost: buffer-full
}

// exampleOwn is an event of Kinetel's own.
func exampleOwn(kind, body string) record.Event {
	return record.Event{Type: kind, Body: []byte(body)}
}

func ExampleEvent_Invocation() {
	e := exampleOwn(record.TypeInvocation, `{"requestId":"6f0c0c5e","status":"timeout","metrics":{"durationMs":3000,"memorySizeMB":256},"coldStart":true}`)
	invocation, err := e.Invocation()
	if err != nil {
		fmt.Println(err)
		return
	}
	cold := invocation.ColdStart != nil && *invocation.ColdStart
	fmt.Println(invocation.RequestID, invocation.Status, invocation.Metrics.DurationMs, cold)
	// Output: 6f0c0c5e timeout 3000 true
}

func ExampleEvent_Report() {
	e := exampleOwn(record.TypeReport, `{"final":true,"uptimeMs":600900,"received":{"events":50,"bytes":13120},"own":6,"parts":0,"recovered":0,
		"shipped":{"events":35,"records":4,"bytes":2048},"lost":{"buffer-full":20},"waiting":1,"spooled":{"events":0,"records":0,"bytes":0},
		"requests":4,"retried":1,"unknown":0,"putLatencyMs":{"p50":9.42,"p99":21.07,"max":21.07},
		"held":{"invocations":3,"held":1,"ms":{"p50":0,"p99":0,"max":26.2}},
		"leftOut":{},"logsDropped":{"times":1,"records":87,"bytes":12345}}`)
	report, err := e.Report()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Received.Events, report.Shipped.Events, report.Lost[record.LossBufferFull], report.PutLatencyMs.P50)
	// Output: 50 35 20 9.42
}

func ExampleEvent_Environment() {
	e := exampleOwn(record.TypeEnvironment, `{"kinetel":{"version":"0.1.0","format":"ndjson","compression":"gzip","partitionKey":"environment",
		"flush":"adaptive","flushIntervalMs":10000,"maxHoldMs":500,"bufferBytes":16777216,"spool":"overflow","spoolBytes":67108864,
		"types":["platform","function"],"report":["events"]},"attributes":{"cloud.platform":"aws_lambda","host.arch":"arm64","faas.max_memory":268435456}}`)
	environment, err := e.Environment()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(environment.Kinetel.Version, environment.Attributes.HostArch, environment.Attributes.MaxMemory>>20, "MiB")
	// Output: 0.1.0 arm64 256 MiB
}

func ExampleJoin() {
	events, err := record.Decode([]byte(cartTail + signedIn + cartHead))
	if err != nil {
		fmt.Println(err)
	}
	for _, e := range record.Join(events) {
		fmt.Println(e.Seq, string(e.Body))
	}
	// Output:
	// 2 {"cart":[1,2,3]}
	// 1 "user signed in"
}

func ExampleJoiner() {
	var parts record.Joiner
	for e, err := range record.Events(bytes.NewReader([]byte(cartHead + signedIn + cartTail + cartHead))) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		for _, e := range parts.Add(e) {
			fmt.Println(e.Seq, string(e.Body))
		}
	}
	for _, e := range parts.Flush() {
		fmt.Printf("seq %d is part %d of %d; the others are missing\n", e.Seq, e.Part, e.Parts)
	}
	// Output:
	// 1 "user signed in"
	// 2 {"cart":[1,2,3]}
	// seq 2 is part 1 of 2; the others are missing
}
