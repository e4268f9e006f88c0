// Package cpulimit gives the processes of an environment a share of a processor, as Lambda
// does by the function's memory, with control groups (cgroup v2) of Linux.
package cpulimit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// period is how often the kernel counts anew: 20 ms, as measurements of Lambda suggest.
const period = 20_000 // µs

// leastQuota is what the kernel accepts.
const leastQuota = 1_000 // µs

// Limiter makes groups with a limit.
type Limiter struct {
	dir   string // of this run
	quota int    // µs of a period
}

// New returns a Limiter below this process's own group, if that is permitted. mount is
// where the control groups are, and self is what the kernel says about this process's:
// /sys/fs/cgroup and /proc/self/cgroup.
func New(mount, self string, share float64) (*Limiter, error) {
	own, err := ownGroup(mount, self)
	if err != nil {
		return nil, err
	}
	l := &Limiter{dir: filepath.Join(own, "kinetel-run-"+strconv.Itoa(os.Getpid())), quota: max(int(share*period), leastQuota)}
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		return nil, permitted(own, err)
	}
	// The limit is this group's children's: they need the controller.
	for _, parent := range []string{own, l.dir} {
		if err := enable(parent); err != nil {
			l.Close()
			return nil, permitted(own, err)
		}
	}
	return l, nil
}

// permitted adds to an error how a user gets a group of their own.
func permitted(own string, err error) error {
	return fmt.Errorf("the control group %s is not this program's to divide: %w; try systemd-run --user --scope -p Delegate=yes kinetel run …", own, err)
}

// ownGroup returns the folder of this process's group.
func ownGroup(mount, self string) (string, error) {
	text, err := os.ReadFile(self)
	if err != nil {
		return "", fmt.Errorf("it needs cgroup v2 of Linux: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			dir := filepath.Join(mount, path)
			controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
			if err != nil {
				return "", fmt.Errorf("it needs cgroup v2: %w", err)
			}
			for _, name := range strings.Fields(string(controllers)) {
				if name == "cpu" {
					return dir, nil
				}
			}
			return "", fmt.Errorf("the control group %s has no cpu controller", dir)
		}
	}
	return "", errors.New("it needs cgroup v2, and this system has version 1")
}

// enable gives the children of a group the controller. A group that has processes cannot
// do so, so those of this program go into a group below.
func enable(group string) error {
	control := filepath.Join(group, "cgroup.subtree_control")
	if text, err := os.ReadFile(control); err == nil && strings.Contains(" "+strings.TrimSpace(string(text))+" ", " cpu ") {
		return nil
	}
	err := writeControl(control, "+cpu")
	if err == nil {
		return nil
	}
	leaf := filepath.Join(group, "kinetel")
	if made := os.Mkdir(leaf, 0o755); made != nil && !errors.Is(made, os.ErrExist) {
		return err
	}
	if moved := writeControl(filepath.Join(leaf, "cgroup.procs"), strconv.Itoa(os.Getpid())); moved != nil {
		return err
	}
	return writeControl(control, "+cpu")
}

// Group makes the group of an environment.
func (l *Limiter) Group(name string) (*Group, error) {
	g := &Group{dir: filepath.Join(l.dir, name)}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	return g, writeControl(filepath.Join(g.dir, "cpu.max"), fmt.Sprintf("%d %d", l.quota, period))
}

// Close removes the groups. Their processes must have ended.
func (l *Limiter) Close() {
	children, _ := filepath.Glob(filepath.Join(l.dir, "*"))
	for _, child := range append(children, l.dir) {
		_ = os.Remove(child) // a group that stays does no harm
	}
}

// Group is an environment's.
type Group struct{ dir string }

// Add puts a process into the group.
func (g *Group) Add(pid int) error {
	return writeControl(filepath.Join(g.dir, "cgroup.procs"), strconv.Itoa(pid))
}

// writeControl writes to a file of the kernel, which makes these files.
func writeControl(file, text string) error { return os.WriteFile(file, []byte(text), 0o644) }
