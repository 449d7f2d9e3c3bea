package sealed

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// RevealAnnotation is the annotation of a ConfigMap or Secret that lists values which the hub may see.
const RevealAnnotation = "fleet.nave.io/reveal"

// index matches an index as Helm writes it: hosts[0].
var index = regexp.MustCompile(`\[([0-9]+)\]`)

// RevealAll stands for all values that the annotation allows.
const RevealAll = "*"

const (
	maxReveals = 100
	maxReveal  = 512     // bytes of one path
	maxListed  = 4 << 10 // bytes of all
)

// ReadReveals returns the paths that an annotation lists, with commas between them: keys and indexes with dots between
// them (hosts.0 or hosts[0]); a backslash makes a dot or a comma part of a key. Empty ones are left out.
func ReadReveals(annotation string) (paths []string, err error) {
	for _, path := range split(annotation, ',') {
		path = index.ReplaceAllString(strings.TrimSpace(path), ".$1")
		if path == "" {
			continue
		}
		paths = append(paths, path)
	}
	return paths, CheckReveals(paths)
}

// CheckReveals returns an error if paths are more, or longer, than a question may have.
func CheckReveals(paths []string) error {
	if len(paths) > maxReveals {
		return fmt.Errorf("%s: more than %d paths", RevealAnnotation, maxReveals)
	}
	total := 0
	for _, path := range paths {
		if total += len(path); total > maxListed {
			return fmt.Errorf("%s: paths of more than %d bytes", RevealAnnotation, maxListed)
		}
		if path == "" || len(path) > maxReveal {
			return fmt.Errorf("%s: a path of 1 to %d bytes is wanted", RevealAnnotation, maxReveal)
		}
	}
	return nil
}

// split divides a text at a separator that has no backslash before it. Backslashes stay.
func split(text string, separator byte) (parts []string) {
	from := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case separator:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// RevealOf returns the path of a value as the annotation lists it.
func RevealOf(path []string) string {
	keys := make([]string, len(path))
	for i, key := range path {
		keys[i] = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `,`, `\,`).Replace(key)
	}
	return strings.Join(keys, ".")
}

// Reveals reports whether a list of paths names a value.
func Reveals(list []string, path []string) bool { return slices.Contains(list, RevealOf(path)) }
