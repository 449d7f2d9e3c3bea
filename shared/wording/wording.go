// Package wording writes counts, lists, times, suggestions and long values in messages for people, the same everywhere.
package wording

import (
	"fmt"
	"strings"
	"time"
)

// Count returns a number with its noun: "1 cluster", "3 clusters".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// A returns a noun with its article: "a Cluster", "an ImagePolicy".
func A(noun string) string {
	if noun != "" && strings.ContainsRune("AEIOaeio", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// List returns the first of total names, at most most of them: "a, b, and 4 more".
func List(names []string, total, most int) string {
	shown := strings.Join(names[:min(len(names), most)], ", ")
	if more := total - min(len(names), most); more > 0 {
		return fmt.Sprintf("%s, and %d more", shown, more)
	}
	return shown
}

// Shorten returns a text of at most most bytes as it is. Of a longer one it returns the beginning, which names an
// object, and the end, which has the cause: most bytes together, and " … " in place of the value between them.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	head, tail := text[:most/2], text[len(text)-most/2:]
	return strings.ToValidUTF8(head, "") + " … " + strings.ToValidUTF8(tail, "")
}

// Time returns a moment as Kubernetes writes it: RFC 3339, in UTC, to the second.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// maxCompared is how much of two names Distance compares, in bytes.
const maxCompared = 64

// Distance returns how many bytes must be inserted, deleted or replaced to turn one name into the other (Levenshtein's
// distance), of the first 64 bytes of each.
func Distance(a, b string) int {
	a, b = a[:min(len(a), maxCompared)], b[:min(len(b), maxCompared)]
	row := make([]int, len(b)+1) // of the distances from the part of a so far to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// Nearest returns the name that was most likely meant by a wrong one: a name that begins with it, or one of a small
// distance. Empty when no name is near.
func Nearest(wrong string, names []string) (nearest string) {
	least := len(wrong)/2 + 2
	for _, name := range names {
		d := Distance(wrong, name)
		if len(wrong) > 2 && len(name) > len(wrong) && strings.HasPrefix(name, wrong) {
			d = 1
		}
		if d < least {
			nearest, least = name, d
		}
	}
	return nearest
}
