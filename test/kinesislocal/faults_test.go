package kinesislocal

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// network is the way to kinesis-local, which can be made bad.
type network struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// through puts a proxy before the URL, and returns it with the proxy's own URL.
func through(t *testing.T, url string) (*network, string) {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics have a logger of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", strings.TrimPrefix(url, "http://"))
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// It cannot be stopped twice.
		if proxy.Enabled {
			proxy.Stop()
		}
	})
	return &network{t, proxy}, "http://" + proxy.Listen
}

// poison adds one of toxiproxy's toxics.
func (n *network) poison(toxic string) {
	n.t.Helper()
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		n.t.Fatalf("%s: %v", toxic, err)
	}
}

func (n *network) heal() { n.proxy.Toxics.ResetToxics(n.t.Context()) }

func (n *network) down() { n.proxy.Stop() }

func (n *network) up() {
	n.t.Helper()
	if err := n.proxy.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// The faults that a network before kinesis-local can show. The same, and more,
// are shown by test/faults with the embedded Kinesis. A connection that is reset
// before the request is there cannot be shown: kinesis-local itself dies of it.
func TestABadNetworkLosesNothing(t *testing.T) {
	for order, fault := range []struct {
		name   string
		worsen func(*network)
		repair func(*network)
		// toTheEnd repairs it only when the environment is gone: the next one on
		// the same spool has to deliver.
		toTheEnd bool
		// duplicates means that requests may have been stored without an answer.
		duplicates bool
	}{
		{
			name:   "connections are reset when the answer comes",
			worsen: func(n *network) { n.poison(`{"name":"x","type":"reset_peer","attributes":{"timeout":0}}`) },
			repair: (*network).heal, duplicates: true,
		},
		{
			name:   "answers never arrive",
			worsen: func(n *network) { n.poison(`{"name":"x","type":"timeout","attributes":{"timeout":0}}`) },
			repair: (*network).heal, duplicates: true,
		},
		{
			name:   "answers are slow",
			worsen: func(n *network) { n.poison(`{"name":"x","type":"latency","attributes":{"latency":1500}}`) },
			repair: (*network).heal,
		},
		{
			name: "the line is slow",
			worsen: func(n *network) {
				n.poison(`{"name":"x","type":"bandwidth","stream":"upstream","attributes":{"rate":20}}`)
			},
			repair: (*network).heal,
		},
		// A request may be on its way when it begins.
		{name: "a short outage", worsen: (*network).down, repair: (*network).up, duplicates: true},
		{name: "an outage to the end", worsen: (*network).down, repair: (*network).up, toTheEnd: true, duplicates: true},
	} {
		for i, flush := range []string{"adaptive", "end", "interval"} {
			if testing.Short() && i != order%3 {
				continue // each fault with one policy, each policy with two faults
			}
			t.Run(fault.name+", flush "+flush, func(t *testing.T) {
				t.Parallel()
				client, url := startKinesis(t, 2)
				way, url := through(t, url)
				env := map[string]string{
					"KINETEL_FLUSH":     flush,
					"KINETEL_SPOOL_DIR": filepath.Join(t.TempDir(), "spool"),
				}
				if flush == "interval" {
					env["KINETEL_FLUSH_INTERVAL"] = "100ms"
				}
				start := func(limit time.Duration) *sandbox.Run {
					return sandbox.Start(t, binaries, sandbox.Options{Endpoint: url, Env: maps.Clone(env), Lambda: func(c *lambdasim.Config) {
						c.ShutdownTimeout = limit
					}})
				}
				limit := 20 * time.Second // to send what a bad network has left
				if fault.toTheEnd {
					limit = 2 * time.Second // Lambda's own
				}
				r := start(limit)
				r.Invoke(`{"id":"before","lines":40,"sleep":"120ms"}`)
				fault.worsen(way)
				for i := range 5 {
					r.Invoke(fmt.Sprintf(`{"id":"bad-%d","lines":400,"sleep":"300ms"}`, i))
				}
				if !fault.toTheEnd {
					fault.repair(way)
					r.Invoke(`{"id":"fixed","lines":40}`)
				}
				r.Ended(r.Shutdown())
				emitted, log := r.Emitted(), r.Log()
				if fault.toTheEnd {
					fault.repair(way)
					next := start(20 * time.Second)
					next.Invoke(`{"id":"next","lines":40}`)
					next.Ended(next.Shutdown())
					emitted, log = append(emitted, next.Emitted()...), log+next.Log()
				}
				records, _ := read(t, client)
				v := audit.Check(emitted, sandbox.Decode(t, records))
				t.Log(v)
				if v.Lost+v.ReportedLost+v.Holes+v.LostSilently+v.Unknown > 0 || v.Duplicated > 0 && !fault.duplicates {
					t.Errorf("%v\n%s\nlog:\n%s", v, strings.Join(v.Examples[:min(5, len(v.Examples))], "\n"), log)
				}
			})
		}
	}
}
