package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Task is the payload. What it asks for happens in the order of the fields:
// first the lines, then memory and time, then the end.
type Task struct {
	// ID begins every line; the request id where it is empty.
	ID string `json:"id"`
	// Lines is how many lines to write.
	Lines int `json:"lines"`
	// Format is "text" (default), "json", or "mixed": one of each in turn.
	Format string `json:"format"`
	// Bytes pads each line to this size (without its newline).
	Bytes int `json:"bytes"`
	// Stderr writes to standard error instead of standard output.
	Stderr bool `json:"stderr"`
	// Multiline adds one text of three lines, as a stack trace has.
	Multiline bool `json:"multiline"`
	// InvalidUTF8 adds one line with bytes that are no UTF-8.
	InvalidUTF8 bool `json:"invalidUTF8"`
	// NoNewline adds one last text without a newline at its end. Lambda shows
	// it when a newline comes, with what a later invocation writes.
	NoNewline bool `json:"noNewline"`
	// Every writes the lines out one at a time, this far apart; without it
	// they leave in one go.
	Every Duration `json:"every"`
	// MemoryMB is touched and kept until the invocation ends.
	MemoryMB int `json:"memoryMB"`
	// Sleep is how long the function then works.
	Sleep Duration `json:"sleep"`
	// Chunks streams the response, as this many lines "run-1 chunk 7". An Error
	// then ends it.
	Chunks int `json:"chunks"`
	// ChunkEvery is how far apart they are.
	ChunkEvery Duration `json:"chunkEvery"`
	// AfterResponse goes on writing this many lines in the background, 1 ms
	// apart, after the response was given. The freeze interrupts it.
	AfterResponse int `json:"afterResponse"`
	// Hang never returns: the function's time-out ends it.
	Hang bool `json:"hang"`
	// Exit ends the process with this code.
	Exit *int `json:"exit"`
	// Panic panics.
	Panic bool `json:"panic"`
	// Error is returned as the function's error.
	Error string `json:"error"`
}

// Done is the response.
type Done struct {
	ID    string `json:"id"`
	Lines int    `json:"lines"`
	Bytes int64  `json:"bytes"`
}

// UnmarshalJSON refuses unknown keys, because a misspelt one would silently
// test nothing. An empty payload, null or {} asks for nothing.
func (t *Task) UnmarshalJSON(data []byte) error {
	type plain Task
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode((*plain)(t)); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	switch t.Format {
	case "", "text", "json", "mixed":
	default:
		return fmt.Errorf("payload: format is %q, want text, json or mixed", t.Format)
	}
	if t.Lines < 0 || t.Bytes < 0 || t.MemoryMB < 0 || t.Chunks < 0 || t.AfterResponse < 0 {
		return errors.New("payload: lines, bytes, memoryMB, chunks and afterResponse must not be negative")
	}
	return nil
}

// Duration is written as Go writes it: "20ms".
type Duration time.Duration

// UnmarshalText parses "20ms".
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

// streams is where a task writes to.
type streams struct{ out, err io.Writer }

func output() streams { return streams{out: os.Stdout, err: os.Stderr} }

// perform executes the task. It returns a Done, or a reader of the
// streamed response.
func perform(ctx context.Context, task Task, to streams) (any, error) {
	if task.ID == "" {
		if lc, ok := lambdacontext.FromContext(ctx); ok {
			task.ID = lc.AwsRequestID
		}
	}
	target := to.out
	if task.Stderr {
		target = to.err
	}
	lines := &lineWriter{task: task, to: bufio.NewWriterSize(target, 256<<10)}
	if err := lines.writeAll(); err != nil {
		return nil, fmt.Errorf("write lines: %w", err)
	}

	ballast := touch(task.MemoryMB)
	if task.Sleep > 0 {
		if err := pause(ctx, time.Duration(task.Sleep)); err != nil {
			return nil, err
		}
	}
	clear(ballast)

	if task.AfterResponse > 0 {
		go writeLater(task, target)
	}
	switch {
	case task.Hang:
		// Not even the context's end is heeded: that is what hanging means.
		<-make(chan struct{})
	case task.Exit != nil:
		os.Exit(*task.Exit)
	case task.Panic:
		panic("asked to panic")
	case task.Chunks > 0:
		return &chunks{ctx: ctx, task: task}, nil
	case task.Error != "":
		return nil, errors.New(task.Error)
	}
	return Done{ID: task.ID, Lines: lines.count, Bytes: lines.bytes}, nil
}

