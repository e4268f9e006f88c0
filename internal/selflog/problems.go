package selflog

import (
	"cmp"
	"log/slog"
	"strings"
	"sync"
	"time"

	"kinetel/internal/order"
)

const (
	// quiet is how long a problem that was written is only counted.
	quiet = 10 * time.Minute
	// maxProblems is how many problems are remembered.
	maxProblems = 64
	// maxName is how much of each of its texts a problem is known by, in bytes.
	maxName = 512
	// maxTold is how many problems a closing line names, the most frequent
	// first, and maxToldName how much of each text it gives.
	maxTold     = 16
	maxToldName = 128
)

// problem is what makes two lines the same problem.
type problem struct {
	level   slog.Level
	message string
	class   string
	problem string
}

// name takes what an attribute says about which problem it is.
func (p *problem) name(a slog.Attr) {
	switch a.Key {
	case "class":
		p.class = clip(a.Value.Resolve().String())
	case "problem":
		p.problem = clip(a.Value.Resolve().String())
	}
}

// clip returns a text as far as a problem is known by it.
func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.Clone(s[:maxName]) // the rest need not be kept
}

// problems are the problems that were seen of late. The zero value has none.
type problems struct {
	mu    sync.Mutex
	known map[problem]*sighting
	turns uint64
}

// sighting is what is known of a problem.
type sighting struct {
	written time.Time // by the wall clock
	turn    uint64    // when it was seen last, among the problems
	held    int       // lines since written
}

// seen takes a line. It tells whether to write it, and how many lines of this
// problem, and of one that is forgotten for it, were held back untold.
func (ps *problems) seen(p problem) (write bool, repeated, others int) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	// Round strips the monotonic reading, which may stand still while the
	// environment is frozen.
	now := time.Now().Round(0)
	s := ps.known[p]
	if s == nil {
		others = ps.makeRoom()
		s = &sighting{}
		ps.known[p] = s
	}
	ps.turns++
	s.turn = ps.turns
	// An age below nothing means that the clock was put back.
	if age := now.Sub(s.written); age >= 0 && age < quiet {
		s.held++
		return false, 0, 0
	}
	repeated, s.held = s.held, 0
	s.written = now
	return true, repeated, others
}

// makeRoom makes room for one more problem. Where the one that was seen longest
// ago has to go, it returns how many of its lines nobody was told of.
func (ps *problems) makeRoom() (untold int) {
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
	untold = ps.known[oldest].held
	delete(ps.known, oldest)
	return untold
}

// told is a problem in a closing line.
type told struct {
	Level    string `json:"level"`
	Message  string `json:"msg"`
	Class    string `json:"class,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Repeated int    `json:"repeated"`
}

// untold returns how many lines were held back that nobody was told of, by
// problem, and forgets their number. Others are of problems that there is no room
// for.
func (ps *problems) untold() (total int, list []told, others int) {
	ps.mu.Lock()
	for p, s := range ps.known {
		if s.held > 0 {
			list = append(list, told{
				Level: p.level.String(), Message: short(p.message), Class: short(p.class), Problem: short(p.problem),
				Repeated: s.held,
			})
			total += s.held
			s.held = 0
		}
	}
	ps.mu.Unlock()
	order.By(list, func(a, b told) int {
		return cmp.Or(cmp.Compare(b.Repeated, a.Repeated), cmp.Compare(a.Message, b.Message),
			cmp.Compare(a.Class, b.Class), cmp.Compare(a.Problem, b.Problem), cmp.Compare(a.Level, b.Level))
	})
	for _, t := range list[min(len(list), maxTold):] {
		others += t.Repeated
	}
	return total, list[:min(len(list), maxTold)], others
}

// short returns a text as far as a closing line tells it.
func short(s string) string {
	if len(s) <= maxToldName {
		return s
	}
	return strings.ToValidUTF8(s[:maxToldName], "") + "…"
}
