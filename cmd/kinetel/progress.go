package main

import (
	"io"
	"os"
	"sync"
	"time"
)

// progress is a line on standard error that is written again and again. If that is not a
// terminal, nothing is written.
type progress struct {
	terminal io.Writer // nil: none

	mu    sync.Mutex // guards shown, and orders what is written
	shown bool
}

func newProgress(stderr io.Writer) *progress {
	if !isTerminal(stderr) {
		stderr = nil
	}
	return &progress{terminal: stderr}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const clearLine = "\r\x1b[K"

// show replaces the line. The text must have no control characters.
func (p *progress) show(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal != nil {
		_, _ = io.WriteString(p.terminal, clearLine+line)
		p.shown = true
	}
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
}

func (p *progress) clearLocked() {
	if p.shown {
		_, _ = io.WriteString(p.terminal, clearLine)
		p.shown = false
	}
}

// every shows a line every second, and clears it when the returned function is called.
func (p *progress) every(line func() string) (end func()) { return p.repeat(time.Second, line) }

// repeat is every with another interval.
func (p *progress) repeat(interval time.Duration, line func() string) (end func()) {
	if p.terminal == nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.show(line())
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		p.clear()
	}
}

// before returns a writer that clears the line before it writes: w may be the same
// terminal.
func (p *progress) before(w io.Writer) io.Writer { return clearingWriter{p, w} }

type clearingWriter struct {
	*progress
	w io.Writer
}

func (c clearingWriter) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clearLocked()
	return c.w.Write(b)
}
