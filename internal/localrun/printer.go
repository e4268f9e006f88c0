package localrun

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/localrun/report"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
)

// waiting is how much output may wait before the sandboxes do.
const waiting = 4096

// printer prints what happens, in the order in which it happened. A sandbox must not wait
// for a slow terminal: that would count as an extension's overhead. So one goroutine
// prints.
type printer struct {
	tail  *tail.Tail
	json  bool
	queue chan func() error
	done  chan struct{}
	onErr func(error) // is called once, with the first error of the output

	mu         sync.Mutex // guards annotators: environments emit at the same time
	annotators map[int]*annotate.Annotator
}

// newPrinter returns a printer. Call close to end it.
func newPrinter(out, notes io.Writer, o tail.Options, onErr func(error)) *printer {
	p := &printer{
		tail: tail.New(out, notes, o), json: o.Output == tail.JSON, queue: make(chan func() error, waiting), done: make(chan struct{}),
		onErr: onErr, annotators: map[int]*annotate.Annotator{},
	}
	go p.run()
	return p
}

func (p *printer) run() {
	defer close(p.done)
	failed := false
	for print := range p.queue {
		if failed {
			continue
		}
		if err := print(); err != nil {
			failed = true
			p.onErr(err)
		}
	}
}

// close prints what waits.
func (p *printer) close() {
	close(p.queue)
	<-p.done
}

// event prints an event of an environment.
func (p *printer) event(environment int, resource map[string]string, kind config.Initialization, e lambdasim.Event) {
	ev := event.Event{
		Time: []byte(e.Time.UTC().Format(event.TimeFormat)), Received: e.Time, Type: []byte(e.Type), Record: e.Record,
	}
	p.mu.Lock()
	a := p.annotators[environment]
	if a == nil {
		a = annotate.New(kind)
		p.annotators[environment] = a
	}
	a.Learn(&ev)
	a.Annotate(&ev)
	p.mu.Unlock()
	printed := record.Event{
		Schema: record.Schema, Seq: e.Number, Time: e.Time.UTC(), TimeText: string(ev.Time), Type: e.Type, Severity: ev.Severity.String(),
		RequestID: e.RequestID, TraceID: ev.TraceID, Body: e.Record, Resource: resource,
	}
	if printed.RequestID == "" {
		printed.RequestID = ev.RequestID // with Managed Instances a line may name it
	}
	p.queue <- func() error { return p.tail.Event(printed) }
}

// invocation prints the response of an invocation and Lambda's REPORT line.
func (p *printer) invocation(environment int, r lambdasim.Result, memoryMB int) {
	if p.json {
		p.object("invocation", report.NewInvocation(environment, r))
		return
	}
	severity := record.SeverityInfo
	if r.Status != lambdasim.StatusSuccess {
		severity = record.SeverityError
	}
	text := func(line string) func() error {
		body, _ := json.Marshal(line) // a string: it encodes
		return func() error {
			return p.tail.Event(record.Event{Time: time.Now(), Type: record.TypeFunction, Severity: severity, RequestID: r.RequestID, Body: body})
		}
	}
	p.queue <- text("RESPONSE " + string(r.Payload))
	p.queue <- text(report.Line(r, memoryMB))
}

// object prints an object with one member.
func (p *printer) object(name string, value any) {
	line, err := json.Marshal(map[string]any{name: value})
	p.queue <- func() error {
		if err != nil {
			return err
		}
		return p.tail.Line(line)
	}
}
