package spool_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

// emptied is what a function may do to the folder of the spool.
var emptied = map[string]func(dir string) error{
	"the contents": func(dir string) error {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		return err
	},
	"everything":            func(dir string) error { return os.RemoveAll(filepath.Dir(filepath.Dir(dir))) },
	"the folder":            func(dir string) error { return os.RemoveAll(filepath.Join(dir, mine)) },
	"the folder, made anew": func(dir string) error { return anew(filepath.Join(dir, mine)) },
	"a file for the folder": func(dir string) error {
		path := filepath.Join(dir, mine)
		return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600))
	},
	"a file for the spool": func(dir string) error {
		return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
	},
	"a link for the spool": func(dir string) error {
		return errors.Join(os.RemoveAll(dir+"x"), os.Rename(dir, dir+"x"), os.Symlink(dir+"x", dir))
	},
	"meta":                   func(dir string) error { return os.Remove(filepath.Join(dir, mine, "meta")) },
	"the journal":            func(dir string) error { return os.Remove(filepath.Join(dir, mine, "journal")) },
	"the journal, truncated": func(dir string) error { return os.Truncate(filepath.Join(dir, mine, "journal"), 7) },
	"the journal, emptied":   func(dir string) error { return os.WriteFile(filepath.Join(dir, mine, "journal"), nil, 0o600) },
	"a copy of the journal":  func(dir string) error { return replaced(filepath.Join(dir, mine, "journal")) },
	"a folder for the journal": func(dir string) error {
		path := filepath.Join(dir, mine, "journal")
		return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700))
	},
	"a sealed segment":            func(dir string) error { return os.Remove(filepath.Join(dir, mine, "00000001.seg")) },
	"a sealed segment, truncated": func(dir string) error { return os.Truncate(filepath.Join(dir, mine, "00000001.seg"), 100) },
	"the current segment":         func(dir string) error { return os.Remove(filepath.Join(dir, mine, "00000002.seg")) },
	"a link for a segment": func(dir string) error {
		path := filepath.Join(dir, mine, "00000002.seg")
		if err := os.Rename(path, path+"x"); err != nil {
			return err
		}
		return os.Symlink(path+"x", path)
	},
	"a FIFO for meta": func(dir string) error {
		path := filepath.Join(dir, mine, "meta")
		return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600))
	},
	"the segments": func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, mine, "00000001.seg")), os.Remove(filepath.Join(dir, mine, "00000002.seg")))
	},
	"nothing": func(string) error { return nil },
}

func anew(path string) error { return errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o755)) }

func replaced(path string) error {
	b, err := os.ReadFile(path)
	return errors.Join(err, os.Remove(path), os.WriteFile(path, b, 0o600))
}

// The files that the function deletes are written again before anything else is
// acknowledged: the caller has records and lines in memory, the spool the losses.
func TestWhatIsDeletedIsRecreated(t *testing.T) {
	for name, empty := range emptied {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			records := []*pack.Record{record(o, 1, 10, 1000), record(o, 11, 20, 1000), record(o, 21, 30, 1000)}
			var refs []*spool.Ref
			for i, rec := range records {
				refs = append(refs, r.append(rec))
				if i == 0 {
					r.Lost(o, ledger.Loss{First: 31, Last: 35, Count: 5, Bytes: 9, Reason: ledger.Rejected})
					r.Seal(refs[0])
				}
			}
			r.Lost(o, ledger.Loss{First: 36, Last: 40, Count: 5, Bytes: 9, Reason: ledger.BufferFull})
			r.journal(o, 41, 45, "")
			r.journal(o, 46, 50, "piece")
			for range 2 { // a function does it each time
				if err := empty(r.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				whole := r.Check()
				for i, ref := range refs {
					if !r.Gone(ref) {
						continue
					}
					if whole {
						t.Errorf("record %d is gone, and Check did not report it", ref.First)
					}
					refs[i] = r.append(records[i])
					r.Done(ref)
				}
				if r.JournalLost(o) {
					r.journal(o, 41, 50, "piece")
				}
				if !r.Check() || r.JournalLost(o) {
					t.Error("something is lost still")
				}
				if n := diskBytes(t, filepath.Join(r.dir, mine)); n != r.Bytes() && !strings.HasPrefix(name, "a link") {
					t.Errorf("%d bytes are counted as %d", n, r.Bytes())
				}
			}
			want(t, r.recover(), "record 1-10", "record 11-20", "record 21-30", "lines 41-50 "+text+more, "fragment piece",
				"loss 31-35 5 rejected", "loss 36-40 5 buffer-full", "next 51")
		})
	}
}

