package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

// kind is a kind of log line.
type kind struct {
	name string
	line func(r *rand.Rand) string
}

// kinds are those of docs/evidence/fleet.md: what differs between two lines is drawn
// by chance, what does not is what a program logs again and again.
func kinds() []kind {
	id := func(r *rand.Rand) string {
		return fmt.Sprintf("%08x-%04x-%04x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<16), r.Uint64()>>16)
	}
	return []kind{
		{"text, 100 B", func(r *rand.Rand) string {
			return fmt.Sprintf("INFO order %06d accepted: %d items, total %d.%02d EUR, reserved in warehouse %d until midnight, mail sent", r.IntN(1e6), r.IntN(9), r.IntN(999), r.IntN(100), r.IntN(13))
		}},
		{"JSON with two ids, 300 B", func(r *rand.Rand) string {
			return fmt.Sprintf(`{"level":"info","logger":"orders.checkout","message":"payment authorised","order":"%s","customer":"%s","amount":%d.%02d,"currency":"EUR","method":"card","attempt":%d,"durationMs":%.3f,"queueDepth":%d,"warehouse":"w-%02d","feature":"express"}`,
				id(r), id(r), r.IntN(999), r.IntN(100), 1+r.IntN(3), r.ExpFloat64()*80, r.IntN(40), r.IntN(13))
		}},
		{"JSON with many ids, 800 B", func(r *rand.Rand) string {
			text := `{"level":"debug","message":"upstream answered","headers":{`
			for i := range 16 {
				text += fmt.Sprintf(`"x-field-%02d":"%s",`, i, id(r))
			}
			return text + fmt.Sprintf(`"x-last":"%d"}}`, r.IntN(100))
		}},
		{"random base64, 300 B", func(r *rand.Rand) string {
			const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			text := make([]byte, 300)
			for i := range text {
				text[i] = letters[r.IntN(64)]
			}
			return string(text)
		}},
	}
}

// size is the size of lines of a kind.
type size struct {
	line   float64 // bytes, as the function writes it
	packed float64 // bytes of it in a record
}

// measure packs lines of a kind by the real packer, so many a record.
func measure(k kind, compression format.Compression, events int) size {
	const records = 5
	random := rand.New(rand.NewPCG(1, 4))
	var packed, lines int
	env := environment.New("4f1e3b0c9a7d4e55a0c2b1d3e4f50617", environment.Details{
		Resource: []byte(`{"cloud.provider":"aws","cloud.region":"eu-west-1","cloud.account.id":"123456789012","faas.name":"orders","faas.version":"$LATEST","faas.instance":"2026/11/22/orders[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0",` +
			`"service.name":"orders","service.instance.id":"4f1e3b0c9a7d4e55a0c2b1d3e4f50617"}`),
	})
	env.Ledger = ledger.New(&ledger.Account{}, nil)
	p := pack.New(pack.Options{
		Environment: env, FunctionName: "orders", Compression: compression, PartitionKey: config.PartitionByEnvironment,
		Push: func(r *pack.Record) { packed += r.Size() }, Log: slog.New(slog.DiscardHandler),
	})
	at := epoch
	for range records {
		for range events {
			at = at.Add(time.Duration(random.ExpFloat64() * float64(5*ms)))
			text := k.line(random)
			lines += len(text)
			p.Add(&event.Event{
				Time: []byte(at.Format("2006-01-02T15:04:05.000Z")), Received: at, Type: []byte("function"), Record: []byte(strconv.Quote(text)),
			})
		}
		p.Seal()
	}
	return size{float64(lines) / records / float64(events), float64(packed) / records / float64(events)}
}

// shards is how many a busy fleet needs: by bytes, or by records, of which each
// environment writes one an interval, or one whenever it is full.
func shards(environments, lines, packed float64) int {
	bytes := environments * lines * packed / shardBytes
	records := environments * max(1./interval, lines/pack.MaxEvents) / shardRecords
	return max(1, int(math.Ceil(headroom*max(bytes, records))))
}

// writeSizes writes the sizes of lines, and how many shards they need.
func writeSizes(w io.Writer) {
	fmt.Fprintln(w, "| lines | bytes a line | packed, 500 a record | of what the function writes | packed, 50 a record | packed, 10 a record | `zstd`, 500 a record |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|")
	for _, k := range kinds() {
		full := measure(k, format.Gzip, pack.MaxEvents)
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %s | %.0f | %.0f | %.0f |\n", k.name, full.line, full.packed, percent(full.packed/full.line),
			measure(k, format.Gzip, 50).packed, measure(k, format.Gzip, 10).packed, measure(k, format.Zstd, pack.MaxEvents).packed)
	}
	fleets := []struct{ environments, lines float64 }{{100, 10}, {1_000, 1}, {1_000, 10}, {1_000, 100}, {10_000, 10}, {50_000, 1}, {50_000, 10}, {50_000, 100}}
	type packing struct {
		kind   string
		events int
	}
	packed := map[packing]float64{}
	fmt.Fprint(w, "\n| environments | lines a second, each |")
	for _, k := range kinds() {
		fmt.Fprintf(w, " %s |", k.name)
	}
	fmt.Fprintf(w, "\n|--:|--:|%s\n", strings.Repeat("--:|", len(kinds())))
	for _, f := range fleets {
		fmt.Fprintf(w, "| %.0f | %.0f |", f.environments, f.lines)
		for _, k := range kinds() {
			// So many events are in a record of an interval.
			events := int(min(pack.MaxEvents, f.lines*interval))
			p := packing{k.name, events}
			if packed[p] == 0 {
				packed[p] = measure(k, format.Gzip, events).packed
			}
			fmt.Fprintf(w, " %d |", shards(f.environments, f.lines, packed[p]))
		}
		fmt.Fprintln(w)
	}
}

const (
	// headroom is what docs/evidence/fleet.md recommends.
	headroom = 2
	interval = 10 // seconds; KINETEL_FLUSH_INTERVAL
)
