package pipeline

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/lifecycle"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/selection"
	"github.com/kinetel/kinetel/internal/telemetry"
	"github.com/kinetel/kinetel/internal/testkit"
	"github.com/kinetel/kinetel/record"
)

// What must not leave the sandbox. The name of the secret key may, and its value may not.
const (
	address  = "jane.doe@example.com"
	password = "hunter-two"
	custom   = "customer-4711081547110815"
)

// secretTelemetry are bodies of POSTs in which these are in every place that they can be.
func secretTelemetry() (bodies []string) {
	const time = `{"time":"2026-11-22T20:15:00.123Z","type":`
	one := func(kind, record string) string { return "[" + time + `"` + kind + `","record":` + record + `}]` }
	text, _ := json.Marshal(`{"user":"` + address + `","password":"` + password + `"} of ` + custom)
	twice, _ := json.Marshal(string(text))
	escaped := ""
	for _, c := range address {
		escaped += fmt.Sprintf(`\u%04x`, c)
	}
	huge := `"` + strings.Repeat("x ", 600<<10) + address + `"` // goes in parts
	cut := `"a long line of ` + address + ` and ` + custom + `"`
	return []string{
		one("platform.initStart", `{"initializationType":"on-demand","later":"`+address+`"}`),
		one("platform.start", `{"requestId":"r1","tenantId":"`+address+`"}`),
		one("function", `"plain `+address+`, `+custom+`"`),
		one("function", string(text)), one("function", string(twice)),
		one("function", `"`+escaped+`"`),
		one("function", `{"message":"`+address+`","nested":[{"Password":{"any":"`+password+`"}}],"`+address+`":1}`),
		one("function", `{"message":"truncated, \"password\":\"`+password+`"}`),
		one("function", "\"broken \xff "+address+" \xc3\""),
		one("extension", `"`+address+`"`),
		"[" + time + `"function","more":"` + address + `","record":"x"}]`,
		"[" + time + `"function","more":"` + address + `","record":"` + address + ` logged in"}]`,
		"[" + time + `"platform.extension","more":"` + address + `","record":{"name":"` + address + `"}}]`,
		one("platform.fault", `"Error: `+address+` and `+custom+`"`),
		one("platform.runtimeDone", `{"requestId":"r1","status":"error","errorType":"`+address+`"}`),
		// Lambda cuts a record inside the value: with its rest, and without.
		"[" + time + `"function","record":` + cut[:24] + "}]",
		"[" + time + `"function","record":` + cut[24:] + "}]",
		"[" + time + `"function","record":` + cut[:24] + "}]",
		one("function", `"another"`), one("function", `"another"`), one("function", `"another"`),
		"[" + time + `"function","record":` + cut[24:] + "}]", // the rest, too late
		`no JSON at all: ` + address,
		one("platform.report", `{"requestId":"r1","status":"error","errorType":"`+address+`","metrics":{"durationMs":1}}`),
		one("function", huge),
		"[" + time + `"function","record":` + cut[:24] + "}]", // the environment ends
	}
}

