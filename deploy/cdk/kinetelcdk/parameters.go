package kinetelcdk

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// The names of the SSM parameters begin with a prefix. Each parameter has an ARN.
const (
	defaultPrefix      = "/telemetry/kinesis"
	streamParameter    = "/stream/arn"
	policyParameter    = "/runtime/policy/arn"
	extensionParameter = "/extension/arn" // the layer of the default architecture
)

const streamDescription = "The stream that Kinetel writes to"

func layerParameter(a Architecture) string { return "/extension/" + string(a) + "/arn" }

func parameter(scope constructs.Construct, id, name, description string, value *string) awsssm.StringParameter {
	return awsssm.NewStringParameter(scope, &id, &awsssm.StringParameterProps{
		ParameterName: &name,
		Description:   &description,
		StringValue:   value,
	})
}

// prefix checks a prefix of the parameters' names; an empty one is the default.
func (c *check) prefix(prefix string) string {
	switch {
	case prefix == "":
		return defaultPrefix
	case !strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") || strings.ContainsFunc(prefix, notInParameterName):
		c.problem("ParameterPrefix is %q; it must begin with / and not end with it, and have only a-z, A-Z, 0-9, /, _, . and -, such as %s", prefix, defaultPrefix)
	case strings.HasPrefix(prefix, "/aws") || strings.HasPrefix(prefix, "/ssm"):
		c.problem("ParameterPrefix is %q; AWS reserves names that begin with /aws or /ssm; use one such as %s", prefix, defaultPrefix)
	}
	return prefix
}

func notInParameterName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/_.-", r))
}

func tag(scope constructs.Construct, tags map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		awscdk.Tags_Of(scope).Add(&name, jsii.String(tags[name]), nil)
	}
}
