// Package selflog is the extension's own log: JSON lines, told apart from the
// function's by a member. A problem that comes again and again is written now
// and then and counted in between, because every line costs the function's
// owner money, and because with the telemetry type extension the lines come
// back as events: a line an event would never end (AWS documentation, Telemetry
// API).
package selflog

import (
	"context"
	"io"
	"log/slog"
	"time"
)

const (
	nameKey   = "logger"
	nameValue = "kinetel"

	repeatedKey = "repeated"
	othersKey   = "repeated_others"
)

// Log writes lines to one writer and knows what it has held back.
type Log struct {
	base     slog.Handler // without attributes but the name
	problems problems
}

// New returns a Log that writes lines of a level and above. It writes each line
// in one call of Write and takes no notice of its error: there is nobody to tell.
func New(w io.Writer, level slog.Level) *Log {
	base := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return &Log{base: base.WithAttrs([]slog.Attr{slog.String(nameKey, nameValue)})}
}

// Logger returns the logger that the extension uses. Its lines are slog's, with
// "logger":"kinetel" as the first attribute; that name is taken.
//
// A line of Warn and above is a problem. It is known by its level, its message
// and its attributes "class" and "problem"; what else it tells may differ. A
// problem is written at most once in ten minutes. The line that is written next
// has "repeated", the number of lines that were held back since the last one.
// Where so many problems come that some are forgotten, the line that made one be
// forgotten has "repeated_others", the number of that one's lines that nobody
// was told of.
func (l *Log) Logger() *slog.Logger { return slog.New(&handler{log: l, next: l.base}) }

// Close tells how often problems came that were held back and that no line has
// told of yet, if there are any, in one line of level Warn. The Log goes on to
// work, and the next Close tells what came after this one.
func (l *Log) Close() {
	total, told, others := l.problems.untold()
	if total == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "problems that were told before came again", 0)
	r.AddAttrs(slog.Int(repeatedKey, total), slog.Any("problems", told))
	if others > 0 {
		r.AddAttrs(slog.Int(othersKey, others))
	}
	_ = l.base.Handle(context.Background(), r) // whatever the level: it may count lines of Error
}

// handler is a slog.Handler before slog's own, which all loggers of a Log share
// their problems by.
type handler struct {
	log            *Log
	next           slog.Handler
	class, problem string                            // of With
	derive         []func(slog.Handler) slog.Handler // what made next of log.base
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.next.Handle(ctx, r)
	}
	p := problem{level: r.Level, message: clip(r.Message), class: h.class, problem: h.problem}
	r.Attrs(func(a slog.Attr) bool {
		p.name(a)
		return true
	})
	write, repeated, others := h.log.problems.seen(p)
	if !write {
		return nil
	}
	// No lock of ours is held here: a writer that is stuck keeps lines from
	// being written, not from being counted.
	return h.counted(repeated, others).Handle(ctx, r)
}

// counted returns next with counts as attributes beside the name, outside of any
// group.
func (h *handler) counted(repeated, others int) slog.Handler {
	var counts []slog.Attr
	if repeated > 0 {
		counts = append(counts, slog.Int(repeatedKey, repeated))
	}
	if others > 0 {
		counts = append(counts, slog.Int(othersKey, others))
	}
	if counts == nil {
		return h.next
	}
	next := h.log.base.WithAttrs(counts)
	for _, f := range h.derive {
		next = f(next)
	}
	return next
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	p := problem{class: h.class, problem: h.problem}
	for _, a := range attrs {
		p.name(a)
	}
	with := h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
	with.class, with.problem = p.class, p.problem
	return with
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h // as slog demands
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *handler) with(f func(slog.Handler) slog.Handler) *handler {
	with := *h
	with.next = f(h.next)
	with.derive = append(h.derive[:len(h.derive):len(h.derive)], f)
	return &with
}
