// Command testextension is an extension, or a runtime, that follows a script of a
// test of lambdasim. The variable TESTEXTENSION holds the Script as JSON.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Script is what to do.
type Script struct {
	// Dump is a file; every Entry is appended to it as a line of JSON.
	Dump string `json:"dump"`
	// Runtime makes the process a runtime instead of an extension.
	Runtime bool `json:"runtime"`

	Events  []string `json:"events"`
	Feature string   `json:"feature"`
	// Requests made before and after register, before the first next, and on
	// each INVOKE. $ID, $PORT, $REQUEST and $TOKEN are replaced.
	BeforeRegister []Request `json:"beforeRegister"`
	AfterRegister  []Request `json:"afterRegister"`
	OnInvoke       []Request `json:"onInvoke"`
	// Subscribe is the body of a subscription; empty: none.
	Subscribe string `json:"subscribe"`
	TCP       bool   `json:"tcp"`

	NextDelay     int    `json:"nextDelayMs"` // before the first next
	Hold          int    `json:"holdMs"`      // before the next after an INVOKE
	HoldOnce      bool   `json:"holdOnce"`    // only at the first INVOKE
	ExitEarly     *int   `json:"exitEarly"`   // before the first next
	ExitOnInvoke  *int   `json:"exitOnInvoke"`
	IgnoreExit    bool   `json:"ignoreShutdown"`
	ShutdownDelay int    `json:"shutdownDelayMs"` // after SHUTDOWN and the last POST
	ExitCode      int    `json:"exitCode"`
	Refuse        int32  `json:"refuse"`      // answer 500 to this many POSTs
	PostDelay     int    `json:"postDelayMs"` // before each answer
	Print         string `json:"print"`       // to standard output, on each INVOKE
	DoubleNext    bool   `json:"doubleNext"`  // two first nexts at the same time
	IgnoreTerm    bool   `json:"ignoreTerm"`  // SIGTERM

	// A runtime's workers, and how it answers: with the given response mode, in
	// as many chunks, and with a trailer at the end.
	Workers    int    `json:"workers"`
	Mode       string `json:"mode"`
	Chunks     int    `json:"chunks"`
	ChunkEvery int    `json:"chunkEveryMs"` // before each
	Trailer    string `json:"trailer"`      // the error type
	// The error object, in Base64, in the trailer.
	TrailerBody string `json:"trailerBody"`
}

// Request is one to make.
type Request struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Header map[string]string `json:"header"`
	Body   string            `json:"body"`
}

// Entry is what happened.
type Entry struct {
	Kind   string      `json:"kind"` // call, event, post, tcp
	Path   string      `json:"path"`
	Host   string      `json:"host"`
	Remote string      `json:"remote"` // the other end's address
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

type player struct {
	script Script
	api    string
	id     string
	port   string
	dump   *os.File
	refuse atomic.Int32
	posted chan struct{} // has a slot for the news of a POST
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "testextension:", err)
		os.Exit(1)
	}
}

func run() error {
	p := &player{api: "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API"), posted: make(chan struct{}, 1)}
	if err := json.Unmarshal([]byte(os.Getenv("TESTEXTENSION")), &p.script); err != nil {
		return fmt.Errorf("TESTEXTENSION: %w", err)
	}
	p.refuse.Store(p.script.Refuse)
	if p.script.IgnoreTerm {
		signal.Ignore(syscall.SIGTERM)
	}
	if p.script.Dump != "" {
		var err error
		if p.dump, err = os.OpenFile(p.script.Dump, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return err
		}
	}
	if p.script.Runtime {
		return p.beRuntime()
	}
	return p.beExtension()
}

func (p *player) beExtension() error {
	if err := p.listen(); err != nil {
		return err
	}
	if err := p.all(p.script.BeforeRegister, ""); err != nil {
		return err
	}
	if p.script.Events == nil {
		p.script.Events = []string{"INVOKE", "SHUTDOWN"}
	}
	events, _ := json.Marshal(map[string]any{"events": p.script.Events})
	entry, err := p.call(Request{
		Method: "POST", Path: "/2020-01-01/extension/register", Body: string(events),
		Header: map[string]string{
			"Lambda-Extension-Name": filepath.Base(os.Args[0]), "Lambda-Extension-Accept-Feature": p.script.Feature,
		},
	}, "")
	if err != nil {
		return err
	}
	p.id = entry.Header.Get("Lambda-Extension-Identifier")
	if p.script.Subscribe != "" {
		if _, err := p.call(Request{
			Method: "PUT", Path: "/2022-07-01/telemetry", Body: p.script.Subscribe,
			Header: map[string]string{"Lambda-Extension-Identifier": "$ID"},
		}, ""); err != nil {
			return err
		}
	}
	if err := p.all(p.script.AfterRegister, ""); err != nil {
		return err
	}
	pause(p.script.NextDelay)
	if p.script.ExitEarly != nil {
		os.Exit(*p.script.ExitEarly)
	}
	for {
		entry, err := p.next()
		if err != nil {
			return err
		}
		var event struct{ EventType, RequestID string }
		if err := json.Unmarshal(entry.Body, &event); err != nil || entry.Status != http.StatusOK {
			return fmt.Errorf("next: status %d: %s", entry.Status, entry.Body)
		}
		if event.EventType == "SHUTDOWN" {
			if p.script.IgnoreExit {
				select {}
			}
			p.awaitQuiet(time.Duration(p.script.ShutdownDelay) * time.Millisecond)
			os.Exit(p.script.ExitCode)
		}
		if p.script.ExitOnInvoke != nil {
			os.Exit(*p.script.ExitOnInvoke)
		}
		if p.script.Print != "" {
			fmt.Println(p.script.Print)
		}
		if err := p.all(p.script.OnInvoke, event.RequestID); err != nil {
			return err
		}
		pause(p.script.Hold)
		if p.script.HoldOnce {
			p.script.Hold = 0
		}
	}
}

