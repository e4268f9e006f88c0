package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
)

// recording is the day, read from its file.
type recording struct {
	ownLog int // bytes of the records of Kinetel's own log, which are in the first process's telemetry
	steps  []step
	events [][]*emitted // by process, in the order in which Lambda sent them

	starts, reports map[string]*emitted // of invocations, by their ids
}

// step is a line of the file.
type step struct {
	Register json.RawMessage `json:"register"`
	Next     json.RawMessage `json:"next"`
	post     []byte
}

// emitted is an event that Lambda emitted, and how it must arrive.
type emitted struct {
	time, kind string
	body       json.RawMessage // Lambda's record, byte for byte
	size       int             // of the record; 0 where there is none
	extra      map[string]json.RawMessage
	want

	value             any    // of the body
	byJQ, messageByJQ []byte // what jq makes of the body, and of the message in CloudWatch Logs
}

// readRecording reads the file, and what each event of it is to become.
func readRecording(t *testing.T) *recording {
	t.Helper()
	text, err := os.ReadFile(dayFile)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{starts: map[string]*emitted{}, reports: map[string]*emitted{}}
	wants := makeDay().wants
	var cut []byte
	for line := range bytes.Lines(text) {
		line = line[:len(line)-1]
		if line[0] != '[' {
			var s step
			if err := json.Unmarshal(line, &s); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if s.Register != nil {
				r.events = append(r.events, nil)
			}
			r.steps = append(r.steps, s)
			continue
		}
		r.steps = append(r.steps, step{post: line})
		if cut != nil {
			line, cut = stitch(t, cut, line), nil
		}
		var all []json.RawMessage
		if json.Unmarshal(line, &all) != nil {
			cut = line // and the next one goes on with it
			continue
		}
		for _, one := range all {
			if len(wants) == 0 {
				t.Fatal("the file has more events than the generator makes")
			}
			e := readEvent(t, one)
			e.want, wants = wants[0], wants[1:]
			process := &r.events[len(r.events)-1]
			if e.ownLog {
				r.ownLog += e.size
				continue
			}
			*process = append(*process, e)
			switch e.kind {
			case "platform.start":
				r.starts[e.requestID] = e
			case "platform.report":
				r.reports[e.requestID] = e
			}
		}
	}
	if len(wants) > 0 || cut != nil {
		t.Fatalf("the file is %d events short", len(wants))
	}
	r.read(t)
	return r
}

// read has readers read the events, as Lambda emitted them.
func (r *recording) read(t *testing.T) {
	t.Helper()
	var pairs bytes.Buffer
	all := slices.Concat(r.events...)
	for _, e := range all {
		e.value = valueOf(t, e.body)
		message, err := json.Marshal(e.messageOf())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&pairs, "[%s,%s]\n", oneMark(e.body), message)
	}
	i := 0
	for body, message := range jq(t, pairs.Bytes(), ".[0], .[1]") {
		all[i].byJQ, all[i].messageByJQ = body, message
		i++
	}
	if i != len(all) {
		t.Fatalf("jq reads %d events, want %d", i, len(all))
	}
}

// stitch puts the POSTs together that Lambda made of one: the first has an end of
// Lambda's own making, and the second begins as the event did that was cut.
func stitch(t *testing.T, first, second []byte) []byte {
	t.Helper()
	first = bytes.TrimSuffix(first, []byte("}]"))
	event := first[bytes.LastIndex(first, []byte(`{"time":`)):]
	const record = `"record":`
	envelope := event[:bytes.Index(event, []byte(record))+len(record)]
	rest, ok := bytes.CutPrefix(second, append([]byte("["), envelope...))
	if !ok {
		t.Fatalf("what goes on with %s does not begin so", envelope)
	}
	return append(bytes.Clone(first), rest...)
}

func readEvent(t *testing.T, text json.RawMessage) *emitted {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	e := &emitted{body: json.RawMessage("null")}
	for name, value := range members {
		var err error
		switch name {
		case "time":
			err = json.Unmarshal(value, &e.time)
		case "type":
			err = json.Unmarshal(value, &e.kind)
		case "record":
			e.body, e.size = value, len(value)
		default:
			if e.extra == nil {
				e.extra = map[string]json.RawMessage{}
			}
			e.extra[name] = value
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// The day has what it is there for.
func TestTheDayHasEventsOfEveryKind(t *testing.T) {
	r := readRecording(t)
	kinds, requests := map[string]int{}, map[string]bool{}
	var longest, lines, objects int
	for _, events := range r.events {
		for _, e := range events {
			kinds[e.kind]++
			longest = max(longest, len(e.body))
			if e.kind == "platform.start" {
				requests[e.requestID] = true
			}
			if e.kind == "function" && e.body[0] == '{' {
				objects++
			} else if e.kind == "function" {
				lines++
			}
		}
	}
	if len(r.events) != 2 || len(requests) != 50 || longest <= 1<<20 || lines < 400 || objects < 30 {
		t.Errorf("%d processes, %d invocations, %d lines of text, %d of JSON, the longest of %d bytes", len(r.events), len(requests), lines, objects, longest)
	}
	for kind, n := range map[string]int{
		"platform.initStart": 2, "platform.telemetrySubscription": 2, "platform.initRuntimeDone": 2, "platform.initReport": 2, "platform.extension": 5,
		"platform.start": 50, "platform.runtimeDone": 50, "platform.report": 50, "platform.logsDropped": 1, "platform.tenantCheck": 1, "extension": 3,
	} {
		if kinds[kind] != n {
			t.Errorf("%d of %s, want %d", kinds[kind], kind, n)
		}
	}
}
