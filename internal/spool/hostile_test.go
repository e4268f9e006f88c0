package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

// Another process puts other things than files into the folder. The spool does not
// block on them, follow them, or write to them.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for name, put := range map[string]func(path string) error{
		"a FIFO":        func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":      func(path string) error { return os.Mkdir(path, 0o700) },
		"a full folder": func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o700) },
		"a device":      func(path string) error { return syscall.Mknod(path, syscall.S_IFCHR|0o600, 1<<8|3) },
		"a socket": func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		},
		"a link": func(path string) error { return os.Symlink(elsewhere, path) },
		"a second name": func(path string) error {
			if err := os.WriteFile(elsewhere, []byte("the function's"), 0o600); err != nil {
				return err
			}
			return os.Link(elsewhere, path)
		},
	} {
		for _, file := range []string{"manifest", "meta", "losses", "losses.new", "journal", "journal.new", "undecided", "undecided.new", "00000001.seg", "00000002.seg"} {
			t.Run(name+" as "+file, func(t *testing.T) {
				l := newEndedFolder(t)
				l.Kill()
				path := filepath.Join(l.dir, mine, file)
				if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if err := put(path); errors.Is(err, syscall.EPERM) || len(path) > 100 && strings.Contains(name, "socket") {
					t.Skip(err)
				} else if err != nil {
					t.Fatal(err)
				}
				recovered := l.open(64 << 20).Recover()
				if len(recovered) != 1 {
					t.Fatalf("%d environments: %s", len(recovered), l.log)
				}
				shows := shown(recovered[0])
				for what, in := range map[string]bool{all: file != "00000001.seg", "lines 41-50": file != "journal"} {
					if strings.Contains(shows, what) != in {
						t.Errorf("%s", shows)
					}
				}
				if lost := strings.Contains(shows, "spool-corrupt"); lost != (file == "00000001.seg" || file == "journal" || file == "losses" || file == "undecided") {
					t.Errorf("%s", shows)
				}
				ref := l.append(record(recovered[0].Environment, 60, 60, 10))
				l.journal(recovered[0].Environment, 61, 61, "")
				l.WriteManifest(recovered[0].Environment, 61, append(recovered[0].Records, ref))
				l.Spool.Close()
				if b, err := os.ReadFile(elsewhere); err == nil && string(b) != "the function's" {
					t.Errorf("elsewhere there is %q", b)
				}
			})
		}
	}
}

// The spool uses the folders above it only if no other user can change them.
func TestOnlySafeParentFoldersAreUsed(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(root string) error
		ok   bool
		// aside: Recover does not use it and logs that; a write moves it aside,
		// because it is in a folder of this user's.
		aside bool
	}{
		{"none", func(string) error { return nil }, true, false},
		{"of this user", func(root string) error { return os.MkdirAll(filepath.Join(root, "a", "kinetel"), 0o755) }, true, false},
		{"sticky, as /tmp", func(root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, "a"), 0o700), os.Chmod(filepath.Join(root, "a"), 0o777|os.ModeSticky))
		}, true, false},
		{"for everybody to change", func(root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, "a"), 0o700), os.Chmod(filepath.Join(root, "a"), 0o777))
		}, false, false},
		{"a link", func(root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, "b"), 0o700), os.Symlink("b", filepath.Join(root, "a")))
		}, false, false},
		{"the folder is a link", func(root string) error {
			return errors.Join(os.MkdirAll(filepath.Join(root, "a"), 0o700), os.Mkdir(filepath.Join(root, "b"), 0o700),
				os.Symlink("../b", filepath.Join(root, "a", "kinetel")))
		}, true, true},
		{"another user's", func(root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, "a"), 0o700), os.Chown(filepath.Join(root, "a"), 4711, 4711))
		}, false, false},
		{"the folder is another user's", func(root string) error {
			return errors.Join(os.MkdirAll(filepath.Join(root, "a", "kinetel"), 0o700), os.Chown(filepath.Join(root, "a", "kinetel"), 4711, 4711))
		}, false, false},
		{"a FIFO", func(root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, "a"), 0o700), syscall.Mkfifo(filepath.Join(root, "a", "kinetel"), 0o600))
		}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFixture(t, 1<<20)
			root := filepath.Dir(filepath.Dir(r.dir))
			if err := c.make(root); errors.Is(err, syscall.EPERM) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			if r.Recover() != nil {
				t.Error("something is recovered")
			}
			_, err := r.Append(record(env(mine), 1, 1, 10))
			kept := r.Journal(env(mine), 2, 2, lines(2, 2), nil)
			if (err == nil) != c.ok || kept != c.ok {
				t.Errorf("a record: %v; the journal: %t", err, kept)
			}
			if logged := strings.Contains(r.log.String(), root); logged == (c.ok && !c.aside) {
				t.Errorf("the log has %q", r.log)
			}
			if recovered, _ := os.ReadDir(filepath.Join(root, "b")); len(recovered) > 0 {
				t.Error("the link was followed")
			}
		})
	}
}

