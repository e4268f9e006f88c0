package main

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/test/render"
)

// few is a fleet of which the claims have to be true as well, on as much less of a
// stream, and for another seed than the document's.
func few() scenario {
	s := usual()
	s.environments, s.seed = 1000, 2
	return s
}

// ran are the runs that claims are about, each made once.
type ran map[string]run

func (r ran) of(t *testing.T, name string, change func(*scenario)) run {
	t.Helper()
	if _, ok := r[name]; !ok {
		s := few()
		change(&s)
		got := simulate(s)
		r[name] = run{got, got.figures()}
	}
	return r[name]
}

func asItIs(*scenario)  {}
func even(s *scenario)  { s.even = true }
func eager(s *scenario) { s.unpaced = true }

// waves is how much larger the largest ten seconds are than the mean, in the
// second half of the outage.
func (r run) waves() float64 {
	half := r.seconds[int((r.from+r.outage/2)/time.Second):int((r.from+r.outage)/time.Second)]
	mean, _ := requests(half)
	most := 0.0
	for ten := range slices.Chunk(half, 10) {
		sum, _ := requests(ten)
		most = max(most, sum)
	}
	return most / mean
}

// Each is a sentence of docs/evidence/fleet.md.
func TestWhatTheDocumentSays(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep simulates at full length")
	}
	t.Parallel()
	runs := ran{}
	for _, claim := range []struct {
		text  string
		holds func(t *testing.T)
	}{
		{"the onset is five requests an environment, spread over the interval", func(t *testing.T) {
			if r := runs.of(t, "as it is", asItIs); float64(r.onset) > 7*r.before || float64(r.onset) < 3*r.before {
				t.Errorf("%d in the largest second, %.0f before", r.onset, r.before)
			}
		}},
		{"in the outage there are less than half as many requests as before", func(t *testing.T) {
			if r := runs.of(t, "as it is", asItIs); r.during > r.before/2 {
				t.Errorf("%.0f in the outage, %.0f before", r.during, r.before)
			}
		}},
		{"after it the largest second is less than seven times the mean before, and ten minutes are less than three times", func(t *testing.T) {
			if r := runs.of(t, "as it is", asItIs); float64(r.peak) > 7*r.before || r.after > 3*r.before {
				t.Errorf("%d in the largest second, %.0f in the mean, %.0f before", r.peak, r.after, r.before)
			}
		}},
		{"without jitter probes come in waves", func(t *testing.T) {
			with, without := runs.of(t, "as it is", asItIs).waves(), runs.of(t, "no jitter", even).waves()
			if with > 1.4 || without < 1.6 {
				t.Errorf("the largest ten seconds are %.2f times the mean, without jitter %.2f", with, without)
			}
		}},
		{"without the pace three times as many records are throttled", func(t *testing.T) {
			with, without := runs.of(t, "as it is", asItIs), runs.of(t, "no pace", eager)
			if without.again < 3*with.again {
				t.Errorf("%.1f are throttled for each that is accepted, without pace %.1f", with.again, without.again)
			}
		}},
		{"the more headroom the sooner the backlog is gone: nine tenths of it within 45, 30 and 15 minutes", func(t *testing.T) {
			last := time.Hour
			for _, tt := range []struct {
				headroom float64
				within   time.Duration
			}{{1.5, 45 * time.Minute}, {2, 30 * time.Minute}, {3, 15 * time.Minute}} {
				r := runs.of(t, "headroom "+render.Significant(tt.headroom), func(s *scenario) { s.headroom, s.horizon = tt.headroom, 56*time.Minute })
				if r.most == 0 || r.most > tt.within || r.most > last {
					t.Errorf("%g: %s", tt.headroom, r.most)
				}
				last = r.most
			}
		}},
		{"with random keys all shards are done at the same time, and with a new key at each throttle as well", func(t *testing.T) {
			for name, change := range map[string]func(*scenario){"random keys": func(s *scenario) { s.randomKeys = true }, "as it is": asItIs} {
				if r := runs.of(t, name, change); r.all == 0 || r.all > 21*time.Minute || r.all > 3*r.half {
					t.Errorf("%s: half of it after %s, 99 %% after %s", name, r.half, r.all)
				}
			}
		}},
		{"with a new key after eight throttles only, the last of it takes half as long again, and more is lost", func(t *testing.T) {
			more := func(s *scenario) { s.environments = 5000 } // on fewer shards chance decides
			r := runs.of(t, "more", more)
			later := runs.of(t, late, func(s *scenario) { more(s); s.keyAfter = breaker.NewKeyAfter })
			if later.all > 0 && later.all < r.all*3/2 || later.figures.lost < 1.2*r.figures.lost || later.again < 1.2*r.again {
				t.Errorf("99 %% gone after %s, %.4f lost, %.1f throttled for each; with a new key each time %s, %.4f, %.1f",
					later.all, later.figures.lost, later.again, r.all, r.figures.lost, r.again)
			}
		}},
		{"with 16 MiB no environment that writes less than 15 kB/s loses anything", func(t *testing.T) {
			r := runs.of(t, "no spool", func(s *scenario) { s.spool = 0 })
			if r.quietest < 15_000 || r.figures.lost == 0 {
				t.Errorf("the quietest that loses something writes %.0f bytes a second", r.quietest)
			}
		}},
		{"and with the spool none that writes less than 40 kB/s", func(t *testing.T) {
			if r := runs.of(t, "as it is", asItIs); r.quietest > 0 && r.quietest < 40_000 {
				t.Errorf("the quietest that loses something writes %.0f bytes a second", r.quietest)
			}
		}},
		{"a larger buffer loses less, and so does a spool", func(t *testing.T) {
			last := 1.0
			for _, buffer := range []int64{2, 8, 32} {
				r := runs.of(t, mebibytes(buffer*mib), func(s *scenario) { s.buffer, s.spool = buffer*mib, 0 })
				if r.figures.lost >= last {
					t.Errorf("%d MiB: %.4f", buffer, r.figures.lost)
				}
				last = r.figures.lost
			}
			if r := runs.of(t, "as it is", asItIs); r.figures.lost >= last {
				t.Errorf("16 MiB and a spool: %.4f", r.figures.lost)
			}
		}},
		{"only what was not answered comes twice", func(t *testing.T) {
			r := runs.of(t, "no answers", func(s *scenario) { s.failure, s.landed = silent, 0.1 })
			if share := r.figures.twice; share == 0 || share > 0.05 {
				t.Errorf("%.4f come twice", share)
			}
			if runs.of(t, "as it is", asItIs).result.twice > 0 {
				t.Error("something came twice that was refused")
			}
		}},
		{"environments that started together do not flush together, but would with whole intervals", func(t *testing.T) {
			most := func(r run) int { _, n := requests(r.seconds[30:60]); return n }
			spread := most(runs.of(t, "together", func(s *scenario) { s.started = time.Second }))
			inStep := most(runs.of(t, "in step", func(s *scenario) { s.started, s.inStep = time.Second, true }))
			usually := most(runs.of(t, "as it is", asItIs))
			if float64(spread) > 1.3*float64(usually) || inStep < 5*usually {
				t.Errorf("%d in the largest second, in step %d, usually %d", spread, inStep, usually)
			}
		}},
		{"their first wave is at most half of that", func(t *testing.T) {
			spread := runs.of(t, "together", func(s *scenario) { s.started = time.Second })
			if inStep := runs.of(t, "in step", func(s *scenario) { s.started, s.inStep = time.Second, true }); 2*spread.usual > inStep.usual {
				t.Errorf("%d in the largest second, in step %d", spread.usual, inStep.usual)
			}
		}},
		{"where pauses stand still while it is frozen, a rare function needs several times as long", func(t *testing.T) {
			_, _, _, frozen := scenarios(few())
			rare := func(s *scenario) {
				*s = frozen[len(frozen)-1]
				s.environments, s.horizon = 2000, 71*time.Minute
			}
			still := runs.of(t, "frozen", rare)
			goes := runs.of(t, "frozen, by the wall", func(s *scenario) { rare(s); s.byWall = true })
			if goes.most == 0 || goes.most > 20*time.Minute || still.most > 0 && still.most < 3*goes.most {
				t.Errorf("nine tenths were gone after %s, and after %s where pauses go on", still.most, goes.most)
			}
		}},
	} {
		t.Run(claim.text, claim.holds)
	}
}

