package main

import (
	"fmt"
	"image/color"
	"math"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/kinetel/kinetel/test/render"
)

// The picture's size, and its resolution in dots an inch.
const (
	width  = 14 * vg.Inch
	height = 9.2 * vg.Inch
	dots   = 100
)

// The colours differ for everybody.
var (
	blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	orange = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	green  = color.RGBA{0x00, 0x85, 0x60, 0xff}
	purple = color.RGBA{0x8b, 0x4f, 0x9f, 0xff}
	grey   = color.Gray{0xe0}
)

// step is what a point of a line over time is the mean of, in seconds.
const step = 10

// curve is a line over time.
type curve struct {
	name   string
	colour color.RGBA
	dashes []vg.Length
	run    run
	value  func(second) float64
}

// panel is an empty one.
func panel(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding, p.Legend.Padding, p.Legend.Top = 6, 2, true
	for _, style := range []struct {
		style *text.Style
		size  font.Length
	}{
		{&p.Title.TextStyle, 14},
		{&p.X.Label.TextStyle, 12},
		{&p.Y.Label.TextStyle, 12},
		{&p.X.Tick.Label, 11},
		{&p.Y.Tick.Label, 11},
		{&p.Legend.TextStyle, 12},
	} {
		style.style.Font.Variant, style.style.Font.Size = "Sans", style.size
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = grey, grey
	p.Add(grid)
	return p
}

// overTime is a panel of curves over the minutes of a run, with the outage marked.
func overTime(title, y string, least, most float64, marks []plot.Tick, curves ...curve) (*plot.Plot, error) {
	p := panel(title, "minutes; the outage is shaded", y)
	s := curves[0].run.scenario
	p.X.Min, p.X.Max = 0, s.horizon.Minutes()
	p.Y.Min, p.Y.Max = least, most
	p.X.Tick.Marker = plot.ConstantTicks(ticks("%g", 0, 10, 20, 30, 40))
	if marks != nil {
		p.Y.Tick.Marker = plot.ConstantTicks(marks)
	}
	if least > 0 {
		p.Y.Scale = plot.LogScale{}
	}
	from, to := s.from.Minutes(), (s.from + s.outage).Minutes()
	shade, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: least}, {X: to, Y: least}, {X: to, Y: most}, {X: from, Y: most}})
	if err != nil {
		return nil, fmt.Errorf("shade the outage: %w", err)
	}
	shade.Color, shade.LineStyle.Width = color.RGBA{0xf3, 0xee, 0xe2, 0xff}, 0
	p.Add(shade)
	for _, c := range curves {
		var points plotter.XYs
		for i := 0; i+step <= len(c.run.seconds); i += step {
			sum := 0.0
			for _, s := range c.run.seconds[i : i+step] {
				sum += c.value(s)
			}
			points = append(points, plotter.XY{X: (time.Duration(i) * time.Second).Minutes(), Y: min(max(sum/step, least), most)})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", c.name, err)
		}
		line.Color, line.Width, line.Dashes = c.colour, 1.6, c.dashes
		p.Add(line)
		p.Legend.Add(c.name, line)
	}
	return p, nil
}

func ticks(format string, values ...float64) (all []plot.Tick) {
	for _, v := range values {
		all = append(all, plot.Tick{Value: v, Label: fmt.Sprintf(format, v)})
	}
	return all
}

// losses is the panel of what is lost with which buffer.
func (s study) losses() (*plot.Plot, error) {
	p := panel("Lost, of what was written in the outage", "KINETEL_BUFFER_BYTES, MiB", "%, logarithmic")
	p.Y.Scale, p.Y.Min, p.Y.Max = plot.LogScale{}, 1, 100
	p.Y.Tick.Marker = plot.ConstantTicks(ticks("%g", 1, 2, 5, 10, 20, 50, 100))
	p.X.Scale, p.X.Min, p.X.Max = plot.LogScale{}, 1.7, 38
	var buffers []plot.Tick
	for _, kind := range []struct {
		name   string
		spool  bool
		colour color.RGBA
		shape  draw.GlyphDrawer
	}{{"KINETEL_SPOOL=off", false, orange, draw.BoxGlyph{}}, {"overflow, 64 MiB", true, blue, draw.CircleGlyph{}}} {
		var points plotter.XYs
		for _, r := range s.buffers {
			if (r.spool > 0) == kind.spool {
				points = append(points, plotter.XY{X: float64(r.buffer) / mib, Y: min(max(100*r.figures.lost, p.Y.Min), p.Y.Max)})
			}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", kind.name, err)
		}
		line.Color, line.Width = kind.colour, 1.6
		dots.GlyphStyle = draw.GlyphStyle{Color: kind.colour, Radius: 4.5, Shape: kind.shape}
		p.Add(line, dots)
		p.Legend.Add(kind.name, line, dots)
		buffers = nil
		for _, point := range points {
			buffers = append(buffers, plot.Tick{Value: point.X, Label: fmt.Sprintf("%g", point.X)})
		}
	}
	p.X.Tick.Marker = plot.ConstantTicks(buffers)
	return p, nil
}

// writePlot writes the picture.
func (s study) writePlot(file string) error {
	named := func(all []run, name string, colour color.RGBA, dashes []vg.Length, value func(second) float64) curve {
		for _, r := range all {
			if r.name == name {
				times := float64(s.requests[0].environments) / float64(r.environments)
				return curve{strings.ReplaceAll(name, "`", ""), colour, dashes, r, func(s second) float64 { return times * value(s) }}
			}
		}
		panic("there is no scenario " + name)
	}
	dashed := []vg.Length{5, 3}
	made := func(s second) float64 { return float64(s.requests) }
	throttled := func(s second) float64 { return float64(s.throttled) }
	waits := func(s second) float64 { return float64(s.backlog) / 1e9 }
	requests, err := overTime("Requests a second", "logarithmic", 500, 200_000, ticks("%.0f", 1000, 10_000, 100_000),
		named(s.requests, "no pace", orange, nil, made), named(s.requests, "no jitter", green, nil, made), named(s.requests, "as it is", blue, nil, made))
	if err != nil {
		return err
	}
	again, err := overTime("Throttled records a second", "logarithmic", 100, 1_000_000, ticks("%.0f", 100, 1000, 10_000, 100_000, 1_000_000),
		named(s.requests, "no pace", orange, nil, throttled), named(s.requests, "no jitter", green, nil, throttled), named(s.requests, "as it is", blue, nil, throttled))
	if err != nil {
		return err
	}
	most := math.Ceil(float64(s.requests[0].made)/float64(len(s.requests[0].seconds))*s.requests[0].outage.Seconds()/1e10) * 10
	backlog, err := overTime("Backlog, by what the shards take of what is written", "GB", 0, most, nil,
		named(s.headrooms, "1.2", orange, nil, waits), named(s.headrooms, "1.5", blue, nil, waits), named(s.headrooms, "1.5, "+late, blue, dashed, waits),
		named(s.headrooms, "2", green, nil, waits), named(s.headrooms, "3", purple, nil, waits))
	if err != nil {
		return err
	}
	losses, err := s.losses()
	if err != nil {
		return err
	}

	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dots))
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	tiles := draw.Tiles{Rows: 2, Cols: 2, PadX: 24, PadY: 20, PadTop: 10, PadBottom: 10, PadLeft: 10, PadRight: 16}
	for i, p := range []*plot.Plot{requests, again, backlog, losses} {
		p.Draw(tiles.At(page, i%2, i/2))
	}
	return render.PNG(file, canvas)
}
