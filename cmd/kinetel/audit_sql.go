package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kinetel/kinetel/internal/auditsql"
)

// addSQL adds to the audit command the flag --sql and those that go with it. With --sql it
// prints a statement, and reads nothing. whole is the flag --whole.
func addSQL(cmd *cobra.Command, whole *bool) {
	var dialect string
	var query auditsql.Query
	f := cmd.Flags()
	f.StringVar(&dialect, "sql", "", "read nothing, and print a statement that audits a table, for a `dialect`: athena, clickhouse, duckdb or spark")
	f.StringVar(&query.Table, "table", "kinetel", "the `name` of the table, as the statement is to have it; with --sql")
	f.StringVar(&query.Where, "where", "", "a `condition` on the rows that the statement reads, such as \"day >= '2026/11/26'\" (default: all); with --sql")
	_ = cmd.RegisterFlagCompletionFunc("sql", cobra.FixedCompletions(auditsql.Dialects(), cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	cmd.Long += `

More than one process can read, such as the days of a fleet, is a table for a
database. --sql prints a statement with the same rules for the table that Firehose
fills. Its rows are the environments that are not complete.`
	cmd.Example += `
  kinetel audit --sql athena --where "day BETWEEN '2026/11/25' AND '2026/11/26'"
  kinetel audit --sql duckdb | duckdb telemetry.db`
	args, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, given []string) error {
		switch {
		case !f.Changed("sql"):
			return args(cmd, given)
		case len(given) > 0:
			return fmt.Errorf("--sql reads the table %s, so %q is not used: name a table with --table", query.Table, given[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if !f.Changed("sql") {
			if f.Changed("table") || f.Changed("where") {
				return usage(errors.New("--table and --where need --sql, and one of its dialects"))
			}
			return run(cmd, given)
		}
		if err := onlySQL(cmd); err != nil {
			return usage(err)
		}
		query.Whole = *whole
		text, err := auditsql.Statement(dialect, query)
		if err != nil {
			return usage(err)
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
}

// onlySQL refuses flags of the command that say nothing about a statement.
func onlySQL(cmd *cobra.Command) (err error) {
	own := cmd.LocalNonPersistentFlags()
	cmd.Flags().Visit(func(flag *pflag.Flag) { // those that are set
		switch flag.Name {
		case "sql", "table", "where", "whole":
			return
		}
		if own.Lookup(flag.Name) != nil {
			err = errors.Join(err, fmt.Errorf("--%s cannot be used with --sql, which only prints a statement", flag.Name))
		}
	})
	return err
}
