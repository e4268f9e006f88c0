package locallambda

import (
	"context"
	"os"
	"testing"

	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// programs is where TestMain builds the sample function. It is written before any test
// runs.
var programs sandbox.Binaries

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m, &programs)) }

// fake is an Invoker.
type fake struct {
	invoke func(context.Context, Request) (Result, error)
	check  error
}

func (f *fake) Invoke(ctx context.Context, req Request) (Result, error) { return f.invoke(ctx, req) }
func (f *fake) Check(Request) error                                     { return f.check }

// respond ends an invocation with a response.
func respond(req Request, r lambdasim.Response) Result {
	if req.OnResponse != nil {
		req.OnResponse(r)
	}
	result := Result{}
	result.RequestID, result.Payload, result.FunctionError, result.ErrorType = req.RequestID, r.Payload, r.FunctionError, r.ErrorType
	return result
}

// echo answers with the payload.
func echo(_ context.Context, req Request) (Result, error) {
	return respond(req, lambdasim.Response{Payload: req.Payload}), nil
}
