// Package terminal draws what a program prints on a terminal.
package terminal

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sizes in pixels. Each character is a cell, also in a font that is wider or narrower.
const (
	cellWidth  = 7.8
	lineHeight = 18
	fontSize   = 13
	margin     = 16
)

const (
	background = "#0d1117"
	foreground = "#d1d7e0"
)

// ansi are the colours 0 to 15 on the background.
var ansi = [16]string{
	"#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4",
	"#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff",
}

// style is how the characters after an escape code look.
type style struct {
	color       string // foreground if empty
	bold, faint bool
}

var escapeCode = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// SVG draws text with escape codes of colours, bold and faint. The title describes the
// picture to a reader that does not see it. Other control characters are an error, because
// the picture would not show what a terminal does.
func SVG(title, text string) ([]byte, error) {
	var body bytes.Buffer
	var s style
	var columns, rows int
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		plain := escapeCode.ReplaceAllString(line, "")
		if i := strings.IndexFunc(plain, unicode.IsControl); i >= 0 {
			return nil, fmt.Errorf("line %d: the picture cannot show %q", rows+1, plain[i:])
		}
		column := 0
		for code := escapeCode.FindStringSubmatchIndex(line); code != nil; code = escapeCode.FindStringSubmatchIndex(line) {
			column = drawRun(&body, line[:code[0]], s, column, rows)
			if err := s.apply(line[code[2]:code[3]]); err != nil {
				return nil, fmt.Errorf("line %d: %w", rows+1, err)
			}
			line = line[code[1]:]
		}
		column = drawRun(&body, line, s, column, rows)
		columns, rows = max(columns, column), rows+1
	}
	width, height := float64(columns)*cellWidth+2*margin, rows*lineHeight+2*margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="%d" fill="%s">
<title>%s</title>
<rect width="100%%" height="100%%" rx="8" fill="%s"/>
`, width, height, width, height, fontSize, foreground, escape(title), background)
	b.Write(body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// drawRun writes the words of a run in one style, and returns the column after it. Spaces
// between columns of a table are not written.
func drawRun(b *bytes.Buffer, run string, s style, column, row int) int {
	for _, word := range regexp.MustCompile(`\S+( \S+)*`).FindAllStringIndex(run, -1) {
		text := run[word[0]:word[1]]
		at := column + utf8.RuneCountInString(run[:word[0]])
		fmt.Fprintf(b, `<text x="%.1f" y="%d" textLength="%.1f"`, margin+float64(at)*cellWidth, margin+row*lineHeight+fontSize, float64(utf8.RuneCountInString(text))*cellWidth)
		if s.color != "" {
			fmt.Fprintf(b, ` fill="%s"`, s.color)
		}
		if s.bold {
			b.WriteString(` font-weight="bold"`)
		}
		if s.faint {
			b.WriteString(` opacity="0.6"`)
		}
		fmt.Fprintf(b, ">%s</text>\n", escape(text))
	}
	return column + utf8.RuneCountInString(run)
}

// apply changes the style as the numbers of an escape code say.
func (s *style) apply(code string) error {
	numbers := strings.Split(code, ";")
	for i := 0; i < len(numbers); i++ {
		n, _ := strconv.Atoi(numbers[i]) // nothing is 0
		switch {
		case n == 0:
			*s = style{}
		case n == 1:
			s.bold = true
		case n == 2:
			s.faint = true
		case n >= 30 && n <= 37:
			s.color = ansi[n-30]
		case n == 39:
			s.color = ""
		case n >= 90 && n <= 97:
			s.color = ansi[n-90+8]
		case n == 38 && i+2 < len(numbers) && numbers[i+1] == "5":
			color, err := strconv.ParseUint(numbers[i+2], 10, 8)
			if err != nil {
				return fmt.Errorf("the picture does not know the escape code %q", code)
			}
			s.color = color256(int(color))
			i += 2
		default:
			return fmt.Errorf("the picture does not know the escape code %q", code)
		}
	}
	return nil
}

// color256 returns a colour of the palette of 256: 16 colours, a cube of 6×6×6, and greys.
func color256(n int) string {
	switch {
	case n < 16:
		return ansi[n]
	case n >= 232:
		grey := 8 + 10*(n-232)
		return fmt.Sprintf("#%02x%02x%02x", grey, grey, grey)
	}
	level := [6]int{0, 95, 135, 175, 215, 255}
	n -= 16
	return fmt.Sprintf("#%02x%02x%02x", level[n/36], level[n/6%6], level[n%6])
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // to memory
	return b.String()
}
