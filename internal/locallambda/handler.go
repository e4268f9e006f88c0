package locallambda

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// HandlerConfig describes the function that a Handler serves. The zero value of a field
// means its default.
type HandlerConfig struct {
	// FunctionName, FunctionVersion, Region and AccountID are those of
	// lambdasim.Config, with the same defaults.
	FunctionName, FunctionVersion, Region, AccountID string

	// RetryDelays are the times before the retries of an asynchronous invocation
	// that failed: 1 s and 2 s by default, so that you need not wait for AWS
	// Lambda's 1 and 2 minutes. There may be at most two retries; an empty list that
	// is not nil means none.
	RetryDelays []time.Duration
	// MaxEventAge is how old an asynchronous event may be when an attempt begins: 6
	// hours by default.
	MaxEventAge time.Duration
	// MaxEvents is how many asynchronous events may wait or run: 1000 by default.
	// Together they may have 64 MiB. Further ones are throttled.
	MaxEvents int
	// OnEventDone, if set, is called when an asynchronous event is done. Several
	// calls may run at the same time.
	OnEventDone func(EventOutcome)
}

// EventOutcome is how an asynchronous event ended.
type EventOutcome struct {
	RequestID string
	Condition EventCondition
	Attempts  int
	Age       time.Duration
	// Result and Err are those of the last attempt, if there was one.
	Result Result
	Err    error
}

// EventCondition is why an asynchronous event is done. The names are those that AWS Lambda
// sends to destinations, except EventDiscarded.
type EventCondition string

// The conditions of events.
const (
	EventSucceeded        EventCondition = "Success"
	EventRetriesExhausted EventCondition = "RetriesExhausted"
	EventAgeExceeded      EventCondition = "EventAgeExceeded"
	EventDiscarded        EventCondition = "Discarded" // the handler was closed
)

// Invoker invokes the function: a *Pool.
type Invoker interface {
	// Invoke calls Request.OnResponse, unless it returns an error.
	Invoke(context.Context, Request) (Result, error)
	// Check returns the error of a request that can never be invoked.
	Check(Request) error
}

// Handler serves Lambda's operations Invoke and InvokeWithResponseStream for one function.
// It does not check signatures. It refuses requests that a web page of another origin sent,
// and names of hosts that are not this machine's.
type Handler struct {
	cfg      HandlerConfig
	function Invoker
	mux      http.Handler
	events   *eventQueue
	reading  chan struct{} // has an element for each payload that is read
}

// NewHandler returns a handler. Call Close before you close the Invoker.
func NewHandler(function Invoker, cfg HandlerConfig) (*Handler, error) {
	if err := cfg.applyDefaults(); err != nil {
		return nil, fmt.Errorf("locallambda: %w", err)
	}
	h := &Handler{cfg: cfg, function: function, events: newEventQueue(function, cfg), reading: make(chan struct{}, maxReading)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{function}/invocations", h.serveInvoke)
	mux.HandleFunc("POST /2021-11-15/functions/{function}/response-streaming-invocations", h.serveStream)
	mux.HandleFunc("/", serveUnknown)
	h.mux = onlyLocal(mux)
	return h, nil
}

// ServeHTTP serves the API.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Close takes no more asynchronous events, and discards those that wait. It returns when
// the attempts that run have ended, or ctx ends. Stop the server first.
func (h *Handler) Close(ctx context.Context) error { return h.events.close(ctx) }

// NewServer returns a server of a handler with limits for headers and times. Serve it on
// 127.0.0.1 only.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
}

func (cfg *HandlerConfig) applyDefaults() error {
	orDefault := func(value *string, def string) {
		if *value == "" {
			*value = def
		}
	}
	orDefault(&cfg.FunctionName, "function")
	orDefault(&cfg.FunctionVersion, "$LATEST")
	orDefault(&cfg.Region, "eu-west-1")
	orDefault(&cfg.AccountID, "123456789012")
	if cfg.RetryDelays == nil {
		cfg.RetryDelays = []time.Duration{time.Second, 2 * time.Second}
	}
	if len(cfg.RetryDelays) > 2 {
		return fmt.Errorf("RetryDelays has %d times; AWS Lambda retries an event at most twice", len(cfg.RetryDelays))
	}
	if cfg.MaxEventAge == 0 {
		cfg.MaxEventAge = 6 * time.Hour
	}
	if cfg.MaxEvents == 0 {
		cfg.MaxEvents = 1000
	}
	if cfg.MaxEventAge < 0 || cfg.MaxEvents < 0 {
		return errors.New("MaxEventAge and MaxEvents must not be negative")
	}
	return nil
}
