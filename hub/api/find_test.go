package api

import (
	"strings"
	"testing"
)

// TestFindKind_unknown checks that the error about an unknown word names each kind that the hub has, also those that
// nobody applies, and the nearest one.
func TestFindKind_unknown(t *testing.T) {
	_, err := FindKind("remotebase-s")
	if err == nil {
		t.Fatal("the word is known")
	}
	for _, k := range Kinds() {
		if k.Supported() && !strings.Contains(err.Error(), k.Plural) {
			t.Errorf("%v: %s is missing", err, k.Plural)
		}
	}
	if !strings.HasSuffix(err.Error(), "did you mean remotebases?") {
		t.Errorf("%v: want the nearest kind", err)
	}
}
