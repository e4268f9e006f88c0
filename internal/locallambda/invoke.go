package locallambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/kinetel/kinetel/lambdasim"
)

// answer is what the client of a synchronous invocation gets.
type answer struct {
	lambdasim.Response
	log []byte
}

// serveInvoke serves Invoke.
func (h *Handler) serveInvoke(w http.ResponseWriter, r *http.Request) {
	invocationType, req, failed := h.readRequest(w, r, typeEvent, typeSync, typeDryRun)
	switch {
	case failed != nil:
		failed.write(w)
	case invocationType == typeDryRun:
		w.WriteHeader(http.StatusNoContent)
	case invocationType == typeEvent:
		if err := h.events.add(req); err != nil {
			invokeError(err).write(w)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		h.serveSync(w, r, req)
	}
}

func (h *Handler) serveSync(w http.ResponseWriter, r *http.Request, req Request) {
	a, err := h.invoke(r.Context(), req)
	switch {
	case r.Context().Err() != nil:
		return // the client is gone
	case err != nil:
		invokeError(err).write(w)
		return
	}
	if len(a.Payload) > maxSyncResponse {
		// A response that the function has streamed may be longer.
		a.FunctionError = "Unhandled"
		a.Payload = functionError("Function.ResponseSizeTooLarge",
			"Response payload size exceeded maximum allowed payload size ("+strconv.Itoa(maxSyncResponse)+" bytes).")
	}
	header := w.Header()
	header.Set(headerVersion, h.cfg.FunctionVersion)
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(a.Payload)))
	if a.FunctionError != "" {
		header.Set(headerFunctionErr, a.FunctionError)
	}
	if req.TailLog {
		header.Set(headerLogResult, base64.StdEncoding.EncodeToString(a.log))
	}
	_, _ = w.Write(a.Payload) // the client may be gone
}

// invoke returns when the client has its answer, or when ctx ends. The invocation goes on
// either way. If the client wants the log, it waits for the end of the invocation, because
// the report is a part of the log.
func (h *Handler) invoke(ctx context.Context, req Request) (answer, error) {
	type end struct {
		result Result
		err    error
	}
	answered := make(chan lambdasim.Response, 1)
	ended := make(chan end, 1)
	req.OnResponse = func(r lambdasim.Response) { answered <- r }
	go func() {
		result, err := h.function.Invoke(context.WithoutCancel(ctx), req)
		ended <- end{result, err}
	}()
	early := answered
	if req.TailLog {
		early = nil
	}
	select {
	case response := <-early:
		return answer{Response: response}, nil
	case e := <-ended:
		var failed *lambdasim.InitError
		if errors.As(e.err, &failed) {
			// On demand AWS Lambda reports it like that, too.
			return answer{Response: lambdasim.Response{
				Payload: functionError(failed.Type, failed.Detail), FunctionError: "Unhandled", ErrorType: failed.Type,
			}}, nil
		}
		if e.err != nil {
			return answer{}, e.err
		}
		return answer{Response: <-answered, log: e.result.Log}, nil
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// functionError is an error object, as runtimes make them.
func functionError(errorType, message string) []byte {
	body, err := json.Marshal(map[string]string{"errorType": errorType, "errorMessage": message})
	if err != nil {
		panic("locallambda: " + err.Error()) // strings: they encode
	}
	return body
}
