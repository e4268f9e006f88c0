// Package render writes the results of simulations: numbers for tables, and pictures.
package render

import (
	"os"
	"strconv"

	"gonum.org/v1/plot/vg/vgimg"
)

// Significant writes a number with two digits, or all those before the point.
func Significant(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < 0.995:
		return strconv.FormatFloat(n, 'f', 2, 64)
	case n < 9.95:
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// PNG writes a picture.
func PNG(file string, canvas *vgimg.Canvas) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
