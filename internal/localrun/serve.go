package localrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/kinetel/kinetel/internal/locallambda"
)

// shutdownTimeout is how long answers may take after the last invocation.
const shutdownTimeout = 2 * time.Second

// invoker counts the invocations that found no environment.
type invoker struct {
	*locallambda.Pool
	throttled func()
}

func (i invoker) Invoke(ctx context.Context, req locallambda.Request) (locallambda.Result, error) {
	result, err := i.Pool.Invoke(ctx, req)
	if errors.Is(err, locallambda.ErrThrottled) && !req.Wait { // eventDone counts the others
		i.throttled()
	}
	return result, err
}

// serve serves Lambda's endpoint until the context ends.
func (r *run) serve(ctx context.Context) error {
	cfg := r.Lambda
	handler, err := locallambda.NewHandler(invoker{r.pool, r.collector.Throttled}, locallambda.HandlerConfig{
		FunctionName: cfg.FunctionName, FunctionVersion: cfg.FunctionVersion, Region: cfg.Region, AccountID: cfg.AccountID, OnEventDone: r.eventDone,
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)))
	if err != nil {
		return fmt.Errorf("--port %d: %w: pass another one, or 0 for a free one", r.Port, err)
	}
	server := locallambda.NewServer(handler)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	r.announce("http://" + listener.Addr().String())
	select {
	case <-ctx.Done():
	case err = <-served:
		r.fail(err)
	}
	// The running invocations end by their time-outs.
	end, stop := context.WithTimeout(r.Abort, cfg.Timeout+shutdownTimeout)
	defer stop()
	if server.Shutdown(end) != nil {
		_ = server.Close() // what is left is a client that does not read
	}
	_ = handler.Close(end) // its error is that of the context
	if err == nil || errors.Is(err, http.ErrServerClosed) {
		err = context.Cause(ctx)
	}
	return err
}

// announce prints where the endpoint is.
func (r *run) announce(url string) {
	if r.printer.json {
		r.printer.object("serving", map[string]string{
			"url": url, "functionName": r.Lambda.FunctionName, "region": r.Lambda.Region, "kinesisUrl": r.Stream.URL, "stream": r.Stream.Name,
		})
		return
	}
	text := r.Serving(url)
	r.printer.send(func() error {
		_, err := io.WriteString(r.Out, text)
		return err
	})
}

// eventDone prints how an asynchronous invocation ended.
func (r *run) eventDone(o locallambda.EventOutcome) {
	if o.Condition == locallambda.EventAgeExceeded {
		r.collector.Throttled()
	}
	switch {
	case r.printer.json:
		r.printer.object("asynchronous", map[string]any{"requestId": o.RequestID, "condition": o.Condition, "attempts": o.Attempts})
	case o.Condition != locallambda.EventSucceeded:
		r.printer.note("asynchronous invocation %s: %s after %d attempts", o.RequestID, o.Condition, o.Attempts)
	}
}
