package formats

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
	schematest "github.com/kinetel/kinetel/test/schema"
)

// row is a row of the table.
type row struct{ format, compression, key string }

func (r row) String() string { return r.format + " " + r.compression + " by " + r.key }

// table has every format by compression by partition key; with -short, each key of
// its formats and compressions by turns.
func table() (rows []row) {
	for _, f := range formats.All() {
		for _, compression := range f.Compressions {
			keys := []string{"environment", "request", "function", "random"}
			if testing.Short() {
				keys = keys[len(rows)%len(keys):][:1]
			}
			for _, key := range keys {
				rows = append(rows, row{string(f.Name), string(compression), key})
			}
		}
	}
	return rows
}

// linked reports whether spans have links instead of parents.
func (r row) linked() bool { return r.format == "otlp" && (r.key == "request" || r.key == "random") }

func (r row) env() []string {
	env := []string{
		"KINETEL_FORMAT=" + r.format, "KINETEL_PARTITION_KEY=" + r.key,
		"KINETEL_TYPES=platform,function,extension", "KINETEL_TAGS=env=prod,team=payments",
		"KINETEL_FLUSH=interval", "KINETEL_FLUSH_INTERVAL=5m", // records are closed when they are full
	}
	switch r.format {
	case "cloudwatch", "kpl": // which have no choice
	case "otlp":
		env = append(env, "KINETEL_OTLP_SPANS=true")
		if r.linked() {
			env = append(env, "KINETEL_OTLP_PARENT=link")
		}
		fallthrough
	default:
		env = append(env, "KINETEL_COMPRESSION="+r.compression)
	}
	return env
}

// ahead is how many rows play the recording before it is their turn to be checked:
// playing is waiting, for a shutdown takes 300 ms for reports that might come.
const ahead = 4

func TestEveryFormatReturnsTheEventsOfTheDay(t *testing.T) {
	for _, program := range []string{"jq", "zcat", "zstd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v (Debian: apt-get install jq gzip zstd)", err)
		}
	}
	day := readRecording(t)
	slots := make(chan struct{}, ahead)
	for _, r := range table() {
		t.Run(r.String(), func(t *testing.T) {
			ctx, spool := t.Context(), t.TempDir()
			var out stream
			var err error
			turn, played := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(played)
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
				case <-turn:
				}
				out, err = day.play(ctx, r.env(), spool)
			}()
			t.Parallel()
			close(turn)
			if <-played; err != nil {
				t.Fatal(err)
			}
			c := &check{T: t, row: r, day: day, at: map[number]place{}}
			for process, records := range out {
				c.process(process, records)
			}
			if t.Failed() {
				return // others would fail in the same way
			}
			c.others(slices.Concat(out...))
		})
	}
}

// check checks what a row gave.
type check struct {
	*testing.T
	row
	day          *recording
	environments []string // ids, by process
	at           map[number]place
}

// number names an event, by as much of its environment's id as every format has.
type number struct {
	environment string
	seq         uint64
}

func numberOf(environment string, seq uint64) number {
	return number{environment[:min(len(environment), 22)], seq}
}

// place is what has a number.
type place struct {
	*emitted    // nil: Kinetel's own
	own         record.Event
	part, parts int
}

func (p place) request() string {
	if p.emitted != nil {
		return p.requestID
	}
	return requestOf(p.own)
}

// requestOf is the invocation that an event of Kinetel's own is about.
func requestOf(own record.Event) string {
	var body struct{ RequestID string }
	if own.Type == "kinetel.invocation" || own.Type == "kinetel.span" {
		_ = json.Unmarshal(own.Body, &body)
	}
	return body.RequestID
}

// arrival is an event and the record that it was in.
type arrival struct {
	record int
	record.Event
}

