package helm

import (
	"strings"
	"testing"
)

// FuzzSplit checks that no document is lost or changed but for white space.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{"", "a: 1\n---\nb: 2\n", "---\n---  \na: |+\n  x\n\n---b: 1", "a\n --- \nb", "--- # c\r\na\r\n---"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, compat := range []Compat{Helm3, Helm4} {
			rest := text
			for _, d := range split(text, compat) {
				_, after, found := strings.Cut(rest, d)
				if !found || strings.TrimSpace(d) == "" {
					t.Fatalf("%d: document %q of %q", compat, d, text)
				}
				rest = after
			}
		}
	})
}
