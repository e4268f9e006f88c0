package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/awsclient"
	"github.com/kinetel/kinetel/internal/doctor"
)

func newDoctorCommand() *cobra.Command {
	c := doctorCommand{}
	cmd := &cobra.Command{
		Use:   "doctor [--function NAME] [--stream NAME]",
		Short: "Find out why a function's telemetry does not arrive",
		Long: `Checks everything between a function and the stream, and says for each
problem why it matters and what to do: the variables (as the extension reads
them), the layer and its architecture, memory and time-out, your credentials, the
network and the clock, the stream and its encryption, what the function's role may
do, and what the last minutes of the stream report as lost.

With --function the configuration comes from Lambda. Without it, it comes from
the variables of this process, as in the function's container. doctor changes
nothing. With your credentials it calls lambda:GetFunctionConfiguration and
GetLayerVersion, sts:GetCallerIdentity, iam:SimulatePrincipalPolicy,
kms:DescribeKey and GetKeyPolicy, kinesis:DescribeStreamSummary,
GetResourcePolicy, ListShards, GetShardIterator, GetRecords, and PutRecords with
DryRun. What you may not call is reported as not checked.

The exit status is 1 if a check finds an error, and 3 if there is nothing to look
at. -o json prints one object: function, stream, and findings, each with check,
level (ok, warning, error or notChecked), what, why and fix.`,
		Example: `  kinetel doctor --function orders
  kinetel doctor --function orders:live --since 2m -o json
  kinetel doctor --stream telemetry --profile dev`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.options.Function, "function", "", "`name` or ARN of the function, also with a version or alias (default: the variables of this process)")
	f.StringVar(&c.options.Stream, "stream", "", "`name` or ARN of the stream (default: that of the variables)")
	f.DurationVar(&c.options.Since, "since", 15*time.Minute, "how much of the stream's end to read; 0s: nothing")
	f.DurationVar(&c.options.Timeout, "timeout", 10*time.Second, "time limit of each check; reading the stream may take three times as long")
	f.StringVarP(&c.output, "output", "o", "text", "text or json")
	c.aws.AddFlags(f)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return cmd
}

type doctorCommand struct {
	options doctor.Options
	aws     awsclient.Options
	output  string
}

func (c *doctorCommand) run(ctx context.Context, out, stderr io.Writer) error {
	o := &c.options
	o.Environ = os.Environ()
	namesStream := func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		return value != "" && (name == "KINETEL_STREAM_NAME" || name == "KINETEL_STREAM_ARN")
	}
	switch {
	case c.output != "text" && c.output != "json":
		return usage(fmt.Errorf("--output is %q: it must be text or json", c.output))
	case o.Since < 0:
		return usage(fmt.Errorf("--since is %s: it must be 0s or more", o.Since))
	case o.Timeout <= 0:
		return usage(fmt.Errorf("--timeout is %s: it must be more than 0s", o.Timeout))
	case o.Function == "" && o.Stream == "" && !slices.ContainsFunc(o.Environ, namesStream):
		return usage(errors.New("there is nothing to check: name --function or --stream, or set KINETEL_STREAM_NAME"))
	}
	resource := o.Stream
	if o.Function != "" {
		resource = o.Function
	}
	progress := newProgress(stderr)
	cfg, err := c.aws.Load(ctx, resource)
	if err == nil {
		o.Clients = doctor.NewClients(cfg)
	}
	o.ClientsError = err
	o.Progress = func(check string) { progress.show("checking " + check) }
	report, err := doctor.Run(ctx, *o)
	progress.clear()
	if err != nil {
		return err
	}
	if err := c.write(out, report); err != nil {
		return err
	}
	if n := report.Count(doctor.Error); n > 0 {
		return found(fmt.Errorf("errors found: %d", n))
	}
	return nil
}

func (c *doctorCommand) write(out io.Writer, report doctor.Report) error {
	if c.output == "text" {
		return report.WriteText(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}