// If the disk blocks while an old folder is read, other calls still write, read
// and check.
func TestOtherCallsDoNotWaitForARecoveryThatHangs(t *testing.T) {
	l := newEndedFolder(t)
	l.Kill()
	l.open(64 << 20)
	hangs, goOn := make(chan string, 100), make(chan struct{})
	l.Break(func(_, path string, n int) (int, error) {
		if strings.Contains(path, mine) {
			hangs <- path
			<-goOn
		}
		return n, nil
	})
	done := make(chan []spool.Recovered)
	go func() { done <- l.Recover() }()
	for range 3 { // meta, a segment, the journal
		<-hangs
		o := env(theirs)
		ref := l.append(record(o, 1, 1, 10))
		l.journal(o, 2, 2, "")
		if _, err := l.Read(ref); err != nil || !l.Check() {
			t.Error(err)
		}
		l.Done(ref)
		l.ForgetJournal(o)
		l.Lost(o, ledger.Loss{First: 1, Last: 1, Count: 1, Reason: ledger.Rejected})
		goOn <- struct{}{}
	}
	close(goOn)
	if recovered := <-done; len(recovered) != 1 {
		t.Errorf("%d environments", len(recovered))
	}
}

// rewrite changes bytes of an ended process's file, and corrects the checksums.
func rewrite(t *testing.T, path, old, with string) {
	t.Helper()
	change(t, path, func(b []byte) []byte {
		if len(old) != len(with) || !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%q is not in %q", old, b)
		}
		return spool.Reseal(bytes.Replace(b, []byte(old), []byte(with), 1))
	})
}

// Values that no process of Kinetel writes are not used, even with valid checksums.
func TestImpossibleValuesAreNotUsed(t *testing.T) {
	for _, c := range []struct{ name, file, old, with, want string }{
		{"a reason", "losses", `"reason":"rejected"`, `"reason":"x\"},{\""`, "loss 1-5 5 spool-corrupt"},
		{"an unknown reason", "losses", `"reason":"rejected"`, `"reason":"rejecte!"`, "loss 1-5 5 spool-corrupt"},
		{"the count of a loss", "losses", `"count":5`, `"count":6`, "loss 1-5 5 spool-corrupt"},
		{"a count of none", "losses", `"count":5`, `"count":0`, "loss 1-5 5 spool-corrupt"},
		{"the bytes of a loss", "losses", `"bytes":9,`, `"bytes":-9`[:10], "loss 1-5 5 spool-corrupt"},
		{"the first number of a loss", "losses", `"firstSeq":1`, `"firstSeq":2`, "loss 1-5 5 spool-corrupt"},
		{"a partition key", "00000001.seg", `"a2V5"`, `"    "`, "loss 10-19 10 spool-corrupt"},
		{"a key that is no text", "00000001.seg", `"a2V5"`, `"/v7+"`, "loss 10-19 10 spool-corrupt"},
		{"the bytes of a record's lines", "00000001.seg", `"lines":12345`, `"lines":-2345`, "loss 10-19 10 spool-corrupt"},
		{"more lines than events", "00000001.seg", `"lines":12345`, `"droppable":9`, ""},
		{"another environment's meta", "meta", mine, theirs, "record 10-19"},
		{"another environment's resource", "meta", `instance.id":"` + mine, `instance.id":"` + theirs, "record 10-19"},
		{"a resource of two lines", "meta", `": "<f>"`, "\":\n\"<f>\"", "record 10-19"},
		{"a resource that is no text", "meta", `<f>`, "\xff\xfe\xfd", "record 10-19"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			r.Lost(o, ledger.Loss{First: 1, Last: 5, Count: 5, Bytes: 9, Reason: ledger.Rejected})
			r.append(record(o, 10, 19, 100))
			r.Kill()
			rewrite(t, filepath.Join(r.dir, mine, c.file), c.old, c.with)
			recovered := r.recover()
			if got := shown(recovered); !strings.Contains(got, c.want) || strings.Contains(got, "9223372") {
				t.Errorf("%s", got)
			}
			if c.file == "meta" && string(recovered.Environment.Details().Resource) != `{"service.instance.id":"`+mine+`"}` {
				t.Errorf("the resource is %s", recovered.Environment.Details().Resource)
			}
			for _, loss := range recovered.Losses {
				if !loss.Reason.Known() {
					t.Errorf("the reason is %q", loss.Reason)
				}
			}
		})
	}
}

