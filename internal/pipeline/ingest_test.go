package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/selflog"
)

// report returns the record of a request's platform.report.
func report(request string) string {
	return fmt.Sprintf(`{"requestId":%q,"status":"success","metrics":{"durationMs":140.90,"billedDurationMs":141,"memorySizeMB":256,"maxMemoryUsedMB":88}}`, request)
}

func TestAnInvocationIsEmittedRightAfterItsReport(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		p.ingest(event.TypePlatformStart, `{"requestId":"r1"}`)
		p.Released("r1", 37*time.Millisecond, flush.Rare)
		reported := &event.Event{
			Time: []byte("2026-09-21T10:00:00.640Z"), Received: time.Now(), Type: []byte(event.TypePlatformReport), Record: []byte(report("r1")),
		}
		p.intake.Ingest(reported)
		p.ingest("function", `"next"`)
		p.ingest(event.TypePlatformReport, report("r0"))                    // of an earlier process
		p.ingest(event.TypePlatformReport, `{"status":"success"}`)          // of no request
		p.ingest(event.TypePlatformReport, `"a text"`)                      // of an unknown shape
		p.ingest(event.TypePlatformRuntimeDone, report("r1"))               // of another type
		p.ingest("function", `{"type":"platform.report","requestId":"r1"}`) // from the function
		p.Seal()
		time.Sleep(time.Second)
		const figures = `"status":"success","metrics":{"durationMs":140.90,"billedDurationMs":141,"memorySizeMB":256,"maxMemoryUsedMB":88},"coldStart":false`
		want := []string{
			`1 kinetel.environment `,
			`2 platform.start {"requestId":"r1"}`,
			`3 platform.report ` + report("r1"),
			`4 kinetel.invocation {"requestId":"r1",` + figures + `,"events":2,"bytes":150,"firstSeq":2,"lastSeq":3,"heldMs":37,"hold":"rare"}`,
			`5 function "next"`,
			`6 platform.report ` + report("r0"),
			`7 kinetel.invocation {"requestId":"r0",` + figures + `}`,
			`8 platform.report {"status":"success"}`,
			`9 platform.report "a text"`,
			`10 platform.runtimeDone ` + report("r1"),
			`11 function {"type":"platform.report","requestId":"r1"}`,
		}
		sent := box.stream.sent(p.id())
		if diff := cmp.Diff(want, lines(sent)); diff != "" {
			t.Errorf("arrived (-want +got):\n%s", diff)
		}
		if len(sent) > 3 && (sent[3].TimeText != "2026-09-21T10:00:00.640Z" || sent[3].RequestID != "r1") {
			t.Errorf("the invocation is of %s at %s, want those of its report", sent[3].RequestID, sent[3].TimeText)
		}
		p.ingest("function", `"more"`)
		box.finish(time.Second)
		reports := box.stream.reports(t)
		if last := reports[len(reports)-1]; last.Own != 3 || last.Received.Events != 9 || last.Held.Invocations != 1 || last.Held.Held != 1 || last.Held.Ms.Max != 37 {
			t.Errorf("the report: %+v", last)
		}
		box.begin()
	})
}

func TestNoInvocationIsEmittedIfReportsAreOff(t *testing.T) {
	for _, report := range []config.Report{{}, {EMF: true}} {
		inSandbox(t, func(t *testing.T, box *sandbox) {
			box.process.Released("r1", time.Millisecond, flush.End)
			box.process.ingest(event.TypePlatformReport, `{"requestId":"r1"}`)
			box.process.Seal()
			time.Sleep(time.Second)
			if got := lines(box.stream.sent(box.process.id())); len(got) != 1 {
				t.Errorf("with %+v: %q", report, got)
			}
		}, func(cfg *config.Config) { cfg.Report = report })
	}
}

// ownLines are lines that the extension writes.
func ownLines(t *testing.T) (written []string) {
	t.Helper()
	var text bytes.Buffer
	log := selflog.New(&text, logging.LevelDebug)
	log.Error("a problem", "error", `a "quoted" one`)
	logging.With(log, "stream", "telemetry").Warn("another")
	log.Debug("nothing of note")
	log.Close()
	for line := range strings.Lines(text.String()) {
		written = append(written, strings.TrimSpace(line))
	}
	if len(written) != 3 {
		t.Fatalf("lines %q", written)
	}
	return written
}

// What the extension writes comes back to it if KINETEL_TYPES has extension. To ship it
// would cause more of it.
func TestTheOwnLogIsLeftOutAndCounted(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		own := 0
		for _, line := range ownLines(t) {
			p.ingest(event.TypeExtension, line)                                         // as Lambda sends it if the log format is JSON
			p.ingest(event.TypeExtension, string(jsontext.AppendQuote(nil, line+"\n"))) // and otherwise
			own += 2
		}
		others := []string{
			`"[other-extension] kinetel is not my name\n"`,
			`{"logger":"other","message":"{\"logger\":\"kinetel\"}"}`,
			`"{\"level\":\"ERROR\",\"msg\":\"kinetel\"}\n"`,
			`{"nested":{"logger":"kinetel"}}`,
			`null`,
			`17`,
		}
		var want []string
		for i, record := range others {
			p.ingest(event.TypeExtension, record)
			want = append(want, fmt.Sprintf("%d extension %s", i+1, record))
		}
		// The function may log the same text.
		line := ownLines(t)[0]
		p.ingest("function", line)
		p.ingest("platform.extension", line)
		want = append(want, "7 function "+line, "8 platform.extension "+line)
		p.Seal()
		time.Sleep(time.Second)
		if diff := cmp.Diff(want, lines(box.stream.sent(p.id()))); diff != "" {
			t.Errorf("arrived (-want +got):\n%s", diff)
		}
		box.finish(time.Second)
		reports := box.stream.reports(t)
		last := reports[len(reports)-1]
		if last.LeftOut.OwnLog != int64(own) || last.Received.Events != int64(8+own) {
			t.Errorf("of %d lines of its own, the report has %+v", own, last)
		}
		box.begin()
	})
}

// If there is only the extension's own log, it causes no report and no request.
func TestTheOwnLogAloneCausesNoRequest(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		line := ownLines(t)[0]
		for range 100 {
			box.process.ingest(event.TypeExtension, line)
			box.process.Seal()
			time.Sleep(time.Minute)
		}
		if n := box.process.shipper.Stats().Requests; n != 0 || box.process.queue.Waiting().Records != 0 {
			t.Errorf("%d requests were made for the own log", n)
		}
	})
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { panic("stdout") }

// A fault in the figures must not keep telemetry from being sent.
func TestAFaultInTheFiguresLosesNoTelemetry(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		p.stdout = brokenWriter{}
		guarded := func(f func()) { guard.Run(slog.New(p.log), "test", f) } // as the loop does
		for i := range 5 {
			p.ingest("function", fmt.Sprintf(`"%d"`, i))
			time.Sleep(2 * time.Minute) // the figures are due
			guarded(p.Seal)
			time.Sleep(time.Second)
			if n := len(box.stream.sent(p.id())); n != i+1 {
				t.Errorf("%d events of %d have arrived", n, i+1)
			}
		}
		p.ingest("function", `"the last one"`)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		guarded(func() { p.Finish(ctx) })
		if n := len(box.stream.sent(p.id())); n != 6 {
			t.Errorf("%d events have arrived in the end, want 6", n)
		}
		box.collect(p)
		box.begin()
	}, func(cfg *config.Config) { cfg.Report.EMF = true })
}
