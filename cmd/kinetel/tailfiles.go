package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
)

const stdin = "-"

// streamName is what Kinesis accepts as the name of a stream.
var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// fileArguments reports whether the arguments are files; if not, there is one, the name or
// the ARN of a stream.
func fileArguments(args []string) (files bool, err error) {
	for _, arg := range args {
		if arg == stdin {
			continue
		}
		info, err := os.Stat(arg)
		switch {
		case err == nil && info.IsDir():
			return false, fmt.Errorf("%s is a folder: give the files in it", arg)
		case err == nil:
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		case len(args) > 1:
			return false, fmt.Errorf("there is no file %q; if you give several arguments, each must be a file", arg)
		case !strings.HasPrefix(arg, "arn:") && !streamName.MatchString(arg):
			return false, fmt.Errorf("there is no file %q, and it cannot be the name of a stream: that has up to 128 letters, digits, _, . and -", arg)
		default:
			return false, nil
		}
	}
	return true, nil
}

// readEach calls read with each file, one after the other.
func readEach(ctx context.Context, progress *progress, names []string, in io.Reader, read func(name string, in io.Reader) error) error {
	var n atomic.Int64
	defer progress.every(func() string { return fmt.Sprintf("%.1f MB read", float64(n.Load())/1e6) })()
	for _, name := range names {
		if err := readOne(name, in, func(in io.Reader) error { return read(name, &contextReader{ctx: ctx, in: in, read: &n}) }); err != nil {
			return err
		}
	}
	return nil
}

func readOne(name string, in io.Reader, read func(io.Reader) error) error {
	if name != stdin {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	return read(in)
}

// contextReader reads until the context ends, even if a Read of standard input does not
// return.
type contextReader struct {
	ctx    context.Context
	in     io.Reader
	read   *atomic.Int64
	buffer []byte
}

func (r *contextReader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	if len(r.buffer) < len(b) {
		r.buffer = make([]byte, len(b))
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := r.in.Read(r.buffer[:len(b)]) // b may not be used after Read has returned
		done <- result{n, err}
	}()
	select {
	case got := <-done:
		r.read.Add(int64(got.n))
		return copy(b, r.buffer[:got.n]), got.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}