const document = "../../docs/evidence/fleet.md"

var update = flag.Bool("update", false, "simulate the whole fleet and write its tables into docs/evidence/fleet.md")

// section is what lies between two marks of the document.
func section(t *testing.T, text, name string) (before, inside, after string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, found := strings.Cut(text, begin)
	inside, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatalf("%s has no %q and %q", document, begin, end)
	}
	return before + begin, inside, end + after
}

// trace has the results of small fleets. It stands in the document, unseen, because
// the whole fleet takes a minute: a model that has changed is known by it.
func trace() string {
	text := "<!-- of this model:"
	for _, change := range []func(*scenario){
		func(s *scenario) { s.spool = 2 * mib },
		func(s *scenario) { s.failure, s.landed, s.randomKeys = silent, 0.2, true },
	} {
		s := small()
		s.environments, s.median, s.chattySigma = 1000, 4000, 1.5
		s.buffer, s.headroom, s.horizon = 512<<10, 1.2, 6*time.Minute
		change(&s)
		r := simulate(s)
		made, throttled := 0, 0
		for _, s := range r.seconds {
			made += s.requests
			throttled += s.throttled
		}
		text += fmt.Sprintf(" %d requests, %d throttled, %d bytes lost, %d left, %d twice;", made, throttled, r.lost, r.left, r.twice)
	}
	return strings.TrimSuffix(text, ";") + " -->\n"
}

func TestTheDocumentHasTheFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep simulates at full length")
	}
	t.Parallel()
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	var sizes bytes.Buffer
	writeSizes(&sizes)
	beforeSizes, oldSizes, afterSizes := section(t, text, "sizes")
	if *update {
		text = beforeSizes + sizes.String() + afterSizes
		var tables bytes.Buffer
		investigate(usual(), runtime.GOMAXPROCS(0)).writeTables(&tables)
		before, _, after := section(t, text, "fleet")
		if err := os.WriteFile(document, []byte(before+tables.String()+trace()+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	const howToFix = "`go test ./test/fleetsim -update` writes the document's figures, and the picture is to be drawn again"
	if oldSizes != sizes.String() {
		t.Errorf("%s has other sizes than these; %s:\n%s", document, howToFix, sizes.String())
	}
	if _, tables, _ := section(t, text, "fleet"); !strings.HasSuffix(tables, trace()) {
		t.Errorf("the tables of %s are of another model; %s: %s", document, howToFix, trace())
	}
}

// sketch is a study of next to nothing, with every curve.
func sketch() study {
	s := small()
	s.environments *= sample
	return investigate(s, 2)
}

func TestTheStudyIsWrittenAndDrawn(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-deep simulates at full length")
	}
	t.Parallel()
	s := sketch()
	t.Run("a row for each run", func(t *testing.T) {
		var b bytes.Buffer
		s.writeTables(&b)
		rows, columns := 0, 0
		for line := range strings.Lines(b.String()) {
			n := strings.Count(line, "|")
			switch {
			case n == 0:
				columns = 0
			case columns == 0:
				columns = n
			case n != columns:
				t.Errorf("%d columns, not %d: %s", n-1, columns-1, line)
			}
			if n > 0 {
				rows++
			}
		}
		if want := len(s.requests) + len(s.headrooms) + len(s.buffers) + len(s.frozen) + 4*2; rows != want {
			t.Errorf("%d rows, want %d:\n%s", rows, want, b.String())
		}
	})
	t.Run("a colour for each curve", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "fleet.png")
		if err := s.writePlot(file); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{file, "../../docs/evidence/fleet.png"} {
			picture := decode(t, file)
			if size := picture.Bounds().Size(); size != image.Pt(1400, 920) {
				t.Fatalf("%s: %s", file, size)
			}
			for i, colours := range [][]color.RGBA{{blue, orange, green}, {blue, orange, green}, {blue, orange, green, purple}, {blue, orange}} {
				for _, c := range colours {
					if n := count(picture, c, i); n < 20 {
						t.Errorf("%s: panel %d has %d points of %v", file, i+1, n, c)
					}
				}
			}
		}
		if err := s.writePlot(filepath.Join(t.TempDir(), "no", "fleet.png")); err == nil {
			t.Error("a picture was written into no folder")
		}
	})
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

// count counts the points of a colour in a panel.
func count(picture *image.RGBA, c color.RGBA, panel int) (n int) {
	size := picture.Bounds().Size().Div(2)
	from := image.Pt(panel%2*size.X, panel/2*size.Y)
	for y := from.Y; y < from.Y+size.Y; y++ {
		for x := from.X; x < from.X+size.X; x++ {
			if picture.RGBAAt(x, y) == c {
				n++
			}
		}
	}
	return n
}

func TestShardsAreForBytesOrForRecords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		environments, lines, packed float64
		want                        int
	}{
		{1, 1, 1, 1},
		{1000, 100, 524.288, 100}, // 50 MiB/s, twice
		{50_000, 1, 20, 10},       // 5,000 records a second
		{50_000, 100, 1, 20},      // 10,000
	} {
		if got := shards(tt.environments, tt.lines, tt.packed); got != tt.want {
			t.Errorf("%v: %d shards, want %d", tt, got, tt.want)
		}
	}
}
