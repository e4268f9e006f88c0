package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

// endedFolder is the folder of an ended process: its records 1-10, 11-20, 21-30
// and 31-40 in one segment, and lines 41-50 in its journal, five a frame.
type endedFolder struct {
	*fixture
	at []int64 // offsets of the records' frames
}

func segment(r *fixture) string { return filepath.Join(r.dir, mine, "00000001.seg") }
func journal(r *fixture) string { return filepath.Join(r.dir, mine, "journal") }

func newEndedFolder(t *testing.T) endedFolder {
	t.Helper()
	l := endedFolder{fixture: newFixture(t, 64<<20)}
	o := env(mine)
	for seq := uint64(1); seq <= 40; seq += 10 {
		info, err := os.Stat(segment(l.fixture))
		if err != nil {
			l.at = append(l.at, 40) // after the mark
		} else {
			l.at = append(l.at, info.Size())
		}
		l.append(record(o, seq, seq+9, 1000))
	}
	l.journal(o, 41, 45, "")
	l.journal(o, 46, 50, "piece")
	return l
}

// change changes a file of the ended process.
func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// flip flips a byte.
func flip(at int64) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 0x55; return b }
}

const (
	all  = "record 1-10\nrecord 11-20\nrecord 21-30\nrecord 31-40\n"
	text = `{"seq":41}{"seq":42}{"seq":43}{"seq":44}{"seq":45}`
	more = `{"seq":46}{"seq":47}{"seq":48}{"seq":49}{"seq":50}`
)

func TestCorruptFilesAreReported(t *testing.T) {
	lines := "lines 41-50 " + text + more + "\nfragment piece\n"
	for _, c := range []struct {
		name    string
		file    func(*fixture) string
		corrupt func(at []int64, b []byte) []byte
		want    string
		silence bool // nothing is logged: nothing acknowledged was lost
	}{
		{"nothing", segment, func(_ []int64, b []byte) []byte { return b }, all + lines + "next 51", true},
		{"the data of a record", segment, func(at []int64, b []byte) []byte { return flip(at[1] + 500)(b) }, "record 1-10\nrecord 21-30\nrecord 31-40\n" + lines + "loss 11-20 10 spool-corrupt\nnext 51", false},
		{"the data of the last record", segment, func(at []int64, b []byte) []byte { return flip(at[3] + 500)(b) }, "record 1-10\nrecord 11-20\nrecord 21-30\n" + lines + "loss 31-40 10 spool-corrupt\nnext 51", false},
		{"the header of a record", segment, func(at []int64, b []byte) []byte { return flip(at[1] + 12)(b) }, "record 1-10\nrecord 21-30\nrecord 31-40\n" + lines + "loss 11-20 10 spool-corrupt\nnext 51", false},
		{"the header of the last record", segment, func(at []int64, b []byte) []byte { return flip(at[3])(b) }, "record 1-10\nrecord 11-20\nrecord 21-30\n" + lines + "loss 31-40 10 spool-corrupt\nnext 51", false},
		{"both headers of a record", segment, func(at []int64, b []byte) []byte { return flip(at[2] - 5)(flip(at[1])(b)) }, "record 1-10\nrecord 21-30\nrecord 31-40\n" + lines + "loss 11-20 10 spool-corrupt\nnext 51", false},
		{"both headers of the last record", segment, func(at []int64, b []byte) []byte { return flip(int64(len(b)) - 5)(flip(at[3])(b)) }, "record 1-10\nrecord 11-20\nrecord 21-30\n" + lines + "loss 31-31 1 spool-corrupt\nnext 51", false},
		{"two records as a whole", segment, func(at []int64, b []byte) []byte { clear(b[at[1]:at[3]]); return b }, "record 1-10\nrecord 31-40\n" + lines + "loss 11-30 20 spool-corrupt\nnext 51", false},
		{"the header behind a record", segment, func(at []int64, b []byte) []byte { return flip(at[2] - 5)(b) }, all + lines + "next 51", true},
		{"the mark", segment, func(_ []int64, b []byte) []byte { return flip(8)(b) }, all + lines + "next 51", false},
		{"a torn header", segment, func(_ []int64, b []byte) []byte { return append(b, b[40:79]...) }, all + lines + "next 51", true},
		{"a torn payload", segment, func(at []int64, b []byte) []byte { return append(b, b[at[1]:at[2]-1]...) }, all + lines + "next 51", true},
		{"journalled lines", journal, func(_ []int64, b []byte) []byte { return flip(85)(b) }, all + "lines 46-50 " + more + "\nfragment piece\nloss 41-45 5 spool-corrupt\nnext 51", false},
		{"the header of journalled lines", journal, func(_ []int64, b []byte) []byte { return flip(45)(b) }, all + "lines 46-50 " + more + "\nfragment piece\nloss 41-45 5 spool-corrupt\nnext 51", false},
		{"the last of the journal", journal, func(_ []int64, b []byte) []byte { return flip(int64(len(b)) - 45)(b) }, all + "lines 41-45 " + text + "\nloss 46-50 5 spool-corrupt\nnext 51", false},
		{"a torn journal", journal, func(_ []int64, b []byte) []byte { return b[:len(b)-1] }, all + "lines 41-45 " + text + "\nnext 46", true},
		{"no journal", journal, func(_ []int64, _ []byte) []byte { return nil }, all + "next 41", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newEndedFolder(t)
			change(t, c.file(l.fixture), func(b []byte) []byte { return c.corrupt(l.at, b) })
			recovered := l.recover()
			want(t, recovered, c.want)
			for _, ref := range recovered.Records {
				rec, err := l.Read(ref)
				if err != nil || !bytes.Equal(rec.Data, record(recovered.Environment, rec.First, rec.Last, 1000).Data) {
					t.Errorf("record %d: %v", ref.First, err)
				}
			}
			if log := l.log.String(); (log == "") != c.silence {
				t.Errorf("the log has %q", log)
			}
			if n := diskBytes(t, l.dir); n != l.Bytes() {
				t.Errorf("%d bytes are counted as %d", n, l.Bytes())
			}
		})
	}
}

