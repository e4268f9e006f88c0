package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/tool.md and docs/kinetel.svg")

// checkFile compares a file of the repository with what made makes, or writes it.
func checkFile(t *testing.T, path string, made []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, made) {
		t.Errorf("%s is not up to date: `go test ./cmd/kinetel -run %s -update` writes it", path, t.Name())
	}
}

func TestToolPage(t *testing.T) {
	checkFile(t, "../../docs/tool.md", toolPage(newCommand()))
}

func TestEveryCommandExplainsItself(t *testing.T) {
	root := newCommand()
	all := append(root.Commands(), root)
	if len(all) < 8 {
		t.Errorf("there are only %d commands", len(all))
	}
	for _, c := range all {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short is %q: it must be a sentence without a period", c.Name(), c.Short)
		}
		if c.Name() != "version" && (c.Long == "" || c.Example == "") {
			t.Errorf("%s has no Long or no Example", c.Name())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no text", c.Name(), f.Name)
			}
		})
	}
}

func TestTextBecomesMarkdown(t *testing.T) {
	got := string(markdown("Prints --type '*' and a_b\n- for <x>.\n\n  0  fine\n  1  not"))
	want := "Prints --type '\\*' and a\\_b\n\\- for \\<x>.\n\n```\n  0  fine\n  1  not\n```\n\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// toolPage returns the page about the commands of root.
func toolPage(root *cobra.Command) []byte {
	var b bytes.Buffer
	long, statuses, _ := strings.Cut(root.Long, "Exit statuses:\n")
	fmt.Fprintf(&b, "# The command `kinetel`\n\n<!-- `go test ./cmd/kinetel -run ToolPage -update` writes this page. -->\n\n%s", markdown(long))
	b.WriteString("`make build` makes it in `bin`.\n\n| you want to | command |\n|---|---|\n")
	for _, c := range root.Commands() {
		fmt.Fprintf(&b, "| %s | [`%s`](#%s) |\n", cell(strings.ToLower(c.Short[:1])+c.Short[1:]), c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"))
	}
	fmt.Fprintf(&b, "\n## Exit statuses\n\nThey are the same for all commands:\n\n```\n%s\n```\n\n## The flag of all commands\n\n", statuses)
	writeFlags(&b, root.PersistentFlags())
	for _, c := range root.Commands() {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n```\n%s\n```\n\n%s", c.CommandPath(), c.Short, c.UseLine(), markdown(c.Long))
		if c.Example != "" {
			fmt.Fprintf(&b, "Examples:\n\n```\n%s\n```\n\n", regexp.MustCompile(`(?m)^  `).ReplaceAllString(c.Example, ""))
		}
		if c.LocalNonPersistentFlags().HasFlags() {
			writeFlags(&b, c.LocalNonPersistentFlags())
		}
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

// markdown returns the paragraphs of a text; those with indented lines are blocks of code.
func markdown(text string) []byte {
	var b bytes.Buffer
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		switch {
		case strings.HasPrefix(p, "  "):
			fmt.Fprintf(&b, "```\n%s\n```\n\n", p)
		case p != "":
			fmt.Fprintf(&b, "%s\n\n", escape(p))
		}
	}
	return b.Bytes()
}

// escape returns text with the signs of Markdown as text.
func escape(text string) string {
	return regexp.MustCompile("(?m)^[-+#]+ |[\\\\`*_<\\[]").ReplaceAllString(text, `\$0`)
}

func cell(text string) string { return strings.ReplaceAll(escape(text), "|", `\|`) }

// writtenDefault is how the text of a flag names a default that is no plain value.
var writtenDefault = regexp.MustCompile(` \(default:? ([^)]*)\)`)

// writeFlags writes a table of flags with their defaults.
func writeFlags(b *bytes.Buffer, flags *pflag.FlagSet) {
	b.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		name, otherwise := "--"+f.Name, ""
		if value != "" {
			name += " " + value
		}
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if m := writtenDefault.FindStringSubmatch(usage); m != nil {
			otherwise, usage = cell(m[1]), strings.Replace(usage, m[0], "", 1)
		} else if !slices.Contains([]string{"", "[]", "0", "0s", "false"}, f.DefValue) {
			otherwise = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, otherwise, cell(usage))
	})
}
