package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kinetel/internal/config"
	"kinetel/internal/event"
	"kinetel/internal/extensionapi"
	"kinetel/internal/flush"
	"kinetel/internal/format"
	"kinetel/internal/format/ndjson"
	"kinetel/internal/jsontext"
	"kinetel/internal/kinesis"
	"kinetel/internal/ledger"
	"kinetel/internal/lifecycle"
	"kinetel/internal/pack"
	"kinetel/internal/ship"
	"kinetel/record"
	schematest "kinetel/test/schema"
)

// mode is what the stream does with a request.
type mode int

const (
	accepts         mode = iota
	acceptsSlowly        // after 300 ms
	throttlesSome        // of the records
	throttles            // each record
	fails                // 500, nothing stored
	breaks               // the connection, nothing stored
	breaksAfter          // stored, but the answer is lost
	hangs                // no answer, nothing stored
	hangsAfter           // stored, but no answer
	denies               // no permission
	refusesPoison        // permanently, if a record contains poison
	throttlesHotKey      // the records of some partition keys
	modes
)

func (m mode) String() string {
	return [...]string{
		"accepts", "accepts slowly", "throttles some", "throttles", "fails", "breaks", "breaks after", "hangs", "hangs after",
		"denies", "refuses poison", "throttles hot key",
	}[m]
}

const poison = "arsenic"

// number names an event of the stream.
type number struct {
	environment string
	seq         uint64
}

// arrival is an event that was stored.
type arrival struct {
	record.Event
	answered bool // the extension got the answer
	searched bool // while it may have searched for the rejected record
}

// stream is a fake Kinesis stream with a mode.
type stream struct {
	mu          sync.Mutex
	mode        mode
	rng         *rand.Rand
	arrivals    []*arrival
	search      time.Time // when the last request of a search for poison was over
	problems    []string
	closed      int // how often CloseIdle was called
	invalidated int // how often InvalidateCredentials was called
}

func (s *stream) become(m mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

func (s *stream) CloseIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
}

func (s *stream) InvalidateCredentials() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidated++
}

// store stores the records that want selects. The caller calls answered when the
// extension gets the answer.
func (s *stream) store(records []*pack.Record, want func(*pack.Record) bool) (answered func(searched bool), results []kinesis.Result) {
	var kept []*arrival
	for _, r := range records {
		if !want(r) {
			results = append(results, kinesis.Result{ErrorCode: "ProvisionedThroughputExceededException", ErrorMessage: "slow down"})
			continue
		}
		results = append(results, kinesis.Result{SequenceNumber: "1"})
		events, err := record.Decode(r.Data)
		if err != nil {
			s.problems = append(s.problems, fmt.Sprintf("a record cannot be read: %v", err))
		}
		if err := schematest.Validate(r.Data); err != nil {
			s.problems = append(s.problems, err.Error())
		}
		for _, e := range events {
			kept = append(kept, &arrival{Event: e})
		}
	}
	s.arrivals = append(s.arrivals, kept...)
	return func(searched bool) {
		for _, a := range kept {
			a.answered, a.searched = true, searched
		}
	}, results
}

func (s *stream) PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	s.mu.Lock()
	mode := s.mode
	searching := time.Since(s.search) == 0 // a search makes no pauses
	size := 0
	for _, r := range records {
		if size += r.Size(); r.Size() > pack.MaxRecord || len(r.PartitionKey) < 1 || len(r.PartitionKey) > 256 {
			s.problems = append(s.problems, fmt.Sprintf("a record of %d bytes with the key %q", r.Size(), r.PartitionKey))
		}
	}
	if len(records) == 0 || len(records) > kinesis.MaxRecords || size > kinesis.MaxBytes {
		s.problems = append(s.problems, fmt.Sprintf("a request of %d records and %d bytes", len(records), size))
	}
	s.mu.Unlock()
	takes := 5 * time.Millisecond
	if mode == acceptsSlowly {
		takes = 300 * time.Millisecond
	}
	select {
	case <-ctx.Done():
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
	case <-time.After(takes):
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if searching {
			s.search = time.Now()
		}
	}()
	all := func(*pack.Record) bool { return true }
	silence := func() ([]kinesis.Result, error) {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
	}
	want := all
	switch mode {
	case throttlesSome:
		want = func(*pack.Record) bool { return s.rng.IntN(3) > 0 }
	case throttlesHotKey:
		want = func(r *pack.Record) bool { return r.PartitionKey[0]%2 == 0 }
	case throttles:
		want = func(*pack.Record) bool { return false }
	case fails:
		return nil, &kinesis.Error{Class: kinesis.Transient, Status: 500, Code: "InternalFailure"}
	case breaks:
		return nil, &kinesis.Error{Class: kinesis.Transient, Reused: s.rng.IntN(2) == 0, Err: errors.New("connection reset by peer")}
	case breaksAfter:
		s.store(records, all)
		return nil, &kinesis.Error{Class: kinesis.Transient, Reused: s.rng.IntN(2) == 0, Err: errors.New("connection reset by peer")}
	case hangs:
		return silence()
	case hangsAfter:
		s.store(records, all)
		return silence()
	case denies:
		return nil, &kinesis.Error{Class: kinesis.Denied, Status: 400, Code: "AccessDeniedException"}
	case refusesPoison:
		for _, r := range records {
			events, _ := record.Decode(r.Data)
			if slices.ContainsFunc(events, func(e record.Event) bool { return strings.Contains(string(e.Body), poison) }) {
				searching = true
				return nil, &kinesis.Error{Class: kinesis.Invalid, Status: 400, Code: "InvalidArgumentException"}
			}
		}
	}
	if ctx.Err() != nil {
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
	}
	answered, results := s.store(records, want)
	answered(searching)
	return results, nil
}

