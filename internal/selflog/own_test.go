package selflog_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/selflog"
)

const ours = `{"time":"2026-11-24T10:00:00Z","level":"WARN","msg":"no room","logger":"kinetel","n":{"a":[1,"}"]}}`

// quoted gives a text as a JSON string.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// forms are the records in which a line may come back.
func forms(t interface{ Fatalf(string, ...any) }, line string) map[string]string {
	line = strings.TrimSuffix(line, "\n")
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, []byte(line), " ", "\t"); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	var plain strings.Builder // escapes nothing that need not be
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line + "\n"); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	var sorted map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &sorted); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	resorted, err := json.Marshal(sorted)
	if err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	wrapped := `{"timestamp":"2026-11-24T10:00:00.000Z","level":"INFO","message":` + quoted(line) + `}`
	return map[string]string{
		"object":                   line,
		"object with new line":     line + "\n",
		"object, spaced":           spaced.String(),
		"object, in another order": string(resorted),
		"string":                   quoted(line),
		"string with new line":     quoted(line + "\n"),
		"string with CR LF":        quoted(line + "\r\n"),
		"string, few escapes":      plain.String(),
		"string with empty lines":  quoted("\n \n" + line + "\n\n"),
		"string of two lines":      quoted(line + "\n" + line + "\n"),
		"wrapped":                  wrapped,
		"wrapped, in a string":     quoted(wrapped),
		"wrapped with request id":  `{"timestamp":"t","message":` + quoted(line+"\n") + `,"level":"INFO","requestId":"r"}`,
	}
}

func TestOwnRecognizesTheExtensionsLines(t *testing.T) {
	for name, record := range forms(t, ours) {
		if !selflog.Own([]byte(record)) {
			t.Errorf("%s: %s is not recognized", name, record)
		}
	}
	for name, record := range map[string]string{
		"spaces about":    ` { "level" : "WARN" , "logger" : "kinetel" } `,
		"a second logger": `{"logger":"kinetel","logger":"other"}`,
		"EMF":             `{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"Kinetel"}]},"logger":"kinetel","FunctionName":"f"}`,
		"the only member": `{"logger":"kinetel"}`,
		"cut short":       `"{\"time\":\"t\",\"level\":\"WARN\",\"msg\":\"m\",\"logger\":\"kinetel\",\"error\":\"some lo"`,
	} {
		if !selflog.Own([]byte(record)) {
			t.Errorf("%s: %s is not recognized", name, record)
		}
	}
}

func TestOwnRefusesLinesOfOtherExtensions(t *testing.T) {
	for name, record := range map[string]string{
		"nothing":                               ``,
		"white space":                           ` `,
		"null":                                  `null`,
		"a text":                                `"[other] kinetel is here"`,
		"the word alone":                        `"kinetel"`,
		"the member in a text":                  quoted(`other: "logger":"kinetel"`),
		"the line in a text":                    quoted(`other got ` + ours),
		"the line and more":                     quoted(ours + ` and more`),
		"one of two lines is another":           quoted(ours + "\nother\n"),
		"the other of two lines":                quoted("other\n" + ours + "\n"),
		"two on a line":                         quoted(ours + ours),
		"an array that ends it":                 `"{\"logger\":\"kinetel\"]"`,
		"an array":                              `[` + ours + `]`,
		"another logger":                        `{"logger":"other","msg":"kinetel"}`,
		"another logger, longer":                `{"logger":"kinetel2"}`,
		"another logger, shorter":               `{"logger":"kinete","l":"kinetel"}`,
		"no text as logger":                     `{"logger":["kinetel"]}`,
		"an object as logger":                   `{"logger":{"logger":"kinetel"}}`,
		"another case":                          `{"Logger":"kinetel"}`,
		"as a value":                            `{"msg":"logger","to":"kinetel"}`,
		"as a name":                             `{"kinetel":"logger"}`,
		"in the message":                        `{"msg":"\"logger\":\"kinetel\""}`,
		"the line in msg":                       `{"time":"t","msg":` + quoted(ours) + `}`,
		"the line in a message of an own shape": `{"timestamp":"t","level":"INFO","message":` + quoted(ours) + `,"service":"other"}`,
		"the line in a message, cut":            `{"timestamp":"t","message":` + quoted(ours) + `,"service":"oth`,
		"the line in a message alone":           `{"message":` + quoted(ours) + `}`,
		"wrapped twice":                         `{"timestamp":"t","message":` + quoted(`{"timestamp":"t","message":`+quoted(ours)+`}`) + `}`,
		"further inside":                        `{"a":{"logger":"kinetel"},"b":[{"logger":"kinetel"}]}`,
		"after a brace in a text":               `{"a":"{\"logger\":\"kinetel\"","b":1}`,
		"a message that is no text":             `{"timestamp":"t","message":` + ours + `}`,
		"a second logger":                       `{"logger":"other","logger":"kinetel"}`,
		"another sign":                          `{"logger"="kinetel"}`,
		"empty lines and a text":                quoted("\n\nkinetel\n\n"),
		"no colon":                              `{"logger" "kinetel"}`,
		"no object":                             `"logger":"kinetel"`,
		"a line twice quoted":                   quoted(quoted(ours)),
		"a name that does not end":              `{"logger":"kinetel`,
	} {
		if selflog.Own([]byte(record)) {
			t.Errorf("%s: %s is mistaken for ours", name, record)
		}
	}
}

