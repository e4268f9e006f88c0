package formats

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kinetel/kinetel/kinesissim"
)

// others has software read the row that is not ours.
func (c *check) others(records []kinesissim.Record) {
	c.Helper()
	var all bytes.Buffer // gzip members, zstd frames and lines can stand behind each other
	for _, rec := range records {
		all.Write(rec.Data)
	}
	switch c.format {
	case "kpl":
		c.aggregates(records)
	case "otlp":
		c.openTelemetry(c.decompressed(all.Bytes()))
	case "cloudwatch":
		c.subscription(c.decompressed(all.Bytes()))
	default:
		c.lines(c.decompressed(all.Bytes()))
	}
	if c.format != "kpl" {
		c.strict(c.decompressed(all.Bytes()))
	}
}

// strict has Node read the row, and refuse what is not UTF-8.
func (c *check) strict(text []byte) {
	c.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		c.Logf("not read by Node: %v", err)
		return
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(run(c, text, "node", "strict.js")))); err != nil || n == 0 {
		c.Errorf("Node reads %d values, %v", n, err)
	}
}

func (c *check) decompressed(data []byte) []byte {
	c.Helper()
	switch c.compression {
	case "gzip":
		return run(c, data, "zcat")
	case "zstd":
		return run(c, data, "zstd", "-dc")
	}
	return data
}

// jq is what jq makes of JSON texts: for each, by a filter, two lines.
func jq(t testing.TB, texts []byte, filter string) (each func(yield func(first, second []byte) bool)) {
	t.Helper()
	out := run(t, texts, "jq", "-c", filter)
	return func(yield func(first, second []byte) bool) {
		for len(out) > 0 {
			first, rest, _ := bytes.Cut(out, []byte{'\n'})
			second, rest, ok := bytes.Cut(rest, []byte{'\n'})
			if out = rest; !ok {
				t.Errorf("jq's lines are no pairs")
			}
			if !yield(first, second) {
				return
			}
		}
	}
}

// run returns what a program makes of its input.
func run(t testing.TB, input []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &complaint
	if err := cmd.Run(); err != nil || complaint.Len() > 0 {
		t.Fatalf("%s: %v\n%s", program, err, complaint.Bytes())
	}
	return out.Bytes()
}

// line is a line of kinetel/1, read by its documentation.
type line struct {
	Schema, Time, Type, Severity, RequestID, TraceID string

	Seq         uint64
	Part, Parts int
	BodyBase64  []byte
	Extra       map[string]json.RawMessage
	Resource    map[string]string
}

// lines has jq read lines. Of a body it makes what it makes of Lambda's own
// record, with U+FFFD in the place of what is not UTF-8; so it has the same text
// for numbers, whose digits it changes.
func (c *check) lines(text []byte) {
	c.Helper()
	rest := c.reading()
	for head, body := range jq(c, text, "del(.body), .body") {
		rest.line(head, func(p place) []byte {
			if p.emitted != nil && p.parts == 0 && bytes.Equal(body, p.byJQ) {
				return p.body
			}
			return body
		})
	}
	rest.done()
}

// line checks a line, whose head was read by other software, and of which
// bodyOf has the body, or, where it is not Lambda's, describes what was read instead.
func (r *reading) line(head []byte, bodyOf func(place) []byte) {
	r.Helper()
	var l line
	if err := json.Unmarshal(head, &l); err != nil {
		r.Fatalf("%v in %s", err, clip(head))
	}
	p, ok := r.take(l.Resource["service.instance.id"], l.Seq)
	if !ok {
		return
	}
	body, want := bodyOf(p), p.emitted
	if want == nil {
		if l.Type != p.own.Type || l.Time != p.own.TimeText || differ(valueOf(r, p.own.Body), valueOf(r, body)) != "" {
			r.Errorf("seq %d: %s %s, want %s %s", l.Seq, head, clip(body), p.own.Type, p.own.Body)
		}
		return
	}
	if l.Type != want.kind || l.Time != want.time || l.Part != p.part || l.Parts != p.parts ||
		l.Schema != "kinetel/1" || l.Resource["env"] != "prod" || l.Resource["faas.name"] != functionName || l.Resource["cloud.account.id"] != accountID {
		r.Errorf("seq %d: %s, want %s at %s", l.Seq, head, want.kind, want.time)
	}
	if diff := r.found(want, l.RequestID, l.TraceID, l.Severity); diff != "" {
		r.Errorf("seq %d: %s", l.Seq, diff)
	}
	if diff := differ(valueOf(r, object(want.extra)), valueOf(r, object(l.Extra))); diff != "" {
		r.Errorf("seq %d: extra: %s", l.Seq, diff)
	}
	if p.parts == 0 && !bytes.Equal(l.BodyBase64, want.original()) {
		r.Errorf("seq %d: the original of %s is %q", l.Seq, clip(want.body), l.BodyBase64)
	}
	if p.parts > 0 {
		var piece string
		if err := json.Unmarshal(body, &piece); err != nil {
			r.Fatalf("seq %d: %v in %s", l.Seq, err, clip(body))
		}
		if body = r.join(p, piece); body == nil {
			return
		}
	}
	if !bytes.Equal(body, want.body) && string(body) != oneMark(want.body) {
		r.Errorf("seq %d: the body is %s, want %s", l.Seq, clip(body), clip(want.body))
	}
}