// logbook stores what was logged.
type logbook struct {
	mu      sync.Mutex
	entries []entry
}

type entry struct {
	level   slog.Level
	message string
	attrs   map[string]any
}

func (*logbook) Enabled(context.Context, slog.Level) bool { return true }
func (l *logbook) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *logbook) WithGroup(string) slog.Handler          { return l }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	e := entry{r.Level, r.Message, map[string]any{}}
	r.Attrs(func(a slog.Attr) bool {
		e.attrs[a.Key] = a.Value.Any()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	return nil
}

// find returns the entries whose message has this prefix.
func (l *logbook) find(message string) (found []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if strings.HasPrefix(e.message, message) {
			found = append(found, e)
		}
	}
	return found
}

// process is a process of the extension, from its start to its end.
type process struct {
	*pipeline
	intake   ingester
	log      *logbook
	fragment string
	closed   bool
}

// Close does what the listener does at its end: it ingests the fragment as text.
func (p *process) Close(context.Context) {
	p.closed = true
	if p.fragment != "" {
		p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte(event.TypeUnparsed), Record: jsontext.AppendQuote(nil, p.fragment)})
		p.fragment = ""
	}
	p.intake.Commit(nil)
}

var function = extensionapi.Function{Name: "orders", Version: "$LATEST", AccountID: "123456789012"}

func newProcess(cfg config.Config, s *stream) *process {
	p := &process{log: &logbook{}}
	p.begin(cfg, s)
	p.start(p)
	return p
}

func (p *process) begin(cfg config.Config, s *stream) {
	p.pipeline = newPipeline(function, cfg, s, io.Discard, slog.New(p.log))
	p.intake = ingester{pipeline: p.pipeline, Loop: lifecycle.New(nil, p.pipeline, cfg, slog.New(p.log))}
}

// end is the state of a process when it has ended.
type end struct {
	given      map[string]uint64 // sequence numbers assigned, by environment
	unreported map[string][]ledger.Loss
}

// ended returns what an ended process has in memory.
func (p *process) ended() end {
	e := end{given: map[string]uint64{}, unreported: map[string][]ledger.Loss{}}
	p.mu.Lock()
	p.ending = true // records from here on go into finalBatch
	p.mu.Unlock()
	for _, packer := range p.all() {
		r := packer.Received()
		e.given[packer.Environment().ID] += uint64(r.Events + r.Own + r.Parts)
		packer.Seal()
	}
	for _, r := range p.finalBatch {
		id := r.Environment.ID
		e.unreported[id] = append(e.unreported[id], r.Losses...)
	}
	return e
}

// world is a function's environment, in which processes run one after the other.
type world struct {
	cfg        config.Config
	stream     *stream
	process    *process
	next       int                        // id of the next event
	added      map[string]map[string]bool // ids of events, by environment
	huge       map[string]string          // records of huge events, by id
	given      map[string]uint64          // numbers, by environment
	unreported map[string][]ledger.Loss   // losses that are reported only in the log
	memory     map[string]bool            // environments that were killed with something only in memory
	problems   []string
	dirs       int
	root       string
	texts      *rand.Rand
	poisoned   bool
	killed     bool
	corrupted  bool
	tally      map[string]int64 // what happened, for the reader
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// step is a step of a schedule.
type step struct {
	What     string
	N        int
	Size     int
	Duration time.Duration
	Mode     mode
}

func (s step) String() string {
	return fmt.Sprintf("%s n=%d size=%d %s %s", s.What, s.N, s.Size, s.Duration, s.Mode)
}

func (w *world) begin() {
	w.process = newProcess(w.cfg, w.stream)
}

// note records that an event was added to the process's own environment.
func (w *world) note(id string) {
	environment := w.process.own().Environment().ID
	if w.added[environment] == nil {
		w.added[environment] = map[string]bool{}
	}
	w.added[environment][id] = true
}

// add adds events as a body of telemetry does.
func (w *world) add(n, size int, fragment bool) {
	p := w.process
	p.finishFragment()
	for range n {
		w.next++
		id := fmt.Sprintf("id-%d-di", w.next)
		w.note(id)
		kind := []string{"function", "function", "extension", event.TypePlatformStart, event.TypePlatformReport}[w.texts.IntN(5)]
		text := w.text(size)
		if w.texts.IntN(40) == 0 {
			text, w.poisoned = poison, true
		}
		p.intake.Ingest(&event.Event{
			Received: time.Now(), Type: []byte(kind),
			Record: fmt.Appendf(nil, `{"requestId":"r%d","id":"%s","text":"%s"}`, w.next/7, id, text),
		})
	}
	if fragment {
		w.next++
		id := fmt.Sprintf("id-%d-di", w.next)
		w.note(id)
		p.fragment = `{"time":"2026-11-22T20:15:00.123Z","type":"function","record":"` + id
	}
	p.intake.Commit([]byte(p.fragment))
}

// finishFragment ingests the rest of a record that was cut.
func (p *process) finishFragment() {
	if p.fragment == "" {
		return
	}
	i := strings.Index(p.fragment, "id-")
	p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: jsontext.AppendQuote(nil, p.fragment[i:])})
	p.fragment = ""
}

