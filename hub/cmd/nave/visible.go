package main

import (
	"cmp"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// visible is a writer that replaces control, direction and invisible characters by escapes, such as \u202e. Line breaks
// and tabs stay. It keeps the first error, so that callers need not check each write.
type visible struct {
	out     io.Writer
	rest    []byte // the beginning of a character
	failed  error
	columns func() int // the width of the terminal; nil: it is no terminal
	colours bool
	inLine  bool // the last character was no line break
}

// newVisible returns a visible writer, which knows whether it writes to a terminal.
func newVisible(out io.Writer) *visible {
	v := &visible{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		v.columns = func() int {
			columns, _, _ := term.GetSize(int(f.Fd())) // 0: nobody knows
			return columns
		}
		v.colours = wantsColours(os.Getenv("NO_COLOR"), os.Getenv("TERM"))
	}
	return v
}

// Write implements io.Writer.
func (v *visible) Write(p []byte) (int, error) {
	text := append(v.rest, p...)
	end := len(text)
	for i := max(0, end-utf8.UTFMax); i < end; i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			end = i
		}
	}
	v.rest = append([]byte(nil), text[end:]...)
	printable := escaped(string(text[:end]), yamlEscape)
	if v.colours {
		printable = v.colourSigns(printable)
	}
	return len(p), v.writePrintable(printable)
}

// writePrintable writes a text of which all characters can be printed, or are escape sequences of ours.
func (v *visible) writePrintable(text string) error {
	_, err := io.WriteString(v.out, text)
	v.failed = cmp.Or(v.failed, err)
	if text != "" {
		v.inLine = !strings.HasSuffix(text, "\n")
	}
	return err
}

// colourSigns colours the signs at the beginnings of lines.
func (v *visible) colourSigns(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		sign, size := utf8.DecodeRuneInString(line)
		if c := signs[sign]; c != "" && (i > 0 || !v.inLine) {
			lines[i] = c.on(line[:size]) + line[size:]
		}
	}
	return strings.Join(lines, "")
}

// flush writes U+FFFD for an incomplete character at the end of the output.
func (v *visible) flush() {
	if len(v.rest) > 0 {
		v.rest = nil
		_, _ = io.WriteString(v.out, string(utf8.RuneError))
	}
}