// It runs for every line of every extension.
func TestOwnDoesNotAllocateForOtherLines(t *testing.T) {
	record := []byte(quoted(strings.Repeat(`{"level":"info","msg":"all is well"}`, 20)))
	if n := testing.AllocsPerRun(100, func() { selflog.Own(record) }); n != 0 {
		t.Errorf("%v allocations a line, want none", n)
	}
	object := []byte(`{"level":"info","function":"kinetel-test","n":{"a":1}}`)
	if n := testing.AllocsPerRun(100, func() { selflog.Own(object) }); n != 0 {
		t.Errorf("%v allocations for an object with the word in it, want none", n)
	}
}

// draw writes a line of any shape by the logger, and returns it.
func draw(rt *rapid.T) string {
	var b bytes.Buffer
	var log logging.Logger = selflog.New(&b, logging.LevelDebug)
	key := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"class", "problem", "message", "timestamp", `"logger`})).
		Filter(func(s string) bool { return s != "logger" }) // that name is reserved
	value := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) any { return string(b) }),
		rapid.SampledFrom([]any{1, -1.5, nil, true, []string{`"`, `\`}, map[string]string{"logger": "other"}}),
	)
	for range rapid.IntRange(0, 3).Draw(rt, "derivations") {
		log = logging.With(log, key.Draw(rt, "key"), value.Draw(rt, "value"))
	}
	var attrs []any
	for range rapid.IntRange(0, 3).Draw(rt, "attributes") {
		attrs = append(attrs, key.Draw(rt, "key"), value.Draw(rt, "value"))
	}
	write := []func(string, ...any){log.Debug, log.Info, log.Warn, log.Error}[rapid.IntRange(0, 3).Draw(rt, "level")]
	write(rapid.String().Draw(rt, "message"), attrs...)
	return b.String()
}

func TestEveryLineOfTheLogIsOwn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		line := draw(rt)
		for name, record := range forms(rt, line) {
			if !selflog.Own([]byte(record)) {
				rt.Errorf("%s: %s is not recognized", name, record)
			}
		}
		// Inside another extension's line it is not an own line.
		theirs := `{"time":"t","logger":"other","msg":` + quoted(line) + `,"line":` + line + `}`
		for _, record := range []string{theirs, quoted(theirs), quoted("other: " + line)} {
			if selflog.Own([]byte(record)) {
				rt.Errorf("%s is mistaken for ours", record)
			}
		}
	})
}

// FuzzOwn holds Own against what the JSON library reads. The fuzzer gives any
// bytes; where they are JSON the two have to agree.
func FuzzOwn(f *testing.F) {
	for _, record := range forms(f, ours) {
		f.Add([]byte(record))
	}
	f.Add([]byte(`{"logger":"kinetel`))
	f.Add([]byte(`"{\"logger\":\"kinetel\"`))
	f.Add([]byte(`{"a":[{}],"logger" : "kinetel"}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		before := bytes.Clone(record)
		own := selflog.Own(record)
		if !bytes.Equal(before, record) {
			t.Fatal("the record was changed")
		}
		if own && !bytes.Contains(record, []byte("kinetel")) {
			t.Fatal("own without the name")
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(record, &object) != nil || !distinct(record) {
			return
		}
		// The library knows "l" by other spellings, which the log does
		// not write; they may go either way.
		if bytes.Contains(record, []byte(`\u`)) {
			return
		}
		var message string
		if _, wrapped := object["timestamp"]; wrapped && json.Unmarshal(object["message"], &message) == nil {
			return // the forms have these
		}
		if want := string(object["logger"]) == `"kinetel"`; own != want {
			t.Errorf("%q: own is %v, want %v", record, own, want)
		}
		// The same as a string, but for what strings do to bytes.
		if text := quoted(string(before)); json.Valid(record) && !bytes.ContainsAny(record, "\n\r") && bytes.Equal(bytes.ToValidUTF8(before, nil), before) {
			if got := selflog.Own([]byte(text)); got != own {
				t.Errorf("%q as a string: own is %v, want %v", record, got, own)
			}
		}
	})
}

// distinct reports whether an object's member names stand once each.
func distinct(object []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(object))
	seen := map[string]bool{}
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return false
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return false
		}
		if seen[name.(string)] {
			return false
		}
		seen[name.(string)] = true
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return false
		}
	}
	return true
}

func BenchmarkOwn(b *testing.B) {
	for name, record := range map[string]string{
		"other":           quoted(strings.Repeat("x", 270)),
		"ours, an object": ours,
		"ours, a string":  quoted(ours),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				selflog.Own([]byte(record))
			}
		})
	}
}
