// Package guard recovers from panics, so that they do not end the process: Lambda
// treats the exit of an extension as a crash and fails the function's invocation.
package guard

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/kinetel/kinetel/internal/logging"
)

// The limits of what is logged of a panic, in bytes. The panic's text may contain a
// record.
const (
	maxText  = 1 << 10
	maxStack = 4 << 10
)

// Run calls f and reports whether it returned. If f panics, Run logs what was being
// done, with the stack. Deferred calls in f run as usual.
func Run(log logging.Logger, what string, f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		// p is nil after runtime.Goexit, which no code here calls.
		p := recover()
		log.Error("a fault in Kinetel; the function runs on", "problem", what, "panic", clip(fmt.Sprint(p), maxText),
			"fix", "please report it, with this line", "stack", clip(string(debug.Stack()), maxStack))
	}()
	f()
	return true
}

// clip shortens a text. What is redacted later must not be cut in two, so the last word
// goes, and numbers before it: they may be groups of one.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = strings.ToValidUTF8(s[:most], "")
	if i := strings.LastIndexAny(s, " \t\n\"'`,;=:()<>{}[]"); i > 0 {
		s = strings.TrimRight(s[:i], "0123456789 ()+-./")
	}
	return s + "…"
}
