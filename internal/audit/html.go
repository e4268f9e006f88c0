package audit

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"time"
)

// maxRows is how many environments the page of a report shows.
const maxRows = 500

var (
	//go:embed page.html.tmpl
	pageText string
	//go:embed page.css
	pageStyle string
)

// page is what the template shows. Positions are in thousandths of the timeline.
type page struct {
	Style        template.CSS
	StyleHash    string // the only style that the page's security policy allows
	Verdict      string
	Report       Report
	Since, Until time.Time
	Rows         []row
	Omitted      int
}

type row struct {
	Environment
	X, Width float64
	Marks    []mark
}

// mark is a hole.
type mark struct {
	X, Width float64
	Hole
}

// WriteHTML writes the report as one page with a timeline of the environments and their
// holes. The page makes no requests and has no scripts.
func (r Report) WriteHTML(w io.Writer) error {
	hash := sha256.Sum256([]byte(pageStyle))
	p := page{
		Style: template.CSS(pageStyle), StyleHash: base64.StdEncoding.EncodeToString(hash[:]),
		Verdict: r.Verdict(), Report: r, Omitted: max(len(r.Environments)-maxRows, 0),
	}
	shown := r.Environments[:len(r.Environments)-p.Omitted]
	for _, e := range shown {
		if !e.FirstTime.IsZero() && (p.Since.IsZero() || e.FirstTime.Before(p.Since)) {
			p.Since = e.FirstTime
		}
		if e.LastTime.After(p.Until) {
			p.Until = e.LastTime
		}
	}
	for _, e := range shown {
		from, to := p.place(e.FirstTime), p.place(e.LastTime)
		one := row{Environment: e, X: from, Width: max(to-from, 3)}
		for _, h := range e.Holes {
			one.Marks = append(one.Marks, mark{X: min(max(p.place(h.Time), from), max(to-3, from)), Width: 3, Hole: h})
		}
		p.Rows = append(p.Rows, one)
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"time": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"text": func(s string) string { return printable(s, maxName) },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("the template of the page: %w", err)
	}
	return t.Execute(w, p)
}

// place returns where a time is on the timeline, in thousandths.
func (p page) place(t time.Time) float64 {
	all := p.Until.Sub(p.Since)
	if all <= 0 || t.IsZero() {
		return 0
	}
	return min(max(1000*float64(t.Sub(p.Since))/float64(all), 0), 1000)
}