// restore restores the process from a snapshot, by the event that Lambda sends.
func (w *world) restore() {
	p := w.process
	before := p.own().Environment().ID
	p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte(event.TypePlatformRestoreStart), Record: []byte(`{}`)})
	p.intake.Commit([]byte(p.fragment))
	if p.fragment != "" { // the fragment gets its number when it is an event
		id := p.fragment[strings.Index(p.fragment, "id-"):]
		delete(w.added[before], id)
		w.note(id)
	}
	w.tally["restores"]++
}

// text returns text that does not compress well.
func (w *world) text(size int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, size)
	for i := range b {
		b[i] = letters[w.texts.IntN(64)]
	}
	return string(b)
}

func (w *world) addHuge(size int) {
	p := w.process
	p.finishFragment()
	w.next++
	id := fmt.Sprintf("id-%d-di", w.next)
	w.note(id)
	body := fmt.Sprintf(`{"id":"%s","text":"%s"}`, id, w.text(size))
	w.huge[id] = body
	p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: []byte(body)})
	p.intake.Commit(nil)
}

// collect adds the state of an ended process to the world.
func (w *world) collect(p *process) end {
	e := p.ended()
	for id, n := range e.given {
		w.given[id] += n
	}
	if w.cfg.Spool != config.SpoolAlways { // otherwise they are on disk, and the next process reports them
		for id, losses := range e.unreported {
			w.unreported[id] = append(w.unreported[id], losses...)
		}
	}
	return e
}

// finish ends a process as Lambda's SHUTDOWN does.
func (w *world) finish(within time.Duration) {
	p := w.process
	p.Ending(time.Now().Add(within))
	p.CloseIntake(context.Background())
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	p.Finish(ctx)
	cancel()
	if took := time.Since(began); took > within {
		w.problem("Finish took %s of %s", took, within)
	}
	// The totals have to be true, not only consistent.
	received := p.recovered
	for _, packer := range p.all() {
		r := packer.Received()
		received += r.Events + r.Own + r.Parts
	}
	stats, waiting := p.shipper.Stats(), p.queue.Waiting()
	if sum := stats.Events + p.account.Total() + int64(waiting.Events); sum != received {
		w.problem("%d events received, but %d shipped + %d lost + %d waiting", received, stats.Events, p.account.Total(), waiting.Events)
	}
	if waiting.Events != waiting.Spooled.Events {
		w.problem("the process has ended, and of %d events %d are on disk", waiting.Events, waiting.Spooled.Events)
	}
	lost, reasons := p.account.Total(), p.account.Lost()
	w.tally["processes"]++
	w.tally["events recovered"] += p.recovered
	for reason, n := range reasons {
		w.tally["events lost: "+string(reason)] += n
	}
	if waiting.Events > 0 {
		w.tally["processes that left events"]++
	}
	end := w.collect(p)
	unreported := 0
	for _, losses := range end.unreported {
		unreported += len(losses)
	}
	if unreported > 0 && w.cfg.Spool != config.SpoolAlways {
		logged := p.log.find("the environment ends before everything was in Kinesis")
		if len(logged) != 1 || logged[0].attrs["reported_in_stream"] != false || logged[0].attrs["lost_events"].(int64) <= 0 {
			w.problem("losses are told nowhere: %v; log: %v", end.unreported, logged)
		}
	}
	if w.cfg.Spool != config.SpoolOff && reasons[ledger.SpoolFull] == 0 && reasons[ledger.Shutdown]+reasons[ledger.BufferFull] > 0 {
		w.problem("of %d events lost there are %v, though there is a disk", lost, reasons)
	}
	if !w.corrupted && reasons[ledger.SpoolCorrupt] > 0 || !w.poisoned && reasons[ledger.Rejected] > 0 {
		w.problem("of %d events lost there are %v", lost, reasons)
	}
}

