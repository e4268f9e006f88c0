package spool_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/spool"
)

// ended is a spool whose process shut down cleanly: of twelve records in two files
// the last nine are not done, and 200 is the highest number assigned.
func ended(t *testing.T) (r *fixture, files []string) {
	t.Helper()
	r = newFixture(t, 4<<20)
	o := env(mine)
	var refs []*spool.Ref
	for i := range uint64(12) {
		refs = append(refs, r.append(record(o, 1+10*i, 10+10*i, 40<<10)))
	}
	for _, ref := range refs[:3] {
		r.Done(ref)
	}
	r.WriteManifest(o, 200, refs[3:])
	r.Close()
	for _, name := range r.files() {
		if filepath.Ext(name) == ".seg" {
			files = append(files, filepath.Join(r.dir, mine, name))
		}
	}
	if len(files) != 2 {
		t.Fatalf("%d files of records, want 2", len(files))
	}
	return r, files
}

// next returns what the next process recovers.
func (r *fixture) next() spool.Recovered {
	r.t.Helper()
	r.open(64 << 20)
	recovered := r.Recover()
	if len(recovered) != 1 {
		r.t.Fatalf("%d environments are recovered", len(recovered))
	}
	return recovered[0]
}

func (r *fixture) lost(recovered spool.Recovered) (lost []ledger.Loss) {
	r.t.Helper()
	found := 0
	for _, ref := range recovered.Records {
		if _, err := r.Read(ref); err == nil {
			found += ref.Events
		}
	}
	reported := 0
	for _, loss := range recovered.Losses {
		if loss.Reason != ledger.SpoolCorrupt {
			r.t.Errorf("reported as %s: %+v", loss.Reason, loss)
		}
		reported += loss.Count
	}
	if found+reported != 90 {
		r.t.Errorf("%d events are found and %d reported lost, of 90\n%s", found, reported, shown(recovered))
	}
	return recovered.Losses
}

func TestListedRecordsThatAreThereAreNotLost(t *testing.T) {
	r, _ := ended(t)
	recovered := r.next()
	if lost := r.lost(recovered); len(lost) > 0 || recovered.Next != 201 {
		t.Error(shown(recovered))
	}
	if slices.Contains(r.files(), "manifest") {
		t.Error("the manifest is still there, and will be wrong")
	}
}

func TestFileTruncatedAfterShutdownIsReported(t *testing.T) {
	for i, keep := range []int64{0, 20, 41 << 10, 100 << 10} {
		for file := range 2 {
			r, files := ended(t)
			info, err := os.Stat(files[file])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(files[file], min(keep, info.Size()-1)); err != nil {
				t.Fatal(err)
			}
			recovered := r.next()
			if lost := r.lost(recovered); len(lost) == 0 || recovered.Next != 201 {
				t.Errorf("cut %d of file %d: %s", i, file, shown(recovered))
			}
		}
	}
}

func TestFileDeletedAfterShutdownIsReported(t *testing.T) {
	r, files := ended(t)
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	if lost := r.lost(r.next()); len(lost) != 1 || lost[0].Last != 120 {
		t.Errorf("the log has %+v", lost)
	}
}

func TestUnreadableManifestIsIgnored(t *testing.T) {
	for _, text := range []string{"", "{", "null", `{"version":2,"last":9,"manifest":[{"firstSeq":1,"lastSeq":9,"count":9}]}`} {
		r, _ := ended(t)
		if err := os.WriteFile(filepath.Join(r.dir, mine, "manifest"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if recovered := r.next(); len(recovered.Losses) > 0 || recovered.Next != 121 {
			t.Errorf("%q: %s", text, shown(recovered))
		}
	}
}

// A corrupt manifest must not cause the loss of records.
func TestCorruptManifestIsIgnored(t *testing.T) {
	r, _ := ended(t)
	path := filepath.Join(r.dir, mine, "manifest")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		r, _ := ended(t)
		corrupt := bytes.Clone(whole)
		corrupt[i] ^= 1
		if err := os.WriteFile(filepath.Join(r.dir, mine, "manifest"), corrupt, 0o600); err != nil {
			t.Fatal(err)
		}
		if recovered := r.next(); len(recovered.Losses) > 0 || len(recovered.Records) != 9 {
			t.Errorf("byte %d: %s", i, shown(recovered))
		}
		r.Kill()
	}
}

// If a process is killed while it sends the records of an earlier one, the next
// process must not use the old manifest.
func TestManifestIsUsedOnce(t *testing.T) {
	r, _ := ended(t)
	recovered := r.next()
	for _, ref := range recovered.Records[:6] {
		r.Done(ref)
	}
	r.Kill()
	if again := r.next(); len(again.Losses) > 0 || len(again.Records) != 3 {
		t.Error(shown(again))
	}
}

func TestWithoutAFolderThereIsNoManifest(t *testing.T) {
	r := newFixture(t, 1<<20)
	r.WriteManifest(&environment.Environment{ID: mine}, 7, nil)
	r.Close()
	if files := r.files(); len(files) > 0 {
		t.Errorf("%v was made", files)
	}
}

func TestOnlyTheUserMayReadTheManifest(t *testing.T) {
	r, _ := ended(t)
	info, err := os.Stat(filepath.Join(r.dir, mine, "manifest"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, mine, "manifest"))
	if err != nil || !bytes.Contains(text, []byte(`"Numbers":[{"First":31,"Last":120}],"Events":90,`)) {
		t.Errorf("ranges that touch are not one: %s", text)
	}
}

// With Always, a record is appended while its own lines are in the journal.
func TestRecordsLeaveTheJournalItsReserve(t *testing.T) {
	const reserve = 1 << 20
	r := newFixture(t, 4<<20)
	r.Close()
	r.Spool = spool.New(spool.Options{Dir: r.dir, Max: 4 << 20, Reserve: reserve, Log: slog.New(slog.DiscardHandler)})
	o := env(mine)
	next := uint64(1)
	fill := func() {
		t.Helper()
		for {
			_, err := r.Append(record(o, next, next, 50<<10))
			if errors.Is(err, spool.ErrFull) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			next++
		}
	}
	fill()
	full := r.Bytes()
	if free := 4<<20 - full; free < reserve || free > reserve+300<<10 {
		t.Errorf("%d bytes are free when records have no room, want %d", free, reserve)
	}
	long := bytes.Repeat([]byte("x"), reserve-100<<10)
	if !r.Journal(o, next, next, append(long, '\n'), nil) {
		t.Fatal("the journal does not take what is reserved for it")
	}
	fill()
	if got := r.Bytes() - int64(len(long)); got > full+50<<10 {
		t.Errorf("%d bytes of records are there, more than %d: they have taken the journal's", got, full)
	}
	r.ForgetJournal(o)
	fill()
	if got := r.Bytes(); got > full+50<<10 {
		t.Errorf("%d bytes of records are there, more than %d, when the journal is empty again", got, full)
	}
}
