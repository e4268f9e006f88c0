package selflog

import (
	"cmp"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/order"
	"github.com/kinetel/kinetel/internal/wallclock"
)

const (
	// quiet is how long the lines of a problem are only counted after one was
	// written.
	quiet = 10 * time.Minute
	// maxProblems is how many problems are remembered.
	maxProblems = 64
	// maxName is how many bytes of each of its texts identify a problem.
	maxName = 512
	// maxSummaries is how many problems the line of Close lists, the most
	// frequent first, and maxSummaryText how many bytes of each text it has.
	maxSummaries   = 16
	maxSummaryText = 128
)

// problem identifies a problem: two lines with the same values are the same problem.
type problem struct {
	Level   logging.Level
	Message string
	Class   string // empty: none
	Problem string // empty: none
}

// clip returns the part of a text that identifies a problem.
func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.Clone(s[:maxName]) // a copy, so that the rest can be freed
}

// problems are the problems seen last. The zero value has none.
type problems struct {
	mu    sync.Mutex
	known map[problem]*sighting
	turns uint64
}

// sighting is the state of a problem.
type sighting struct {
	written    time.Time // when a line was last written, by the wall clock
	turn       uint64    // orders the problems by when they were last seen
	suppressed int       // lines that were suppressed and not reported since
}

// seen counts a line. It returns whether to write the line, and how many suppressed
// lines are not reported yet: repeated of this problem, and others of a problem
// that was forgotten to make room for it.
func (ps *problems) seen(p problem) (write bool, repeated, others int) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	now := wallclock.Now()
	s := ps.known[p]
	if s == nil {
		others = ps.makeRoom()
		s = &sighting{}
		ps.known[p] = s
	}
	ps.turns++
	s.turn = ps.turns
	// A negative age means that the clock was set back.
	if age := now.Sub(s.written); age >= 0 && age < quiet {
		s.suppressed++
		return false, 0, 0
	}
	repeated, s.suppressed = s.suppressed, 0
	s.written = now
	return true, repeated, others
}

// makeRoom makes room for one more problem. If it has to forget the problem that was
// seen longest ago, it returns how many of that problem's suppressed lines were not
// reported.
func (ps *problems) makeRoom() (suppressed int) {
	if ps.known == nil {
		ps.known = make(map[problem]*sighting)
	}
	if len(ps.known) < maxProblems {
		return 0
	}
	var oldest problem
	least := ps.turns + 1
	for p, s := range ps.known {
		if s.turn < least {
			oldest, least = p, s.turn
		}
	}
	suppressed = ps.known[oldest].suppressed
	delete(ps.known, oldest)
	return suppressed
}

// summary is a problem in the line of Close.
type summary struct {
	problem
	repeated int
}

// summarize returns how many suppressed lines were not reported yet, in total and by
// problem, as a JSON array, and resets the counts. others counts the lines of problems
// that the array has no room for.
func (ps *problems) summarize() (total int, summaries json.RawMessage, others int) {
	var list []summary
	ps.mu.Lock()
	for p, s := range ps.known {
		if s.suppressed > 0 {
			list = append(list, summary{problem{p.Level, short(p.Message), short(p.Class), short(p.Problem)}, s.suppressed})
			total += s.suppressed
			s.suppressed = 0
		}
	}
	ps.mu.Unlock()
	order.By(list, func(a, b summary) int {
		return cmp.Or(cmp.Compare(b.repeated, a.repeated), cmp.Compare(a.Message, b.Message),
			cmp.Compare(a.Class, b.Class), cmp.Compare(a.Problem, b.Problem), cmp.Compare(b.Level, a.Level))
	})
	for _, s := range list[min(len(list), maxSummaries):] {
		others += s.repeated
	}
	elements := make([][]byte, min(len(list), maxSummaries))
	for i := range elements {
		elements[i] = list[i].json()
	}
	return total, jsontext.Array(elements), others
}

func (s *summary) json() []byte {
	o := jsontext.Object{OmitEmpty: true}
	o.String("level", s.Level.String())
	o.String("msg", s.Message)
	o.String("class", s.Class)
	o.String("problem", s.Problem)
	o.Int("repeated", int64(s.repeated))
	return o.JSON()
}

// short returns the part of a text that the line of Close has.
func short(s string) string {
	if len(s) <= maxSummaryText {
		return s
	}
	return strings.ToValidUTF8(s[:maxSummaryText], "") + "…"
}
