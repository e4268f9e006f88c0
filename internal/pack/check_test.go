package pack_test

import (
	"fmt"
	"testing"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

func TestTheRecordsOfAPackerPassTheCheck(t *testing.T) {
	for _, f := range []format.Name{ndjson.Name, ndjson.JSONName, otlp.Name, cloudwatch.Name, kpl.Name} {
		for _, c := range []format.Compression{format.Uncompressed, format.Gzip, format.Zstd} {
			records := 0
			env := environment.New("e1", environment.Details{Resource: []byte(`{"service.instance.id":"e1"}`)})
			env.Ledger = ledger.New(&ledger.Account{}, nil)
			p := pack.New(pack.Options{Environment: env, Format: f, Compression: c, PartitionKey: config.PartitionByEnvironment, Push: func(r *pack.Record) {
				records++
				if !(pack.Checker{}).Record(r) {
					t.Errorf("%s, %s: %q", f, c, r.Data)
				}
			}})
			for i := range uint64(3) {
				ev := &event.Event{Type: []byte("function"), Record: fmt.Appendf(nil, `"line %d"`, i)}
				p.Add(ev)
				line := format.AppendLine(nil, i+1, ev, format.Part{}, env.Details().Resource)
				if !(pack.Checker{}).Line(env, i+1, line) || (pack.Checker{}).Line(env, i+2, line) {
					t.Errorf("%q", line)
				}
			}
			p.Seal()
			if records == 0 {
				t.Error("no record")
			}
		}
	}
}

func TestOtherDataDoesNotPassTheCheck(t *testing.T) {
	for _, data := range []string{"", "\n", "x", "{", "{}\n\n{}", "[1]", `"text"`, "{}\nx\n", "{\"a\":\"\xff\"}\n", "{}{}", "\x1f\x8b", "{} {}\n"} {
		if (pack.Checker{}).Record(&pack.Record{Data: []byte(data)}) {
			t.Errorf("%q passes", data)
		}
	}
	for _, data := range []string{"{}", "{}\n", "{}\n{\"a\":1}\n"} {
		if !(pack.Checker{}).Record(&pack.Record{Data: []byte(data)}) {
			t.Errorf("%q does not pass", data)
		}
	}
}

func TestOtherTextDoesNotPassTheCheck(t *testing.T) {
	const good = `{"schema":"kinetel/1","seq":7,"time":"2026-11-22T20:15:00.123Z","type":"function","body":"x","resource":{"service.instance.id":"e1"}}` + "\n"
	o := &environment.Environment{ID: "e1"}
	if !(pack.Checker{}).Line(o, 7, []byte(good)) {
		t.Error("the good one does not pass")
	}
	for _, line := range []string{
		"", "\n", "{}\n", good[:len(good)-1], good + "x\n", good[:len(good)-1] + "{}\n", good[1:],
		`{"schema":"kinetel/1","seq":8,"time":"2026-11-22T20:15:00.123Z","type":"function","body":"x","resource":{"service.instance.id":"e1"}}` + "\n",
		`{"schema":"kinetel/1","seq":7,"time":"2026-11-22T20:15:00.123Z","type":"function","body":"x","resource":{"service.instance.id":"e2"}}` + "\n",
		`{"schema":"kinetel/1","seq":7,"time":"2026-11-22T20:15:00.123Z","type":"function","body":"\"service.instance.id\":\"e1\"","resource":{}}` + "\n",
		`{"schema":"kinetel/1","seq":7,"time":"2026-11-22T20:15:00.123Z","type":"function","body":` + "\"\xff\"" + `,"resource":{"service.instance.id":"e1"}}` + "\n",
	} {
		if (pack.Checker{}).Line(o, 7, []byte(line)) {
			t.Errorf("%q passes", line)
		}
	}
}
