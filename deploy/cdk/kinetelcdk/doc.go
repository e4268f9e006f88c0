// Package kinetelcdk has AWS CDK constructs that put Kinetel on Lambda functions:
// the stream that telemetry goes to, the layers and the policy that functions
// need, and what watches and keeps the telemetry.
//
//	stream := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
//	extension := kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{Stream: stream})
//	extension.AddTo(function, nil)
//
// Props are plain Go: a zero value is the default, and nil props are all
// defaults. What cannot be deployed, or would do nothing once it is, is refused
// while the app is synthesised: constructors and AddTo panic with an *Error, as
// the CDK's own panic with its errors.
package kinetelcdk

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
)

// Error is what a construct panics with: everything that is wrong with its props.
type Error struct {
	Path     string   // of the construct, as Stack/Construct
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

// done panics if anything is wrong.
func (c *check) done() {
	if len(c.problems) > 0 {
		panic(&Error{c.path, c.problems})
	}
}

// defaultPrefix is what all SSM parameters' names begin with.
const defaultPrefix = "/telemetry/kinesis"

// prefix returns the prefix of SSM parameters' names that was asked for.
func (c *check) prefix(prefix string) string {
	switch {
	case prefix == "":
		return defaultPrefix
	case !strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") || strings.ContainsFunc(prefix, notInParameterName):
		c.problem("ParameterPrefix is %q; it must begin with / and not end with it, and have only a-z, A-Z, 0-9, /, _, . and -, such as %s", prefix, defaultPrefix)
	case strings.HasPrefix(prefix, "/aws") || strings.HasPrefix(prefix, "/ssm"):
		c.problem("ParameterPrefix is %q; names that begin with /aws or /ssm are AWS's own; take one such as %s", prefix, defaultPrefix)
	}
	return prefix
}

func notInParameterName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/_.-", r))
}

// literal reports whether a string is known while the app is synthesised. A
// token stands for what is known only when it is deployed, and cannot be checked.
func literal(s string) bool { return !*awscdk.Token_IsUnresolved(s) }

// viaKinesis is the condition that a key is used by Kinesis only, in a region, and
// for a stream. Without a stream (nil) it is for any.
func viaKinesis(region, stream *string) *map[string]any {
	equals := map[string]any{"kms:ViaService": "kinesis." + *region + "." + *awscdk.Aws_URL_SUFFIX()}
	if stream != nil {
		equals["kms:EncryptionContext:aws:kinesis:arn"] = *stream
	}
	return &map[string]any{"StringEquals": equals}
}
