package main

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
)

// A claim is a sentence of docs/evidence/flush.md about a pattern. It has to be true for
// other seeds than the document's, and whatever becomes of an answer that comes
// while the environment is frozen.
var claims = []struct {
	text    string
	pattern string
	holds   func(t *testing.T, adaptive, end, interval *result)
}{
	{"a busy function is not held", "back to back", notHeld},
	{"a busy function is not held", "steady: 10/s", notHeld},
	{"a long function that is called back to back is busy", "long", notHeld},
	{"of a function that runs for seconds, telemetry is sent at the interval in every mode", "long", func(t *testing.T, adaptive, end, interval *result) {
		for _, r := range []*result{adaptive, end, interval} {
			if f := r.figures(); f.staleP50 < time.Second || f.staleP99 > 11*time.Second {
				t.Errorf("staleness of %s, %s", f.staleP50, f.staleP99)
			}
		}
	}},
	{"a busy function is as stale as with interval", "steady: 10/s", func(t *testing.T, adaptive, _, interval *result) {
		a, i := adaptive.figures(), interval.figures()
		if a.staleP50 > i.staleP50+100*ms || a.staleP99 > i.staleP99+100*ms || a.staleP99 > 11*time.Second {
			t.Errorf("adaptive %s, %s; interval %s, %s", a.staleP50, a.staleP99, i.staleP50, i.staleP99)
		}
	}},
	{"and needs as many requests", "steady: 10/s", func(t *testing.T, adaptive, end, interval *result) {
		a, e, i := adaptive.figures(), end.figures(), interval.figures()
		if a.puts > 1.1*i.puts || e.puts < 30*a.puts {
			t.Errorf("adaptive %.1f, end %.1f, interval %.1f", a.puts, e.puts, i.puts)
		}
	}},
	{"a rare function is as with end", "cron: every minute", asEnd},
	{"a rare function is as with end", "cron: every hour", asEnd},
	{"calls by people every few seconds are rare", "people: one in 3 s", func(t *testing.T, adaptive, end, _ *result) {
		a, e := adaptive.figures(), end.figures()
		if a.share < 0.98 || a.staleP50 > e.staleP50+5*ms || a.staleP99 > e.staleP99+50*ms {
			t.Errorf("%.3f are held, staleness of %s, %s; end: %s, %s", a.share, a.staleP50, a.staleP99, e.staleP50, e.staleP99)
		}
	}},
	{"between the two some are held, and what is not is a matter of seconds", "people: 2/s", func(t *testing.T, adaptive, _, interval *result) {
		a, i := adaptive.figures(), interval.figures()
		if a.share < 0.2 || a.share > 0.5 || a.heldP50 != 0 || a.staleP99 > 15*time.Second || a.staleP50 > i.staleP50/2 {
			t.Errorf("%.2f are held, p50 %s; staleness of %s, %s, and with interval %s", a.share, a.heldP50, a.staleP50, a.staleP99, i.staleP50)
		}
	}},
	{"of a burst the first six are held after a cold start, and three where the one before was remembered", "bursts", func(t *testing.T, adaptive, _, _ *result) {
		for from := 0; from < len(adaptive.held); from += 30 {
			want := 3
			if from == 0 {
				want = 6
			}
			for i, held := range adaptive.held[from : from+30] {
				if (held > 0) != (i < want) {
					t.Fatalf("the burst from %d: invocation %d was held for %s", from, i, held)
				}
			}
		}
	}},
	{"a burst is sent each second, and what is left then waits for the next one", "bursts", func(t *testing.T, adaptive, end, interval *result) {
		a, e, i := adaptive.figures(), end.figures(), interval.figures()
		if a.staleP50 > 1100*ms || a.staleP99 < 4*time.Minute || e.most > 200*ms || i.staleP50 < 4*time.Minute {
			t.Errorf("staleness of %s, %s, with end %s at most, with interval %s", a.staleP50, a.staleP99, e.most, i.staleP50)
		}
		if wait := waiting(adaptive); wait > 9 || wait < 4 {
			t.Errorf("of %.1f of 30 invocations it waits", wait)
		}
	}},
	{"an environment of a pool that is not needed for a while keeps what it has", "a pool", func(t *testing.T, adaptive, end, _ *result) {
		a, e := adaptive.figures(), end.figures()
		if a.most < time.Minute || e.most > time.Second || a.share > 0.5 || a.heldP50 != 0 {
			t.Errorf("%.2f are held; the most stale %s, with end %s", a.share, a.most, e.most)
		}
	}},
	{"where the background has no time, it is overdue after two intervals", "steady: 2/s", func(t *testing.T, adaptive, _, interval *result) {
		// All but the last events, which wait for the shutdown.
		stale := slices.Clone(adaptive.stale)
		last := 35 * 2 * (lines + 2)
		bound := (1+flush.Remember)*500*ms + 30*time.Second
		if most := slices.Max(stale[:len(stale)-last]); most > bound {
			t.Errorf("staleness of %s", most)
		}
		if a := adaptive.figures(); a.share > 0.03 || a.heldP50 != 0 || a.heldP99 > 150*ms {
			t.Errorf("%.3f are held, p99 %s", a.share, a.heldP99)
		}
		if slices.Max(interval.stale) < 9*time.Second {
			t.Error("nothing is stale with interval")
		}
	}},
}

