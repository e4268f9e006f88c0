package terminal_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/test/render/terminal"
)

func TestThePictureHasTheTextInItsColoursAndColumns(t *testing.T) {
	svg, err := terminal.SVG("a <title>", "plain\n\x1b[38;5;32mblue\x1b[0m  \x1b[1;31mred µ\x1b[0m <&> \x1b[2mfaint\x1b[m x  y\n")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(svg), `fill="#0d1117"/>`+"\n")
	const want = `<text x="16.0" y="29" textLength="39.0">plain</text>
<text x="16.0" y="47" textLength="31.2" fill="#0087d7">blue</text>
<text x="62.8" y="47" textLength="39.0" fill="#ff7b72" font-weight="bold">red µ</text>
<text x="109.6" y="47" textLength="23.4">&lt;&amp;&gt;</text>
<text x="140.8" y="47" textLength="39.0" opacity="0.6">faint</text>
<text x="187.6" y="47" textLength="7.8">x</text>
<text x="211.0" y="47" textLength="7.8">y</text>
</svg>
`
	if body != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	if !strings.HasPrefix(string(svg), `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 235 68" width="235" height="68"`) {
		t.Errorf("the size is wrong:\n%s", svg)
	}
	for decoder := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestThePaletteHasTheColoursOfATerminal(t *testing.T) {
	for code, want := range map[string]string{
		"32": "#3fb950", "92": "#56d364", "38;5;2": "#3fb950", "38;5;16": "#000000", "38;5;196": "#ff0000", "38;5;231": "#ffffff", "38;5;244": "#808080",
	} {
		svg, err := terminal.SVG("", "\x1b["+code+"mx")
		if err != nil || !strings.Contains(string(svg), ` fill="`+want+`">x<`) {
			t.Errorf("%s: %v, want %s in\n%s", code, err, want, svg)
		}
	}
}

func TestWhatThePictureCannotShowIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"a movement of the cursor": "a\x1b[2Kb", "a tab": "a\tb", "a carriage return": "a\rb",
		"a tab before a colour": "a\tb\x1b[0m", "an underline": "\x1b[4ma", "a colour without a number": "\x1b[38;5ma", "a colour above 255": "\x1b[38;5;256ma",
	} {
		if svg, err := terminal.SVG("", text); err == nil || !strings.Contains(err.Error(), "line 1: ") {
			t.Errorf("%s: the error is %v, and the picture\n%s", name, err, svg)
		}
	}
}
