package kustomize

import (
	"fmt"
	"path"
	"strings"
)

// suggest returns " (did you mean …?)" with what is nearest to a path that is not there, or nothing. It reads the
// directory that the path goes wrong in, so that the message changes when the tree does.
func (t *tree) suggest(p string) string {
	parent, wrong := path.Dir(p), path.Base(p)
	for parent != "/" {
		if k, err := t.kind(parent); err != nil || k == directory {
			break
		}
		parent, wrong = path.Dir(parent), path.Base(parent)
	}
	entries, err := t.list(parent)
	if err != nil {
		return ""
	}
	best, distance := "", len(wrong)/2+2
	for _, e := range entries {
		if d := nearness(wrong, e.name); d < distance {
			best, distance = e.name, d
		}
	}
	if best == "" {
		return ""
	}
	better := path.Join(parent, best)
	if whole := better + strings.TrimPrefix(p, path.Join(parent, wrong)); whole != better {
		if k, err := t.kind(whole); err == nil && k == directory {
			better = whole // only one name of the path is wrong
		}
	}
	return fmt.Sprintf(" (did you mean ./%s?)", local(better))
}

// nearness is small for names that people take for one another: the edit distance, or 1 for one that begins the other.
func nearness(a, b string) int {
	if len(a) > 2 && len(b) > len(a) && b[:len(a)] == a {
		return 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