// No number is so large that there is none after it.
func TestSequenceNumbersHaveABound(t *testing.T) {
	for _, last := range []uint64{1 << 53, 1 << 62, 1<<64 - 2, 1<<64 - 1} {
		r := newFixture(t, 64<<20)
		r.append(record(env(mine), 5, 6, 100))
		r.Kill()
		change(t, segment(r), func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b[24:], last)    // of the mark
			binary.LittleEndian.PutUint64(b[40+24:], last) // of the record
			return spool.Reseal(b)
		})
		recovered := r.open(64 << 20).Recover()
		if len(recovered) > 0 && recovered[0].Next > 10 {
			t.Error(shown(recovered[0]))
		}
	}
}

// checker accepts what begins with an a.
type checker struct{}

func (checker) Record(r *pack.Record) bool { return r.Data[0] == 'a' }
func (checker) Line(_ *environment.Environment, seq uint64, text []byte) bool {
	return bytes.Equal(text, lines(seq, seq))
}

func TestRecordsAndLinesAreValidated(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	for seq, data := range []string{"a", "b"} {
		rec := record(o, uint64(seq+1), uint64(seq+1), 1)
		rec.Data[0] = data[0]
		r.append(rec)
	}
	r.journal(o, 10, 12, "")
	if !r.Journal(o, 13, 15, append(lines(13, 14), "{}\n"...), nil) || !r.Journal(o, 16, 17, lines(16, 16), nil) {
		t.Fatal("the journal stores nothing")
	}
	r.journal(o, 18, 18, "")
	r.Kill()
	r.Spool = spool.New(spool.Options{Dir: r.dir, Max: 64 << 20, Log: slog.New(slog.NewTextHandler(r.log, nil)), Check: checker{}})
	defer r.Spool.Close()
	recovered := r.Recover()[0]
	want(t, recovered, "record 1-1", "record 2-2", `lines 10-12 {"seq":10}{"seq":11}{"seq":12}`, `lines 18-18 {"seq":18}`,
		"loss 13-17 5 spool-corrupt", "next 19")
	for i, ok := range []bool{true, false} {
		if _, err := r.Read(recovered.Records[i]); (err == nil) != ok || !ok && !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("record %d: %v", i+1, err)
		}
	}
}

// pieces are what a hostile file is made of, repeated up to megabytes.
func pieces(t *testing.T) map[string][]byte {
	head, err := os.ReadFile(filepath.Join("testdata", "quadratic-head.seg"))
	if err != nil {
		t.Fatal(err)
	}
	mark, gap := spool.Frame(1, nil, 0, 0, 7), make([]byte, 90)
	loss := ledger.Loss{First: 3, Last: 4, Count: 1, Reason: ledger.Rejected}.AppendJSON(nil)
	meta := []byte(`{"partitionKey":"eA=="}`)
	rec := append(append([]byte{byte(len(meta))}, meta...), 0, 0, 0, 0, '{', '}')
	line := append([]byte{0}, lines(9, 9)...)
	shortest := append(bytes.Repeat([]byte("x"), 100), '\n')
	copy(shortest, `{"schema":"kinetel/1","seq":0,`)
	return map[string][]byte{
		"marks and garbage":   head,
		"garbage":             bytes.Repeat([]byte("\x00kt\x1b\x02"), 1000),
		"marks":               mark,
		"records":             spool.Reseal(spool.Frame(2, rec, 1, 5, 5)),
		"records and garbage": append(spool.Reseal(spool.Frame(2, rec, 1, 5, 5)), gap...),
		"corrupt records":     spool.Frame(2, rec, 1, 5, 5),
		"losses":              spool.Frame(3, loss, 1, 3, 4),
		"pending losses":      spool.Frame(3, append([]byte{1}, loss...), 1, 3, 4),
		"corrupt losses":      spool.Frame(3, []byte("{}"), 1, 3, 4),
		"done":                spool.Frame(4, nil, 0, 40, 0),
		"lines":               spool.Frame(5, line, 1, 9, 9),
		"lines and marks":     append(spool.Frame(5, line, 1, 9, 9), mark...),
		"lines and garbage":   append(spool.Frame(5, line, 1, 9, 9), gap...),
		"undecided":           spool.Frame(7, undecided(7, 0, 1), 1, 7, 0),
		"many undecided":      spool.Frame(7, bytes.Repeat(shortest, 5000), 5000, 7, 0),
		"decided":             spool.Frame(8, []byte{7, 0}, 80_000, 1, 80_000),
		"decided, garbage":    append(spool.Frame(8, []byte{7, 0}, 1, 1, 1), gap...),
		"left out":            spool.Frame(9, nil, 0, 7, 0),
		"all about a line":    slices.Concat(spool.Frame(7, undecided(7, 0, 1), 1, 7, 0), spool.Frame(8, []byte{7, 0}, 1, 1, 1), spool.Frame(1, nil, 0, 1, 1), spool.Frame(9, nil, 0, 7, 0)),
		"marks, garbage":      append(bytes.Clone(mark), gap...),
		"behind":              spool.Frame(2, rec, 1, 5, 5)[40:],
	}
}

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt
	bytes, calls int
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	c.bytes += len(b)
	c.calls++
	return c.ReaderAt.ReadAt(b, at)
}