func TestNextFileBoundsALoss(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.append(record(o, 1, 2, 10))
	info, err := os.Stat(segment(r))
	if err != nil {
		t.Fatal(err)
	}
	r.Seal(r.append(record(o, 3, 9, 10)))
	r.append(record(o, 10, 10, 10))
	change(t, segment(r), func(b []byte) []byte { return flip(info.Size())(flip(int64(len(b)) - 1)(b)) })
	want(t, r.recover(), "record 1-2", "record 10-10", "loss 3-9 7 spool-corrupt", "next 11")
}

func TestCorruptRecordIsReportedAfterAllOthersAreDone(t *testing.T) {
	l := newEndedFolder(t)
	change(t, segment(l.fixture), flip(l.at[1]+500))
	recovered := l.recover()
	l.append(record(recovered.Environment, 60, 60, 10))
	for _, ref := range recovered.Records {
		l.Done(ref)
	}
	l.ForgetJournal(recovered.Environment)
	recovered = l.recover() // killed before the loss was kept or reported
	if len(recovered.Losses) != 1 || recovered.Losses[0].First != 11 || len(recovered.Records) != 1 {
		t.Error(shown(recovered))
	}
}

func TestIncompleteLastFrameIsTruncated(t *testing.T) {
	l := newEndedFolder(t)
	size := l.Bytes()
	change(t, segment(l.fixture), func(b []byte) []byte { return append(b, b[l.at[0]:l.at[1]-1]...) })
	recovered := l.recover()
	if n := diskBytes(t, l.dir); n != size {
		t.Errorf("%d bytes are there, and not %d", n, size)
	}
	// What is written next is found again.
	l.Done(recovered.Records[0])
	recovered = l.recover()
	if recovered.Records[0].First != 11 || len(recovered.Losses) > 0 {
		t.Error(shown(recovered))
	}
}

func TestCorruptRecordThatIsInTheJournalIsNotLost(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.journal(o, 1, 3, "")
	r.append(record(o, 1, 2, 1000))
	change(t, segment(r), flip(500))
	want(t, r.recover(), `lines 1-3 {"seq":1}{"seq":2}{"seq":3}`, "next 4")
}

