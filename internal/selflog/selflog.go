// Package selflog is the extension's own log: JSON lines with a member that
// distinguishes them from the function's. A problem that repeats is written once
// in a while and counted in between. There are two reasons: every line costs the
// function's owner money, and with the telemetry type extension the lines come back
// as events, so a line for each event would be an endless loop (AWS documentation,
// Telemetry API).
package selflog

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/logging"
)

const (
	nameKey   = "logger"
	nameValue = "kinetel"
)

// Log writes lines to one writer and counts the lines that it suppresses. It is safe
// for concurrent use.
//
// A line is what slog's JSONHandler writes, with "logger":"kinetel" as the first
// attribute; that name is reserved.
//
// A line of Warn and above is a problem. Its level, its message and its attributes
// "class" and "problem" identify the problem; other attributes may differ. A
// problem is written at most once in ten minutes. Its next line has "repeated", the
// number of lines that were suppressed since the last one. If there are too many
// problems, the Log forgets the one seen longest ago; the line for which it was
// forgotten has "repeated_others", the number of its suppressed lines that were not
// reported yet.
type Log struct {
	level    logging.Level
	problems problems

	mu sync.Mutex // held while a line is written
	w  io.Writer
}

// New returns a Log that writes lines of a level and above. It writes each line
// in one call of Write and ignores the error: there is no place to report it.
func New(w io.Writer, level logging.Level) *Log { return &Log{level: level, w: w} }

// Debug writes a line of that level.
func (l *Log) Debug(message string, args ...any) { l.log(logging.LevelDebug, message, args) }

// Info writes a line of that level.
func (l *Log) Info(message string, args ...any) { l.log(logging.LevelInfo, message, args) }

// Warn writes or counts a line of that level.
func (l *Log) Warn(message string, args ...any) { l.log(logging.LevelWarn, message, args) }

// Error writes or counts a line of that level.
func (l *Log) Error(message string, args ...any) { l.log(logging.LevelError, message, args) }

// Close reports the suppressed lines that no line has reported yet, if there are
// any, by problem in one line of level Warn. The Log stays usable: the next Close
// reports the lines after this one.
func (l *Log) Close() {
	total, summaries, others := l.problems.summarize()
	if total > 0 { // even if the level is above Warn: the lines may be of level Error
		l.write(logging.LevelWarn, "problems that were logged before occurred again", total, others, []any{"problems", summaries})
	}
}

func (l *Log) log(level logging.Level, message string, args []any) {
	if level < l.level {
		return
	}
	var repeated, others int
	if level >= logging.LevelWarn {
		p := problem{Level: level, Message: clip(message)}
		attributes(args, func(name string, value any) {
			switch name {
			case "class":
				p.Class = clip(fmt.Sprint(value))
			case "problem":
				p.Problem = clip(fmt.Sprint(value))
			}
		})
		var write bool
		if write, repeated, others = l.problems.seen(p); !write {
			return
		}
	}
	// The lock of problems is not held here: a writer that blocks keeps lines from
	// being written, but not from being counted.
	l.write(level, message, repeated, others, args)
}

func (l *Log) write(level logging.Level, message string, repeated, others int, args []any) {
	var o jsontext.Object
	o.String("time", time.Now().Format(time.RFC3339Nano))
	o.String("level", level.String())
	o.String("msg", message)
	o.String(nameKey, nameValue)
	o.OmitEmpty = true
	o.Int("repeated", int64(repeated))
	o.Int("repeated_others", int64(others))
	o.OmitEmpty = false
	attributes(args, func(name string, value any) { add(&o, name, value) })
	line := append(o.JSON(), '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(line)
}

// attributes calls f for each name and its value in args. A value without a name has the
// one that slog gives it.
func attributes(args []any, f func(name string, value any)) {
	for len(args) > 0 {
		name, ok := args[0].(string)
		if !ok || len(args) == 1 {
			f("!BADKEY", args[0])
			args = args[1:]
			continue
		}
		f(name, args[1])
		args = args[2:]
	}
}

// add adds an attribute. Values of other types than the extension logs become text.
func add(o *jsontext.Object, name string, value any) {
	switch v := value.(type) {
	case int:
		o.Int(name, int64(v))
	case int64:
		o.Int(name, v)
	case uint64:
		o.Uint(name, v)
	case bool:
		o.Bool(name, v)
	case []string:
		o.Strings(name, v)
	case json.RawMessage:
		o.Raw(name, v)
	default:
		o.String(name, fmt.Sprint(v))
	}
}
