package telemetry

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":           {"grün, 東京\n\tnext", "grün, 東京\n\tnext"},
		"escape_sequence": {"\x1b[2Jx\x1b]0;title\x07", "\ufffd[2Jx\ufffd]0;title\ufffd"},
		"c1_control":      {"a\u009b2Jb", "a\ufffd2Jb"},
		"carriage_return": {"good\rbad", "good\ufffdbad"},
		"bidi_override":   {"a\u202eb\u2066c\u200fd", "a\ufffdb\ufffdc\ufffdd"},
		"invisible":       {"a\u200bb\ufeffc\u00add", "a\ufffdb\ufffdc\ufffdd"},
		"line_separator":  {"a\u2028b\u2029c", "a\ufffdb\ufffdc"},
		"tag":             {"a\U000e0041b", "a\ufffdb"},
		"not_utf8":        {"a\xffb", "a\ufffdb"},
		"long":            {strings.Repeat("é", 50), strings.Repeat("é", 18) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Printable(c.text, 40); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLine(t *testing.T) {
	if got := Line(" one\r\n\ttwo\x1b "+strings.Repeat("x", 9), 16); got != "one two\ufffd xx…" {
		t.Errorf("got %q", got)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[2J\u202e", 4)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(limit, 3)
		got := Printable(text, limit)
		if len(got) > limit || !utf8.ValidString(got) || Printable(got, limit) != got {
			t.Errorf("%q became %q", text, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Errorf("%q became %q", text, got)
		}
	})
}
