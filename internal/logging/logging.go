// Package logging is how the packages of the extension log. They do not import log/slog:
// its default handler brings the encoder of encoding/json into every binary
// (docs/adr/0015-no-encoding-json.md).
package logging

// Logger writes lines with a message and attributes: args are names and values in turn.
// *slog.Logger is one, and so is *selflog.Log. It is safe for concurrent use.
type Logger interface {
	Debug(message string, args ...any)
	Info(message string, args ...any)
	Warn(message string, args ...any)
	Error(message string, args ...any)
}

// Level is the importance of a line.
type Level int

// The levels, in ascending order.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// String returns the level as lines have it.
func (l Level) String() string { return [...]string{"DEBUG", "INFO", "WARN", "ERROR"}[l] }

// With returns a Logger that writes args before those of each line.
func With(log Logger, args ...any) Logger { return with{log, args} }

type with struct {
	log  Logger
	args []any
}

func (w with) Debug(message string, args ...any) { w.log.Debug(message, w.all(args)...) }
func (w with) Info(message string, args ...any)  { w.log.Info(message, w.all(args)...) }
func (w with) Warn(message string, args ...any)  { w.log.Warn(message, w.all(args)...) }
func (w with) Error(message string, args ...any) { w.log.Error(message, w.all(args)...) }

func (w with) all(args []any) []any { return append(w.args[:len(w.args):len(w.args)], args...) }
