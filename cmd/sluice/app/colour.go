package app

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/pflag"
)

// colourMode is the value of --color; empty is auto.
type colourMode string

const (
	colourAuto   colourMode = "auto"
	colourAlways colourMode = "always"
	colourNever  colourMode = "never"
)

var colourModes = []string{string(colourAuto), string(colourAlways), string(colourNever)}

// String, Set and Type make it a flag's value, which is refused where it is read.
func (c *colourMode) String() string { return string(*c) }

// Set takes a mode.
func (c *colourMode) Set(s string) error {
	if !slices.Contains(colourModes, s) {
		return fmt.Errorf("%q is none of %v", s, colourModes)
	}
	*c = colourMode(s)
	return nil
}

// Type is what the help calls the value.
func (c *colourMode) Type() string { return "when" }

// addColour adds --color to the flags of a command that colours what it writes.
func (s *IOStreams) addColour(flags *pflag.FlagSet) {
	s.colour = colourAuto
	flags.Var(&s.colour, "color", "auto, always or never: auto colours what goes to a terminal, unless NO_COLOR is set")
}

// palette colours what a person reads. Without a word of the command line NO_COLOR asks
// not to (https://no-color.org).
func (s *IOStreams) palette() palette {
	switch s.colour {
	case colourNever:
		return palette{}
	case colourAlways:
		showsColours(s.Out)
		return palette{on: true}
	}
	return palette{on: commands(s.Out) && os.Getenv("NO_COLOR") == ""}
}

// commands reports whether a stream is a terminal that obeys commands, as for colours.
func commands(stream io.Writer) bool {
	return isTerminal(stream) && os.Getenv("TERM") != "dumb" && showsColours(stream)
}
