package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
)

// check compares what was added with the stream.
func (box *sandbox) check() {
	arrived := map[number][]*arrival{}
	unknown := false                      // some answers were lost
	ids := map[string]map[string]uint64{} // numbers
	ranges := map[string][]ledger.Loss{}
	lossSeen := map[number]bool{}
	for _, a := range box.stream.arrivals {
		n := number{a.InstanceID(), a.Seq}
		unknown = unknown || !a.answered
		box.tally["events that arrived"]++
		if !a.answered {
			box.tally["events that arrived without an answer"]++
		}
		if before := arrived[n]; len(before) > 0 && string(before[0].Body) != string(a.Body) {
			box.problem("%v is %.100s and %.100s", n, before[0].Body, a.Body)
		}
		arrived[n] = append(arrived[n], a)
		if a.Type == event.TypeLoss && !lossSeen[n] {
			lossSeen[n] = true
			var loss ledger.Loss
			if err := json.Unmarshal(a.Body, &loss); err != nil {
				box.problem("%v: %v", n, err)
			}
			ranges[n.environment] = append(ranges[n.environment], loss)
		}
		if a.Type == event.TypeReport {
			box.checkReport(n, a.Body)
		}
		if ids[n.environment] == nil {
			ids[n.environment] = map[string]uint64{}
		}
		body := string(a.Body)
		if i := strings.Index(body, "id-"); i >= 0 && !strings.HasPrefix(a.Type, "kinetel.r") && a.Part <= 1 {
			end := i + 3 + strings.Index(body[i+3:], "-di") + 3
			if before := ids[n.environment][body[i:end]]; before != 0 && before != n.seq && a.Type != event.TypeUnparsed {
				box.problem("%s of %s has the numbers %d and %d", body[i:end], n.environment, before, n.seq)
			}
			ids[n.environment][body[i:end]] = n.seq
		}
	}
	for n, all := range arrived {
		if box.given[n.environment] < n.seq && !box.memory[n.environment] {
			box.problem("%v has arrived, but only %d numbers were given", n, box.given[n.environment])
		}
		answers := 0
		for _, a := range all {
			// Records that are accepted during a search are acknowledged when it
			// is over, and a kill may come before.
			if a.answered && !(a.searched && box.killed) {
				answers++
			}
		}
		if answers > 1 && !box.memory[n.environment] {
			box.problem("%v (%s) arrived %d times, and Kinesis acknowledged %d", n, all[0].Type, len(all), answers)
		}
	}
	box.checkParts()
	for environment, given := range box.given {
		missing := map[uint64]bool{}
		for seq := uint64(1); seq <= given; seq++ {
			if len(arrived[number{environment, seq}]) == 0 {
				missing[seq] = true
			}
		}
		count, onlyLog := 0, 0
		inRange := map[uint64]bool{}
		for i, loss := range append(slices.Clone(ranges[environment]), box.unreported[environment]...) {
			count += loss.Count
			if i >= len(ranges[environment]) {
				onlyLog += loss.Count
			}
			for seq := loss.First; seq <= loss.Last; seq++ {
				inRange[seq] = true
			}
		}
		box.tally["events missing"] += int64(len(missing))
		box.tally["events reported in the log only"] += int64(onlyLog)
		if box.memory[environment] {
			box.tally["environments killed with events only in memory"]++
			continue // the log has reported it
		}
		for seq := range missing {
			if !inRange[seq] {
				box.problem("event %d of %d of %s did not arrive, and no loss reports it", seq, given, environment)
				break
			}
		}
		if len(missing) > count {
			box.problem("%d events of %s did not arrive, and %d are reported lost", len(missing), environment, count)
		}
		if !unknown && len(missing) != count && box.cfg.Spool != config.SpoolAlways {
			box.problem("%d events of %s did not arrive, but %d are reported lost, though each answer came", len(missing), environment, count)
		}
		absent := 0
		for id := range box.added[environment] {
			if ids[environment][id] == 0 {
				absent++
			}
		}
		if left := int(box.leftOut[environment]); absent > len(missing)+left {
			box.problem("%d of %d added events of %s did not arrive, but only %d numbers are missing, and %d events left out", absent, len(box.added[environment]), environment, len(missing), left)
		}
	}
	files, err := filepath.Glob(filepath.Join(box.cfg.SpoolDir, function.Name, "*", "*"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		box.problem("on disk there is left %s (given: %v): %.300q", file, box.given, text)
	}
	if err != nil {
		box.problem("%v", err)
	}
}

// checkParts joins events that were sent in parts, and checks them.
func (box *sandbox) checkParts() {
	type whole struct {
		environment string
		first       uint64
		parts       int
	}
	pieces := map[whole]map[int]string{}
	for _, a := range box.stream.arrivals {
		if a.Part == 0 {
			continue
		}
		var piece string
		if err := json.Unmarshal(a.Body, &piece); err != nil {
			box.problem("a part is no text: %v", err)
		}
		k := whole{a.InstanceID(), a.Seq - uint64(a.Part) + 1, a.Parts}
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
		if i < 0 || box.huge[text[i:i+3+strings.Index(text[i+3:], "-di")+3]] != text {
			box.problem("%v in %d parts is not what was added: %.100s", k, k.parts, text)
		}
	}
}

func (box *sandbox) checkReport(n number, body []byte) {
	var r ledger.Report
	if err := json.Unmarshal(body, &r); err != nil {
		box.problem("%v: %v", n, err)
	}
	sum := r.Shipped.Events + r.Waiting + r.LeftOut.Total()
	for _, lost := range r.Lost {
		sum += lost
	}
	if all := r.Received.Events + r.Own + r.Parts + r.Recovered; all != sum {
		box.problem("report %v has %d events, and what became of %d: %s", n, all, sum, body)
	}
	if r.Waiting < 0 || r.Spooled.Events > r.Waiting {
		box.problem("report %v: %s", n, body)
	}
}
