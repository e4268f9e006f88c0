package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestAContextEndsAReadThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		in, write := io.Pipe()
		ended := make(chan error, 1)
		r := &contextReader{ctx: ctx, in: in, read: &atomic.Int64{}}
		go func() {
			_, err := r.Read(make([]byte, 10))
			ended <- err
		}()
		synctest.Wait() // it reads
		cancel(reason)
		if err := <-ended; !errors.Is(err, reason) {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 10)); !errors.Is(err, reason) {
			t.Errorf("a second read: %v", err)
		}
		_ = write.Close()
	})
}

func TestAContextReaderReadsAll(t *testing.T) {
	var read atomic.Int64
	text := strings.Repeat("0123456789", 1000)
	got, err := io.ReadAll(&contextReader{ctx: t.Context(), in: strings.NewReader(text), read: &read})
	if err != nil || string(got) != text || read.Load() != 10_000 {
		t.Errorf("%d bytes, %d counted, %v", len(got), read.Load(), err)
	}
}
