package pack

import (
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
)

// addLosses adds the pending losses in a record of their own. No record is open.
func (p *Packer) addLosses() {
	losses := p.opt.Environment.Ledger.TakePending()
	if len(losses) == 0 {
		return
	}
	now := time.Now()
	for _, loss := range losses {
		p.added.Own++
		p.add(&event.Event{Received: now, Type: []byte(event.TypeLoss), Record: loss.AppendJSON(nil)}, loss)
	}
	p.seal()
}

// lost reports events that cannot be in a record.
func (p *Packer) lost(first, last uint64, count, bytes int, reason ledger.Reason) {
	p.opt.Environment.Ledger.Lost(ledger.Loss{First: first, Last: last, Count: count, Bytes: int64(bytes), Reason: reason})
}

// takeLosses removes the losses that these lines report from losses, which are in
// the order of the lines that report them, and returns them.
func takeLosses(lines []format.Line, losses *[]ledger.Loss) (reported []ledger.Loss) {
	for i := range lines {
		if len(*losses) > 0 && string(lines[i].Type) == event.TypeLoss {
			reported = append(reported, (*losses)[0])
			*losses = (*losses)[1:]
		}
	}
	return reported
}
