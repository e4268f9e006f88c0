// Command publish publishes the layers that package made, in any number of
// regions, and writes the ARNs of their newest versions into SSM parameters. It
// can be run again at any time: it does not publish a layer whose newest version is
// the same zip. With --dry-run it makes no call, needs no credentials, and prints
// each call as a command of the AWS CLI.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/deploy/layer"
)

func main() { os.Exit(run()) }

// run is the whole program; it returns the exit status.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		return 1
	}
	return 0
}

// options are the flags.
type options struct {
	dist, prefix         string
	regions              []string
	architectures        []string
	defaultArchitecture  string
	accounts             []string
	organization         string
	dryRun, noParameters bool
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "publish --regions REGION,...",
		Short: "Publish the layers, and write their ARNs into SSM parameters",
		Long: "Publish the layers, and write their ARNs into SSM parameters.\n\n" +
			"A layer whose newest version in a region is the same zip is left as it is. If one region\n" +
			"fails, publish does the others, and the exit status is 1.",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.publish(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dist, "dist", "dist", "the `folder` that package wrote to")
	f.StringSliceVar(&o.regions, "regions", nil, "where to publish")
	f.StringSliceVar(&o.architectures, "architectures", []string{"x86_64", "arm64"}, "which layers to publish")
	f.StringVar(&o.defaultArchitecture, "default-architecture", "", "whose ARN the parameter PREFIX/extension/arn has (x86_64 where that is published)")
	f.StringVar(&o.prefix, "parameter-prefix", layer.Prefix, "where the parameters lie")
	f.BoolVar(&o.noParameters, "no-parameters", false, "write no parameters")
	f.StringSliceVar(&o.accounts, "accounts", nil, "the `ids` of accounts whose functions may use the layers, too")
	f.StringVar(&o.organization, "organization", "", "the `id` of an organization all of whose accounts may use the layers")
	f.BoolVar(&o.dryRun, "dry-run", false, "print each call as a command of the AWS CLI, and make none")
	return cmd
}

var (
	regionShape       = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`)
	accountShape      = regexp.MustCompile(`^[0-9]{12}$`)
	organizationShape = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
	prefixShape       = regexp.MustCompile(`^(/[A-Za-z0-9_.-]+){1,12}$`)
)

// plan checks all flags and returns the zips to publish.
func (o *options) plan() ([]zipped, error) {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	// The lists of make have spaces between their members.
	o.regions = splitList(o.regions)
	if len(o.regions) == 0 {
		problem("--regions: name at least one, such as eu-west-1")
	}
	for _, region := range o.regions {
		if !regionShape.MatchString(region) {
			problem("--regions %q: must be the name of an AWS region, such as eu-west-1", region)
		}
	}
	o.accounts = splitList(o.accounts)
	for _, account := range o.accounts {
		if !accountShape.MatchString(account) {
			problem("--accounts %q: must be the 12 digits of an AWS account", account)
		}
	}
	if o.organization != "" && !organizationShape.MatchString(o.organization) {
		problem("--organization %q: must be the id of an AWS organization, such as o-1234567890", o.organization)
	}
	if !prefixShape.MatchString(o.prefix) || strings.HasPrefix(o.prefix, "/aws/") || strings.HasPrefix(o.prefix, "/ssm/") {
		problem("--parameter-prefix %q: must be a path such as %s, of letters, digits and _.-, that does not begin with /aws/ or /ssm/", o.prefix, layer.Prefix)
	}
	var zips []zipped
	for _, name := range splitList(o.architectures) {
		arch, err := layer.ArchitectureOf(name)
		if err != nil {
			problem("--architectures: %w", err)
			continue
		}
		z := zipped{arch: arch, file: layer.Path(o.dist, arch.Zip())}
		if z.data, err = layer.Read(o.dist, arch.Zip()); err != nil {
			problems = append(problems, err)
		}
		zips = append(zips, z)
	}
	if len(zips) == 0 && len(problems) == 0 {
		problem("--architectures: name at least one, x86_64 or arm64")
	}
	if o.defaultArchitecture == "" && len(zips) > 0 {
		// Lambda's default, if it is among them.
		o.defaultArchitecture = zips[0].arch.Lambda
		if slices.ContainsFunc(zips, func(z zipped) bool { return z.arch == layer.Architectures[0] }) {
			o.defaultArchitecture = layer.Architectures[0].Lambda
		}
	} else if len(zips) > 0 && !slices.ContainsFunc(zips, func(z zipped) bool { return z.arch.Lambda == o.defaultArchitecture }) {
		problem("--default-architecture %q: is not among --architectures", o.defaultArchitecture)
	}
	return zips, errors.Join(problems...)
}

// splitList splits lists at spaces, too, and removes duplicates.
func splitList(lists []string) []string {
	var all []string
	for _, list := range lists {
		for _, word := range strings.Fields(list) {
			if !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
	}
	return all
}

func (o *options) publish(ctx context.Context, out io.Writer) error {
	zips, err := o.plan()
	if err != nil {
		return err
	}
	var failures []error
	for _, region := range o.regions {
		var cloud cloud = printer{out, region}
		if !o.dryRun {
			cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
			if err != nil {
				return fmt.Errorf("read the AWS configuration: %w", err)
			}
			if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
				return noCredentials(err)
			}
			cloud = newAWS(cfg)
		}
		if err := o.publishIn(ctx, out, region, cloud, zips); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", region, err))
		}
	}
	return errors.Join(failures...)
}

// noCredentials says what to do about an error of the SDK, which says only where it looked.
func noCredentials(err error) error {
	return fmt.Errorf("there are no AWS credentials. `aws sts get-caller-identity` must answer first: "+
		"run `aws sso login` or `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "+
		"`make publish DRY_RUN=1` needs none. (%w)", err)
}

// publishIn publishes in one region.
func (o *options) publishIn(ctx context.Context, out io.Writer, region string, c cloud, zips []zipped) error {
	for _, z := range zips {
		arn, published, err := c.publish(ctx, z)
		if err != nil {
			return err
		}
		if !o.dryRun {
			what := "published"
			if !published {
				what = "unchanged"
			}
			fmt.Fprintf(out, "%s  %s  %s\n", region, what, arn)
		}
		for _, account := range o.accounts {
			if err := c.share(ctx, z.arch, arn, account, ""); err != nil {
				return err
			}
		}
		if o.organization != "" {
			if err := c.share(ctx, z.arch, arn, "*", o.organization); err != nil {
				return err
			}
		}
		if o.noParameters {
			continue
		}
		parameters := []string{z.arch.Parameter(o.prefix)}
		if z.arch.Lambda == o.defaultArchitecture {
			parameters = append(parameters, layer.DefaultParameter(o.prefix))
		}
		for _, name := range parameters {
			if err := c.writeParameter(ctx, name, arn, z.arch); err != nil {
				return err
			}
			if !o.dryRun {
				fmt.Fprintf(out, "%s  parameter  %s\n", region, name)
			}
		}
	}
	return nil
}
