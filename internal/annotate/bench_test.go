package annotate_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
)

// benchmarkLines annotates lines of some 270 B, in the last of 50 invocations.
func benchmarkLines(b *testing.B, kind config.Initialization, record string) {
	a := annotate.New(kind)
	for i := range 50 {
		at := time.Date(2026, 11, 22, 20, 15, 0, i*10e6, time.UTC)
		id := "8476a536-e9f4-11e8-9739-2dfe598c30" + strconv.Itoa(10+i)
		for _, kind := range []string{event.TypePlatformStart, event.TypePlatformRuntimeDone} {
			a.Learn(&event.Event{Time: at.AppendFormat(nil, event.TimeFormat), Type: []byte(kind), Record: []byte(`{"requestId":"` + id + `","tracing":{"value":"Root=1-68d0aaaa-0123456789abcdef01234567"}}`)})
			at = at.Add(5 * time.Millisecond)
		}
	}
	line := event.Event{Time: []byte("2026-11-22T20:15:00.493Z"), Type: []byte("function"), Record: []byte(record)}
	b.ReportAllocs()
	b.SetBytes(int64(len(record)))
	for b.Loop() {
		ev := line
		a.Annotate(&ev)
		if ev.RequestID == "" {
			b.Fatal("the line belongs to none")
		}
	}
}

const benchmarkMessage = "order 7919 accepted for customer 19919: 3 items, total 31.07 EUR, reserved in warehouse 7 until midnight, payment pending, shipment by the usual carrier"

func BenchmarkNodeText(b *testing.B) {
	benchmarkLines(b, config.OnDemand, `"2026-11-22T20:15:00.493Z\t8476a536-e9f4-11e8-9739-2dfe598c3059\tINFO\t`+benchmarkMessage+`\n"`)
}

func BenchmarkPlainText(b *testing.B) {
	benchmarkLines(b, config.OnDemand, `"`+benchmarkMessage+`. `+benchmarkMessage[:80]+`\n"`)
}

func BenchmarkLogfmt(b *testing.B) {
	benchmarkLines(b, config.OnDemand, `"time=2026-11-22T20:15:00.493Z level=INFO msg=\"`+benchmarkMessage+`\" order=7919 a=b\n"`)
}

const benchmarkObject = `{"timestamp":"2026-11-22T20:15:00.493Z","level":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3059","message":"` + benchmarkMessage + `"}`

func BenchmarkJSONObject(b *testing.B) { benchmarkLines(b, config.OnDemand, benchmarkObject) }

func BenchmarkJSONText(b *testing.B) {
	benchmarkLines(b, config.OnDemand, `"`+strings.ReplaceAll(benchmarkObject, `"`, `\"`)+`\n"`)
}

func BenchmarkManagedJSONObject(b *testing.B) {
	benchmarkLines(b, config.ManagedInstances, benchmarkObject)
}

// BenchmarkJSONOfOtherRequests has a request of the web, which is not announced.
func BenchmarkJSONOfOtherRequests(b *testing.B) {
	benchmarkLines(b, config.OnDemand, strings.Replace(benchmarkObject, "8476a536", "00000000", 1))
}

func BenchmarkInvocation(b *testing.B) {
	a := annotate.New(config.OnDemand)
	at := time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := "8476a536-e9f4-11e8-9739-2dfe" + strconv.Itoa(10000000+i%10000000)
		a.Invoked(id, "Root=1-68d0aaaa-0123456789abcdef01234567", at)
		for _, kind := range []string{event.TypePlatformStart, event.TypePlatformRuntimeDone, event.TypePlatformReport} {
			ev := event.Event{Time: at.AppendFormat(nil, event.TimeFormat), Type: []byte(kind), Record: []byte(`{"requestId":"` + id + `","tracing":{"value":"Root=1-68d0aaaa-0123456789abcdef01234567"}}`)}
			a.Learn(&ev)
			a.Annotate(&ev)
			at = at.Add(5 * time.Millisecond)
		}
	}
}