// kill ends a process without a shutdown. The next process gets its files.
func (w *world) kill() {
	p := w.process
	synctest.Wait()
	w.dirs++
	dir := filepath.Join(w.root, fmt.Sprint("dir", w.dirs))
	if err := os.CopyFS(dir, os.DirFS(w.cfg.SpoolDir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.problem("copy the spool: %v", err)
	}
	w.tally["processes killed"]++
	w.killed = true
	logged := len(p.log.find("the spool is full")) > 0
	waiting := p.queue.Waiting()
	onlyInMemory := logged || waiting.Events > waiting.Spooled.Events
	if onlyInMemory && !logged {
		w.problem("%d events are only in memory, and the log does not say so", waiting.Events-waiting.Spooled.Events)
	}
	p.stop()
	p.spool.Close()
	w.cfg.SpoolDir = dir
	for id := range w.collect(p).given {
		w.memory[id] = w.memory[id] || onlyInMemory
	}
}

// empty deletes the spool's files, as a handler that empties /tmp does. What was only
// on disk is lost, and is reported as soon as the next body comes.
func (w *world) empty() {
	synctest.Wait()
	if err := os.RemoveAll(w.cfg.SpoolDir); err != nil {
		w.problem("empty the spool: %v", err)
	}
	w.corrupted = true
	w.add(1, 10, false)
	if n, onDisk := w.process.queue.Waiting().Spooled.Records, len(w.process.queue.Stored()); n != onDisk {
		w.problem("%d records are said to be on disk, and %d are", n, onDisk)
	}
}

func (w *world) do(s step) {
	p := w.process
	switch s.What {
	case "add":
		w.add(s.N, s.Size, s.N%4 == 0)
	case "burst":
		w.add(100*s.N, s.Size, false)
	case "huge":
		w.addHuge(1100_000 + 1000*s.Size)
	case "cut":
		p.Seal()
	case "cut if older":
		p.SealIfOlder(s.Duration)
	case "flush":
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), s.Duration)
		_ = p.Flush(ctx)
		cancel()
		if took := time.Since(began); took > s.Duration {
			w.problem("Flush took %s of %s", took, s.Duration)
		}
	case "wait":
		time.Sleep(s.Duration)
	case "Kinesis":
		w.stream.become(s.Mode)
	case "thaw":
		p.Thawed()
	case "restore":
		w.restore()
	case "finish":
		w.finish(s.Duration)
		w.begin()
	case "empty /tmp":
		w.empty()
	case "kill":
		if w.cfg.Spool == config.SpoolAlways {
			w.kill()
			w.begin()
		}
	}
}

// play runs a schedule, and returns the problems.
func play(cfg config.Config, schedule []step, seed uint64, root string, tally map[string]int64) []string {
	w := newWorld(cfg, seed, root, tally)
	for _, s := range schedule {
		w.do(s)
	}
	w.rest()
	return append(w.problems, w.stream.problems...)
}

func newWorld(cfg config.Config, seed uint64, root string, tally map[string]int64) *world {
	w := &world{
		cfg: cfg, stream: &stream{rng: rand.New(rand.NewPCG(seed, 1))}, root: root, texts: rand.New(rand.NewPCG(seed, 2)),
		added: map[string]map[string]bool{}, huge: map[string]string{}, given: map[string]uint64{},
		unreported: map[string][]ledger.Loss{}, memory: map[string]bool{}, tally: tally,
	}
	w.cfg.SpoolDir = filepath.Join(root, "dir0")
	w.begin()
	return w
}

// rest ends every schedule: Kinesis accepts everything, and one more process sends what
// was not sent.
func (w *world) rest() {
	w.stream.become(accepts)
	w.finish(time.Hour)
	w.begin()
	synctest.Wait()
	w.finish(time.Hour)
	w.check()
}