// The cost of reading is proportional to the file's size, whatever is in it.
func TestReadingIsLinear(t *testing.T) {
	for name, piece := range pieces(t) {
		for _, size := range []int{1 << 20, 4 << 20, 16 << 20} {
			if testing.Short() && size > 1<<20 {
				continue
			}
			b := bytes.Repeat(piece, size/len(piece)+1)[:size]
			c := &counted{ReaderAt: bytes.NewReader(b)}
			items, err := spool.Scan(c, int64(size))
			if err != nil {
				t.Fatal(err)
			}
			if c.bytes > 2*size || c.calls > size/(16<<10) || items > 2*size/40 {
				t.Errorf("%s: %d bytes take %d reads of %d bytes in all, and are %d items", name, size, c.calls, c.bytes, items)
			}
		}
	}
}

// Recovery is bounded, in memory and in what it finds.
func TestRecoveryIsBounded(t *testing.T) {
	all := pieces(t)
	for i, name := range slices.Sorted(maps.Keys(all)) {
		for j, file := range []string{"00000001.seg", "journal", "losses", "undecided"} {
			if testing.Short() && (i+j)%8 != 0 {
				continue
			}
			piece := all[name]
			t.Run(name+" as "+file, func(t *testing.T) {
				r := newFixture(t, 64<<20)
				dir := filepath.Join(r.dir, mine)
				var before, after runtime.MemStats
				for n, size := range []int{4 << 20, 36 << 20} {
					if err := os.MkdirAll(dir, 0o700); err != nil {
						t.Fatal(err)
					}
					b := bytes.Repeat(piece, size/len(piece)+1)
					if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
						t.Fatal(err)
					}
					b = nil
					runtime.GC()
					runtime.ReadMemStats(&before)
					recovered := r.Recover()
					runtime.GC()
					runtime.ReadMemStats(&after)
					if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 20<<20 {
						t.Errorf("%d bytes are kept of %d", kept, size)
					}
					// All allocations, most of them freed at once.
					if all := after.TotalAlloc - before.TotalAlloc; all > 100<<20 {
						t.Errorf("%d bytes are allocated for %d", all, size)
					}
					for _, l := range recovered {
						undecided := 0
						for _, u := range l.Undecided {
							undecided += len(u.Lines)
						}
						if undecided > 8<<20 {
							t.Errorf("%d bytes of undecided lines", undecided)
						}
						if len(l.Records) > 150_000 || len(l.Losses) > 10_000 || len(l.Lines) > 1 {
							t.Errorf("%d records, %d runs of lines, %d losses", len(l.Records), len(l.Lines), len(l.Losses))
						}
					}
					if lines := strings.Count(r.log.String(), "\n"); lines > 5*(n+1) {
						t.Errorf("%d lines of log", lines)
					}
					r.Kill()
					r.open(64 << 20)
				}
			})
		}
	}
}

// Recover reads no more than a spool may have: neither in one file, nor in many.
func TestRecoverReadsNoMoreThanTheCap(t *testing.T) {
	piece := pieces(t)["records"]
	r := newFixture(t, 8<<20)
	for i := range 4 {
		dir := filepath.Join(r.dir, fmt.Sprintf("%032x", i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%08d.seg", n+1)), bytes.Repeat(piece, (2<<20)/len(piece)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	records := 0
	for _, l := range r.Recover() {
		records += len(l.Records)
	}
	if limit := (8 << 20) / len(piece); records > limit {
		t.Errorf("%d records, of which %d are more than the spool may have", records, limit)
	}
	if !strings.Contains(r.log.String(), "limit") || len(r.files()) < 12 {
		t.Errorf("the log has %q; files: %v", r.log, r.files())
	}
}
