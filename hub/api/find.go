package api

import (
	"fmt"
	"slices"
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
	if words := wordsAfter(word); len(words) > 0 {
		return k, fmt.Errorf("%s stands for several kinds: name one of %s", word, strings.Join(words, ", "))
	}
	names := pluralsOf(Kind.Supported)
	err := fmt.Errorf("unknown kind %q: the hub knows %s", word, strings.Join(names, ", "))
	if nearest := wording.Nearest(strings.ToLower(word), names); nearest != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, nearest)
	}
	return k, err
}

// SourceKinds returns the kinds that the hub carries out and that people call sources: "source git".
func SourceKinds() []Kind { return kindsCalled("source ") }

// IsImage reports whether a key is of an object about images, from which no objects come.
func (k Key) IsImage() bool { return byName[k.Kind].Group == groupImage }

// ImageKinds returns the kinds that the hub carries out and that people call images: "image repository".
func ImageKinds() []Kind { return kindsCalled("image ") }

// wordsAfter returns the two words of the kinds that the hub carries out and whose first word is this one, or its
// plural.
func wordsAfter(word string) (found []string) {
	first := strings.TrimSuffix(strings.ToLower(word), "s") + " "
	for _, k := range kindsCalled(first) {
		found = append(found, k.Words[slices.IndexFunc(k.Words, func(w string) bool { return strings.HasPrefix(w, first) })])
	}
	return found
}

func kindsCalled(first string) (found []Kind) {
	for _, k := range kinds {
		isCalled := func(words string) bool { return strings.HasPrefix(words, first) }
		if k.Supported() && slices.ContainsFunc(k.Words, isCalled) {
			found = append(found, k)
		}
	}
	return found
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