// check compares what was added with the stream.
func (w *world) check() {
	arrived := map[number][]*arrival{}
	unknown := false // some answers were lost
	ids := map[string]map[string]bool{}
	ranges := map[string][]ledger.Loss{}
	lossSeen := map[number]bool{}
	for _, a := range w.stream.arrivals {
		n := number{a.Environment(), a.Seq}
		unknown = unknown || !a.answered
		w.tally["events that arrived"]++
		if !a.answered {
			w.tally["events that arrived without an answer"]++
		}
		if before := arrived[n]; len(before) > 0 && string(before[0].Body) != string(a.Body) {
			w.problem("%v is %.100s and %.100s", n, before[0].Body, a.Body)
		}
		arrived[n] = append(arrived[n], a)
		if a.Type == event.TypeLoss && !lossSeen[n] {
			lossSeen[n] = true
			var loss ledger.Loss
			if err := json.Unmarshal(a.Body, &loss); err != nil {
				w.problem("%v: %v", n, err)
			}
			ranges[n.environment] = append(ranges[n.environment], loss)
		}
		if a.Type == event.TypeReport {
			w.checkReport(n, a.Body)
		}
		if ids[n.environment] == nil {
			ids[n.environment] = map[string]bool{}
		}
		body := string(a.Body)
		if i := strings.Index(body, "id-"); i >= 0 && !strings.HasPrefix(a.Type, "kinetel.r") && a.Part <= 1 {
			end := i + 3 + strings.Index(body[i+3:], "-di") + 3
			ids[n.environment][body[i:end]] = true
		}
	}
	for n, all := range arrived {
		if w.given[n.environment] < n.seq && !w.memory[n.environment] {
			w.problem("%v has arrived, but only %d numbers were given", n, w.given[n.environment])
		}
		answers := 0
		for _, a := range all {
			// Records that are accepted during a search are acknowledged when it
			// is over, and a kill may come before.
			if a.answered && !(a.searched && w.killed) {
				answers++
			}
		}
		if answers > 1 && !w.memory[n.environment] {
			w.problem("%v (%s) arrived %d times, and Kinesis said so %d times", n, all[0].Type, len(all), answers)
		}
	}
	w.checkParts()
	for environment, given := range w.given {
		missing := map[uint64]bool{}
		for seq := uint64(1); seq <= given; seq++ {
			if len(arrived[number{environment, seq}]) == 0 {
				missing[seq] = true
			}
		}
		count, onlyLog := 0, 0
		inRange := map[uint64]bool{}
		for i, loss := range append(slices.Clone(ranges[environment]), w.unreported[environment]...) {
			count += loss.Count
			if i >= len(ranges[environment]) {
				onlyLog += loss.Count
			}
			for seq := loss.First; seq <= loss.Last; seq++ {
				inRange[seq] = true
			}
		}
		w.tally["events missing"] += int64(len(missing))
		w.tally["events reported in the log only"] += int64(onlyLog)
		if w.memory[environment] {
			w.tally["environments killed with events only in memory"]++
			continue // the log has reported it
		}
		for seq := range missing {
			if !inRange[seq] {
				w.problem("event %d of %d of %s did not arrive, and nothing tells of it", seq, given, environment)
				break
			}
		}
		if len(missing) > count {
			w.problem("%d events of %s did not arrive, and %d are reported lost", len(missing), environment, count)
		}
		if !unknown && len(missing) != count && w.cfg.Spool != config.SpoolAlways {
			w.problem("%d events of %s did not arrive, but %d are reported lost, though each answer came", len(missing), environment, count)
		}
		absent := 0
		for id := range w.added[environment] {
			if !ids[environment][id] {
				absent++
			}
		}
		if absent > len(missing) {
			w.problem("%d of %d added events of %s did not arrive, but only %d numbers are missing", absent, len(w.added[environment]), environment, len(missing))
		}
	}
	files, err := filepath.Glob(filepath.Join(w.cfg.SpoolDir, function.Name, "*", "*"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		w.problem("on disk there is left %s (given: %v): %.300q", file, w.given, text)
	}
	if err != nil {
		w.problem("%v", err)
	}
}

// checkParts joins events that were sent in parts, and checks them.
func (w *world) checkParts() {
	type whole struct {
		environment string
		first       uint64
		parts       int
	}
	pieces := map[whole]map[int]string{}
	for _, a := range w.stream.arrivals {
		if a.Part == 0 {
			continue
		}
		var piece string
		if err := json.Unmarshal(a.Body, &piece); err != nil {
			w.problem("a part is no text: %v", err)
		}
		k := whole{a.Environment(), a.Seq - uint64(a.Part) + 1, a.Parts}
		if pieces[k] == nil {
			pieces[k] = map[int]string{}
		}
		pieces[k][a.Part] = piece
	}
	for k, parts := range pieces {
		if len(parts) < k.parts {
			continue // checked by the numbers
		}
		var body strings.Builder
		for i := range k.parts {
			body.WriteString(parts[i+1])
		}
		text := body.String()
		i := strings.Index(text, "id-")
		if i < 0 || w.huge[text[i:i+3+strings.Index(text[i+3:], "-di")+3]] != text {
			w.problem("%v in %d parts is not what was added: %.100s", k, k.parts, text)
		}
	}
}

func (w *world) checkReport(n number, body []byte) {
	var r ledger.Report
	if err := json.Unmarshal(body, &r); err != nil {
		w.problem("%v: %v", n, err)
	}
	sum := r.Shipped.Events + r.Waiting
	for _, lost := range r.Lost {
		sum += lost
	}
	if all := r.Received.Events + r.Own + r.Parts + r.Recovered; all != sum {
		w.problem("report %v tells of %d events and of what became of %d: %s", n, all, sum, body)
	}
	if r.Waiting < 0 || r.Spooled.Events > r.Waiting {
		w.problem("report %v: %s", n, body)
	}
}

func drawConfig(t *rapid.T) config.Config {
	cfg := config.Config{
		StreamName: "telemetry", Types: []string{"platform", "function"}, Format: ndjson.Name, Flush: flush.ModeEnd, FlushInterval: 10 * time.Second, MaxHold: 500 * time.Millisecond,
		Compression:  rapid.SampledFrom([]format.Compression{format.Gzip, format.Uncompressed, format.Zstd}).Draw(t, "compression"),
		PartitionKey: rapid.SampledFrom([]config.PartitionKey{config.PartitionByEnvironment, config.PartitionByFunction, config.PartitionByRequest, config.PartitionRandom}).Draw(t, "key"),
		Spool:        rapid.SampledFrom([]config.Spool{config.SpoolAlways, config.SpoolOverflow, config.SpoolOff}).Draw(t, "spool"),
		BufferBytes:  rapid.SampledFrom([]int64{16 << 20, 1 << 20, 64 << 10, 8 << 10}).Draw(t, "buffer"),
		SpoolBytes:   rapid.SampledFrom([]int64{64 << 20, 4 << 20, 2 << 20}).Draw(t, "spool bytes"),
		Report:       config.Report{Events: rapid.IntRange(0, 4).Draw(t, "report") > 0},
		Lambda:       config.Lambda{Region: "eu-west-1", Initialization: config.SnapStart}, // schedules have restores
	}
	if cfg.Spool == config.SpoolAlways {
		cfg.SpoolBytes = max(cfg.SpoolBytes, 4<<20) // the least that can be configured: a record has room beside its journal
	}
	return cfg
}

// drawSchedule draws some steps out of so many. The steps themselves are random numbers
// of the test's own, because rapid prefers simple values.
func drawSchedule(t *rapid.T, rng *rand.Rand) (schedule []step) {
	const steps = 40
	for _, skip := range rapid.SliceOfN(rapid.IntRange(-7, 1), steps, steps).Draw(t, "leave out where positive") {
		s := step{
			What: pick(rng, "add", "add", "add", "add", "cut", "cut", "cut if older", "flush", "flush", "wait", "wait", "wait",
				"Kinesis", "Kinesis", "Kinesis", "Kinesis", "thaw", "restore", "finish", "kill", "empty /tmp", "burst", "burst", "burst", "huge"),
			N:        1 + rng.IntN(8),
			Size:     pick(rng, 10, 100, 700),
			Mode:     mode(rng.IntN(int(modes))),
			Duration: pick(rng, time.Millisecond, 50*time.Millisecond, 500*time.Millisecond, 2*time.Second, 10*time.Second, 61*time.Second, 10*time.Minute),
		}
		switch {
		case s.What == "finish":
			s.Duration = min(s.Duration, 2*time.Second)
		case s.What == "Kinesis" && rng.IntN(3) == 0:
			s.Mode = accepts
		case s.What == "huge" && rng.IntN(2) == 0:
			s.What = "add" // it takes so long
		}
		if skip <= 0 {
			schedule = append(schedule, s)
		}
	}
	return schedule
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// inWorld runs a test in fake time, and then checks it like a schedule. All sleeps of
// this file are in a synctest bubble.
func inWorld(t *testing.T, play func(t *testing.T, w *world), change ...func(*config.Config)) {
	t.Helper()
	cfg := config.Config{
		StreamName: "telemetry", Types: []string{"platform", "function"}, Format: ndjson.Name, Flush: flush.ModeEnd, FlushInterval: 10 * time.Second, MaxHold: 500 * time.Millisecond,
		Compression: format.Gzip, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOverflow,
		BufferBytes: 16 << 20, SpoolBytes: 64 << 20, Report: config.Report{Events: true}, Lambda: config.Lambda{Region: "eu-west-1"},
	}
	for _, f := range change {
		f(&cfg)
	}
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(cfg, 1, root, map[string]int64{})
		play(t, w)
		w.rest()
		for _, problem := range append(w.problems, w.stream.problems...) {
			t.Error(problem)
		}
	})
}

