package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/doctor"
	"github.com/kinetel/kinetel/internal/doctor/fakeaws"
)

func TestNothingIsWrongWithAHealthyFunction(t *testing.T) {
	report, fake, err := healthy().run(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Level != doctor.OK || f.What == "" || f.Why != "" || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
	var checks []string
	for _, f := range report.Findings {
		checks = append(checks, f.Check)
	}
	want := []string{"function", "settings", "layer", "resources", "credentials", "network", "stream", "encryption", "role", "write", "telemetry"}
	if got := slices.Compact(checks); !slices.Equal(got, want) {
		t.Errorf("checks %v, want %v", got, want)
	}
	if report.Stream != streamARN || report.Function != "arn:aws:lambda:eu-west-1:123456789012:function:orders" {
		t.Errorf("function %q, stream %q", report.Function, report.Stream)
	}
	if body := fake.Request("PutRecords"); !strings.Contains(body, `"DryRun":true`) {
		t.Errorf("a record was put: %s", body)
	}
	if body := fake.Request("SimulatePrincipalPolicy"); !strings.Contains(body, url.QueryEscape(roleARN)) || !strings.Contains(body, url.QueryEscape(streamARN)) {
		t.Errorf("simulated: %s", body)
	}
}

func TestNothingToCheck(t *testing.T) {
	s := healthy()
	s.answers["GetFunctionConfiguration"] = fakeaws.Answer{Code: "ResourceNotFoundException", Message: "Function not found"}
	if _, _, err := s.run(t); err == nil || !strings.Contains(err.Error(), "function orders: ResourceNotFoundException: Function not found; check the name and the region (eu-west-1)") {
		t.Errorf("no function: %v", err)
	}
	s = healthy()
	s.ClientsError = errors.New("no AWS credentials")
	if _, _, err := s.run(t); !errors.Is(err, s.ClientsError) {
		t.Errorf("no credentials: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s = healthy()
	s.Function, s.Stream, s.ClientsError = "", "telemetry", errors.New("none")
	s.Progress = func(string) { cancel() }
	if _, err := doctor.Run(ctx, s.Options); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// A service that does not answer costs its check a time limit, and the others nothing.
func TestACheckWithoutAnAnswerDoesNotPreventTheOthers(t *testing.T) {
	s := healthy()
	s.Timeout = time.Second
	s.answers["SimulatePrincipalPolicy"] = fakeaws.Answer{Hang: true}
	report, _, err := s.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(report, "role"); len(got) != 1 || !strings.HasPrefix(got[0], "notChecked: whether the role may write to the stream: no answer within the time limit") {
		t.Errorf("findings %q", got)
	}
	if got := texts(report, "telemetry"); len(got) != 1 || !strings.HasPrefix(got[0], "ok: ") {
		t.Errorf("findings %q", got)
	}
}

func TestTheTextCannotControlATerminal(t *testing.T) {
	report := doctor.Report{Stream: "a\x1b[31m", Findings: []doctor.Finding{{Check: "stream", Level: doctor.Error, What: "x\x1b]0;title\x07\r\ny\u202ez\xff", Why: "because", Fix: "aws fix"}}}
	var b bytes.Buffer
	if err := report.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	const want = `stream    a [31m

error        stream       x ]0;title   y z` + "\uFFFD" + `
                          why  because
                          fix  aws fix

errors: 1, warnings: 0, not checked: 0, ok: 0
`
	if b.String() != want {
		t.Errorf("text\n%s\nwant\n%s", b.String(), want)
	}
}
