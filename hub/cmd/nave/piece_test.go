package main

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestPiecesOf_long tells objects apart whose names are so long that their middle is not shown, and parts of charts
// from objects.
func TestPiecesOf_long(t *testing.T) {
	object := func(kind, middle string) bundle.ObjectReference {
		name := strings.Repeat("a", 200) + middle + strings.Repeat("b", 200)
		return bundle.ObjectReference{ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: kind, Name: name},
			Digest: manifest.DigestOf([]byte(kind + middle))}
	}
	one, two := object("ConfigMap", "1"), object("ConfigMap", "2")
	if one.ID().String() != two.ID().String() {
		t.Fatal("the names are shown whole")
	}
	pieces := piecesOf(&bundle.Application{Objects: []bundle.ObjectReference{one, two},
		Hooks: []bundle.Hook{{ObjectReference: one}}, Release: &bundle.Release{CRDs: []bundle.ObjectReference{two}}})
	for id, want := range map[pieceID]manifest.Digest{{"", one.ID()}: one.Digest, {"", two.ID()}: two.Digest,
		{hookPart, one.ID()}: one.Digest, {definitionPart, two.ID()}: two.Digest} {
		if got := pieces[id].Digest; got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if len(pieces) != 4 {
		t.Errorf("%d pieces", len(pieces))
	}
}

// TestValidator_lines sorts what is wrong by file and line, whatever the file is called.
func TestValidator_lines(t *testing.T) {
	v := newValidator(nil)
	v.checked["east"] = true
	for _, at := range []schemaFault{{"b.yaml", 1, "last"}, {"a:1.yaml", 20, "second"}, {"a:1.yaml", 3, "first"}} {
		v.wrong[at] = []string{"east"}
	}
	if got := strings.Join(v.lines(), ","); got != "first,second,last" {
		t.Errorf("got %s", got)
	}
}
