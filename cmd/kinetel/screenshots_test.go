package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/test/render/terminal"
)

// TestScreenshots draws docs/kinetel.svg: what the commands print for the records in
// testdata/screenshots. The real extension wrote them, beside a function in the local Lambda;
// one-record-removed.gz lacks the third.
func TestScreenshots(t *testing.T) {
	var screen strings.Builder
	for _, line := range []string{"kinetel tail telemetry.gz", "kinetel audit one-record-removed.gz"} {
		if screen.Len() > 0 {
			screen.WriteString("\n")
		}
		screen.WriteString("\x1b[2m$\x1b[0m \x1b[1m" + line + "\x1b[0m\n")
		cmd := exec.Command("kinetel", append(strings.Fields(line)[1:], "--color", "always")...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = "testdata/screenshots", &screen, &screen
		cmd.Env = append(cmd.Environ(), "TZ=UTC", "GORACE=atexit_sleep_ms=20")
		err := cmd.Run()
		exit, ended := errors.AsType[*exec.ExitError](err)
		if err != nil && (!ended || exit.ExitCode() != exitFound) {
			t.Fatalf("%s: %v\n%s", line, err, screen.String())
		}
	}
	for _, want := range []string{"END success", "payment refused", "NOT COMPLETE", "seq 18-25"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("the screen has no %q:\n%s", want, screen.String())
		}
	}
	svg, err := terminal.SVG("kinetel tail prints the log lines of three invocations, and kinetel audit finds the eight events of a record that was removed", screen.String())
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, "../../docs/kinetel.svg", svg)
}