// next returns the next event. With DoubleNext the first call is made twice at
// once; the answer that comes first is the refusal.
func (p *player) next() (Entry, error) {
	type result struct {
		entry Entry
		err   error
	}
	results := make(chan result, 2)
	ask := func() {
		entry, err := p.call(Request{
			Method: "GET", Path: "/2020-01-01/extension/event/next",
			Header: map[string]string{"Lambda-Extension-Identifier": "$ID"},
		}, "")
		results <- result{entry, err}
	}
	if p.script.DoubleNext {
		p.script.DoubleNext = false
		go ask()
		go ask()
		if first := <-results; first.err != nil {
			return first.entry, first.err
		}
	} else {
		go ask()
	}
	r := <-results
	return r.entry, r.err
}

// beRuntime answers every invocation with its own payload.
func (p *player) beRuntime() error {
	if err := p.all(p.script.AfterRegister, ""); err != nil {
		return err
	}
	if p.script.ExitEarly != nil {
		os.Exit(*p.script.ExitEarly)
	}
	ended := make(chan error)
	for range max(p.script.Workers, 1) {
		go func() { ended <- p.work() }()
	}
	return <-ended
}

func (p *player) work() error {
	for {
		entry, err := p.call(Request{Method: "GET", Path: "/2018-06-01/runtime/invocation/next"}, "")
		if err != nil {
			return err
		}
		id := entry.Header.Get("Lambda-Runtime-Aws-Request-Id")
		if err := p.all(p.script.OnInvoke, id); err != nil {
			return err
		}
		pause(p.script.Hold)
		path := "/2018-06-01/runtime/invocation/" + id + "/response"
		if p.script.Mode != "" {
			err = p.stream(path, entry.Body)
		} else {
			_, err = p.call(Request{Method: "POST", Path: path, Body: string(entry.Body)}, id)
		}
		if err != nil {
			return err
		}
	}
}

// stream sends a response in chunks.
func (p *player) stream(path string, chunk []byte) error {
	reader, writer := io.Pipe()
	go func() {
		for range p.script.Chunks {
			pause(p.script.ChunkEvery)
			if _, err := writer.Write(chunk); err != nil {
				return // the server has enough
			}
		}
		writer.Close()
	}()
	req, err := http.NewRequest("POST", p.api+path, reader)
	if err != nil {
		return err
	}
	req.Header.Set("Lambda-Runtime-Function-Response-Mode", p.script.Mode)
	if p.script.Trailer != "" {
		req.Trailer = http.Header{"Lambda-Runtime-Function-Error-Type": {p.script.Trailer}}
		if p.script.TrailerBody != "" {
			req.Trailer.Set("Lambda-Runtime-Function-Error-Body", p.script.TrailerBody)
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return p.write(Entry{Kind: "call", Path: path, Status: res.StatusCode, Header: res.Header, Body: body})
}

// awaitQuiet waits until no telemetry came for that long.
func (p *player) awaitQuiet(quiet time.Duration) {
	timer := time.NewTimer(quiet)
	for {
		select {
		case <-timer.C:
			return
		case <-p.posted:
			timer.Reset(quiet)
		}
	}
}

func pause(ms int) { <-time.After(time.Duration(ms) * time.Millisecond) }

func (p *player) all(requests []Request, request string) error {
	for _, r := range requests {
		if _, err := p.call(r, request); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) call(r Request, request string) (Entry, error) {
	replace := strings.NewReplacer(
		"$ID", p.id, "$PORT", p.port, "$REQUEST", request, "$TOKEN", os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
	).Replace
	req, err := http.NewRequest(r.Method, p.api+replace(r.Path), strings.NewReader(replace(r.Body)))
	if err != nil {
		return Entry{}, err
	}
	for key, value := range r.Header {
		req.Header.Set(key, replace(value))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Entry{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Entry{}, err
	}
	entry := Entry{Kind: "call", Path: r.Path, Status: res.StatusCode, Header: res.Header, Body: body}
	return entry, p.write(entry)
}

func (p *player) write(entry Entry) error {
	if p.dump == nil {
		return nil
	}
	line, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	_, err = p.dump.Write(append(line, '\n'))
	return err
}

// listen takes telemetry.
func (p *player) listen() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, p.port, _ = net.SplitHostPort(listener.Addr().String())
	if p.script.TCP {
		go p.acceptLines(listener)
		return nil
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		select {
		case p.posted <- struct{}{}:
		default:
		}
		pause(p.script.PostDelay)
		status := http.StatusOK
		if p.refuse.Add(-1) >= 0 {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		_ = p.write(Entry{Kind: "post", Path: r.URL.RequestURI(), Host: r.Host, Remote: r.RemoteAddr, Status: status, Header: r.Header, Body: body})
	}))
	return nil
}

func (p *player) acceptLines(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		_ = p.write(Entry{Kind: "tcp", Body: line})
	}
}
