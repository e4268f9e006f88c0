// Package kinetelcdk has AWS CDK constructs that put Kinetel on Lambda functions: the
// stream for the telemetry, the layers and the policy that functions need, a dashboard,
// alarms, and a delivery to S3.
//
//	stream := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
//	extension := kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{Stream: stream})
//	extension.AddTo(function, nil)
//
// Props are plain Go: a zero value means the default, and nil props mean all defaults. The
// TelemetryStream_From and TelemetryExtension_From functions import a stream or an
// extension of another app.
//
// A construct rejects what cannot be deployed or would have no effect while the app is
// synthesised: constructors and AddTo panic with an *Error, as the CDK's constructs panic.
package kinetelcdk

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
)

// Error is the panic of a construct. It has everything that is wrong with the props.
type Error struct {
	Path     string   // of the construct: Stack/Construct
	Problems []string // at least one
}

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return fmt.Sprintf("kinetel: %s: %s", e.Path, e.Problems[0])
	}
	return fmt.Sprintf("kinetel: %s:\n  - %s", e.Path, strings.Join(e.Problems, "\n  - "))
}

// check collects problems, so that one error reports them all.
type check struct {
	path     string
	problems []string
}

func checkNew(scope constructs.Construct, id string) *check {
	return &check{path: strings.TrimPrefix(*scope.Node().Path()+"/"+id, "/")}
}

func (c *check) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// done panics if there is a problem.
func (c *check) done() {
	if len(c.problems) > 0 {
		panic(&Error{c.path, c.problems})
	}
}

// literal reports whether a string is known while the app is synthesised. A token, which
// is known only at the deployment, cannot be checked.
func literal(s string) bool { return !*awscdk.Token_IsUnresolved(s) }
