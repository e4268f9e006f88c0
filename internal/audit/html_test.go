package audit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/record"
)

const script = `"><script>document.title='injected'</script><img src=x onerror="document.title='injected'">`

// hostileReport is a report with a hole, in which every text from outside is hostile.
func hostileReport(t *testing.T) audit.Report {
	t.Helper()
	a := audit.New(audit.Options{})
	for i, seq := range []uint64{1, 2, 5, 9} {
		e := at(10*i, line("e"+script, seq, ""))
		e.Resource["faas.name"] = "{{.}}" + script
		if err := a.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []record.Event{
		own("e"+script, 10, "loss", fmt.Sprintf(`{"firstSeq":3,"lastSeq":3,"count":1,"bytes":1,"reason":%q}`, script)),
		at(15, line("f", 1, "")), at(25, finalReport("f", 2, true, 0)),
	} {
		if err := a.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	a.AddUnreadable(fmt.Errorf("%s", script))
	return a.Report()
}

func pageOf(t *testing.T, r audit.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestThePageHasEveryHoleAndNoMarkupOfOthers(t *testing.T) {
	page := pageOf(t, hostileReport(t))
	for _, want := range []string{"NOT COMPLETE", "seq 4 missing, at about 2026-11-22T20:15:", "seq 6-8: 3 missing", "&lt;script&gt;", "default-src 'none'"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "<img", "http:", "https:", "ZgotmplZ", "style=", "<link", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
}

func TestThePageOfManyEnvironmentsIsShort(t *testing.T) {
	a := audit.New(audit.Options{})
	for i := range 2000 {
		if err := a.Add(line(fmt.Sprint("e", i), 1, "")); err != nil {
			t.Fatal(err)
		}
	}
	page := pageOf(t, a.Report())
	if n := strings.Count(page, "<svg"); n != 500 || !strings.Contains(page, "and 1500 more environments") {
		t.Errorf("the page has %d timelines", n)
	}
}

// A real browser shows the page, runs nothing of it and asks for nothing else.
func TestThePageInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium (Debian's package chromium)")
	}
	page := pageOf(t, hostileReport(t))
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		if r.URL.Path == "/" {
			_, _ = w.Write([]byte(page))
		}
	}))
	defer server.Close()
	out, err := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget=2000", "--dump-dom", server.URL).Output()
	if err != nil {
		t.Fatal(err)
	}
	dom := string(out)
	for _, want := range []string{"<title>kinetel audit: not complete</title>", "<title>seq 6-8: 3 missing"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the browser's document lacks %q:\n%s", want, dom)
		}
	}
	for _, bad := range []string{"<script", "<img", "<title>injected"} {
		if strings.Contains(dom, bad) {
			t.Errorf("the browser's document contains %q", bad)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, path := range asked {
		if path != "/" && path != "/favicon.ico" { // which browsers ask for by themselves
			t.Errorf("the browser asked for %s", path)
		}
	}
}
