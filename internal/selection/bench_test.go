package selection_test

import (
	"bytes"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/selection"
)

// packed is a Sink that packs, as the pipeline does.
type packed struct{ *pack.Packer }

func (p packed) Add(ev *event.Event) { p.Packer.Add(ev) }

func (p packed) AddOwn(string, []byte, *event.Event) {}

func (p packed) AddLines(_ string, _ int64, lines []byte, details []format.Details, before func(uint64)) {
	p.Packer.AddLines(lines, details, before)
}

// BenchmarkLine is a line of 270 B in an invocation of ten lines, packed and compressed.
func BenchmarkLine(b *testing.B) {
	everything := redact.Options{Names: redact.Names(), Keys: []string{"password", "authorization"}}
	pattern := regexp.MustCompile(`\bACME-[0-9]{6}\b`)
	for _, bb := range []struct {
		name   string
		change func(*selection.Options)
	}{
		{"off", func(*selection.Options) {}},
		{"level", func(o *selection.Options) { o.Config.Level = event.Info }},
		{"exclude", func(o *selection.Options) { o.Config.Exclude = regexp.MustCompile(`^GET /(health|ready)`) }},
		{"include", func(o *selection.Options) { o.Config.Include = regexp.MustCompile(`(?i)order|payment`) }},
		{"limits", func(o *selection.Options) { o.Config.MaxLines = 5 }},
		{"sample out", sampling(func(*config.Sample) {})},
		{"sample in", sampling(func(s *config.Sample) { s.Cold = true })},
		{"redact all", func(o *selection.Options) { o.Redact = redact.New(everything) }},
		{"redact pattern", func(o *selection.Options) { o.Redact = redact.New(redact.Options{Pattern: pattern}) }},
		{"everything", func(o *selection.Options) {
			sampling(func(s *config.Sample) {
				s.Cold, s.Error, s.Timeout, s.Slow, s.Mark = true, true, true, time.Second, "acme"
			})(o)
			o.Config.Level, o.Config.MaxLines = event.Debug, 1000
			o.Config.Exclude, o.Config.Include = regexp.MustCompile(`^GET /(health|ready)`), regexp.MustCompile(`(?i)order|payment`)
			with := everything
			with.Pattern = pattern
			o.Redact = redact.New(with)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			env := environment.New("e1", environment.Details{Resource: []byte(`{"cloud.provider":"aws","faas.name":"orders","service.instance.id":"e1"}`)})
			to := packed{pack.New(pack.Options{Environment: env, Compression: format.Gzip, Push: func(*pack.Record) {}})}
			opt := selection.Options{Environment: env, Sink: to, MaxBytes: 4 << 20, Cold: func(*event.Event) bool { return bb.name != "sample out" }}
			bb.change(&opt)
			s := selection.New(opt)
			add := to.Add
			if s != nil {
				add = s.Add
			}
			text := fmt.Appendf(nil, `{"timestamp":"2026-11-22T20:15:00.123Z","level":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","message":"order 000000 of customer 4711 accepted, %s"}`, bytes.Repeat([]byte("x y "), 28))
			request := make([]string, 1000)
			for i := range request {
				request[i] = fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", i)
			}
			received := time.Now()
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id := request[i/10%len(request)]
				copy(text[bytes.Index(text, []byte("order "))+6:], fmt.Appendf(nil, "%06d", i%1000000))
				add(&event.Event{
					Time: []byte("2026-11-22T20:15:00.123Z"), Received: received, Type: []byte("function"), Record: text, RequestID: id, Severity: event.Info,
				})
				if i%10 == 9 {
					add(&event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte(event.TypePlatformReport), Record: []byte(`{"status":"success","metrics":{"durationMs":5}}`), RequestID: id})
				}
			}
		})
	}
}
