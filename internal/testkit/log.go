package testkit

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Log is a text that a process or a goroutine writes while the test reads it.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends to the text.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns the text so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Entries is a slog.Handler that stores what is logged. It ignores groups and With.
type Entries struct {
	mu  sync.Mutex
	all []Entry
}

// Entry is one call of a logger.
type Entry struct {
	Level   slog.Level
	Message string
	Attrs   map[string]any
}

// Enabled implements slog.Handler: all levels are stored.
func (*Entries) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (e *Entries) WithAttrs([]slog.Attr) slog.Handler { return e }

// WithGroup implements slog.Handler.
func (e *Entries) WithGroup(string) slog.Handler { return e }

// Handle implements slog.Handler.
func (e *Entries) Handle(_ context.Context, r slog.Record) error {
	one := Entry{r.Level, r.Message, map[string]any{}}
	r.Attrs(func(a slog.Attr) bool {
		one.Attrs[a.Key] = a.Value.Any()
		return true
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
	return nil
}

// Find returns the entries of at least this level whose message has the prefix.
func (e *Entries) Find(level slog.Level, prefix string) []Entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.all), func(one Entry) bool {
		return one.Level < level || !strings.HasPrefix(one.Message, prefix)
	})
}
