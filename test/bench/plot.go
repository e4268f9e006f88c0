package main

import (
	"fmt"
	"image/color"
	"slices"

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

// colours are those of the programs. They differ for everybody.
func colours() [2]color.RGBA {
	return [2]color.RGBA{floor: {0xd5, 0x5e, 0x00, 0xff}, own: {0x00, 0x72, 0xb2, 0xff}}
}

// writePlot draws the picture.
func (r *results) writePlot(file string) error {
	panels := []struct {
		draw func(*plot.Plot) error
		p    *plot.Plot
	}{
		{func(p *plot.Plot) error { return r.distribution(p, "start.next") }, panel("Cold start: exec to first next", "ms", "% of starts within")},
		{func(p *plot.Plot) error { return r.distribution(p, "share.next") }, panel("Cold start with a fourteenth of a processor: exec to first next", "ms", "% of starts within")},
		{r.volumes, panel("CPU for each GB of telemetry", "compression", "seconds")},
		{r.memory, panel("Resident memory over a burst, none", "seconds", "MB")},
	}
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dots))
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	tiles := draw.Tiles{Rows: 2, Cols: 2, PadX: 24, PadY: 20, PadTop: 10, PadBottom: 10, PadLeft: 10, PadRight: 16}
	for i, one := range panels {
		if err := one.draw(one.p); err != nil {
			return fmt.Errorf("draw %q: %w", one.p.Title.Text, err)
		}
		one.p.Draw(tiles.At(page, i%2, i/2))
	}
	return render.PNG(file, canvas)
}

// panel returns an empty one.
func panel(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding, p.Legend.Padding, p.Legend.Top = 6, 2, true
	p.Y.Min = 0
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
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xe0}, color.Gray{0xe0}
	p.Add(grid)
	return p
}

// values returns a figure's values of both programs.
func (r *results) values(figure string) ([2][]float64, error) {
	s := r.find(figure)
	if s == nil || len(s.Values[floor]) == 0 || len(s.Values[own]) == 0 {
		return [2][]float64{}, fmt.Errorf("%s was not measured for both programs", figure)
	}
	return s.Values, nil
}

// distribution draws how many of the values are at most so large.
func (r *results) distribution(p *plot.Plot, figure string) error {
	values, err := r.values(figure)
	if err != nil {
		return err
	}
	p.Legend.Top = false
	for program, of := range values {
		var points plotter.XYs
		for i, v := range slices.Sorted(slices.Values(of)) {
			points = append(points, plotter.XY{X: v, Y: 100 * float64(i+1) / float64(len(of))})
		}
		if err := r.addLine(p, program, points); err != nil {
			return err
		}
	}
	// A few starts of a busy machine would squeeze the others.
	p.X.Min, p.X.Max = 0, 1.5*max(quantileOf(values[floor], 0.9), quantileOf(values[own], 0.9))
	return nil
}

func quantileOf(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}

func (r *results) addLine(p *plot.Plot, program int, points plotter.XYs) error {
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = colours()[program], 1.6
	p.Add(line)
	p.Legend.Add(r.Programs[program], line)
	return nil
}

// volumes draws the processor time by compression.
func (r *results) volumes(p *plot.Plot) error {
	const bar = 40
	goals := map[string]float64{}
	for _, part := range parts() {
		for _, row := range part.rows {
			goals[row.figure] = row.goal.limit
		}
	}
	names := []string{"gzip", "zstd", "none"}
	groups := [3]plotter.Values{}
	for _, name := range names {
		values, err := r.values("volume." + name)
		if err != nil {
			return err
		}
		for i, v := range []float64{median(values[floor]), median(values[own]), goals["volume."+name]} {
			groups[i] = append(groups[i], v)
		}
	}
	fills := []color.Color{colours()[floor], colours()[own], color.Gray{0xb0}}
	for i, of := range groups {
		bars, err := plotter.NewBarChart(of, bar)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width, bars.Offset = fills[i], 0, bar*vg.Length(i-1)
		p.Add(bars)
		p.Legend.Add([]string{r.Programs[floor], r.Programs[own], "goal"}[i], bars)
	}
	p.Legend.Left = true
	p.Y.Max *= 1.2 // for the legend
	p.NominalX(names...)
	return nil
}

// memory draws the memory over the first burst of each program.
func (r *results) memory(p *plot.Plot) error {
	values, err := r.values("burst.memory")
	if err != nil {
		return err
	}
	for program, of := range values {
		var points plotter.XYs
		for i, v := range of {
			points = append(points, plotter.XY{X: float64(i) * burstStep.Seconds(), Y: v})
		}
		if err := r.addLine(p, program, points); err != nil {
			return err
		}
	}
	p.Y.Max *= 1.2 // for the legend
	return nil
}
