package main

import (
	"fmt"
	"io"
	"os"
)

// progressLine returns functions that write what is being done, and clear the line, if
// w is a terminal.
func progressLine(w io.Writer) (begin func(what string), end func()) {
	const clear = "\r\x1b[K"
	if file, ok := w.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return func(what string) { fmt.Fprint(file, clear, what) }, func() { fmt.Fprint(file, clear) }
		}
	}
	return func(string) {}, func() {}
}
