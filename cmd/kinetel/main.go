// Command kinetel runs, reads, audits and prices Lambda telemetry in Kinesis.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/internal/version"
)

func main() { os.Exit(run()) }

// run runs the command line and returns the exit status.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process: it may wait for its output
	root := newCommand()
	started := false
	markStarted(root, &started)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kinetel:", err)
	}
	return exitStatus(ctx, err, started)
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "kinetel",
		Short: "Run, read, audit and price Lambda telemetry in Kinesis",
		Long: `Runs, reads, audits and prices the telemetry that Kinetel ships from AWS Lambda to
a Kinesis data stream. tail, view, audit and doctor read from your AWS account and
change nothing there (--consumer registers a consumer, and removes it). tail, view
and audit also read files, and cost, run, demo and kinesis need no account.

kinetel completion --help says how your shell completes commands and flags.

` + exitStatuses,
		Example: `  kinetel demo
  kinetel run --event '{}' -- ./bootstrap
  kinetel tail telemetry --since 10m
  kinetel view telemetry --open
  kinetel audit telemetry --since 1h
  kinetel doctor --function orders
  kinetel cost --invocations 100e6
  kinetel kinesis --stream telemetry`,
		Version:       version.Version,
		SilenceErrors: true, // run prints them, once
		SilenceUsage:  true,
	}
	addColorFlag(root)
	addGroup(root, "Your functions and streams:", newTailCommand(), newViewCommand(), newAuditCommand(), newDoctorCommand(), newCostCommand())
	addGroup(root, "On this machine, without AWS:", newRunCommand(), newDemoCommand(), newKinesisCommand())
	root.AddCommand(newVersionCommand())
	return root
}

// addGroup adds commands that root's help lists under a title.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, c := range commands {
		c.GroupID = title
	}
	root.AddCommand(commands...)
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Version)
			return err
		},
	}
}
