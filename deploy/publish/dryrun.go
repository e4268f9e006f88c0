package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/kinetel/kinetel/deploy/layer"
)

// printer prints each call as a command of the AWS CLI instead of making it. A value
// that comes from an answer is a variable of the shell, so that the output is a script
// that does the same.
type printer struct {
	out    io.Writer
	region string
}

func (p printer) publish(_ context.Context, z zipped) (string, bool, error) {
	sum := sha256.Sum256(z.data)
	fmt.Fprintf(p.out, "# %s in %s, unless its newest version is this zip already\n", z.arch.Name(), p.region)
	fmt.Fprint(p.out, "NEWEST=$(")
	p.write("lambda list-layer-versions", "--layer-name", z.arch.Name(), "--no-paginate", "--query", "LayerVersions[0].Version", "--output", "text")
	fmt.Fprint(p.out, ")\nFOUND=$([ \"$NEWEST\" = None ] || ")
	p.write("lambda get-layer-version", "--layer-name", z.arch.Name(), "--version-number", "$NEWEST",
		"--query", "[Content.CodeSha256,LayerVersionArn]", "--output", "text")
	fmt.Fprintf(p.out, ")\ncase \"$FOUND\" in\n%s*) ARN=${FOUND##*[[:space:]]} ;;\n*) ARN=$(", base64.StdEncoding.EncodeToString(sum[:]))
	p.write("lambda publish-layer-version", "--layer-name", z.arch.Name(), "--description", layer.Description(),
		"--license-info", layer.License, "--compatible-architectures", z.arch.Lambda, "--zip-file", "fileb://"+z.file,
		"--query", "LayerVersionArn", "--output", "text")
	fmt.Fprint(p.out, ") ;;\nesac\n")
	return "$ARN", true, nil
}

func (p printer) share(_ context.Context, arch layer.Architecture, _, account, organization string) error {
	args := []string{
		"--layer-name", arch.Name(), "--version-number", "${ARN##*:}", "--statement-id", statement(account, organization),
		"--action", "lambda:GetLayerVersion", "--principal", account,
	}
	if organization != "" {
		args = append(args, "--organization-id", organization)
	}
	p.call("lambda add-layer-version-permission", args...)
	return nil
}

func (p printer) writeParameter(_ context.Context, name, arn string, arch layer.Architecture) error {
	p.call("ssm put-parameter", "--name", name, "--value", arn, "--type", "String", "--overwrite", "--description", parameterDescription(arch))
	return nil
}

func (p printer) call(command string, args ...string) {
	p.write(command, args...)
	fmt.Fprintln(p.out)
}

func (p printer) write(command string, args ...string) {
	fmt.Fprintf(p.out, "aws %s --region %s", command, p.region)
	for _, arg := range args {
		switch {
		case strings.HasPrefix(arg, "$"):
			arg = `"` + arg + `"`
		case strings.ContainsAny(arg, " '*;&|<>()[]\\\""):
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		fmt.Fprint(p.out, " ", arg)
	}
}
