package main

import (
	"image/color"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/test/render"
)

// The picture's size, and its resolution in dots an inch.
const (
	width  = 14 * vg.Inch
	height = 8.2 * vg.Inch
	dots   = 100
)

// zero is where 0 ms stands on an axis that has none: left of a line at zeroEnd.
const (
	zero    = 6
	zeroEnd = 8
)

// looks is how a mode is drawn; the colours differ for everybody, and
// the shapes for readers who see no colours.
var looks = map[flush.Mode]struct {
	colour color.RGBA
	p50    draw.GlyphDrawer
	p99    draw.GlyphDrawer
	what   string
}{
	flush.ModeAdaptive: {color.RGBA{0x00, 0x72, 0xb2, 0xff}, draw.CircleGlyph{}, draw.RingGlyph{}, "adaptive"},
	flush.ModeEnd:      {color.RGBA{0xd5, 0x5e, 0x00, 0xff}, draw.BoxGlyph{}, draw.SquareGlyph{}, "end"},
	flush.ModeInterval: {color.RGBA{0x00, 0x85, 0x60, 0xff}, draw.PyramidGlyph{}, draw.TriangleGlyph{}, "interval"},
}

const glyph = 4.5

// spans is a plotter: for each pattern and mode p50 and p99 with a line between.
type spans struct {
	all    []figures
	values func(figures) (p50, p99 float64)
}

// row is where a figure's place is: patterns from the top, modes within them.
func row(i int) float64 {
	return -float64(i/len(modes)) - 0.26*float64(i%len(modes)-1)
}

func (s spans) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	grey := draw.LineStyle{Color: color.Gray{0xe0}, Width: 0.5}
	for i := range len(s.all)/len(modes) + 1 {
		at := y(0.5 - float64(i))
		c.StrokeLine2(grey, c.Min.X, at, c.Max.X, at)
	}
	for _, tick := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if tick.Label != "" {
			c.StrokeLine2(grey, x(tick.Value), c.Min.Y, x(tick.Value), c.Max.Y)
		}
	}
	for i, f := range s.all {
		look := looks[f.mode]
		p50, p99 := s.values(f)
		at := y(row(i))
		c.StrokeLine2(draw.LineStyle{Color: look.colour, Width: 1.2}, x(p50), at, x(p99), at)
		// The hollow one over the other, so that both are seen where they are
		// the same.
		c.DrawGlyph(draw.GlyphStyle{Color: look.colour, Radius: glyph - 1, Shape: look.p50}, vg.Point{X: x(p50), Y: at})
		c.DrawGlyph(draw.GlyphStyle{Color: look.colour, Radius: glyph + 0.5, Shape: look.p99}, vg.Point{X: x(p99), Y: at})
	}
}

// panel is one of the picture's two.
func panel(all []figures, title, label string, least, most float64, ticks []plot.Tick, values func(figures) (float64, float64)) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = title, label
	p.Title.TextStyle.Font.Size, p.X.Label.TextStyle.Font.Size = 14, 12
	p.Title.Padding = 6
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	p.X.Scale, p.X.Min, p.X.Max = plot.LogScale{}, least, most
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = 11, 12
	p.Y.Min, p.Y.Max = 0.5-float64(len(all)/len(modes)), 0.5
	p.Y.Tick.LineStyle.Width = 0
	p.Add(spans{all, values})
	return p
}

// writePlot writes the picture.
func writePlot(file string, all []figures, maxHold time.Duration) error {
	held := panel(all, "Held after the runtime is done, an invocation", "ms, logarithmic", 5, 1000,
		[]plot.Tick{{Value: zero, Label: "0"}, {Value: 10, Label: "10"}, {Value: 20, Label: "20"}, {Value: 50, Label: "50"}, {Value: 100, Label: "100"}, {Value: 200, Label: "200"}, {Value: 500, Label: "500"}},
		func(f figures) (float64, float64) { return heldAt(f.heldP50), heldAt(f.heldP99) })
	held.Add(upright{zeroEnd, ""}, upright{heldAt(maxHold), "KINETEL_MAX_HOLD"})
	var names []plot.Tick
	for i := 0; i < len(all); i += len(modes) {
		names = append(names, plot.Tick{Value: -float64(i / len(modes)), Label: all[i].pattern})
	}
	held.Y.Tick.Marker = plot.ConstantTicks(names)

	stale := panel(all, "Staleness, from an event to Kinesis", "s, min and h, logarithmic", 0.02, 3*3600,
		[]plot.Tick{{Value: 0.1, Label: "0.1 s"}, {Value: 1, Label: "1 s"}, {Value: 10, Label: "10 s"}, {Value: 60, Label: "1 min"}, {Value: 600, Label: "10 min"}, {Value: 3600, Label: "1 h"}},
		func(f figures) (float64, float64) { return f.staleP50.Seconds(), f.staleP99.Seconds() })
	stale.Y.Tick.Marker = plot.ConstantTicks(nil)

	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dots))
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	const margin, legend, middle = 10, 26, 0.62
	panels := draw.Crop(page, margin, -margin, margin, -margin-legend)
	between := vg.Length(middle) * (panels.Max.X - panels.Min.X)
	held.Draw(draw.Crop(panels, 0, between-(panels.Max.X-panels.Min.X), 0, 0))
	stale.Draw(draw.Crop(panels, between+margin, 0, 0, 0))
	writeLegend(page, held.Legend.TextStyle)

	return render.PNG(file, canvas)
}

func heldAt(d time.Duration) float64 { return math.Max(float64(d)/float64(time.Millisecond), zero) }

// upright is a plotter: a line at a value, with its name.
type upright struct {
	at   float64
	name string
}

func (u upright) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	c.StrokeLine2(draw.LineStyle{Color: color.Gray{0x80}, Width: 0.8, Dashes: []vg.Length{3, 3}}, x(u.at), c.Min.Y, x(u.at), c.Max.Y)
	if u.name != "" {
		style := p.X.Tick.Label
		style.Font.Size, style.Color, style.Rotation = 9, color.Gray{0x60}, math.Pi/2
		style.XAlign, style.YAlign = draw.XLeft, draw.YTop
		c.FillText(style, vg.Point{X: x(u.at) + 3, Y: c.Min.Y + 4}, u.name)
	}
}

// writeLegend writes one line above the panels.
func writeLegend(c draw.Canvas, style draw.TextStyle) {
	style.Font = font.From(style.Font, 12)
	style.YAlign = draw.YCenter
	at := vg.Point{X: c.Min.X + 20, Y: c.Max.Y - 18}
	write := func(text string) {
		c.FillText(style, at, text)
		at.X += style.Width(text) + 22
	}
	for _, mode := range modes {
		look := looks[mode]
		from := at
		at.X += 24
		c.StrokeLine2(draw.LineStyle{Color: look.colour, Width: 1.2}, from.X, at.Y, at.X, at.Y)
		c.DrawGlyph(draw.GlyphStyle{Color: look.colour, Radius: glyph - 1, Shape: look.p50}, from)
		c.DrawGlyph(draw.GlyphStyle{Color: look.colour, Radius: glyph + 0.5, Shape: look.p99}, at)
		at.X += 10
		write(string(mode))
	}
	write("filled: p50; hollow: p99")
}
