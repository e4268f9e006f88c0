package config

import (
	"strings"

	"github.com/kinetel/kinetel/internal/credentials"
)

// AWS has the values of the AWS standard variables.
type AWS struct {
	Region          string // of the stream
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Container       credentials.ContainerOptions // URI is empty: Lambda has set the keys as variables
	Endpoint        string                       // overrides the endpoint; empty: AWS's own
	UseFIPS         bool
	UseDualStack    bool
	CABundle        string // path of a PEM file
	IgnoreProxy     bool   // the proxy variable is not a valid proxy URL
}

func (l *loader) aws() AWS {
	a := AWS{
		Region:          l.region(),
		AccessKeyID:     l.text("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: l.text("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    l.text("AWS_SESSION_TOKEN"),
		Container: credentials.ContainerOptions{
			URI:       l.text(credentials.VariableURI),
			Token:     l.text("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
			TokenFile: l.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
		},
		UseFIPS:      l.boolean("AWS_USE_FIPS_ENDPOINT", false),
		UseDualStack: l.boolean("AWS_USE_DUALSTACK_ENDPOINT", false),
		CABundle:     l.text("AWS_CA_BUNDLE"),
	}
	a.Endpoint = l.endpoint()
	a.IgnoreProxy = l.ignoreProxy(a.Endpoint)
	return a
}

// stream sets the stream's name and ARN, and checks that these, the region and the
// credentials are there and agree. If Kinetel is disabled, it needs none of them.
func (l *loader) stream(c *Config) {
	nameIn, arnIn := "KINETEL_STREAM_NAME", "KINETEL_STREAM_ARN"
	name, arn := l.text(nameIn), l.text(arnIn)
	if !c.Enabled {
		return
	}
	switch {
	case name == arn && strings.HasPrefix(arn, "arn:"):
		name = ""
	case name == arn:
		arn = ""
	}
	// A name in the variable of the ARN, or the reverse, is recognized and used.
	if strings.HasPrefix(name, "arn:") && (arn == "" || isStreamName(arn)) || name == "" && isStreamName(arn) {
		name, arn, nameIn, arnIn = arn, name, arnIn, nameIn
	}
	switch {
	case name == "" && arn == "":
		l.fatal(nameIn, "is not set; set it, or KINETEL_STREAM_ARN, to the Kinesis data stream to write to")
	case name != "" && !isStreamName(name):
		l.fatal(nameIn, "is not a stream's name: 1 to 128 of a-z, A-Z, 0-9, _, . and -, nor its ARN")
	}
	c.StreamName = name
	if arn != "" {
		region, named, ok := parseStreamARN(arn)
		switch {
		case !ok:
			l.fatal(arnIn, "is not a stream's ARN, such as arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry")
		case name != "" && name != named:
			l.fatal(arnIn, "names another stream than %s=%s; set only one of them", nameIn, l.quote(nameIn, name))
		default:
			c.StreamARN, c.StreamName = arn, named
			// The stream may be in another region than the function.
			c.AWS.Region = region
		}
	}
	switch {
	case c.AWS.Region == "":
		l.fatal("AWS_REGION", "is not set, though Lambda always sets it; needed to find Kinesis")
	case !isRegion(c.AWS.Region):
		l.fatal("AWS_REGION", "is not a region's name, such as eu-west-1")
	}
	l.credentials(c.AWS)
}

// credentials checks that there are keys, or an endpoint to fetch them from.
func (l *loader) credentials(a AWS) {
	if a.AccessKeyID == "" && a.SecretAccessKey == "" && a.Container.URI != "" {
		if err := credentials.CheckURI(a.Container.URI); err != nil {
			l.fatal(credentials.VariableURI, "%s", err)
		}
		return
	}
	for _, one := range []struct{ name, value string }{
		{"AWS_ACCESS_KEY_ID", a.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", a.SecretAccessKey},
	} {
		if one.value == "" {
			l.fatal(one.name, "is not set, though Lambda sets it from the function's role; needed to sign requests to Kinesis")
		}
	}
}

// region returns AWS_REGION in lower case, as in host names and signatures.
func (l *loader) region() string { return strings.ToLower(l.text("AWS_REGION")) }

// Names are checked without regular expressions: compiling these would cost time in
// every cold start.

// isStreamName reports whether s is a stream's name: 1 to 128 of a-z, A-Z, 0-9, _, .
// and - (Kinesis API reference).
func isStreamName(s string) bool {
	return s != "" && len(s) <= 128 && only(s, lower+upper+digits+"_.-")
}

// isRegion reports whether s is a region's name: parts of lower-case letters, and a
// number as the last part.
func isRegion(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) < 3 {
		return false
	}
	last := len(parts) - 1
	for _, one := range parts[:last] {
		if one == "" || !only(one, lower) {
			return false
		}
	}
	return parts[last] != "" && only(parts[last], digits)
}

// parseStreamARN returns the region and name in a stream's ARN,
// arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME.
func parseStreamARN(arn string) (region, name string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") || parts[2] != "kinesis" {
		return "", "", false
	}
	name, isStream := strings.CutPrefix(parts[5], "stream/")
	ok = isStream && isStreamName(name) && isRegion(parts[3]) && len(parts[4]) == 12 && only(parts[4], digits)
	return parts[3], name, ok
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// only reports whether s has no other characters than the valid ones.
func only(s, valid string) bool { return strings.Trim(s, valid) == "" }
