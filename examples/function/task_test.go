package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestLines(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		for _, size := range []int{0, 10, 100, 60000} {
			line := appendLine(nil, `a"b`, 7, size, asJSON)
			if asJSON && !json.Valid(line) {
				t.Errorf("not JSON: %s", line)
			}
			if size >= 100 && len(line) != size {
				t.Errorf("%d bytes, want %d", len(line), size)
			}
		}
	}
}

func TestPerform(t *testing.T) {
	var out, errOut bytes.Buffer
	var task Task
	if err := json.Unmarshal([]byte(`{"id":"x","lines":3,"format":"mixed","multiline":true,"sleep":"1ms","memoryMB":1,"error":"no"}`), &task); err != nil {
		t.Fatal(err)
	}
	if _, err := perform(context.Background(), task, streams{&out, &errOut}); err == nil || err.Error() != "no" {
		t.Errorf("error: %v", err)
	}
	if got := strings.Count(out.String(), "\n"); got != 6 || errOut.Len() > 0 {
		t.Errorf("%d lines:\n%s%s", got, &out, &errOut)
	}
	task.Error, task.Stderr, task.Lines = "", true, 1
	answer, err := perform(context.Background(), task, streams{&out, &errOut})
	if done, ok := answer.(Done); err != nil || !ok || done.Lines != 4 || done.Bytes != int64(errOut.Len()) {
		t.Errorf("done: %+v, %v", answer, err)
	}
	task.Sleep = Duration(1 << 40)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := perform(ctx, task, streams{&out, &errOut}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestPayloadProblems(t *testing.T) {
	for _, payload := range []string{`{"linse":1}`, `{"format":"xml"}`, `{"lines":-1}`, `{"chunks":-1}`, `{"sleep":"soon"}`, `[]`} {
		var task Task
		if err := json.Unmarshal([]byte(payload), &task); err == nil {
			t.Errorf("%s was taken", payload)
		}
	}
}

func TestChunks(t *testing.T) {
	for _, end := range []string{"", "out of beans"} {
		answer, err := perform(t.Context(), Task{ID: "x", Chunks: 3, ChunkEvery: Duration(time.Millisecond), Error: end}, streams{io.Discard, io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(iotest.OneByteReader(answer.(io.Reader)))
		if (err != nil) != (end != "") || err != nil && err.Error() != end {
			t.Errorf("it ends with %v, want %q", err, end)
		}
		if want := "x chunk 1\nx chunk 2\nx chunk 3\n"; string(got) != want {
			t.Errorf("chunks: %q", got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := io.ReadAll(&chunks{ctx: ctx, task: Task{Chunks: 2, ChunkEvery: Duration(time.Hour)}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled stream ends with %v", err)
	}
}

// oneWrite is a stream on which others write, too: whatever comes in one Write
// must be whole lines.
type oneWrite struct{ t *testing.T }

func (w oneWrite) Write(p []byte) (int, error) {
	if !bytes.HasSuffix(p, []byte("\n")) {
		w.t.Errorf("%d bytes were written that end within a line", len(p))
	}
	return len(p), nil
}

func TestLinesAreWrittenWhole(t *testing.T) {
	for _, size := range []int{100, 1000, 300_000} {
		if _, err := perform(t.Context(), Task{ID: "x", Lines: 1000_000 / size, Bytes: size}, streams{oneWrite{t}, io.Discard}); err != nil {
			t.Fatal(err)
		}
	}
}
