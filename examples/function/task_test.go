package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
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
	done, err := perform(context.Background(), task, streams{&out, &errOut})
	if err != nil || done.Lines != 4 || done.Bytes != int64(errOut.Len()) {
		t.Errorf("done: %+v, %v", done, err)
	}
	task.Sleep = Duration(1 << 40)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := perform(ctx, task, streams{&out, &errOut}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestPayloadProblems(t *testing.T) {
	for _, payload := range []string{`{"linse":1}`, `{"format":"xml"}`, `{"lines":-1}`, `{"sleep":"soon"}`, `[]`} {
		var task Task
		if err := json.Unmarshal([]byte(payload), &task); err == nil {
			t.Errorf("%s was taken", payload)
		}
	}
}
