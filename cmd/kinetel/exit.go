package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// The exit statuses of every command.
const (
	exitFine   = 0
	exitFound  = 1   // the command found what it looks for: a hole, a wrong setting
	exitUsage  = 2   // the command line is wrong
	exitFailed = 3   // the command could not look
	exitSignal = 130 // interrupted, as a shell reports it
)

// exitStatuses documents them.
const exitStatuses = `Exit statuses:
  0    all is well
  1    the command found something: tail a record that it cannot read, audit a hole
       that is not reported, doctor an error, demo a loss or a duplicate, run a limit
       that fails
  2    the command line is wrong
  3    the command could not do its work: no credentials, no such stream
  130  you interrupted it`

// foundError means that the command did its work, and found something.
type foundError struct{ error }

// found returns an error that gives the exit status exitFound.
func found(err error) error { return foundError{err} }

// usageError means that the command cannot run with its flags and arguments.
type usageError struct{ error }

// usage returns an error that gives the exit status exitUsage.
func usage(err error) error { return usageError{err} }

// exitStatus returns the status for the error of a command. started reports whether the
// command began: errors before that are of the command line.
func exitStatus(ctx context.Context, err error, started bool) int {
	_, isFound := errors.AsType[foundError](err)
	_, isUsage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return exitFine
	case isFound:
		return exitFound
	case isUsage || !started:
		return exitUsage
	case ctx.Err() != nil || errors.Is(err, errAborted):
		return exitSignal
	}
	return exitFailed
}

// markStarted sets started when a command of root begins.
func markStarted(root *cobra.Command, started *bool) {
	root.PersistentPreRun = func(*cobra.Command, []string) { *started = true }
}
