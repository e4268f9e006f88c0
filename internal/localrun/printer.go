package localrun

import (
	"encoding/json"
	"fmt"
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
	notes io.Writer
	json  bool
	queue chan func() error
	// ending is closed when nothing more comes, and ended when all is printed.
	ending, ended chan struct{}
	abort         <-chan struct{} // ends the wait for an output that nobody reads

	function     string
	memoryMB     int
	mu           sync.Mutex // guards environments, and orders their events
	environments map[int]*printed
}

// printed is what is known of an environment.
type printed struct {
	annotator *annotate.Annotator
	resource  map[string]string // of its events
}

// newPrinter returns a printer. Call close to end it. onError gets the first error of the
// output; nothing is printed after it.
func newPrinter(cfg Config, onError func(error)) *printer {
	p := &printer{
		tail: tail.New(cfg.Out, cfg.Notes, cfg.Tail), notes: cfg.Notes, json: cfg.Tail.Output == tail.JSON,
		queue: make(chan func() error, waiting), ending: make(chan struct{}), ended: make(chan struct{}), abort: cfg.Abort.Done(),
		function: cfg.Lambda.FunctionName, memoryMB: cfg.Lambda.MemoryMB, environments: map[int]*printed{},
	}
	go p.run(onError)
	return p
}

func (p *printer) run(onError func(error)) {
	defer close(p.ended)
	var failed error
	print := func(one func() error) {
		if failed != nil {
			return
		}
		if failed = one(); failed != nil {
			onError(failed)
		}
	}
	for {
		select {
		case one := <-p.queue:
			print(one)
			continue
		case <-p.ending:
		}
		for {
			select {
			case one := <-p.queue:
				print(one)
			default:
				return
			}
		}
	}
}

// close prints what waits.
func (p *printer) close() {
	close(p.ending)
	select {
	case <-p.ended:
	case <-p.abort:
	}
}

// send lets something be printed after all that was sent before.
func (p *printer) send(print func() error) {
	select {
	case p.queue <- print:
	case <-p.abort:
	case <-p.ended: // an asynchronous invocation that was given up
	}
}

// event prints an event of an environment.
func (p *printer) event(environment int, mode lambdasim.InitializationType, e lambdasim.Event) {
	ev := event.Event{
		Time: []byte(e.Time.UTC().Format(event.TimeFormat)), Received: e.Time, Type: []byte(e.Type), Record: e.Record,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	env := p.environments[environment]
	if env == nil {
		env = &printed{annotator: annotate.New(config.Initialization(mode))}
		p.environments[environment] = env
	}
	env.annotator.Learn(&ev)
	env.annotator.Annotate(&ev)
	// At a restore the environment gets another id.
	if e.Type == event.TypePlatformInitStart || e.Type == event.TypePlatformRestoreStart {
		env.resource = map[string]string{"faas.name": p.function, "service.instance.id": ev.Platform().InstanceID}
	}
	line := record.Event{
		Schema: record.Schema, Seq: e.Number, Time: e.Time.UTC(), TimeText: string(ev.Time), Type: e.Type, Severity: ev.Severity.String(),
		RequestID: e.RequestID, TraceID: ev.TraceID, Body: e.Record, Resource: env.resource,
	}
	if line.RequestID == "" {
		line.RequestID = ev.RequestID // with Managed Instances a line may name it
	}
	p.send(func() error { return p.tail.Event(line) })
}

// invocation prints the response of an invocation, and Lambda's REPORT line.
func (p *printer) invocation(environment int, r lambdasim.Result) {
	if p.json {
		p.object("invocation", report.NewInvocation(environment, r))
		return
	}
	severity := record.SeverityInfo
	if r.Status != lambdasim.StatusSuccess {
		severity = record.SeverityError
	}
	p.line(r.RequestID, severity, "RESPONSE "+string(r.Payload))
	p.line(r.RequestID, severity, report.Line(r, p.memoryMB))
}

// line prints a text as a line of the function.
func (p *printer) line(requestID, severity, text string) {
	body, err := json.Marshal(text)
	e := record.Event{Time: time.Now(), Type: record.TypeFunction, Severity: severity, RequestID: requestID, Body: body}
	p.send(func() error {
		if err != nil {
			return err
		}
		return p.tail.Event(e)
	})
}

// object prints an object with one member, for -o json.
func (p *printer) object(name string, value any) {
	line, err := json.Marshal(map[string]any{name: value})
	p.send(func() error {
		if err != nil {
			return err
		}
		return p.tail.Line(line)
	})
}

// note writes to standard error.
func (p *printer) note(format string, args ...any) {
	text := "kinetel: " + report.Printable(fmt.Sprintf(format, args...)) + "\n"
	p.send(func() error {
		_, err := io.WriteString(p.notes, text)
		return err
	})
}
