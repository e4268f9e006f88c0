// Package selflog is the extension's own log: JSON lines with a member that
// distinguishes them from the function's. A problem that repeats is written once
// in a while and counted in between. There are two reasons: every line costs the
// function's owner money, and with the telemetry type extension the lines come back
// as events, so a line for each event would be an endless loop (AWS documentation,
// Telemetry API).
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

// Log writes lines to one writer and counts the lines that it suppresses.
type Log struct {
	base     slog.Handler // with the name as its only attribute
	problems problems
}

// New returns a Log that writes lines of a level and above. It writes each line
// in one call of Write and ignores the error: there is no place to report it.
func New(w io.Writer, level slog.Level) *Log {
	base := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return &Log{base: base.WithAttrs([]slog.Attr{slog.String(nameKey, nameValue)})}
}

// Logger returns the logger that the extension uses. Its lines are slog's, with
// "logger":"kinetel" as the first attribute; that name is reserved.
//
// A line of Warn and above is a problem. Its level, its message and its attributes
// "class" and "problem" identify the problem; other attributes may differ. A
// problem is written at most once in ten minutes. Its next line has "repeated", the
// number of lines that were suppressed since the last one. If there are too many
// problems, the Log forgets the one seen longest ago; the line for which it was
// forgotten has "repeated_others", the number of its suppressed lines that were not
// reported yet.
func (l *Log) Logger() *slog.Logger { return slog.New(&handler{log: l, next: l.base}) }

// Close reports the suppressed lines that no line has reported yet, if there are
// any, by problem in one line of level Warn. The Log stays usable: the next Close
// reports the lines after this one.
func (l *Log) Close() {
	total, summaries, others := l.problems.summarize()
	if total == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "problems that were logged before occurred again", 0)
	r.AddAttrs(slog.Int(repeatedKey, total), slog.Any("problems", summaries))
	if others > 0 {
		r.AddAttrs(slog.Int(othersKey, others))
	}
	_ = l.base.Handle(context.Background(), r) // even if the level is above Warn: the lines may be of level Error
}

// handler is the slog.Handler of all loggers of a Log, in front of slog's own. The
// handlers of a Log share its problems.
type handler struct {
	log            *Log
	next           slog.Handler
	class, problem string                            // from the attributes of Logger.With
	derive         []func(slog.Handler) slog.Handler // the steps that made next from log.base
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.next.Handle(ctx, r)
	}
	p := problem{r.Level, clip(r.Message), h.class, h.problem}
	r.Attrs(func(a slog.Attr) bool {
		p.name(a)
		return true
	})
	write, repeated, others := h.log.problems.seen(p)
	if !write {
		return nil
	}
	// The lock of problems is not held here: a writer that blocks keeps lines from
	// being written, but not from being counted.
	return h.counted(repeated, others).Handle(ctx, r)
}

// counted returns next with the counts as attributes next to the name, outside of
// any group.
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
	p := problem{Class: h.class, Problem: h.problem}
	for _, a := range attrs {
		p.name(a)
	}
	with := h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
	with.class, with.problem = p.Class, p.Problem
	return with
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h // as slog demands
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

// with returns a copy of h with f applied to its next handler.
func (h *handler) with(f func(slog.Handler) slog.Handler) *handler {
	with := *h
	with.next = f(h.next)
	with.derive = append(h.derive[:len(h.derive):len(h.derive)], f)
	return &with
}
