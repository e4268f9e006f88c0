// Package guard keeps a panic from ending the process: Lambda takes the end of
// an extension for a crash and fails the function's invocation.
package guard

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
)

// What is told of a panic is bounded: its text may have been made of a record.
const (
	maxText  = 1 << 10
	maxStack = 4 << 10
)

// Run calls f and reports whether it returned. Where it panics, the log tells
// what was being done, with the stack; what f held by a defer is released.
func Run(log *slog.Logger, what string, f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		// nil is for runtime.Goexit, which nobody here calls.
		p := recover()
		log.Error("a fault in Kinetel; the function runs on", "problem", what, "panic", clip(fmt.Sprint(p), maxText),
			"mend", "please report it, with this line", "stack", clip(string(debug.Stack()), maxStack))
	}()
	f()
	return true
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
