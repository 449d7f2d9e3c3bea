package main

import (
	"io"

	"github.com/navefleet/nave/shared/condition"
)

// ink is the escape sequence of a colour; empty: that of the terminal.
type ink string

const (
	red    ink = "\x1b[31m"
	green  ink = "\x1b[32m"
	yellow ink = "\x1b[33m"

	plain = "\x1b[0m"
)

// on returns a text in the colour.
func (c ink) on(text string) string { return string(c) + text + plain }

// signs are the colours of the signs with which lines begin.
var signs = map[rune]ink{'✔': green, '✗': red, '‖': yellow, '⚠': yellow}

// wantsColours reports whether the environment allows colours on a terminal: see https://no-color.org.
func wantsColours(noColor, term string) bool { return noColor == "" && knowsEscapes(term) }

// knowsEscapes reports whether a terminal with this value of TERM carries out escape sequences.
func knowsEscapes(term string) bool { return term != "" && term != "dumb" }

// inkOf returns the colour of a cell: whether something is well is seen at a glance.
func inkOf(heading, cell string) ink {
	switch heading {
	case "READY", "CONNECTED":
		return map[string]ink{condition.True: green, condition.False: red, condition.Unknown: yellow}[cell]
	case "SUSPENDED":
		return map[string]ink{condition.True: yellow, condition.Unknown: yellow}[cell]
	case "TYPE":
		return map[string]ink{condition.Warning: yellow}[cell]
	case "STATUS": // of a release of Helm
		return map[string]ink{"deployed": green, "failed": red}[cell]
	}
	return ""
}

// coloured returns a text in a colour if the writer is a terminal that shows colours.
func coloured(out io.Writer, c ink, text string) string {
	if v, ok := out.(*visible); ok && v.colours && c != "" {
		return c.on(text)
	}
	return text
}

// writePrintable writes a text of which all characters can be printed, or are escape sequences of ours.
func writePrintable(out io.Writer, text string) error {
	if v, ok := out.(*visible); ok {
		return v.writePrintable(text)
	}
	_, err := io.WriteString(out, text)
	return err
}

// terminalColumns returns the width of the terminal that a writer prints to; 0: it is no terminal.
func terminalColumns(out io.Writer) int {
	if v, ok := out.(*visible); ok && v.columns != nil {
		return v.columns()
	}
	return 0
}
