package kustomize

import (
	"bytes"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/rogpeppe/go-internal/txtar"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// forgetAll empties the memory of this process.
func forgetAll() {
	parsed = lru.New[manifest.Digest, []*manifest.Object](parsedSize)
	finished = lru.New[finishedKey, []finishedObject](finishedSize)
}

// checkEncoded checks that a result encodes its objects.
func checkEncoded(t testing.TB, r *render.Result) {
	t.Helper()
	encoded, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range r.Objects {
		if want, err := manifest.Canonical(o); err != nil || !bytes.Equal(encoded[i], want) {
			t.Errorf("encoded as %s, want %s (%v)", encoded[i], want, err)
		}
	}
}

// TestMemory_stories checks that a build gives the same from memory.
func TestMemory_stories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stories {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			root, spec := plantTree(t, archive), specIn(t, archive)
			forgetAll()
			want, err := buildTree(t.Context(), root, spec)
			if err != nil {
				return
			}
			for range 2 {
				got, err := buildTree(t.Context(), root, spec)
				if err != nil {
					t.Fatal(err)
				}
				checkEncoded(t, got)
				if !reflect.DeepEqual(got.Objects, want.Objects) || !reflect.DeepEqual(got.Reads, want.Reads) {
					t.Errorf("from memory:\n%v\nwant:\n%v", got, want)
				}
			}
		})
	}
}

// TestMemory checks that builds of one tree with other specifications do not mix.
func TestMemory(t *testing.T) {
	forgetAll()
	root := plantFiles(t, txtar.Parse([]byte(`-- a.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {x: y}}
data: {text: plain}
-- b.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: b}
data: {text: "${word}"}
-- secret.yaml --
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {text: plain}
`)))
	specs := []Spec{
		{Name: "one", Namespace: "apps"}, {Name: "two", Namespace: "apps"}, {Name: "one", Namespace: "other"},
		{Name: "one", Namespace: "apps", TargetNamespace: "target"},
		{Name: "one", Namespace: "apps", Substitute: map[string]string{"word": "first"}},
		{Name: "one", Namespace: "apps", Substitute: map[string]string{"word": "second"}},
		{Name: "one", Namespace: "apps", CommonMetadata: &kustomizev1.CommonMetadata{Labels: map[string]string{"k": "v"}}},
		{Name: "one", Namespace: "apps", Images: []kustomize.Image{{Name: "unused", NewTag: "v1"}}},
	}
	var want []*render.Result
	for _, spec := range specs {
		forgetAll()
		r, err := buildTree(t.Context(), root, spec)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r)
	}
	forgetAll()
	for range 2 {
		for i, spec := range specs {
			got, err := buildTree(t.Context(), root, spec)
			if err != nil {
				t.Fatal(err)
			}
			checkEncoded(t, got)
			if !reflect.DeepEqual(got.Objects, want[i].Objects) {
				t.Errorf("%+v: from memory:\n%v\nwant:\n%v", spec, got.Objects, want[i].Objects)
			}
			for _, o := range got.Objects { // a caller may change what a build returned
				o.SetName("changed")
				o.Object["data"] = nil
			}
		}
	}
	key := finishedKey{content: manifest.DigestOf([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, " +
		"labels: {x: y}}\ndata: {text: plain}\n"))}
	m, err := newMemory(&specs[0], "")
	if err != nil {
		t.Fatal(err)
	}
	key.added = m.added
	if _, ok := finished.Get(key); !ok {
		t.Error("the finished object was not remembered")
	}
}

// TestMemory_failed checks that a build which fails remembers nothing unfinished.
func TestMemory_failed(t *testing.T) {
	forgetAll()
	root := t.TempDir()
	plant(t, root, "a.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"))
	plant(t, root, "b.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, labels: {a: 1}}\n"))
	spec := Spec{Name: "one", Namespace: "apps"}
	if _, err := buildTree(t.Context(), root, spec); err == nil {
		t.Fatal("a label is a number")
	}
	plant(t, root, "b.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"))
	r, err := buildTree(t.Context(), root, spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Objects {
		if o.GetLabels()[NameLabel] != "one" {
			t.Errorf("%s has no owner label", o.GetName())
		}
	}
}