// original is what bodyBase64 must have: the body, where that is not UTF-8.
func (e *emitted) original() []byte {
	if utf8.Valid(e.body) && !bytes.Contains(e.body, []byte(lone)) {
		return nil
	}
	return e.body
}

// object is the text of an object with the given members.
func object(members map[string]json.RawMessage) []byte {
	text := []byte{'{'}
	for name, value := range members {
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(append(append(text, quote(name)...), ':'), value...)
	}
	return append(text, '}')
}

// reading records the events that other software has read.
type reading struct {
	*check
	seen   map[number]bool
	pieces map[*emitted]map[int]string
}

func (c *check) reading() *reading {
	return &reading{c, map[number]bool{}, map[*emitted]map[int]string{}}
}

// take returns what an event is that was read. It is not ok where there is no such
// event, or where it has come before, and then the test has failed.
func (r *reading) take(environment string, seq uint64) (place, bool) {
	r.Helper()
	n := numberOf(environment, seq)
	p, ok := r.at[n]
	if !ok || r.seen[n] {
		r.Errorf("seq %d of %s: known %t, read before %t", seq, environment, ok, r.seen[n])
		return p, false
	}
	r.seen[n] = true
	return p, true
}

// join keeps a piece of an event, and returns the whole of it with the last one.
func (r *reading) join(p place, piece string) []byte {
	if r.pieces[p.emitted] == nil {
		r.pieces[p.emitted] = map[int]string{}
	}
	r.pieces[p.emitted][p.part] = piece
	if len(r.pieces[p.emitted]) < p.parts {
		return nil
	}
	var whole strings.Builder
	for i := range p.parts {
		whole.WriteString(r.pieces[p.emitted][i+1])
	}
	return []byte(whole.String())
}

// done fails the test unless everything was read.
func (r *reading) done() {
	r.Helper()
	if len(r.seen) != len(r.at) {
		r.Errorf("%d events were read, want %d", len(r.seen), len(r.at))
	}
}

// aggregates has aws-kinesis-agg read the records.
func (c *check) aggregates(records []kinesissim.Record) {
	c.Helper()
	library := os.Getenv("KINETEL_KINESIS_AGG")
	if library == "" {
		c.Log("not read by aws-kinesis-agg: KINETEL_KINESIS_AGG is not set; `make integration` sets it")
		return
	}
	library, err := filepath.Abs(library)
	if err != nil {
		c.Fatal(err)
	}
	type userRecord struct {
		PartitionKey string `json:"partitionKey"`
		Data         string `json:"data"`
	}
	var input bytes.Buffer
	for _, rec := range records {
		if err := json.NewEncoder(&input).Encode(userRecord{rec.PartitionKey, base64.StdEncoding.EncodeToString(rec.Data)}); err != nil {
			c.Fatal(err)
		}
	}
	rest := c.reading()
	i := 0
	for text := range bytes.Lines(run(c, input.Bytes(), "node", "deaggregate.js", library)) {
		var users []userRecord
		if err := json.Unmarshal(text, &users); err != nil {
			c.Fatalf("%v in %s", err, clip(text))
		}
		if len(users) == 0 || len(users) > 500 {
			c.Errorf("record %d has %d user records", i, len(users))
		}
		for _, user := range users {
			// The KCL drops an aggregate of which one has a key of another shard.
			if user.PartitionKey != records[i].PartitionKey {
				c.Errorf("record %d of the key %q has a user record of the key %q", i, records[i].PartitionKey, user.PartitionKey)
			}
			data, err := base64.StdEncoding.DecodeString(user.Data)
			if err != nil || bytes.IndexByte(data, '\n') >= 0 {
				c.Errorf("record %d: %v in %s", i, err, clip(data))
			}
			var l struct{ Body json.RawMessage }
			if err := json.Unmarshal(data, &l); err != nil {
				c.Fatalf("%v in %s", err, clip(data))
			}
			rest.line(data, func(place) []byte { return l.Body })
		}
		i++
	}
	if i != len(records) {
		c.Errorf("%d records were read, want %d", i, len(records))
	}
	rest.done()
}