// leaks returns which of the secrets are in a text, or behind its escapes and its base64.
func leaks(text []byte) (found []string) {
	if z, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
		text, _ = io.ReadAll(z)
	}
	plain := string(text)
	for _, encoded := range regexp.MustCompile(`[A-Za-z0-9+/]{16,}={0,2}`).FindAllString(plain, -1) {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			plain += "\n" + string(decoded)
		}
	}
	for range 4 {
		for _, secret := range []string{address, "jane.doe", "ane.doe@", password, custom, "4711081547110815"} {
			if strings.Contains(plain, secret) {
				found = append(found, secret)
			}
		}
		plain = regexp.MustCompile(`\\u[0-9a-fA-F]{4}`).ReplaceAllStringFunc(plain, func(s string) string {
			var c rune
			_, _ = fmt.Sscanf(s, `\u%04x`, &c)
			return string(c)
		})
		plain = strings.ReplaceAll(strings.ReplaceAll(plain, `\"`, `"`), `\\`, `\`)
	}
	return found
}

// leakFinder is a Kinesis that searches what it gets.
type leakFinder struct {
	*stream
	leaks []string
}

func (s *leakFinder) PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	for _, r := range records {
		if found := leaks(r.Data); found != nil {
			s.leaks = append(s.leaks, fmt.Sprintf("%v in a record: %.200q", found, r.Data))
		}
	}
	return s.stream.PutRecords(ctx, records)
}

// searchDisk searches the files of a spool.
func (s *leakFinder) searchDisk(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(path)
		if found := leaks(text); found != nil {
			s.leaks = append(s.leaks, fmt.Sprintf("%v in %s", found, filepath.Base(path)))
		}
		for i := bytes.Index(text, []byte("\x1f\x8b\x08")); i >= 0; { // records
			if found := leaks(text[i:]); found != nil {
				s.leaks = append(s.leaks, fmt.Sprintf("%v in a record in %s", found, filepath.Base(path)))
			}
			next := bytes.Index(text[i+1:], []byte("\x1f\x8b\x08"))
			if next < 0 {
				break
			}
			i += 1 + next
		}
		return nil
	})
}

// Nothing that is redacted is sent, or written to disk or into the log, in any format.
func TestWhatIsRedactedLeavesInNoFormat(t *testing.T) {
	for _, name := range formats.Names() {
		for _, sampled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s sampled %t", name, sampled), func(t *testing.T) {
				var own testkit.Log
				redactor := redact.New(redact.Options{Names: redact.Names(), Pattern: regexp.MustCompile(`customer-\d+`), Keys: []string{"password"}})
				cfg := config.Config{
					StreamName: "telemetry", Types: []string{"platform", "function", "extension"}, Format: name, Flush: flush.ModeEnd, FlushInterval: 10 * time.Second,
					Compression: formats.Named(name).Compressions[0], PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolAlways, SpoolDir: t.TempDir(),
					BufferBytes: 16 << 20, SpoolBytes: 64 << 20, Report: config.Report{Events: true}, Lambda: config.Lambda{Region: "eu-west-1"},
					Attributes: []config.Attribute{{Name: "owner", Value: address}, {Name: "password", Value: password}, {Name: "env", Value: "prod"}, {Name: address, Value: "a"}, {Name: custom, Value: "b"}},
					LogGroups:  []string{"/aws/" + custom},
					Problems:   []config.Problem{{Severity: config.Warning, Variable: "KINETEL_TAGS", Value: address, Message: "of " + custom}},
				}
				cfg.Selection.Exclude = regexp.MustCompile("never " + address)
				if sampled {
					cfg.Selection.Sample = &config.Sample{Error: true}
				}
				if f := formats.Named(name); f.Compressions[0] == format.Gzip && len(f.Compressions) > 1 {
					cfg.Compression = format.Uncompressed // the search is simpler
				}
				synctest.Test(t, func(t *testing.T) {
					s := &leakFinder{stream: &stream{rng: rand.New(rand.NewPCG(1, 1))}}
					log := slog.New(slog.NewJSONHandler(redactor.Writer(&own), nil))
					p := &process{log: &testkit.Entries{}}
					p.Pipeline = New(function, cfg, redactor, s, io.Discard, log)
					p.intake = p.NewIngester(lifecycle.New(nil, p.Pipeline, cfg, nil, log))
					p.Start(p)
					decoder := telemetry.NewDecoder(p.intake.Ingest, p.intake.Unparsed)
					for _, body := range secretTelemetry() {
						decoder.Decode([]byte(body), time.Now())
						p.intake.Commit(decoder.Fragment())
						p.intake.Acknowledged()
						s.searchDisk(cfg.SpoolDir)
						time.Sleep(time.Second)
					}
					p.Seal()
					s.searchDisk(cfg.SpoolDir)
					log.Error("the extension's own line", "error", "for "+address+` with {"password":"`+password+`"} of `+custom)
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					decoder.Close(time.Now())
					p.intake.Commit(nil)
					p.Finish(ctx)
					s.searchDisk(cfg.SpoolDir)
					for _, leak := range append(s.leaks, s.problems...) {
						t.Error(leak)
					}
					if found := leaks([]byte(own.String())); found != nil || !strings.Contains(own.String(), "the extension's own line") {
						t.Errorf("%v in the own log: %s", found, own.String())
					}
					checkRedacted(t, s.stream)
				})
			})
		}
	}
}

// checkRedacted checks that events arrived, and say what was redacted.
func checkRedacted(t *testing.T, s *stream) {
	t.Helper()
	var last record.Report
	seen := map[string]int{}
	var all strings.Builder
	for _, a := range s.arrivals {
		seen[a.Type]++
		all.Write(a.Body)
		if r, err := a.Report(); err == nil {
			last = r
		}
		if a.InstanceID() == "" || a.Type == event.TypeFunction && a.Parts == 0 && a.RequestID != "r1" && a.RequestID != "" {
			t.Errorf("an event lost its identity: %+v", a)
		}
	}
	if seen[event.TypeFunction] < 12 || seen[event.TypeInvocation] != 1 || seen[event.TypeEnvironment] != 1 || seen[event.TypePlatformFault] != 1 || seen[event.TypeUnparsed] < 4 {
		t.Errorf("arrived: %v", seen)
	}
	for _, want := range []string{"[redacted:email]", "[redacted:key]", "[redacted:pattern]", "[redacted:unparsed "} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no event has %s", want)
		}
	}
	if last.Redacted["email"] < 10 || last.Redacted["keys"] < 4 || last.Redacted["pattern"] < 4 || last.LeftOut.Total() != 0 {
		t.Errorf("the report has %v and %+v", last.Redacted, last.LeftOut)
	}
}

// If redaction cannot be used, no line leaves: not as text after a fault, and not as a
// fragment that the next process finds on disk.
func TestNothingLeavesIfRedactionCannotBeUsed(t *testing.T) {
	for _, fault := range []string{"", "a fault while events are ingested", "a kill"} {
		t.Run(fault, func(t *testing.T) {
			inSandbox(t, func(t *testing.T, box *sandbox) {
				p := box.process
				p.ingest(event.TypePlatformStart, `{"requestId":"r1"}`)
				before := p.id()
				if fault == "a fault while events are ingested" {
					p.annotator = nil
				}
				p.ingest(event.TypeFunction, `"`+address+`"`)
				p.ingest(event.TypeUnparsed, `"`+address+`"`)
				p.intake.Commit([]byte(`{"time":"2026-11-22T20:15:00.123Z","type":"function","record":"` + address))
				if fault == "a kill" {
					box.kill()
					box.begin()
					synctest.Wait()
				} else {
					p.annotator = annotate.New("")
					box.finish(time.Second)
					box.begin()
				}
				time.Sleep(10 * time.Second)
				box.process.Seal()
				time.Sleep(time.Second)
				sent := box.stream.sent(before)
				for _, e := range sent {
					if leaks(e.Body) != nil {
						t.Errorf("left: %s %s", e.Type, e.Body)
					}
					if r, err := e.Report(); err == nil && (r.Received.Events != 3 || r.LeftOut.Redaction != 2) {
						t.Errorf("the report: %s", e.Body)
					}
				}
				if len(sent) == 0 {
					t.Error("nothing arrived")
				}
			}, withSpool(config.SpoolAlways), func(cfg *config.Config) { cfg.Redaction.Unusable = true })
		})
	}
}

