package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
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

// A fix may name a place in the documents: it is there.
func TestTheDocumentsThatFixesNameExist(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, source := range sources {
		if !strings.HasSuffix(source, "_test.go") {
			for _, place := range regexp.MustCompile(`docs/[a-z]+\.md(#[a-z0-9-]+)?`).FindAllString(read(t, source), -1) {
				named[place] = true
			}
		}
	}
	if len(named) < 8 {
		t.Errorf("only %d places are named", len(named))
	}
	for place := range named {
		file, anchor, _ := strings.Cut(place, "#")
		anchors := map[string]bool{"": true}
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, "../../"+file), -1) {
			words := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
			anchors[strings.ReplaceAll(words, " ", "-")] = true
		}
		if !anchors[anchor] {
			t.Errorf("there is no %s", place)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
