// Package fuzz tests what make fuzz runs.
package fuzz

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo is a go command that prints what is in the file named as the fuzz target,
// and fails if there is one. Of FuzzWrites it writes the input that fails.
const fakeGo = `#!/bin/sh
echo "$@" >>calls
target=$(echo "$5" | tr -d '^$')
case $target in *Writes) mkdir -p b/testdata/fuzz/$target && echo x >b/testdata/fuzz/$target/582528ddfad69eb5 ;; esac
[ ! -e "$target" ] || { cat "$target"; exit 1; }
`

// The output of go test, by go1.26.8.
const (
	progress = "fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed\nfuzz: elapsed: 3s, execs: 40304 (13431/sec), new interesting: 104 (total: 108)\n"
	end      = "FAIL\nexit status 1\nFAIL\tkinetel/b\t3.202s\n"
	deadline = progress + "--- FAIL: FuzzOne (3.20s)\n    context deadline exceeded\n" + end
)

func TestOnlyTheEndOfTheFuzzTimeIsIgnored(t *testing.T) {
	script, err := filepath.Abs("fuzz.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		target string
		output string // empty: it finds nothing
		fails  bool
	}{
		{"nothing is found", "FuzzOne", "", false},
		{"the time is over", "FuzzOne", deadline, false},
		{"the time is over at once", "FuzzOne", "--- FAIL: FuzzOne (10.00s)\n    context deadline exceeded\n" + end, false},
		{"an input is written", "FuzzWrites", strings.ReplaceAll(deadline, "FuzzOne", "FuzzWrites"), true},
		{"an input fails", "FuzzOne", progress + "--- FAIL: FuzzOne (0.03s)\n    --- FAIL: FuzzOne (0.00s)\n        one_test.go:7: bad\n    \n    Failing input written to testdata/fuzz/FuzzOne/582528ddfad69eb5\n    To re-run:\n    go test -run=FuzzOne/582528ddfad69eb5\n" + end, true},
		{"an input fails with these very words", "FuzzOne", progress + "--- FAIL: FuzzOne (0.03s)\n    --- FAIL: FuzzOne (0.00s)\n        one_test.go:7: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzOne/582528ddfad69eb5\n" + end, true},
		{"a seed fails with these very words", "FuzzOne", "--- FAIL: FuzzOne (0.00s)\n    --- FAIL: FuzzOne/seed#0 (0.00s)\n        one_test.go:7: context deadline exceeded\n" + end, true},
		{"the target itself fails with these very words", "FuzzOne", "--- FAIL: FuzzOne (0.00s)\n    one_test.go:7: context deadline exceeded\n" + end, true},
		{"the process hangs", "FuzzOne", progress + "--- FAIL: FuzzOne (3.20s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\n    context deadline exceeded\n" + end, true},
		{"more comes behind it", "FuzzOne", deadline + "panic: test timed out after 10m0s\n", true},
		{"another target fails", "FuzzOne", strings.ReplaceAll(deadline, "FuzzOne", "FuzzTwo"), true},
		{"it does not compile", "FuzzOne", "# kinetel/b\nb/one_test.go:7:2: undefined: x\nFAIL\tkinetel/b [build failed]\n", true},
		{"no output", "FuzzOne", "\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write("go", fakeGo)
			write("b/one_test.go", "package b\n\nfunc "+tt.target+"(f *testing.F) {\n}\n")
			write("c/d/last_test.go", "package d\n\nfunc FuzzLast(f *testing.F) {\n}\n")
			write("b/testdata/fuzz/"+tt.target+"/old", "go test fuzz v1\n")
			if tt.output != "" {
				write(tt.target, tt.output)
			}
			cmd := exec.Command(script, "3s")
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GO="+filepath.Join(dir, "go"))
			out, err := cmd.CombinedOutput()
			if (err != nil) != tt.fails {
				t.Errorf("it ends with %v, want a failure: %t\n%s", err, tt.fails, out)
			}
			if tt.output != "" && !strings.Contains(string(out), tt.output) {
				t.Errorf("it does not show the output of the target:\n%s", out)
			}
			calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
			want := "test -run ^$ -fuzz ^" + tt.target + "$ -fuzzminimizetime 20x -fuzztime 3s ./b\n"
			if !tt.fails { // and then the next
				want += "test -run ^$ -fuzz ^FuzzLast$ -fuzzminimizetime 20x -fuzztime 3s ./c/d\n"
			}
			if string(calls) != want {
				t.Errorf("it calls\n%swant\n%s", calls, want)
			}
		})
	}
}
