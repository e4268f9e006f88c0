package lambdasim_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/lambdasim"
)

func TestTenant(t *testing.T) {
	t.Parallel()
	for mode, types := range map[lambdasim.InitializationType][]string{
		lambdasim.InitOnDemand:         {"platform.start", "platform.runtimeDone", "platform.report"},
		lambdasim.InitManagedInstances: {"platform.start", "platform.report"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			function, dump := scripted(t, "runtime", script{"runtime": true})
			cfg, rec := baseConfig()
			cfg.Function, cfg.InitializationType, cfg.TenantID = function, mode, "blue"
			s := start(t, cfg)
			invoke(t, s, `{}`)
			shutdown(t, s)
			for _, eventType := range types {
				if r := records(t, rec.all(), eventType); len(r) != 1 || r[0]["tenantId"] != "blue" {
					t.Errorf("%s: %v", eventType, r)
				}
			}
			found := false
			for _, e := range entries(t, dump, "call") {
				found = found || strings.HasSuffix(e.Path, "/next") && e.Header.Get("Lambda-Runtime-Aws-Tenant-Id") == "blue"
			}
			if !found {
				t.Error("the runtime has not got the tenant")
			}
		})
	}
}

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
