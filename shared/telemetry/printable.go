package telemetry

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a text of somebody else that is safe to store, log and show: at most limit bytes, cut between
// characters. Unprintable characters are replaced by U+FFFD.
func Printable(s string, limit int) string {
	// more than limit is left of it, whatever is replaced: a character has at most 4 bytes, U+FFFD has 3
	s = begin(s, 2*limit)
	s = strings.Map(func(r rune) rune {
		if Unprintable(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	const ellipsis = "…"
	return begin(s, limit-len(ellipsis)) + ellipsis
}

// Line is Printable, on one line: a space stands for each run of spaces, tabs and line breaks.
func Line(s string, limit int) string { return Printable(strings.Join(strings.Fields(s), " "), limit) }

// begin returns at most the first n bytes, cut between characters.
func begin(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n = max(0, n)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Unprintable reports whether a character is a control character, changes the direction of text, or is invisible. A
// line break and a tab are printable.
func Unprintable(r rune) bool {
	if ' ' <= r && r <= '~' {
		return false // nearly always
	}
	return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}