func withSpool(s config.Spool) func(*config.Config) {
	return func(cfg *config.Config) { cfg.Spool = s }
}

// bodies returns the bodies of the events of a type, each number once, in order.
func (s *stream) bodies(kind string) (bodies []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[number]bool{}
	for _, a := range s.arrivals {
		if n := (number{a.Environment(), a.Seq}); a.Type == kind && !seen[n] {
			seen[n] = true
			bodies = append(bodies, string(a.Body))
		}
	}
	return bodies
}

// environments returns how many events arrived, by environment.
func (s *stream) environments() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]int{}
	for _, a := range s.arrivals {
		counts[a.Environment()]++
	}
	return counts
}

// reports returns the kinetel.report events that arrived.
func (s *stream) reports(t *testing.T) (reports []ledger.Report) {
	t.Helper()
	for _, body := range s.bodies(event.TypeReport) {
		var r ledger.Report
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	return reports
}

func TestWhatCannotBeSentIsOnDiskForTheNextProcess(t *testing.T) {
	for _, mode := range []mode{denies, hangs, fails, throttles, breaks} {
		t.Run(mode.String(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.stream.become(mode)
				w.add(10, 100, false)
				w.finish(2 * time.Second)
				logged := w.process.log.find("the environment ends before everything was in Kinesis")
				if len(logged) != 1 || logged[0].level != slog.LevelError || logged[0].attrs["spooled_events"].(int64) < 10 || logged[0].attrs["lost_events"] != int64(0) {
					t.Errorf("log: %v", logged)
				}
				w.stream.become(accepts)
				w.begin()
				synctest.Wait()
				w.process.Seal()
				time.Sleep(time.Second)
				environments := w.stream.environments()
				// Recovered events are sent under the earlier environment's id.
				if n := environments[w.process.own().Environment().ID]; len(environments) != 1 || n > 0 {
					t.Errorf("events by environment: %v", environments)
				}
				for _, r := range w.stream.reports(t) {
					if r.Final && r.Received.Events != 10 {
						t.Errorf("the earlier process' report: %+v", r)
					}
				}
			})
		})
	}
}

func TestWhatCannotBeSentIsToldAsLostWhereThereIsNoDisk(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stream.become(hangs)
		w.add(10, 100, false)
		go func() {
			time.Sleep(1700 * time.Millisecond) // the final batch gets an answer
			w.stream.become(accepts)
		}()
		w.finish(2 * time.Second)
		n := w.process.account.Total() // the lines, the report, and Kinetel's other events
		if n < 11 {
			t.Errorf("%d events are lost", n)
		}
		losses := w.stream.bodies(event.TypeLoss)
		if len(losses) != 1 || !strings.Contains(losses[0], fmt.Sprintf(`"firstSeq":1,"lastSeq":%d,"count":%d,`, n, n)) || !strings.Contains(losses[0], `"reason":"shutdown"`) {
			t.Errorf("losses: %v", losses)
		}
		reports := w.stream.reports(t)
		if len(reports) != 1 || !reports[0].Final || reports[0].Lost[ledger.Shutdown] != n || reports[0].Waiting != 0 {
			t.Errorf("reports: %+v", reports)
		}
		logged := w.process.log.find("the environment ends before everything was in Kinesis")
		if len(logged) != 1 || logged[0].attrs["reported_in_stream"] != true || logged[0].attrs["lost_events"] != n {
			t.Errorf("log: %v", logged)
		}
		w.begin()
	}, withSpool(config.SpoolOff))
}

