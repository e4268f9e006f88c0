package audittest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/kinetel/kinetel/record"
)

// Random returns an environment to which anything may have happened: events are lost,
// reported or not, some arrive more often than once, losses overlap and lie, a window cuts
// the environment. Judge has found what is wrong.
func Random(r *rand.Rand, id string) Environment {
	g := generator{Rand: r, id: id, calm: r.IntN(3) > 0}
	for range 1 + r.IntN(20) {
		g.run()
	}
	for len(g.open) > 0 {
		g.reportLoss()
	}
	if r.IntN(2) == 0 {
		spooled := 0
		if !g.calm {
			spooled = r.IntN(4)
		}
		g.arrive(Report(id, g.next(), true, int64(spooled)))
	}
	events := g.events
	if r.IntN(4) == 0 {
		events = events[r.IntN(len(events)+1)/2:]
	}
	if len(events) == 0 {
		events = []record.Event{Line(id, g.next())}
	}
	if r.IntN(2) == 0 {
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	}
	return Environment{"random", id, events, Judge(events, false)}
}

// generator makes the events of an environment in the order of their numbers.
type generator struct {
	*rand.Rand
	id     string
	calm   bool // no loss lies or is lost
	last   uint64
	events []record.Event
	open   [][]uint64 // lost numbers, for each loss that will report them
}

func (g *generator) next() uint64 {
	g.last++
	return g.last
}

func (g *generator) arrive(e record.Event) {
	g.events = append(g.events, e)
	for g.IntN(10) == 0 {
		g.events = append(g.events, e)
	}
}

// run makes some events to which the same happens.
func (g *generator) run() {
	what := g.IntN(8)
	if what == 0 && len(g.open) > 0 {
		g.reportLoss()
		return
	}
	n := 1 + g.IntN(6)
	if what == 1 {
		for part := range n {
			g.arrive(Part(g.id, g.next(), part+1, n))
		}
		return
	}
	for range n {
		seq := g.next()
		switch {
		case what == 2 && !g.calm: // lost silently
		case what == 3 || what == 4:
			g.lose(seq)
		default:
			g.arrive(Line(g.id, seq))
		}
	}
}

// lose lets one of a few losses report the number later, so that their ranges overlap.
func (g *generator) lose(seq uint64) {
	i := g.IntN(3)
	if i >= len(g.open) {
		i = len(g.open)
		g.open = append(g.open, nil)
	}
	g.open[i] = append(g.open[i], seq)
}

// reportLoss makes a kinetel.loss.
func (g *generator) reportLoss() {
	i := g.IntN(len(g.open))
	lost := g.open[i]
	g.open = slices.Delete(g.open, i, i+1)
	first, last, count := lost[0], lost[len(lost)-1], int64(len(lost))
	lie := 0
	if !g.calm {
		lie = g.IntN(12)
	}
	switch seq := g.next(); lie {
	case 1: // the loss is lost
	case 2:
		g.arrive(Loss(g.id, seq, first, last, count+1))
	case 3:
		g.arrive(Loss(g.id, seq, first, last, max(1, count-1)))
	case 4:
		g.arrive(Loss(g.id, seq, max(1, first-1), last+1, count))
	case 5:
		g.arrive(event(g.id, seq, record.TypeLoss, fmt.Sprintf(`{"firstSeq":%d,"lastSeq":%d,"count":%d}`, last+1, first, count)))
	default:
		g.arrive(Loss(g.id, seq, first, last, count))
	}
}
