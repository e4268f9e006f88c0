package guard_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/kinetel/kinetel/internal/guard"
)

// logLine is the log line of a fault.
type logLine struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
	Problem string `json:"problem"`
	Panic   string `json:"panic"`
	Fix     string `json:"fix"`
	Stack   string `json:"stack"`
}

// run runs f under guard, and returns the result and the log. A panic that guard does
// not recover fails the test.
func run(t *testing.T, what string, f func()) (ok bool, lines []logLine) {
	t.Helper()
	var log bytes.Buffer
	ok = guard.Run(slog.New(slog.NewJSONHandler(&log, nil)), what, f)
	for line := range bytes.Lines(log.Bytes()) {
		var one logLine
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, one)
	}
	return ok, lines
}

func TestAFunctionThatReturnsIsNotLogged(t *testing.T) {
	ran := 0
	ok, lines := run(t, "work", func() { ran++ })
	if !ok || ran != 1 || len(lines) > 0 {
		t.Errorf("ok: %t, ran %d times, logged %v", ok, ran, lines)
	}
}

// textless panics when its text is requested.
type textless struct{}

func (textless) Error() string { panic("no text") }

func TestAPanicIsLoggedAndGoesNoFurther(t *testing.T) {
	var (
		list  []int
		table map[string]int
		none  *logLine
		zero  int
		shape any = "text"
	)
	for _, tt := range []struct {
		name  string
		panic func()
		text  string
	}{
		{"text", func() { panic("out of order") }, "out of order"},
		{"an error", func() { panic(errors.New("no disk")) }, "no disk"},
		{"a number", func() { panic(7) }, "7"},
		{"nothing", func() { panic(nil) }, "nil"},
		{"an error that has no text", func() { panic(textless{}) }, "PANIC"},
		{"an index out of range", func() { list[zero] = 1 }, "index out of range"},
		{"a map that is nil", func() { table["a"] = 1 }, "nil map"},
		{"a nil pointer", func() { none.Stack = "" }, "nil pointer"},
		{"a division by zero", func() { zero /= zero }, "divide by zero"},
		{"another type", func() { _ = shape.(int) }, "interface conversion"},
		{"a channel that is closed twice", func() { c := make(chan int); close(c); close(c) }, "close of closed channel"},
		{"a panic in a defer of a panic", func() { defer func() { panic("second") }(); panic("first") }, "second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ok, lines := run(t, "count to three", tt.panic)
			if ok {
				t.Error("it is reported as returned")
			}
			if len(lines) != 1 {
				t.Fatalf("logged %v", lines)
			}
			line := lines[0]
			if line.Level != "ERROR" || line.Message != "a fault in Kinetel; the function runs on" || line.Problem != "count to three" || line.Fix == "" {
				t.Errorf("the log has %+v", line)
			}
			if !strings.Contains(line.Panic, tt.text) {
				t.Errorf("the panic is logged as %q, want %q in it", line.Panic, tt.text)
			}
			// The fault is in this function.
			if !strings.Contains(line.Stack, "TestAPanicIsLoggedAndGoesNoFurther") || !strings.Contains(line.Stack, "guard_test.go:") {
				t.Errorf("the stack does not show where it was: %s", line.Stack)
			}
		})
	}
}

// deep panics below many stack frames.
func deep(n int) int {
	if n == 0 {
		bottom()
	}
	return deep(n-1) + 1
}

func bottom() { panic("deep") }

func TestTheStackIsBounded(t *testing.T) {
	_, lines := run(t, "dig", func() { deep(1000) })
	if len(lines) != 1 {
		t.Fatalf("logged %v", lines)
	}
	stack := lines[0].Stack
	if len(stack) < 1<<10 || len(stack) > 4<<10+len("…") {
		t.Errorf("the stack is logged in %d bytes", len(stack))
	}
	// The log has the end of the stack where the fault is.
	if !strings.Contains(stack, "guard_test.bottom") {
		t.Errorf("the stack does not show where it was: %s", stack)
	}
}

