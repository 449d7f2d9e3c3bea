package api

import (
	"fmt"
	"strings"

	"github.com/navefleet/nave/shared/wording"
)

// FindKind returns the kind that KindByName returns. If the kind is unknown, the error lists the known kinds, also
// those that only the hub makes, and suggests the nearest one.
func FindKind(word string) (Kind, error) {
	k, ok := KindByName(word)
	if ok {
		return k, nil
	}
	names := pluralsOf(Kind.Supported)
	err := fmt.Errorf("unknown kind %q: the hub knows %s", word, strings.Join(names, ", "))
	if nearest := wording.Nearest(strings.ToLower(word), names); nearest != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, nearest)
	}
	return k, err
}

// SourceKinds returns the kinds of sources that the hub carries out.
func SourceKinds() (sources []Kind) {
	for _, k := range kinds {
		if k.Role == SourceRole && k.Supported() {
			sources = append(sources, k)
		}
	}
	return sources
}

// appliedKinds returns the plurals of the kinds that may be applied to the hub.
func appliedKinds() []string {
	return pluralsOf(func(k Kind) bool { return k.Supported() && !k.Derived })
}

// pluralsOf returns the plurals of the kinds that are chosen.
func pluralsOf(chosen func(Kind) bool) (names []string) {
	for _, k := range kinds {
		if chosen(k) {
			names = append(names, k.Plural)
		}
	}
	return names
}