func TestLossesInACorruptRecordAreReportedAgain(t *testing.T) {
	r := newFixture(t, 64<<20)
	rec := record(env(mine), 5, 6, 1000)
	rec.Losses = []ledger.Loss{{First: 1, Last: 2, Count: 2, Bytes: 9, Reason: ledger.BufferFull}}
	r.append(rec)
	change(t, segment(r), flip(900))
	want(t, r.recover(), "loss 1-2 2 buffer-full", "loss 5-6 2 spool-corrupt", "next 7")
}

func TestCorruptRecordThatIsDoneIsNotReported(t *testing.T) {
	l := newEndedFolder(t)
	l.Kill()
	l.open(64 << 20)
	l.Done(l.Recover()[0].Records[1])
	change(t, segment(l.fixture), flip(l.at[1]+500))
	if recovered := l.recover(); len(recovered.Losses) > 0 {
		t.Error(shown(recovered))
	}
}

func TestCorruptRecordIsReportedOnce(t *testing.T) {
	l := newEndedFolder(t)
	change(t, segment(l.fixture), flip(l.at[1]+500))
	recovered := l.recover()
	recovered.Losses[0].Number = 1
	l.Lost(recovered.Environment, recovered.Losses[0]) // as a ledger does
	recovered = l.recover()
	if len(recovered.Losses) != 1 {
		t.Fatal(shown(recovered))
	}
	recovered.Losses[0].Number = 1
	l.Lost(recovered.Environment, recovered.Losses[0])
	rec := record(recovered.Environment, 60, 60, 10)
	rec.Losses = recovered.Losses
	l.append(rec)
	if recovered := l.recover(); len(recovered.Losses) > 0 || len(recovered.Records) != 4 {
		t.Error(shown(recovered))
	}
}