// process holds what package record reads against what Lambda sent to a process.
func (c *check) process(process int, records []kinesissim.Record) {
	c.Helper()
	var all []arrival
	perRecord := make([]int, len(records))
	for i, rec := range records {
		if size := len(rec.Data) + len(rec.PartitionKey); size > 1<<20 {
			c.Errorf("record %d has %d bytes with its key", i, size)
		}
		// zstd reads gzip as well.
		if magic := map[string]string{"gzip": "\x1f\x8b", "zstd": "\x28\xb5\x2f\xfd"}[c.compression]; !bytes.HasPrefix(rec.Data, []byte(magic)) {
			c.Errorf("record %d begins with %x", i, rec.Data[:4])
		}
		if !testing.Short() || i%8 == 0 {
			schematest.Check(c, rec.Data)
		}
		events, err := record.Decode(rec.Data)
		if err != nil {
			c.Fatalf("record %d: %v", i, err)
		}
		most := 500
		if c.format == "json" {
			most = 1
		}
		if perRecord[i] = len(events); perRecord[i] == 0 || perRecord[i] > most {
			c.Errorf("record %d has %d events", i, perRecord[i])
		}
		for _, e := range events {
			all = append(all, arrival{i, e})
		}
	}
	if len(all) == 0 {
		c.Fatal("nothing arrived")
	}
	if c.format == "ndjson" && c.key != "request" && process == 0 && slices.Max(perRecord) != 500 {
		c.Errorf("the fullest record has %d events: the day has too few events", slices.Max(perRecord))
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return cmp.Compare(a.Seq, b.Seq) })
	environment := all[0].InstanceID()
	if slices.Contains(c.environments, environment) {
		c.Errorf("two processes are %s", environment)
	}
	c.environments = append(c.environments, environment)

	var lambdas []record.Event
	expected := c.day.events[process]
	var last *emitted // the event that parts are of
	for i, a := range all {
		if a.Seq != uint64(i+1) || a.InstanceID() != environment {
			c.Fatalf("the event after %d of %s is %d of %s", i, environment, a.Seq, a.InstanceID())
		}
		p := place{part: a.Part, parts: a.Parts}
		if strings.HasPrefix(a.Type, "kinetel.") {
			p.own = a.Event
		} else {
			if a.Part <= 1 {
				if len(expected) == 0 {
					c.Fatalf("more events than Lambda emitted: %s", clip(a.Body))
				}
				last, expected = expected[0], expected[1:]
			}
			p.emitted = last
			lambdas = append(lambdas, a.Event)
		}
		c.at[numberOf(environment, a.Seq)] = p
	}
	if len(expected) > 0 {
		c.Fatalf("%d events are missing, the first of them %s %s", len(expected), expected[0].kind, clip(expected[0].body))
	}
	whole := record.Join(lambdas)
	if len(whole) != len(c.day.events[process]) {
		c.Fatalf("%d events whose parts are put together, want %d", len(whole), len(c.day.events[process]))
	}
	same := c.same
	if c.format == "cloudwatch" {
		same = c.sameInCloudWatch
	}
	for i, e := range whole {
		if diff := same(c.day.events[process][i], e); diff != "" {
			c.Errorf("seq %d: %s", e.Seq, diff)
		}
	}
	c.own(process, all)
	c.partitionKeys(environment, records, all)
}

// same describes in what an event differs from the one that Lambda emitted.
func (c *check) same(want *emitted, got record.Event) string {
	resource := map[string]string{
		"cloud.provider": "aws", "cloud.region": "eu-west-1", "cloud.account.id": accountID,
		"faas.name": functionName, "faas.version": "$LATEST", "faas.instance": logStream, "service.instance.id": got.InstanceID(),
		"service.name": functionName, "env": "prod", "team": "payments",
	}
	switch {
	case got.TimeText != want.time || got.Type != want.kind:
		return fmt.Sprintf("%s of %s, want %s of %s", got.Type, got.TimeText, want.kind, want.time)
	case !bytes.Equal(got.Body, want.body):
		return fmt.Sprintf("the body is %s, want %s", clip(got.Body), clip(want.body))
	case !maps.EqualFunc(got.Extra, want.extra, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }):
		return fmt.Sprintf("extra is %s, want %s", got.Extra, want.extra)
	case got.Schema != record.Schema || !maps.Equal(got.Resource, resource):
		return fmt.Sprintf("%s of the resource %s", got.Schema, got.Resource)
	}
	return c.found(want, got.RequestID, got.TraceID, got.Severity)
}

// found describes in what the annotations of an event are wrong.
func (c *check) found(want *emitted, request, trace, severity string) string {
	if request == want.requestID && trace == want.traceID && severity == want.severity {
		return ""
	}
	return fmt.Sprintf("request %q, trace %q, severity %q; want %q, %q, %q of %s %s",
		request, trace, severity, want.requestID, want.traceID, want.severity, want.kind, clip(want.body))
}

// own checks the events of Kinetel's own, which a consumer proves by that it has
// everything.
func (c *check) own(process int, all []arrival) {
	c.Helper()
	counts := map[string]int{}
	of := map[string][]uint64{} // the numbers of an invocation's own events
	for i, a := range all {
		p := c.at[numberOf(a.InstanceID(), a.Seq)]
		if p.emitted != nil {
			if p.requestID != "" {
				of[p.requestID] = append(of[p.requestID], a.Seq)
			}
			continue
		}
		counts[a.Type]++
		before := place{}
		if i > 0 {
			before = c.at[numberOf(a.InstanceID(), a.Seq-1)]
		}
		switch a.Type {
		case "kinetel.environment":
			if before.emitted == nil || before.kind != "platform.initStart" {
				c.Errorf("seq %d: kinetel.environment is not behind the init's start", a.Seq)
			}
		case "kinetel.invocation":
			// Both inits are paid for by the invocation after them: the first one on
			// demand, the other, after a reset, inside of it.
			c.invocation(a.Event, before, slices.Clone(of[requestOf(a.Event)]), counts[a.Type] == 1)
		case "kinetel.span":
			if i == 0 || all[i-1].Type != "kinetel.invocation" || !bytes.Equal(all[i-1].Body, a.Body) {
				c.Errorf("seq %d: kinetel.span is not what the kinetel.invocation before it is", a.Seq)
			}
		case "kinetel.init":
			if before.emitted == nil || before.kind != "platform.initRuntimeDone" {
				c.Errorf("seq %d: kinetel.init is not behind the end of the init", a.Seq)
			}
		case "kinetel.report":
			c.report(process, i == len(all)-1, a.Event)
		}
		if a.RequestID != requestOf(a.Event) {
			c.Errorf("seq %d: %s has the request %q", a.Seq, a.Type, a.RequestID)
		}
	}
	invocations, inits := 0, 0
	for _, e := range c.day.events[process] {
		switch e.kind {
		case "platform.report":
			invocations++
		case "platform.initRuntimeDone":
			inits++
		}
	}
	want := map[string]int{"kinetel.environment": 1, "kinetel.invocation": invocations, "kinetel.report": 1}
	if c.format == "otlp" {
		want["kinetel.span"], want["kinetel.init"] = invocations, inits
	}
	if diff := gocmp.Diff(want, counts); diff != "" {
		c.Errorf("Kinetel's own events (-want +got):\n%s", diff)
	}
}

