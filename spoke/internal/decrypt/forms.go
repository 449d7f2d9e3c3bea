package decrypt

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// forms yields every form in which a value may be written: as it is, trimmed, line by line, each of them quoted as in
// YAML, JSON or Go, escaped for a URL, and in hexadecimal; and in base64, also if the value is only a part of the
// encoded bytes. Some forms are yielded twice.
func forms(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, text := range texts(value) {
			if !yield(text) {
				return
			}
			for _, form := range []string{
				strings.ReplaceAll(text, "'", "''"), jsonForm(text, false), jsonForm(text, true),
				jsonForm(jsonForm(text, false), false), jsonForm(jsonForm(text, true), false),
				unquoted(strconv.Quote(text)), unquoted(strconv.QuoteToASCII(text)),
				url.QueryEscape(text), url.PathEscape(text), hex.EncodeToString([]byte(text)),
			} {
				if form != text && !yield(form) {
					return
				}
			}
		}
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for before := range 3 {
				first, last, encoded := base64Form(encoding, value, before)
				if !yield(encoded[first:last]) || !yield(encoded[first:]) {
					return
				}
			}
		}
	}
}

// texts returns a value and its lines, with and without the space around them.
func texts(value string) []string {
	all := []string{value, strings.TrimSpace(value)}
	for line := range strings.SplitSeq(value, "\n") {
		all = append(all, line, strings.TrimSpace(line))
	}
	return slices.Compact(all)
}

// jsonForm returns a text as it is written in JSON, without the quotes.
func jsonForm(text string, escapeHTML bool) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(escapeHTML)
	if encoder.Encode(text) != nil {
		return text
	}
	return unquoted(strings.TrimSuffix(b.String(), "\n"))
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// base64Form returns a value in base64 after a number of other bytes (0, 1 or 2, and any multiple of three), and where
// the part begins and ends that depends on the value alone.
func base64Form(encoding *base64.Encoding, value string, before int) (first, last int, encoded string) {
	encoded = encoding.EncodeToString(append(make([]byte, before), value...))
	last = (before + len(value)) * 8 / 6
	return min([3]int{0, 2, 3}[before], last), last, encoded
}