// A panic's text may contain the function's telemetry.
func TestThePanicsTextIsBounded(t *testing.T) {
	for _, long := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 1<<19)} {
		_, lines := run(t, "shout", func() { panic(long) })
		if len(lines) != 1 {
			t.Fatalf("logged %d lines", len(lines))
		}
		if n := len(lines[0].Panic); n < 256 || n > 8<<10 {
			t.Errorf("the panic is logged in %d bytes", n)
		}
		if !strings.HasPrefix(long, strings.TrimRight(lines[0].Panic, "…")) {
			t.Errorf("the panic is logged as %.20q…%.20q", lines[0].Panic, lines[0].Panic[max(0, len(lines[0].Panic)-20):])
		}
	}
}

// The log is redacted afterwards, which does not find half a value.
func TestNoValueOfAPanicIsCutInTwo(t *testing.T) {
	for _, value := range []string{"jane.doe@example.com", "4111 1111 1111 1111", "+49 (30) 123456", "postgres://app:qqqqqqqq@db/x", `{"password":"qqqqqqqq"}`, "DE89370400440532013000"} {
		for before := range 64 {
			text := strings.Repeat("x", 1<<10-before) + " " + value + " " + strings.Repeat("y ", 100)
			_, lines := run(t, "shout", func() { panic(text) })
			got := strings.TrimSuffix(strings.TrimLeft(lines[0].Panic, "x"), "…")
			n := strings.Count(got, "q")
			if !strings.Contains(got, value) && strings.ContainsAny(got, "1234567890@") || n > 0 && n < 8 {
				t.Fatalf("of %q, the log has %q", value, got)
			}
		}
	}
}

func TestDeferredCallsRun(t *testing.T) {
	var mu sync.Mutex
	for range 2 {
		ok, _ := run(t, "lock", func() {
			mu.Lock()
			defer mu.Unlock()
			panic("locked")
		})
		if ok || !mu.TryLock() {
			t.Fatalf("ok: %t; the lock is not free", ok)
		}
		mu.Unlock()
	}
}

func TestGuardsInGuards(t *testing.T) {
	t.Run("the inner one keeps it from the outer one", func(t *testing.T) {
		inner := true
		ok, lines := run(t, "outer", func() {
			inner, _ = run(t, "inner", func() { panic("inside") })
		})
		if !ok || inner || len(lines) > 0 {
			t.Errorf("outer ok: %t, inner ok: %t; the outer one logs %v", ok, inner, lines)
		}
	})
	t.Run("what panics afterwards is the outer one's", func(t *testing.T) {
		var inside []logLine
		ok, lines := run(t, "outer", func() {
			_, inside = run(t, "inner", func() { panic("inside") })
			panic("outside")
		})
		if ok || len(lines) != 1 || lines[0].Problem != "outer" || lines[0].Panic != "outside" {
			t.Errorf("outer ok: %t, it logs %v", ok, lines)
		}
		if len(inside) != 1 || inside[0].Problem != "inner" || inside[0].Panic != "inside" {
			t.Errorf("the inner one logs %v", inside)
		}
	})
	t.Run("in a defer of what panics", func(t *testing.T) {
		cleaned := false
		ok, lines := run(t, "outer", func() {
			defer func() { _, _ = run(t, "inner", func() { cleaned = true; panic("cleaning") }) }()
			panic("outside")
		})
		if ok || !cleaned || len(lines) != 1 || lines[0].Panic != "outside" {
			t.Errorf("outer ok: %t, cleaned: %t, it logs %v", ok, cleaned, lines)
		}
	})
}

func TestFaultsOfManyGoroutines(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if ok := guard.Run(logger, "work", func() {
				if i%2 == 0 {
					panic(fmt.Sprintf("fault %d", i))
				}
			}); ok != (i%2 == 1) {
				t.Errorf("%d: ok: %t", i, ok)
			}
		})
	}
	all.Wait()
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != 25 {
		t.Errorf("%d faults are logged, want 25", n)
	}
}