// A last request is useless if Kinesis takes longer to answer than the time for it. That
// time is used to send the records.
func TestASlowKinesisHasMoreOfTheShutdownsTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stream.become(acceptsSlowly)
		w.add(10, 100, false)
		w.process.Seal()
		time.Sleep(time.Second)
		w.add(10, 100, false)
		w.finish(430 * time.Millisecond)
		if logged := w.process.log.find("the environment ends before everything was in Kinesis"); len(logged) > 0 {
			t.Errorf("log: %v", logged)
		}
		w.begin()
	}, withSpool(config.SpoolOff))
}

// The first record is rejected, and nothing was accepted yet. The next invocation's
// telemetry shows that the reason is in the record, so it is sent however young it is.
func TestAnInvocationSendsWhatIsNeededToJudgeTheFirstRecord(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stream.become(refusesPoison)
		w.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: jsontext.AppendQuote(nil, poison)})
		w.process.intake.Commit(nil)
		w.poisoned = true
		w.process.Seal()
		time.Sleep(time.Second)
		w.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: jsontext.AppendQuote(nil, "fine")})
		w.process.intake.Commit(nil)
		w.process.SealIfOlder(time.Hour)
		time.Sleep(time.Second)
		if bodies := w.stream.bodies("function"); len(bodies) != 1 || w.process.account.Total() == 0 || w.process.Unavailable() {
			t.Errorf("%q arrived, %d are given up", bodies, w.process.account.Total())
		}
		w.finish(2 * time.Second)
		w.begin()
	}, withSpool(config.SpoolOff))
}

// Records of the final batch that Kinesis has accepted are not sent again.
func TestLastWordsThatArrivedAreNotSentAgain(t *testing.T) {
	for _, spool := range []config.Spool{config.SpoolOff, config.SpoolOverflow, config.SpoolAlways} {
		t.Run(string(spool), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.stream.become(denies)
				for range 6 {
					w.add(1, 100, false)
					w.finish(200 * time.Millisecond) // each has a final batch of its own
					w.begin()
				}
				w.add(10, 100, false)
				go func() {
					time.Sleep(1700 * time.Millisecond)
					w.stream.become(throttlesSome)
				}()
				w.stream.become(hangs)
				w.finish(2 * time.Second)
				w.begin()
			}, withSpool(spool))
		})
	}
}

func TestAFragmentOfAKilledProcessIsSentOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.add(4, 10, true)
		w.kill()
		for range 3 {
			w.begin()
			synctest.Wait()
			w.process.Seal()
			w.finish(time.Second)
			if files, _ := filepath.Glob(filepath.Join(w.cfg.SpoolDir, "*", "*")); len(files) > 0 {
				t.Errorf("on disk there is left %v", files)
			}
		}
		if got := w.stream.bodies(event.TypeUnparsed); len(got) != 1 || !strings.Contains(got[0], "id-5-di") {
			t.Errorf("fragments: %q", got)
		}
		w.begin()
	}, withSpool(config.SpoolAlways))
}

func TestAKilledProcessLosesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stream.become(hangs)
		for range 5 {
			w.add(10, 100, false)
			w.process.Seal()
			w.add(5, 10, false)
			time.Sleep(time.Second)
			w.kill()
			w.begin()
		}
		w.stream.become(accepts)
		synctest.Wait()
		time.Sleep(time.Minute)
		w.process.Seal()
		time.Sleep(time.Minute)
		if n := len(w.stream.bodies(event.TypePlatformStart)) + len(w.stream.bodies(event.TypePlatformReport)) + len(w.stream.bodies("function")) + len(w.stream.bodies("extension")); n != 75 {
			t.Errorf("%d events arrived, want 75", n)
		}
		if got := w.stream.bodies(event.TypeLoss); len(got) > 0 {
			t.Errorf("losses: %v", got)
		}
	}, withSpool(config.SpoolAlways))
}

// The process itself reports what it drops in the last moment.
func TestWhatIsLostAtTheEndIsToldInTheStream(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.add(1, 10, false)
		w.process.Seal()
		time.Sleep(time.Second)
		w.stream.become(refusesPoison)
		w.poisoned = true
		w.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: []byte(`"` + poison + `"`)})
		w.finish(2 * time.Second)
		if got := w.stream.bodies(event.TypeLoss); len(got) != 1 || !strings.Contains(got[0], "rejected") {
			t.Errorf("losses: %v", got)
		}
		w.begin()
	}, func(cfg *config.Config) { cfg.Report = config.Report{} })
}

// A loss that a killed process had no time to report is reported by the next one.
func TestALossThatAKilledProcessDidNotTellIsTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.add(1, 10, false)
		w.process.Seal()
		time.Sleep(time.Second)
		w.stream.become(refusesPoison)
		w.poisoned = true
		w.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: []byte(`"` + poison + `"`)})
		w.process.intake.Commit(nil)
		seq := w.process.own().Last()
		w.process.Seal()
		time.Sleep(time.Second)
		if n := w.process.account.Total(); n != 1 || len(w.stream.bodies(event.TypeLoss)) > 0 {
			t.Fatalf("%d events are lost, and told are %v", n, w.stream.bodies(event.TypeLoss))
		}
		w.kill()
		w.begin()
		time.Sleep(time.Second)
		if got := w.stream.bodies(event.TypeLoss); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf(`"firstSeq":%d,"lastSeq":%d,"count":1,`, seq, seq)) || !strings.Contains(got[0], "rejected") {
			t.Errorf("losses: %v", got)
		}
		if n := w.process.account.Total(); n != 1 {
			t.Errorf("the next process knows of %d events lost", n)
		}
	}, withSpool(config.SpoolAlways))
}