// A record whose file is deleted can be read as long as the file is open; one
// whose file is closed is lost, now and not at the fifth attempt.
func TestRecordsOfDeletedFiles(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	sealed := r.append(record(o, 1, 10, 1000))
	r.Seal(sealed)
	open := r.append(record(o, 11, 20, 1000))
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Read(sealed); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("the error is %v", err)
		}
		got, err := r.Read(open)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bare(record(o, 11, 20, 1000)), bare(got), sameRecord()); diff != "" {
			t.Error(diff)
		}
		if r.Check() && !r.Gone(sealed) {
			t.Error("not noticed")
		}
	}
	r.Done(sealed)
	r.Done(open)
	if n := diskBytes(t, filepath.Dir(filepath.Dir(r.dir))); n != r.Bytes() {
		t.Errorf("%d bytes are counted as %d", n, r.Bytes())
	}
	if r.Check(); r.append(record(o, 21, 30, 10)).Size() == 0 {
		t.Error("nothing is written")
	}
	want(t, r.recover(), "record 21-30", "next 31")
}

// Some errors are temporary, others are permanent.
func TestErrorsThatRetryingCannotFixMeanTheRecordIsLost(t *testing.T) {
	for _, c := range []struct {
		err  error
		lost bool
	}{
		{syscall.EIO, false},
		{syscall.EMFILE, false},
		{syscall.ENFILE, false},
		{syscall.ENOMEM, false},
		{syscall.EINTR, false},
		{syscall.EACCES, false},
		{syscall.ESTALE, false},
		{syscall.ENOENT, true},
		{syscall.ELOOP, true},
		{syscall.ENOTDIR, true},
		{syscall.EISDIR, true},
		{syscall.ENXIO, true},
	} {
		r := newFixture(t, 64<<20)
		ref := r.append(record(env(mine), 1, 10, 1000))
		r.Seal(ref)
		r.Break(func(op, path string, n int) (int, error) {
			if op == "open" && strings.HasSuffix(path, ".seg") {
				return 0, c.err
			}
			return n, nil
		})
		if _, err := r.Read(ref); !errors.Is(err, c.err) || errors.Is(err, spool.ErrCorrupt) != c.lost {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

// A file of another process at the path of the next segment does not block it.
func TestForeignFileAtAPathOfTheSpoolIsRemoved(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a file":              func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"a folder":            func(path string) error { return os.Mkdir(path, 0o700) },
		"a full folder":       func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
		"a FIFO":              func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link":              func(path string) error { return os.Symlink("/dev/null", path) },
		"a link into nothing": func(path string) error { return os.Symlink("nothing", path) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			r.Seal(r.append(record(o, 1, 10, 1000)))
			for _, file := range []string{"00000002.seg", "journal", "manifest"} {
				if err := put(filepath.Join(r.dir, mine, file)); err != nil {
					t.Fatal(err)
				}
			}
			ref := r.append(record(o, 11, 20, 1000))
			r.journal(o, 21, 22, "")
			r.WriteManifest(o, 22, []*spool.Ref{ref})
			want(t, r.recover(), "record 11-20", `lines 21-22 {"seq":21}{"seq":22}`, "next 23")
		})
	}
}

// An earlier process left a losses file, which is closed.
func TestDeletedLossesFileIsCreatedAgain(t *testing.T) {
	r := newFixture(t, 64<<20)
	r.Lost(env(mine), ledger.Loss{First: 1, Last: 2, Count: 2, Reason: ledger.Rejected, Number: 1})
	change(t, filepath.Join(r.dir, mine, "losses"), func(b []byte) []byte { return append(b, make([]byte, 100)...) })
	recovered := r.recover()
	if err := os.Remove(filepath.Join(r.dir, mine, "losses")); err != nil {
		t.Fatal(err)
	}
	before := r.log.String()
	r.Lost(recovered.Environment, ledger.Loss{First: 7, Last: 8, Count: 2, Reason: ledger.Rejected, Number: 1})
	if log := strings.TrimPrefix(r.log.String(), before); log != "" {
		t.Error(log)
	}
	want(t, r.recover(), "loss 1-2 2 rejected", "loss 3-3 1 spool-corrupt", "loss 7-8 2 rejected", "next 9")
}
