package e2e

import (
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

// invocations returns the bodies of the kinetel.invocation events.
func invocations(t *testing.T, arrived []record.Event) (all []record.Invocation) {
	t.Helper()
	for _, e := range of(arrived, event.TypeInvocation) {
		i, err := e.Invocation()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	return all
}

// A share of 0 keeps the lines of no ordinary invocation, and of all that matter.
func TestSampledInvocationsAreWholeOrHaveNoLine(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_SAMPLE": "0", "KINETEL_SAMPLE_MARK": "marked"}})
	for _, payload := range []string{
		`{"id":"cold","lines":10}`, `{"id":"ordinary","lines":10}`, `{"id":"marked","lines":10}`,
		`{"id":"failing","lines":10,"error":"out of beans"}`, `{"id":"ordinary-too","lines":3000}`,
	} {
		r.Invoke(payload)
	}
	r.Ended(r.Shutdown())
	lines := map[string]int{}
	for _, e := range of(r.arrived(), event.TypeFunction) {
		id, _, _ := strings.Cut(strings.Trim(string(e.Body), `"`), " ")
		lines[id]++
	}
	if lines["cold"] != 10 || lines["marked"] != 10 || lines["failing"] != 10 || lines["ordinary"]+lines["ordinary-too"] > 0 {
		t.Errorf("lines that arrived, by invocation: %v", lines)
	}
	var sampled []string
	for _, i := range invocations(t, r.arrived()) {
		sampled = append(sampled, i.Sampled)
		if i.SampleRate == nil || *i.SampleRate != 0 || (i.Sampled == record.SampledNot) != (i.LeftOut.SampledOut > 0) {
			t.Errorf("an invocation: %+v", i)
		}
	}
	if got := strings.Join(sampled, " "); got != "cold out marked error out" {
		t.Errorf("decisions: %s", got)
	}
	if v := r.Verdict(r.arrived()); !v.OK() || v.LeftOut != 3010 {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
}

// On Managed Instances invocations overlap, and each is decided for itself. Lines that
// name no request are kept.
func TestOverlappingInvocationsAreSampledEachForItself(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_SAMPLE": "0", "KINETEL_SAMPLE_KEEP": "error"}, Lambda: managed})
	end := make(chan lambdasim.Result, 6)
	for i := range 6 {
		payload := `{"lines":5,"format":"json","sleep":"50ms"}`
		if i%3 == 0 {
			payload = `{"lines":5,"format":"json","sleep":"50ms","error":"out of beans"}`
		}
		go func() {
			result, err := r.Sandbox.Invoke(t.Context(), []byte(payload))
			if err != nil {
				t.Error(err)
			}
			end <- result
		}()
	}
	failed := map[string]bool{}
	for range 6 {
		result := <-end
		failed[result.RequestID] = result.Status != lambdasim.StatusSuccess
	}
	r.Ended(r.Shutdown())
	for _, i := range invocations(t, r.arrived()) {
		if (i.Sampled == record.SampledError) != failed[i.RequestID] || (i.Sampled == record.SampledNot) == failed[i.RequestID] {
			t.Errorf("the invocation that failed %t is sampled %s", failed[i.RequestID], i.Sampled)
		}
	}
	if v := r.Verdict(r.arrived()); !v.OK() {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
}

// A pattern of redaction that cannot be used keeps lines in. Platform events leave, and
// say so.
func TestLinesStayIfRedactionCannotBeUsed(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_REDACT_PATTERN": "(", "KINETEL_TYPES": "platform,function,extension"}})
	r.Invoke(`{"id":"secret","lines":10}`)
	r.Invoke(`{"id":"secret","lines":10,"error":"secret beans"}`)
	r.Ended(r.Shutdown())
	arrived := r.arrived()
	if n := len(of(arrived, event.TypePlatformReport)); n != 2 {
		t.Errorf("%d platform.report arrived", n)
	}
	for _, e := range arrived {
		if e.Type == event.TypeFunction || e.Type == event.TypeExtension || strings.Contains(string(e.Body), "secret") {
			t.Errorf("left: %s %s", e.Type, e.Body)
		}
	}
	reports := of(arrived, event.TypeReport)
	last, err := reports[len(reports)-1].Report()
	lines := int64(0)
	for _, e := range r.Emitted() {
		if e.Type == event.TypeFunction {
			lines++
		}
	}
	if err != nil || lines < 20 || last.LeftOut.Redaction != lines {
		t.Errorf("of %d lines, the report has %+v, %v", lines, last.LeftOut, err)
	}
	if problems := environmentOf(t, arrived).Problems; len(problems) != 1 || problems[0].Variable != "KINETEL_REDACT_PATTERN" {
		t.Errorf("problems: %+v", problems)
	}
	if log := r.Log(); !strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, "no function or extension line is shipped") {
		t.Errorf("the log: %s", log)
	}
}