// cuts is a selection.Sink that keeps what it gets.
type cuts struct{ text []byte }

func (c *cuts) Add(ev *event.Event) { c.text = append(append(c.text, ev.Record...), ev.Extra...) }

func (c *cuts) AddOwn(_ string, body []byte, _ *event.Event) { c.text = append(c.text, body...) }

func (c *cuts) AddLines(_ string, _ int64, lines []byte, _ []format.Details, _ func(uint64)) {
	c.text = append(c.text, lines...)
}

// Lambda may cut a record at any byte. Whether its rest comes, does not come, or comes
// after three other bodies, no part of a value leaves.
func TestACutAtAnyByteHidesTheValue(t *testing.T) {
	for _, record := range []string{
		`"a line of ` + address + ` and ` + custom + `"`,
		`{"message":"of \u006aane.doe@example.com","password":"` + password + `","n":1}`,
		`"{\"password\":\"` + password + `\",\"user\":\"` + address + `\"}"`,
	} {
		envelope := `[{"time":"2026-11-22T20:15:00.123Z","type":"function","record":`
		for cut := 1; cut < len(record); cut++ {
			for _, rest := range []bool{true, false} {
				var sink cuts
				r := redact.New(redact.Options{Names: redact.Names(), Pattern: regexp.MustCompile(`customer-\d+`), Keys: []string{"password"}})
				s := selection.New(selection.Options{Redact: r, Sink: &sink})
				decoder := telemetry.NewDecoder(s.Add, r.Unparsed)
				decoder.Decode([]byte(envelope+record[:cut]+"}]"), time.Now())
				sink.text = append(sink.text, r.Unparsed(decoder.Fragment())...) // as it is stored
				if rest {
					decoder.Decode([]byte(envelope+record[cut:]+"}]"), time.Now())
				} else {
					for range 3 {
						decoder.Decode([]byte(strings.Replace(envelope, "123Z", "124Z", 1)+`"another"}]`), time.Now())
					}
					decoder.Decode([]byte(envelope+record[cut:]+"}]"), time.Now()) // too late
				}
				decoder.Close(time.Now())
				if found := leaks(sink.text); found != nil {
					t.Fatalf("cut after %d bytes, rest %t: %v in %s", cut, rest, found, sink.text)
				}
			}
		}
	}
}
