package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/record"
)

// subscription checks what a consumer of a subscription filter sees.
func (c *check) subscription(text []byte) {
	c.Helper()
	rest := c.reading()
	type event struct {
		ID        string
		Timestamp int64

		ExtractedFields struct{ BodyBase64 []byte }

		seq         uint64
		environment string
	}
	var all []event
	const filter = `(del(.logEvents) | ., null), (.logEvents[] | del(.message), .message)`
	for head, message := range jq(c, text, filter) {
		if string(message) == "null" {
			var s struct {
				MessageType, Owner, LogGroup, LogStream string
				SubscriptionFilters                     []string
			}
			d := json.NewDecoder(bytes.NewReader(head))
			d.DisallowUnknownFields()
			if err := d.Decode(&s); err != nil || s.MessageType != "DATA_MESSAGE" || s.Owner != accountID || s.LogGroup != "/aws/lambda/"+functionName ||
				s.LogStream != logStream || !slices.Equal(s.SubscriptionFilters, []string{"kinetel"}) {
				c.Errorf("%v: the record is %s", err, head)
			}
			continue
		}
		var e event
		if err := json.Unmarshal(head, &e); err != nil {
			c.Fatalf("%v in %s", err, head)
		}
		var ms uint64
		if ms, e.seq, e.environment = readID(e.ID); ms != uint64(e.Timestamp) || len(e.ID) != 56 {
			c.Errorf("the id %s at %d", e.ID, e.Timestamp)
		}
		p, ok := rest.take(e.environment, e.seq)
		if !ok {
			continue
		}
		at, want := p.own.TimeText, system(p.own.TimeText, p.own.Type, p.own.Body)
		same := false
		if p.emitted != nil {
			at, want, same = p.time, string(p.messageByJQ), bytes.Equal(message, p.messageByJQ) && bytes.Equal(e.ExtractedFields.BodyBase64, p.original())
		} else {
			same = valueOf(c, message) == want
		}
		if iso(time.UnixMilli(e.Timestamp)) != at || !same {
			c.Errorf("seq %d: %s at %d, want %s at %s", e.seq, clip(message), e.Timestamp, clip([]byte(want)), at)
		}
		all = append(all, e)
	}
	rest.done()
	// Ids sort by time, and then as the events came.
	slices.SortFunc(all, func(a, b event) int { return strings.Compare(a.ID, b.ID) })
	for i := range all[1:] {
		a, b := all[i], all[i+1]
		if a.ID == b.ID || a.Timestamp > b.Timestamp || a.Timestamp == b.Timestamp && a.environment == b.environment && a.seq >= b.seq {
			c.Errorf("seq %d at %d has the id %s, and %d at %d has %s", a.seq, a.Timestamp, a.ID, b.seq, b.Timestamp, b.ID)
		}
	}
}

// readID takes a log event's id apart, as docs/format.md describes it: 42 bits of
// time, 48 of seq, 8, and 88 of the environment.
func readID(id string) (ms, seq uint64, environment string) {
	n, ok := new(big.Int).SetString(id, 10)
	if !ok {
		return 0, 0, ""
	}
	bits := func(from, n uint, of *big.Int) *big.Int {
		of = new(big.Int).Rsh(of, from)
		return of.And(of, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), n), big.NewInt(1)))
	}
	return bits(144, 42, n).Uint64(), bits(96, 48, n).Uint64(), fmt.Sprintf("%022x", bits(0, 88, n))
}

// messageOf is what CloudWatch Logs holds of an event: a line's text, or its JSON;
// of a platform event its own line, or JSON.
func (e *emitted) messageOf() string {
	switch {
	case e.kind == "function" || e.kind == "extension":
		if text, ok := e.value.(string); ok {
			return text
		}
		return oneMark(e.body)
	case e.message != "":
		return e.message
	}
	return system(e.time, e.kind, e.body)
}

func system(at, kind string, body []byte) string {
	return fmt.Sprintf(`{"time":"%s","type":"%s","record":%s}`, at, kind, body)
}

// oneMark has U+FFFD for each byte that is no UTF-8, and for the lone surrogates
// of the day.
func oneMark(text []byte) string {
	return strings.Replace(string([]rune(string(text))), lone, strings.NewReplacer(`\ud83d`, "\uFFFD", `\ude00`, "\uFFFD").Replace(lone), 1)
}

// sameInCloudWatch is same, of what that format has a place for.
func (c *check) sameInCloudWatch(want *emitted, got record.Event) string {
	resource := map[string]string{
		"cloud.provider": "aws", "cloud.account.id": accountID, "service.instance.id": got.InstanceID(),
		"aws.log.group.names": "/aws/lambda/" + functionName, "aws.log.stream.names": logStream,
	}
	request := ""
	if strings.HasPrefix(want.kind, "platform.") {
		request = want.requestID
	}
	switch {
	case got.TimeText != want.time || got.Type != want.kind:
		return fmt.Sprintf("%s of %s, want %s of %s", got.Type, got.TimeText, want.kind, want.time)
	case got.RequestID != request || got.TraceID != "" || got.Severity != "" || len(got.Extra) > 0:
		return fmt.Sprintf("request %q, trace %q, severity %q, extra %s", got.RequestID, got.TraceID, got.Severity, got.Extra)
	case fmt.Sprint(got.Resource) != fmt.Sprint(resource):
		return fmt.Sprintf("the resource %s", got.Resource)
	case want.message != "":
		if !within(want.value, valueOf(c, got.Body)) {
			return fmt.Sprintf("the body is %s, of %s", got.Body, want.body)
		}
		return ""
	case want.original() != nil:
		if !bytes.Equal(got.Body, want.body) {
			return fmt.Sprintf("the body is %s, want %s", clip(got.Body), clip(want.body))
		}
		return ""
	case want.body[0] == '"': // the same text, whatever its escapes
		return differ(want.value, valueOf(c, got.Body))
	case string(got.Body) != oneMark(want.body):
		return fmt.Sprintf("the body is %s, want %s", clip(got.Body), clip(want.body))
	}
	return ""
}

// within reports whether all that CloudWatch Logs' line has of an event is right: it
// has two digits behind the point, and of a trace no parent.
func within(want, got any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		for name, value := range got {
			ok = ok && within(want[name], value)
		}
		return ok && len(got) > 0
	case json.Number:
		number, ok := got.(json.Number)
		a, _ := want.Float64()
		b, err := number.Float64()
		return ok && err == nil && strconv.FormatFloat(a, 'f', 2, 64) == strconv.FormatFloat(b, 'f', 2, 64)
	case string:
		text, ok := got.(string)
		for field := range strings.SplitSeq(text, ";") {
			ok = ok && slices.Contains(strings.Split(want, ";"), field)
		}
		return ok
	default:
		return differ(want, got) == ""
	}
}
