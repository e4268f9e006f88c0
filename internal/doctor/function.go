package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/version"
)

// checkFunction reads the function's configuration.
func (d *diagnosis) checkFunction(ctx context.Context) {
	if d.Function == "" {
		return
	}
	f, err := d.Clients.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &d.Function})
	if err != nil {
		fix := "allow yourself lambda:GetFunctionConfiguration, or check from inside the function without --function"
		if hasCode(err, "ResourceNotFound") {
			fix = fmt.Sprintf("check the name and the region (%s): `aws lambda list-functions --query 'Functions[].FunctionName'`", d.Clients.config.Region)
		}
		d.functionError = fmt.Errorf("function %s: %s; %s", d.Function, explain(err), fix)
		d.skip("the function "+d.Function, err, fix)
		return
	}
	d.function = f
	d.functionARN, _ = arn.Parse(value(f.FunctionArn)) // without an ARN, what needs it is not checked
	d.report.Function = cmp.Or(value(f.FunctionArn), d.Function)
	switch {
	case f.State == types.StateFailed || f.LastUpdateStatus == types.LastUpdateStatusFailed:
		d.add(Error, "Lambda cannot run the function: "+cmp.Or(value(f.StateReason), value(f.LastUpdateStatusReason), "no reason given"),
			"a function that does not run has no telemetry", "aws lambda get-function-configuration --function-name "+d.Function)
	default:
		d.ok("%s, version %s, %s on %s", value(f.FunctionName), cmp.Or(value(f.Version), "$LATEST"), cmp.Or(string(f.Runtime), "a container image"), d.architecture())
	}
}

// architecture returns the function's, as Lambda calls it.
func (d *diagnosis) architecture() string {
	for _, a := range d.function.Architectures {
		return string(a)
	}
	return string(types.ArchitectureX8664)
}

// layer is what is known of a version of Kinetel's layer.
type layer struct{ arn, version, architecture string }

// checkLayer checks that Kinetel's layer is on the function, and is the right one.
func (d *diagnosis) checkLayer(ctx context.Context) {
	const doc = "docs/deploy.md#3-put-it-on-a-function"
	f := d.function
	switch {
	case f == nil:
		return
	case f.PackageType == types.PackageTypeImage:
		d.skip("the layer", errors.New("the function is a container image, which has the extension in /opt/extensions or not at all"),
			"docs/deploy.md#container-images")
		return
	}
	var found layer
	var unread error
	for _, one := range f.Layers { // of files with the same name the last layer's is used
		l, err := d.readLayer(ctx, value(one.Arn))
		if l.arn != "" {
			found = l
		} else if err != nil {
			unread = err
		}
	}
	fix := fmt.Sprintf("aws lambda update-function-configuration --function-name %s --layers ARN; it replaces all layers. The ARN for %s: `aws ssm get-parameter --name /telemetry/kinesis/extension/%[2]s/arn --query Parameter.Value`", value(f.FunctionName), d.architecture())
	if cmp.Or(value(f.Version), "$LATEST") != "$LATEST" {
		fix += ". Then publish a version, and point the alias to it"
	}
	switch {
	case found.arn == "" && unread != nil:
		d.skip("the layer: none has Kinetel's name, and one cannot be read", unread, doc)
	case found.arn == "":
		d.add(Error, fmt.Sprintf("Kinetel's layer is not on the function, which has %d other layers", len(f.Layers)),
			"without the layer nothing sends telemetry", fix)
	case found.architecture != "" && found.architecture != d.architecture():
		d.add(Error, fmt.Sprintf("the layer %s is for %s, and the function runs on %s", found.arn, found.architecture, d.architecture()),
			"the function fails with Extension.LaunchError", fix)
	case found.version != "" && found.version != version.Version:
		d.add(Warning, fmt.Sprintf("the layer %s has version %s, and this kinetel has %s", found.arn, found.version, version.Version),
			"the settings and messages are those of another version", "docs/operations.md#upgrade-and-roll-back")
	default:
		d.ok("%s, version %s, for %s", found.arn, cmp.Or(found.version, "unknown"), cmp.Or(found.architecture, "an unknown architecture"))
	}
}

// readLayer returns what is known of a layer. Its arn is empty if it is not Kinetel's.
// The name says it (kinesis-telemetry-extension-arm64), or else the description
// ("Kinetel 0.1.0: …"). The error is that of reading the description.
func (d *diagnosis) readLayer(ctx context.Context, layerARN string) (l layer, err error) {
	if a, err := arn.Parse(layerARN); err == nil { // layer:NAME:VERSION
		name, _, _ := strings.Cut(strings.TrimPrefix(a.Resource, "layer:"), ":")
		if suffix, ok := strings.CutPrefix(name, "kinesis-telemetry-extension-"); ok {
			l = layer{arn: layerARN, architecture: suffix}
		}
	}
	known, err := d.Clients.lambda.GetLayerVersionByArn(ctx, &lambda.GetLayerVersionByArnInput{Arn: &layerARN})
	if err != nil {
		return l, err
	}
	if text, ok := strings.CutPrefix(value(known.Description), "Kinetel "); ok {
		l.arn = layerARN
		l.version, _, _ = strings.Cut(text, ":")
	}
	if len(known.CompatibleArchitectures) == 1 {
		l.architecture = string(known.CompatibleArchitectures[0])
	}
	return l, nil
}

// checkResources compares the settings with the function's memory, /tmp and time.
func (d *diagnosis) checkResources(context.Context) {
	if d.function == nil || d.function.MemorySize == nil {
		return
	}
	const mib = 1 << 20
	f, c := d.function, d.config
	memory, tmp, timeout := int64(value(f.MemorySize)), int64(512), int64(value(f.Timeout))
	if f.EphemeralStorage != nil {
		tmp = int64(value(f.EphemeralStorage.Size))
	}
	before := len(d.report.Findings)
	if c.BufferBytes > memory*mib/4 {
		d.add(Warning, fmt.Sprintf("KINETEL_BUFFER_BYTES is %d MiB, and the function has %d MB of memory", c.BufferBytes/mib, memory),
			"while Kinesis is down, the buffer may take the memory that the function needs",
			fmt.Sprintf("set KINETEL_BUFFER_BYTES to %dMiB or less, or give the function more memory", max(memory/4, 2)))
	}
	if c.Spool != config.SpoolOff && c.SpoolBytes > tmp*mib/2 {
		d.add(Warning, fmt.Sprintf("KINETEL_SPOOL_BYTES is %d MiB, and /tmp has %d MB", c.SpoolBytes/mib, tmp),
			"while Kinesis is down, the spool may take the space that the function needs",
			fmt.Sprintf("set KINETEL_SPOOL_BYTES to %dMiB or less, or give the function more ephemeral storage", tmp/2))
	}
	if timeout > 0 && c.MaxHold.Seconds() >= float64(timeout) {
		d.add(Warning, fmt.Sprintf("KINETEL_MAX_HOLD is %s, and the function's time-out is %d s", c.MaxHold, timeout),
			"an invocation can be held, and billed, almost until its time-out", "set KINETEL_MAX_HOLD to 500ms, the default")
	}
	if len(d.report.Findings) == before {
		d.ok("%d MB of memory, %d MB of /tmp, time-out after %d s", memory, tmp, timeout)
	}
}
