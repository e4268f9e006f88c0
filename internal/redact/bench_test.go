package redact_test

import (
	"regexp"
	"testing"

	"github.com/kinetel/kinetel/internal/redact"
)

// Lines of about 270 bytes without anything to redact, as functions log them.
var lines = []struct{ name, value string }{
	{"text", `"2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\torder 7919 accepted for customer 19919: 3 items, total 217.05 EUR, reserved in warehouse 13 until midnight, payment pending, the next step is charge and after it the confirmation by mail to the customer"`},
	{"JSON", `{"timestamp":"2026-11-22T20:15:00.123Z","level":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","logger":"orders","message":"order accepted","order":{"id":7919,"customer":"c-19919","items":3,"total":217.05,"currency":"EUR","warehouse":13},"durationMs":12.5,"cold":false}`},
	{"JSON in text", `"{\"level\":\"info\",\"time\":1763842500123,\"requestId\":\"8476a536-e9f4-11e8-9739-2dfe598c3fcd\",\"msg\":\"order accepted\",\"order\":{\"id\":7919,\"customer\":\"c-19919\",\"items\":3,\"total\":217.05},\"durationMs\":12.5}\n"`},
}

func BenchmarkRecord(b *testing.B) {
	keys := []string{"password", "authorization", "x-api-key"}
	own := regexp.MustCompile(`\bACME-[0-9]{6}\b`)
	var options []redact.Options
	var names []string
	for _, name := range redact.Names() {
		options, names = append(options, redact.Options{Names: []string{name}}), append(names, name)
	}
	options = append(options, redact.Options{Names: redact.Names()}, redact.Options{Keys: keys},
		redact.Options{Pattern: own}, redact.Options{Names: redact.Names(), Keys: keys, Pattern: own})
	names = append(names, "all built-in", "keys", "pattern", "everything")
	for i, o := range options {
		r := redact.New(o)
		for _, line := range lines {
			value := []byte(line.value)
			b.Run(names[i]+"/"+line.name, func(b *testing.B) {
				b.SetBytes(int64(len(value)))
				b.ReportAllocs()
				for b.Loop() {
					if got := r.Record(value); len(got) != len(value) {
						b.Fatalf("%s", got)
					}
				}
			})
		}
	}
}