// lineWriter makes unique lines. It appends into one slice, because 100,000
// lines should cost the function little.
type lineWriter struct {
	task  Task
	to    *bufio.Writer
	line  []byte
	count int
	bytes int64
}

func (w *lineWriter) writeAll() error {
	for i := range w.task.Lines {
		asJSON := w.task.Format == "json" || w.task.Format == "mixed" && i%2 == 1
		w.line = appendLine(w.line[:0], w.task.ID, i+1, w.task.Bytes, asJSON)
		w.line = append(w.line, '\n')
		if err := w.write(1); err != nil {
			return err
		}
		if w.task.Every > 0 {
			if err := w.to.Flush(); err != nil {
				return err
			}
			if err := pause(context.Background(), time.Duration(w.task.Every)); err != nil {
				return err
			}
		}
	}
	if w.task.Multiline {
		w.line = fmt.Appendf(w.line[:0], "%s trace: something failed\n\tat first (main.go:1)\n\tat second (main.go:2)\n", w.task.ID)
		if err := w.write(3); err != nil {
			return err
		}
	}
	if w.task.InvalidUTF8 {
		w.line = fmt.Appendf(w.line[:0], "%s invalid \xff\xfe\xc3\x28 end\n", w.task.ID)
		if err := w.write(1); err != nil {
			return err
		}
	}
	if w.task.NoNewline {
		w.line = fmt.Appendf(w.line[:0], "%s no newline", w.task.ID)
		if err := w.write(0); err != nil {
			return err
		}
	}
	return w.to.Flush()
}

// write writes what is in w.line. A line goes out in one piece, because other
// invocations write to the same stream.
func (w *lineWriter) write(lines int) error {
	if w.to.Available() < len(w.line) {
		if err := w.to.Flush(); err != nil {
			return err
		}
	}
	n, err := w.to.Write(w.line)
	w.bytes += int64(n)
	w.count += lines
	return err
}

// padding is what long lines are filled with; it has no character that JSON
// would escape, so a line's size is the same in text and inside a JSON string.
const padding = "the quick brown fox jumps over the lazy dog "

// appendLine appends the line with the given number, without its newline. The
// text form is "run-1 line 7 pad…", the JSON form
// {"level":"INFO","id":"run-1","line":7,"message":"pad…"}.
func appendLine(dst []byte, id string, number, size int, asJSON bool) []byte {
	start := len(dst)
	end := ""
	if asJSON {
		dst = append(dst, `{"level":"INFO","id":`...)
		dst = strconv.AppendQuote(dst, id)
		dst = append(dst, `,"line":`...)
		dst = strconv.AppendInt(dst, int64(number), 10)
		dst = append(dst, `,"message":"hello `...)
		end = `"}`
	} else {
		dst = append(dst, id...)
		dst = append(dst, " line "...)
		dst = strconv.AppendInt(dst, int64(number), 10)
		dst = append(dst, " hello "...)
	}
	missing := size - (len(dst) - start) - len(end)
	for missing > 0 {
		n := min(missing, len(padding))
		dst = append(dst, padding[:n]...)
		missing -= n
	}
	return append(dst, end...)
}

// chunks is a streamed response: every Read gives one line, when it is time.
type chunks struct {
	ctx   context.Context
	task  Task
	count int
	rest  []byte
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.count == c.task.Chunks {
			if c.task.Error != "" {
				return 0, errors.New(c.task.Error)
			}
			return 0, io.EOF
		}
		if c.count > 0 {
			if err := pause(c.ctx, time.Duration(c.task.ChunkEvery)); err != nil {
				return 0, err
			}
		}
		c.count++
		c.rest = fmt.Appendf(nil, "%s chunk %d\n", c.task.ID, c.count)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// writeLater writes lines when the response was already given. A line is
// unbuffered here: the freeze may come between any two.
func writeLater(task Task, to io.Writer) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range task.AfterResponse {
		<-tick.C
		var b strings.Builder
		fmt.Fprintf(&b, "%s after %d\n", task.ID, i+1)
		if _, err := io.WriteString(to, b.String()); err != nil {
			return
		}
	}
}

// touch makes the process as large as asked: memory counts when it is written.
func touch(megabytes int) []byte {
	ballast := make([]byte, megabytes<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	return ballast
}

// pause waits, but not past the end of the invocation.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
