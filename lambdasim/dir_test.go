package lambdasim_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/lambdasim"
)

func TestDir(t *testing.T) {
	t.Parallel()
	cfg, _ := baseConfig()
	cfg.Function.Dir = t.TempDir()
	s := start(t, cfg)
	p := s.Processes()[0]
	if at, err := os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/cwd"); err != nil || at != cfg.Function.Dir {
		t.Errorf("the working directory is %s (%v), not %s", at, err, cfg.Function.Dir)
	}
	if root := environment(t, p)["LAMBDA_TASK_ROOT"]; root != cfg.Function.Dir {
		t.Errorf("LAMBDA_TASK_ROOT is %s", root)
	}
}

func TestDirIsRefused(t *testing.T) {
	t.Parallel()
	cfg, _ := baseConfig(lambdasim.Process{Path: program("bare-extension"), Dir: t.TempDir()})
	cfg.Function.Dir = program("function")
	_, err := lambdasim.Start(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "is not a directory") || !strings.Contains(err.Error(), "Dir is for the function only") {
		t.Errorf("error: %v", err)
	}
}
