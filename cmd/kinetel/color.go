package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"github.com/spf13/cobra"
)

// colorMode is the value of --color.
type colorMode string

var colorModes = []string{"auto", "always", "never"}

func (m *colorMode) String() string { return string(*m) }
func (m *colorMode) Type() string   { return "string" }

// Set refuses other modes, and changes what every style of lipgloss does.
func (m *colorMode) Set(text string) error {
	if !slices.Contains(colorModes, text) {
		return fmt.Errorf("it must be one of %s", strings.Join(colorModes, ", "))
	}
	switch *m = colorMode(text); text {
	case "always":
		lipgloss.SetColorProfile(termenv.ANSI256)
	case "never":
		lipgloss.SetColorProfile(termenv.Ascii)
	}
	return nil
}

// addColorFlag adds --color to root and all its commands. Without it, there is colour on a
// terminal only, and not with NO_COLOR.
func addColorFlag(root *cobra.Command) {
	mode := colorMode("auto")
	root.PersistentFlags().Var(&mode, "color", "colour in the output: auto (on a terminal, without NO_COLOR), always or never")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colorModes, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// hasColor reports whether the standard output has colour.
func hasColor() bool { return lipgloss.ColorProfile() != termenv.Ascii }