func TestRecordThatIsCorruptedLaterIsAnError(t *testing.T) {
	l := newEndedFolder(t)
	recovered := l.recover()
	change(t, segment(l.fixture), flip(l.at[1]+500))
	change(t, segment(l.fixture), flip(l.at[2]+10))
	for i, corrupt := range []bool{false, true, true, false} {
		if _, err := l.Read(recovered.Records[i]); errors.Is(err, spool.ErrCorrupt) != corrupt {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

func TestEnvironmentWithoutReadableMetaKeepsItsID(t *testing.T) {
	for _, meta := range []string{"", "{", `{"version":1}`, `{"resource":"x"}`} {
		l := newEndedFolder(t)
		change(t, filepath.Join(l.dir, mine, "meta"), func([]byte) []byte { return []byte(meta) })
		recovered := l.recover()
		if string(recovered.Environment.Details().Resource) != `{"service.instance.id":"`+mine+`"}` || recovered.Environment.ID != mine || len(recovered.Records) != 4 {
			t.Errorf("%q: %s, %s", meta, recovered.Environment.Details().Resource, shown(recovered))
		}
	}
	l := newEndedFolder(t)
	if err := os.Remove(filepath.Join(l.dir, mine, "meta")); err != nil {
		t.Fatal(err)
	}
	if recovered := l.recover(); len(recovered.Records) != 4 {
		t.Error(shown(recovered))
	}
}

func TestRecoverIgnoresForeignFiles(t *testing.T) {
	r := newFixture(t, 1<<20)
	elsewhere := t.TempDir()
	for _, name := range []string{"a_b", "a.b", strings.Repeat("a", 129)} {
		if err := os.MkdirAll(filepath.Join(r.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(r.dir, "file"), nil, 0o600),
		os.Symlink(elsewhere, filepath.Join(r.dir, "link")),
		os.WriteFile(filepath.Join(elsewhere, "meta"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if recovered := r.Recover(); recovered != nil {
		t.Errorf("%d environments", len(recovered))
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "meta")); err != nil {
		t.Error(err)
	}
}

func TestSegmentThatIsALinkIsNotFollowed(t *testing.T) {
	l := newEndedFolder(t)
	moved := filepath.Join(t.TempDir(), "x")
	if err := errors.Join(os.Rename(segment(l.fixture), moved), os.Symlink(moved, segment(l.fixture))); err != nil {
		t.Fatal(err)
	}
	if recovered := l.recover(); len(recovered.Records) > 0 {
		t.Error(shown(recovered))
	}
}

func TestAdoptedFoldersAreLimitedTheOldestComeFirst(t *testing.T) {
	r := newFixture(t, 64<<20)
	for i := range 70 {
		id := fmt.Sprintf("%032x", i)
		r.append(record(env(id), 1, 1, 10))
		at := time.Unix(int64(1_000_000-i), 0)
		if err := os.Chtimes(filepath.Join(r.dir, id), at, at); err != nil {
			t.Fatal(err)
		}
	}
	r.Kill()
	recovered := r.open(64 << 20).Recover()
	if len(recovered) != 64 || recovered[0].Environment.ID != fmt.Sprintf("%032x", 69) {
		t.Errorf("%d environments", len(recovered))
	}
	if !strings.Contains(r.log.String(), "folders=6 limit=64") {
		t.Error(r.log)
	}
}

func TestFolderWithNothingToSendIsRemoved(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	ref := r.append(record(o, 1, 1, 10))
	r.journal(o, 1, 1, "")
	r.Done(ref) // and the process is killed before the journal is forgotten
	r.Kill()
	r.open(64 << 20)
	if recovered := r.Recover(); recovered != nil || len(r.files()) > 0 || r.Bytes() != 0 {
		t.Errorf("%d environments, %v, %d bytes", len(recovered), r.files(), r.Bytes())
	}
}

func TestRecoverAfterCloseLeavesTheFolderToTheNextProcess(t *testing.T) {
	l := newEndedFolder(t)
	l.Kill()
	l.open(64 << 20).Spool.Close()
	if l.Recover() != nil {
		t.Error("a closed spool adopts")
	}
	if recovered := l.open(64 << 20).Recover(); len(recovered) != 1 {
		t.Errorf("%d environments", len(recovered))
	}
}

// TestCorruptBytesLoseNothingSilently corrupts a run of bytes anywhere.
func TestCorruptBytesLoseNothingSilently(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		opt := spool.Options{Dir: dir, Max: 64 << 20, Log: slog.New(slog.DiscardHandler)}
		s := spool.New(opt)
		o := env(mine)
		given := map[uint64]*pack.Record{}
		last := uint64(0)
		for range rapid.IntRange(1, 8).Draw(t, "records") {
			first := last + 1
			last = first + rapid.Uint64Range(0, 9).Draw(t, "events")
			r := record(o, first, last, rapid.IntRange(0, 500).Draw(t, "size"))
			if _, err := s.Append(r); err != nil {
				t.Fatal(err)
			}
			given[first] = r
		}
		journalled := last + 1
		for range rapid.IntRange(0, 5).Draw(t, "frames") {
			n := rapid.Uint64Range(1, 5).Draw(t, "lines")
			if !s.Journal(o, last+1, last+n, lines(last+1, last+n), nil) {
				t.Fatal("the journal stores nothing")
			}
			last += n
		}
		s.Kill()

		path := filepath.Join(dir, mine, rapid.SampledFrom([]string{"00000001.seg", "journal"}).Draw(t, "file"))
		b, err := os.ReadFile(path)
		if err == nil && len(b) > 0 {
			at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
			for i := range rapid.IntRange(1, 8).Draw(t, "bytes") {
				b[min(at+i, len(b)-1)] ^= rapid.ByteRange(1, 255).Draw(t, "by")
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}

		s = spool.New(opt)
		defer s.Close()
		found := s.Recover()
		if len(found) != 1 {
			t.Fatalf("%d environments", len(found))
		}
		l := found[0]
		there := map[uint64]bool{} // numbers that were recovered or reported
		for _, ref := range l.Records {
			r, err := s.Read(ref)
			if err != nil || given[ref.First] == nil || !bytes.Equal(r.Data, given[ref.First].Data) || r.Last != given[ref.First].Last {
				t.Fatalf("record %d: %v", ref.First, err)
			}
			for n := r.First; n <= r.Last; n++ {
				there[n] = true
			}
		}
		for _, run := range l.Lines {
			if run.First < journalled || !bytes.Equal(run.Lines, lines(run.First, run.Last)) {
				t.Fatalf("lines %d to %d are %q", run.First, run.Last, run.Lines)
			}
			for n := run.First; n <= run.Last; n++ {
				there[n] = true
			}
		}
		for _, loss := range l.Losses {
			for n := loss.First; n <= loss.Last; n++ {
				if there[n] {
					t.Fatalf("%d is reported lost, and is there", n)
				}
				there[n] = true
			}
			if uint64(loss.Count) != loss.Last-loss.First+1 || loss.Reason != ledger.SpoolCorrupt {
				t.Fatalf("the loss is %+v", loss)
			}
		}
		for n := uint64(1); n <= last; n++ {
			if !there[n] {
				t.Fatalf("%d is lost silently: %s", n, shown(l))
			}
		}
		if l.Next != last+1 {
			t.Fatalf("the next number is %d, and %d is the last one", l.Next, last)
		}
	})
}

func FuzzRecover(f *testing.F) {
	dir := f.TempDir()
	s := spool.New(spool.Options{Dir: dir, Max: 64 << 20, Log: slog.New(slog.DiscardHandler)})
	o := env(mine)
	s.Lost(o, ledger.Loss{First: 1, Last: 2, Count: 2, Reason: ledger.Rejected})
	ref, err := s.Append(record(o, 3, 7, 50))
	if err != nil {
		f.Fatal(err)
	}
	r := record(o, 8, 8, 5)
	r.Losses = []ledger.Loss{{First: 1, Last: 2, Count: 2, Reason: ledger.Rejected}}
	if _, err := s.Append(r); err != nil {
		f.Fatal(err)
	}
	s.Done(ref)
	s.Journal(o, 9, 10, lines(9, 10), []byte("piece"))
	s.ForgetJournal(o)
	s.Journal(o, 11, 11, lines(11, 11), []byte("piece"))
	s.Kill()
	seg, err1 := os.ReadFile(filepath.Join(dir, mine, "00000001.seg"))
	jour, err2 := os.ReadFile(filepath.Join(dir, mine, "journal"))
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	f.Add(seg, jour, false)
	f.Add(seg, jour, true)
	f.Add(slices.Concat(seg, seg), slices.Concat(seg, jour), true)
	f.Add(jour, seg, true)
	f.Add(seg[:len(seg)-1], jour[1:], false)
	f.Fuzz(func(t *testing.T, seg, journal []byte, reseal bool) {
		if reseal {
			seg, journal = spool.Reseal(bytes.Clone(seg)), spool.Reseal(bytes.Clone(journal))
		}
		dir := t.TempDir()
		folder := filepath.Join(dir, mine)
		if err := errors.Join(
			os.Mkdir(folder, 0o700),
			os.WriteFile(filepath.Join(folder, "00000001.seg"), seg, 0o600),
			os.WriteFile(filepath.Join(folder, "journal"), journal, 0o600),
		); err != nil {
			t.Fatal(err)
		}
		s := spool.New(spool.Options{Dir: dir, Max: 64 << 20, Log: slog.New(slog.DiscardHandler)})
		defer s.Close()
		for _, l := range s.Recover() {
			text := len(l.Fragment)
			for _, run := range l.Lines {
				text += len(run.Lines)
			}
			if text > len(journal) || len(l.Records)*80 > len(seg) {
				t.Errorf("%d bytes and %d records of %d and %d bytes", text, len(l.Records), len(journal), len(seg))
			}
			for _, ref := range l.Records {
				if _, err := s.Read(ref); err != nil {
					t.Error(err)
				}
				if ref.Last >= l.Next {
					t.Errorf("%d is given, and %d is the next", ref.Last, l.Next)
				}
				s.Done(ref)
			}
			for _, loss := range l.Losses {
				s.Lost(l.Environment, loss)
			}
			s.ForgetJournal(l.Environment)
		}
		if n := diskBytes(t, dir); n != s.Bytes() {
			t.Errorf("%d bytes are counted as %d", n, s.Bytes())
		}
	})
}

func TestFolderWithAFileThatCannotBeReadNowStays(t *testing.T) {
	for _, file := range []string{"journal", "losses"} {
		t.Run(file, func(t *testing.T) {
			l := newEndedFolder(t)
			l.Lost(env(mine), ledger.Loss{First: 51, Last: 51, Count: 1, Reason: ledger.Rejected, Number: 1})
			l.Kill()
			l.open(64 << 20)
			l.Break(func(op, path string, n int) (int, error) {
				if op == "open" && filepath.Base(path) == file {
					return 0, syscall.EMFILE
				}
				return n, nil
			})
			before := diskBytes(t, l.dir)
			if recovered := l.Recover(); recovered != nil {
				t.Fatal(shown(recovered[0]))
			}
			if after := diskBytes(t, l.dir); after != before || l.Bytes() != 0 {
				t.Errorf("the files have %d bytes, want %d as before; %d are counted, want 0", after, before, l.Bytes())
			}
			want(t, l.recover(), all+"lines 41-50 "+text+more, "fragment piece", "loss 51-51 1 rejected", "next 52")
		})
	}
}

func TestCorruptSegmentIsReportedOnce(t *testing.T) {
	l := newEndedFolder(t)
	change(t, segment(l.fixture), func(b []byte) []byte {
		return flip(8)(flip(l.at[2] - 5)(flip(l.at[1])(b))) // the mark, and both headers of the second record
	})
	for range 3 {
		recovered := l.recover()
		if len(recovered.Records) != 3 || len(recovered.Losses) != 1 {
			t.Error(shown(recovered))
		}
	}
	if n := strings.Count(l.log.String(), "is not what was written"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, l.log)
	}
	recovered := l.recover()
	loss := recovered.Losses[0]
	loss.Number = 1
	l.Lost(recovered.Environment, loss)
	report := record(recovered.Environment, 60, 60, 10)
	report.Losses = []ledger.Loss{loss}
	l.append(report)
	if recovered := l.recover(); len(recovered.Losses) > 0 || len(recovered.Records) != 4 {
		t.Error(shown(recovered))
	}
}

func TestRecordCorruptedAfterARecoveryIsReportedByTheNext(t *testing.T) {
	l := newEndedFolder(t)
	change(t, segment(l.fixture), flip(l.at[1]+500))
	l.recover()
	change(t, segment(l.fixture), flip(l.at[2]+500))
	recovered := l.recover()
	want(t, recovered, "record 1-10", "record 31-40", "lines 41-50 "+text+more, "fragment piece",
		"loss 11-20 10 spool-corrupt", "loss 21-30 10 spool-corrupt", "next 51")
}

// A neighbour can extend the journal of a process that has ended.
func TestAHugeJournalDoesNotKeepTheRecordsFromBeingRecovered(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	r.append(record(o, 1, 10, 1000))
	r.journal(o, 11, 12, "")
	r.Spool.Kill()
	if err := os.Truncate(journal(r), 1<<30); err != nil {
		t.Fatal(err)
	}
	all := r.open(1 << 20).Spool.Recover()
	if len(all) != 1 || len(all[0].Records) != 1 || len(all[0].Lines) != 1 || len(all[0].Losses) == 0 {
		t.Fatalf("recovered %+v", all)
	}
}

// A record that reports a loss, and is only in memory, may be dropped.
func TestALossThatIsPendingAgainIsRecoveredOnce(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	o.Ledger = ledger.New(&ledger.Account{}, func(l ledger.Loss) { r.Spool.Lost(o, l) })
	o.Ledger.Lost(ledger.Loss{First: 1, Last: 5, Count: 5, Bytes: 10, Reason: ledger.SpoolFull})
	o.Ledger.Requeue(o.Ledger.TakePending())
	r.Spool.Kill()
	all := r.open(1 << 20).Spool.Recover()
	if len(all) != 1 || len(all[0].Losses) != 1 {
		t.Fatalf("recovered %+v", all)
	}
}

// If the spool has no room for the journal, Kinesis may have a number that no file has.
func TestANumberThatIsInKinesisIsNotAssignedAgain(t *testing.T) {
	r := newFixture(t, 64<<10)
	o := env(mine)
	n := uint64(1)
	for {
		if _, err := r.Append(record(o, n, n, 1000)); err != nil {
			break
		}
		n++
	}
	if r.Journal(o, n, n, []byte(strings.Repeat("x", 8<<10)+"\n"), nil) {
		t.Fatal("there is room for the journal")
	}
	r.Sent(record(o, n, n, 1000))
	r.Kill()
	if next := r.open(64 << 10).recover().Next; next != n+1 {
		t.Errorf("the next number is %d, although Kinesis has %d", next, n)
	}
}
