// Command kinetel runs Kinetel on a developer's machine.
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
		Use:           "kinetel",
		Short:         "Try Kinetel on this machine: Lambda telemetry to Kinesis",
		Version:       version.Version,
		SilenceErrors: true, // run prints them, once
		SilenceUsage:  true,
	}
	addColorFlag(root)
	root.AddCommand(newTailCommand(), newAuditCommand(), newDoctorCommand(), newCostCommand(), newKinesisCommand(), newDemoCommand(), newVersionCommand())
	return root
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