func TestWhatIsSpoiledOnDiskIsTold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stream.become(denies)
		w.add(3, 100, false)
		n := w.process.own().Last()
		w.process.Seal()
		time.Sleep(time.Second)
		w.kill()
		files, err := filepath.Glob(filepath.Join(w.cfg.SpoolDir, "*", "*", "*.seg"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)-100] ^= 1 // in the middle of the record's data
		if err := os.WriteFile(files[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
		w.corrupted = true
		w.stream.become(accepts)
		w.begin()
		time.Sleep(time.Second)
		if got := w.stream.bodies(event.TypeLoss); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf(`"firstSeq":1,"lastSeq":%d,"count":%d,`, n, n)) || !strings.Contains(got[0], "spool-corrupt") {
			t.Errorf("losses: %v", got)
		}
		if corrupted := w.process.account.Lost()[ledger.SpoolCorrupt]; corrupted != int64(n) {
			t.Errorf("%d of %d events are known to be spoiled", corrupted, n)
		}
	}, withSpool(config.SpoolAlways))
}

func TestAReportIsMadeOnceAMinuteAtMostAndInTheEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for range 300 { // 150 s
			w.add(1, 10, false)
			w.process.Seal()
			time.Sleep(500 * time.Millisecond)
		}
		if n := len(w.stream.reports(t)); n != 2 {
			t.Errorf("%d reports in 150 s", n)
		}
		time.Sleep(time.Hour)
		w.process.Seal() // something has come since the last one
		time.Sleep(time.Hour)
		w.process.Seal() // but nothing since this one
		time.Sleep(time.Second)
		if n := len(w.stream.reports(t)); n != 3 {
			t.Errorf("%d reports after that", n)
		}
		w.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte(event.TypePlatformLogsDropped), Record: []byte(`{"droppedRecords":7,"droppedBytes":1234}`)})
		w.finish(time.Second)
		reports := w.stream.reports(t)
		last := reports[len(reports)-1]
		own := int64(3 + len(w.stream.bodies(event.TypeInvocation)) + len(w.stream.bodies(event.TypeEnvironment)))
		if len(reports) != 4 || !last.Final || last.Received.Events != 301 || last.Own != own || last.Shipped.Events+last.Waiting != 301+own || last.Waiting < 1 {
			t.Errorf("%d reports, the last one %+v", len(reports), last)
		}
		if diff := last.LogsDropped; diff != (ledger.Dropped{Times: 1, Records: 7, Bytes: 1234}) {
			t.Errorf("logs dropped: %+v", diff)
		}
		for i, r := range reports[:3] {
			if r.Final {
				t.Errorf("report %d is final", i+1)
			}
		}
		w.begin()
	})
}

func TestNoReportIsMadeWhereNoneIsWanted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.add(1, 10, false)
		time.Sleep(time.Hour)
		w.process.Seal()
		w.finish(time.Second)
		w.begin()
		w.stream.become(denies)
		w.add(1, 10, false)
		w.finish(time.Second)
		if n := len(w.stream.reports(t)); n > 0 {
			t.Errorf("%d reports", n)
		}
		w.begin()
	}, func(cfg *config.Config) { cfg.Report = config.Report{} })
}

func TestNothingIsFlushedWhileKinesisIsUnavailable(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stream.become(denies)
		w.add(1, 10, false)
		w.process.Seal()
		time.Sleep(time.Second)
		w.add(1, 10, false)
		before := time.Now()
		if err := w.process.Flush(t.Context()); !errors.Is(err, ship.ErrUnavailable) || time.Since(before) > 0 || !w.process.Unavailable() {
			t.Errorf("Flush returned %v after %s", err, time.Since(before))
		}
		// The record stays open, so that it gets full.
		if n := w.process.queue.Waiting().Records; n != 1 || w.process.own().Age() != 0 {
			t.Errorf("%d records wait; the open one is %s old", n, w.process.own().Age())
		}
	})
}

// Whatever Kinesis does, and however processes end, each event is in the stream or is
// reported lost: in the stream or, if that is impossible, in the log.
func TestNothingIsLostSilently(t *testing.T) {
	const underRace = 25 // `make unit` runs many more without the detector
	tally := map[string]int64{}
	rapid.Check(t, func(rt *rapid.T) {
		if raced && tally["schedules"] >= underRace {
			return
		}
		cfg := drawConfig(rt)
		seed := rapid.Uint64().Draw(rt, "seed")
		schedule := drawSchedule(rt, rand.New(rand.NewPCG(seed, 3)))
		root, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		var problems []string
		synctest.Test(t, func(*testing.T) { problems = play(cfg, schedule, seed, root, tally) })
		_ = os.RemoveAll(root)
		tally["schedules"]++
		if len(problems) > 0 {
			rt.Fatalf("%d problems:\n%s\nafter %q", len(problems), strings.Join(problems[:min(len(problems), 10)], "\n"), schedule)
		}
	})
	t.Logf("%v", tally)
}
