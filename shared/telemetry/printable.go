package telemetry

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns somebody else's text as it can be stored, logged and shown: of at most limit bytes, cut between
// characters, and without what a terminal obeys or a reader does not see. Control characters other than line break and
// tab, invisible ones and those that turn the direction of text are replaced by U+FFFD.
func Printable(s string, limit int) string {
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
	cut := max(0, limit-len(ellipsis))
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}

// Unprintable reports whether a terminal obeys a character, whether it turns the direction of text, or whether a reader
// does not see it. A line break and a tab are printable.
func Unprintable(r rune) bool {
	return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}