// invocation checks a kinetel.invocation, before being what is before it, and
// numbers what was the invocation's own until there.
func (c *check) invocation(e record.Event, before place, numbers []uint64, cold bool) {
	c.Helper()
	var body struct {
		Status, ErrorType, Start  string
		ColdStart                 bool
		Events, FirstSeq, LastSeq uint64
	}
	var report struct {
		Status, ErrorType string
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		c.Fatal(err)
	}
	if before.emitted == nil || before.kind != "platform.report" || before.requestID != requestOf(e) {
		c.Fatalf("seq %d: kinetel.invocation is not behind its report", e.Seq)
	}
	if err := json.Unmarshal(before.body, &report); err != nil {
		c.Fatal(err)
	}
	for _, n := range numbers {
		if p := c.at[numberOf(e.InstanceID(), n)]; p.kind == "platform.start" && (p.time != body.Start || n < body.FirstSeq) {
			c.Errorf("seq %d: it starts at %s with %d, its start is %d at %s", e.Seq, body.Start, body.FirstSeq, n, p.time)
		}
	}
	numbers = slices.DeleteFunc(numbers, func(n uint64) bool { return n < body.FirstSeq || n > body.LastSeq })
	if len(numbers) == 0 || body.Status != report.Status || body.ErrorType != report.ErrorType || body.ColdStart != cold ||
		body.Events != uint64(len(numbers)) || body.FirstSeq != numbers[0] || body.LastSeq != e.Seq-1 {
		c.Errorf("seq %d: kinetel.invocation is %s; its events are %v and the report %s", e.Seq, e.Body, numbers, before.body)
	}
}

func (c *check) report(process int, last bool, e record.Event) {
	c.Helper()
	var body struct {
		Final    bool
		Received struct{ Events, Bytes int }
		Lost     map[string]int
		LeftOut  struct{ OwnLog int }
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		c.Fatal(err)
	}
	events, size := c.day.events[process], 0
	for _, e := range events {
		size += e.size
	}
	if process == 0 {
		size += c.day.ownLog
	}
	if !last || !body.Final || body.Received.Events != len(events)+body.LeftOut.OwnLog || body.Received.Bytes != size || len(body.Lost) > 0 {
		c.Errorf("last %t: %s; Lambda emitted %d events of %d bytes", last, e.Body, len(events), size)
	}
	if want := 1 - process; body.LeftOut.OwnLog != want { // it is in the first one's telemetry
		c.Errorf("%d lines of the own log were left out, want %d", body.LeftOut.OwnLog, want)
	}
}

// partitionKeys checks the keys of a process's records (docs/operations.md).
func (c *check) partitionKeys(environment string, records []kinesissim.Record, all []arrival) {
	c.Helper()
	requests := make([]map[string]bool, len(records))
	for _, a := range all {
		if requests[a.record] == nil {
			requests[a.record] = map[string]bool{}
		}
		requests[a.record][c.at[numberOf(environment, a.Seq)].request()] = true
	}
	seen := map[string]bool{}
	for i, rec := range records {
		ok := false
		switch c.key {
		case "environment":
			ok = numberOf(rec.PartitionKey, 0) == numberOf(environment, 0) && len(rec.PartitionKey) == 32
		case "function":
			ok = rec.PartitionKey == functionName
		case "random":
			ok = len(rec.PartitionKey) > 16 && !seen[rec.PartitionKey]
		case "request":
			of := slices.Collect(maps.Keys(requests[i]))
			ok = len(of) == 1 && (rec.PartitionKey == of[0] || of[0] == "" && numberOf(rec.PartitionKey, 0) == numberOf(environment, 0))
		}
		if !ok {
			c.Errorf("record %d of the requests %q has the key %q in the environment %s", i, slices.Collect(maps.Keys(requests[i])), rec.PartitionKey, environment)
		}
		seen[rec.PartitionKey] = true
	}
}

// clip shortens what is shown.
func clip(text []byte) string {
	if len(text) > 300 {
		return fmt.Sprintf("%q… (%d bytes)", text[:300], len(text))
	}
	return fmt.Sprintf("%q", text)
}