// waiting is of how many invocations of a burst of 30 the telemetry waits for
// minutes.
func waiting(r *result) float64 {
	n := 0
	for _, stale := range r.stale {
		if stale > time.Minute {
			n++
		}
	}
	return 30 * float64(n) / float64(len(r.stale))
}

// Of a burst that is longer than the interval it is what came since the last
// time.
func TestTheTailOfALongBurstWaitsForTheInterval(t *testing.T) {
	p := pattern{count: 3 * 300, environments: 1, calls: bursts(300, 200*ms, 5*time.Minute, 20*ms)}
	r := simulate(usual(), flush.ModeAdaptive, p, 1)
	if wait := 10 * waiting(r); wait < 5 || wait > 55 {
		t.Errorf("of %.1f of 300 invocations, of which 50 are in the interval, it waits", wait)
	}
}

func notHeld(t *testing.T, adaptive, end, _ *result) {
	n := 0
	for i, held := range adaptive.held {
		if held > 0 {
			n++
		}
		if (held > 0) != (i < 6) {
			t.Errorf("invocation %d was held for %s", i, held)
		}
	}
	if f := adaptive.figures(); f.heldP50 != 0 || f.heldP99 != 0 || f.share >= 0.01 || len(adaptive.held) < 1000 {
		t.Errorf("%d of %d are held", n, len(adaptive.held))
	}
	if f := end.figures(); f.share != 1 || f.heldP50 < buffered {
		t.Errorf("with end %.3f are held, p50 %s", f.share, f.heldP50)
	}
}

func asEnd(t *testing.T, adaptive, end, interval *result) {
	if !slices.Equal(adaptive.held, end.held) || !slices.Equal(adaptive.stale, end.stale) || adaptive.puts != end.puts {
		t.Error("adaptive and end differ")
	}
	if f := adaptive.figures(); f.share != 1 || f.most > time.Second {
		t.Errorf("%.3f are held, staleness of %s", f.share, f.most)
	}
	if f := interval.figures(); f.staleP50 < 30*time.Second {
		t.Errorf("with interval a staleness of %s", f.staleP50)
	}
}

func TestWhatTheDocumentSays(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep simulates at full length")
	}
	t.Parallel()
	for _, kept := range []bool{false, true} {
		results := map[string][]*result{}
		for _, claim := range claims {
			name := claim.text + ", " + claim.pattern
			if kept {
				name += ", answers kept"
			}
			t.Run(name, func(t *testing.T) {
				p := named(t, claim.pattern)
				r := results[p.name]
				if r == nil {
					a := usual()
					a.kept = kept
					for _, mode := range modes {
						r = append(r, simulate(a, mode, p, 2))
					}
					results[p.name] = r
				}
				claim.holds(t, r[0], r[1], r[2])
				for _, held := range r[2].held {
					if held > 0 {
						t.Fatal("an invocation is held with interval")
					}
				}
			})
		}
	}
}

// named returns the pattern whose name begins so.
func named(t *testing.T, name string) pattern {
	t.Helper()
	for _, p := range patterns() {
		if strings.HasPrefix(p.name, name) {
			return p
		}
	}
	t.Fatalf("there is no pattern %q", name)
	return pattern{}
}

// A put that answers late is lost only where a freeze is long: overdue is there
// for functions whose freezes are, and not needed where answers are kept.
func TestOverdueIsForAnswersThatAreLost(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep simulates at full length")
	}
	t.Parallel()
	p := named(t, "steady: 2/s")
	a := usual()
	if r := simulate(a, flush.ModeAdaptive, p, 2); r.why[flush.Overdue] == 0 {
		t.Errorf("%v", r.why)
	}
	if r := simulate(a, flush.ModeInterval, p, 2); r.figures().staleP50 < 5*time.Minute {
		t.Errorf("staleness with interval: %s", r.figures().staleP50)
	}
	a.kept = true
	if r := simulate(a, flush.ModeAdaptive, p, 2); r.why[flush.Overdue] > 0 {
		t.Errorf("answers kept: %v", r.why)
	}
}

const document = "../../docs/evidence/flush.md"

var update = flag.Bool("update", false, "write the table of figures into docs/evidence/flush.md")

func TestTheDocumentHasTheFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep simulates at full length")
	}
	t.Parallel()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	writeTable(&table, compare(usual(), patterns(), 1))
	const begin, end = "<!-- figures -->\n", "<!-- /figures -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	old, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatalf("%s has no %q and %q", document, begin, end)
	}
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("%s has other figures than these; `go test ./test/flushsim -update` writes them, and the picture is to be drawn again:\n%s", document, table.String())
	}
	if err := os.WriteFile(document, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The picture has its size, and each mode's colour in both panels.
func TestThePictureIsWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "flush.png")
	figures := compare(usual(), []pattern{short(named(t, "cron: every minute")), short(named(t, "people: 2/s"))}, 1)
	if err := writePlot(file, figures, usual().policy.MaxHold); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{file, "../../docs/evidence/flush.png"} {
		picture := decode(t, file)
		if size := picture.Bounds().Size(); size != image.Pt(1400, 820) {
			t.Errorf("%s: %s", file, size)
		}
		for mode, look := range looks {
			left, right := count(picture, look.colour, 0, 880), count(picture, look.colour, 880, 1400)
			if left < 20 || right < 20 {
				t.Errorf("%s: %s has %d and %d points in the panels", file, mode, left, right)
			}
		}
	}
	if err := writePlot(filepath.Join(t.TempDir(), "no", "flush.png"), figures, time.Second); err == nil {
		t.Error("a picture was written into no folder")
	}
}

// Each figure has its place: changing one changes its panel and nothing else.
func TestEachFigureHasItsOwnPanel(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep simulates at full length")
	}
	t.Parallel()
	picture := func(change func(*figures)) *image.RGBA {
		f := []figures{
			{pattern: "one", mode: flush.ModeAdaptive, heldP50: 20 * ms, heldP99: 40 * ms, staleP50: time.Second, staleP99: time.Minute},
			{pattern: "one", mode: flush.ModeEnd, heldP50: 30 * ms, heldP99: 50 * ms, staleP50: time.Second, staleP99: time.Minute},
			{pattern: "one", mode: flush.ModeInterval, staleP50: time.Second, staleP99: time.Minute},
		}
		change(&f[2])
		file := filepath.Join(t.TempDir(), "flush.png")
		if err := writePlot(file, f, 500*ms); err != nil {
			t.Fatal(err)
		}
		return decode(t, file)
	}
	before := picture(func(*figures) {})
	for _, tt := range []struct {
		name        string
		change      func(*figures)
		left, right bool
	}{
		{"nothing", func(*figures) {}, false, false},
		{"held p50", func(f *figures) { f.heldP50 = 10 * ms }, true, false},
		{"held p99", func(f *figures) { f.heldP99 = 10 * ms }, true, false},
		{"staleness p50", func(f *figures) { f.staleP50 = 2 * time.Second }, false, true},
		{"staleness p99", func(f *figures) { f.staleP99 = time.Hour }, false, true},
	} {
		after := picture(tt.change)
		left, right := differ(before, after, 0, 880), differ(before, after, 880, 1400)
		if left != tt.left || right != tt.right {
			t.Errorf("%s: the left panel changes: %t, the right one: %t", tt.name, left, right)
		}
	}
}

func differ(one, other *image.RGBA, from, to int) bool {
	for y := range one.Bounds().Max.Y {
		if !bytes.Equal(points(one, y, from, to), points(other, y, from, to)) {
			return true
		}
	}
	return false
}

// points is part of a row, four bytes a point.
func points(picture *image.RGBA, y, from, to int) []byte {
	return picture.Pix[picture.PixOffset(from, y):picture.PixOffset(to, y)]
}

func decode(t *testing.T, file string) *image.RGBA {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	plain := image.NewRGBA(picture.Bounds())
	draw.Draw(plain, plain.Bounds(), picture, image.Point{}, draw.Src)
	return plain
}

// count counts the points of a colour below the legend, between two columns.
func count(picture *image.RGBA, colour color.RGBA, from, to int) (n int) {
	point := []byte{colour.R, colour.G, colour.B, colour.A}
	for y := 80; y < picture.Bounds().Max.Y; y++ {
		for rest := points(picture, y, from, to); len(rest) > 0; rest = rest[4:] {
			if bytes.Equal(rest[:4], point) {
				n++
			}
		}
	}
	return n
}

func TestFiguresAreWrittenShort(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{percent(0.0006), "0.06 %"},
		{percent(1), "100 %"},
		{milliseconds(37250 * time.Microsecond), "37"},
		{span(999 * ms), "999 ms"},
		{span(time.Second), "1.0 s"},
		{span(119 * time.Second), "119 s"},
		{span(2 * time.Minute), "2.0 min"},
		{span(93 * time.Minute), "93 min"},
		{span(150 * time.Minute), "2.5 h"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var of []time.Duration
	for i := range 100 {
		of = append(of, time.Duration(100-i))
	}
	p50, p99, most := quantiles(of)
	if p50 != 50 || p99 != 99 || most != 100 || of[0] != 100 {
		t.Errorf("%d, %d, %d of 1 to 100", p50, p99, most)
	}
	if p50, p99, most = quantiles(of[:1]); p50 != 100 || p99 != 100 || most != 100 {
		t.Errorf("%d, %d, %d of 100 alone", p50, p99, most)
	}
}
