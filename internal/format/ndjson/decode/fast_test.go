package decode

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/format/decoding"
)

var lines = []string{
	`{"schema":"kinetel/1","seq":7,"time":"2026-11-27T20:15:00.123Z","type":"function","severity":"INFO","requestId":"r-1","traceId":"1-5","body":{"a":[1,-2.5e3,null,true,"é\n"]},"extra":{"x":1},"resource":{"faas.name":"orders"}}`,
	`{"schema":"kinetel/1","seq":8,"time":"2026-11-27T20:15:00.123Z","type":"function","part":1,"parts":2,"body":"\"text","resource":{"faas.name":"orders"}}` + "\n",
}

// compare fails if fast reads a text in another way than encoding/json.
func compare(t *testing.T, d *Decoder, text string) (ok bool) {
	t.Helper()
	var want line
	err := json.Unmarshal([]byte(text), &want)
	if !d.fast(&d.line, []byte(text)) {
		return false
	}
	if diff := cmp.Diff(want, d.line); err != nil || diff != "" {
		t.Fatalf("%q: %v (-encoding/json +fast):\n%s", text, err, diff)
	}
	d.resourceText = d.line.Resource
	return true
}

func TestALineOfKinetelIsReadFast(t *testing.T) {
	var d Decoder
	for range 2 { // the second time with the strings of the lines before
		for _, l := range lines {
			if !compare(t, &d, l) {
				t.Errorf("not read: %s", l)
			}
		}
	}
}

func TestFastReadsNothingElseThanEncodingJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "{}[]\",:\\ \n\x00\x1b\x80\xffé019-+.eEuntrfalsbodySEQ"
	read, texts := 0, 200_000
	if testing.Short() {
		texts = 20_000
	}
	for range texts {
		text := []byte(lines[random.IntN(len(lines))])
		for range 1 + random.IntN(3) {
			at := random.IntN(len(text))
			switch c := alphabet[random.IntN(len(alphabet))]; random.IntN(3) {
			case 0:
				text[at] = c
			case 1:
				text = append(text[:at], text[at+1:]...)
			case 2:
				text = append(text[:at], append([]byte{c}, text[at:]...)...)
			}
		}
		if compare(t, &Decoder{}, string(text)) {
			read++
		}
	}
	if read < texts/20 {
		t.Errorf("only %d were read: the test proves nothing", read)
	}
}

func TestFastMarshalWritesWhatEncodingJSONWrites(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	fast := 0
	for range 100_000 {
		e := decoding.Event{
			Schema: pick("kinetel/1", "", "kinetel/1"), Seq: random.Uint64N(3), TimeText: pick("2026-11-27T20:15:00.123Z", "2026-11-27T20:15:00.123Z", ""), Type: pick("function", "f", "\"", "é"),
			Severity: pick("", "INFO"), RequestID: pick("", "r", "\x01", "<&>"), TraceID: pick("", "t", "\\"), Part: random.IntN(8) / 7,
			Body:     json.RawMessage(pick(`"text\u2028\n"`, `"<b>"`, `{ "a": [1, 2.50, " x "], "b":null}`, "\"\u2028\"", "\"\xff\"", `"\ud800"`, "", "nul", "1")),
			Resource: map[string]string{"b": pick("x", "", "\t"), "a": "é\u2028"[:random.IntN(2)*2]},
		}
		if random.IntN(5) == 0 {
			e.Resource = nil
		}
		if random.IntN(5) == 0 {
			e.Extra = map[string]json.RawMessage{"x": json.RawMessage("1")}
		}
		got, ok := fastMarshal(&e)
		if !ok {
			continue
		}
		fast++
		if want, err := slowMarshal(e); err != nil || string(want) != string(got) {
			t.Fatalf("%+v\n%s, want\n%s, %v", e, got, want, err)
		}
	}
	if fast < 500 {
		t.Errorf("only %d were written: the test proves nothing", fast)
	}
}

func FuzzFast(f *testing.F) {
	for _, l := range lines {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, text string) { compare(t, &Decoder{}, text) })
}
