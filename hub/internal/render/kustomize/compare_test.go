package kustomize

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// TestCompare compares the results of two builds of a file with one encrypted value. Each result uses its own
// placeholder.
func TestCompare(t *testing.T) {
	salt := sealed.NewSalt([]byte("salt"))
	first, second := string(salt.Placeholder("ENC[x]", nil)), string(salt.Second().Placeholder("ENC[x]", nil))
	same := func(text string) func(string) string { return func(string) string { return text } }
	tests := []struct {
		name    string
		kind    string
		make    func(placeholder string) string
		refused bool
	}{
		{"whole", "Secret", func(placeholder string) string { return placeholder }, false},
		{"inside", "ConfigMap", func(placeholder string) string { return "https://u:" + placeholder + "@h" }, false},
		{"no_placeholder", "ConfigMap", same("a"), false},
		{"first_letter", "ConfigMap", func(placeholder string) string { return placeholder[:1] }, true},
		{"last_letter", "ConfigMap", func(placeholder string) string { return placeholder[len(placeholder)-1:] }, true},
		{"letter_and_mark", "ConfigMap", func(placeholder string) string { return placeholder[:4] }, true},
		{"length", "ConfigMap", func(placeholder string) string { return strings.Repeat("x", len(placeholder)) }, false},
		{"piece_of_the_mark", "ConfigMap", func(placeholder string) string { return placeholder[1:9] }, true},
		{"mark_in_capitals", "ConfigMap", func(placeholder string) string { return strings.ToUpper(placeholder[1:9]) }, true},
		{"mark_in_base64", "Secret", func(placeholder string) string {
			return base64.StdEncoding.EncodeToString([]byte("a=" + placeholder[1:9]))
		}, true},
		{"of_no_file", "ConfigMap", same(string(salt.Placeholder("ENC[y]", nil))), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := compare(built(tt.kind, first, tt.make), built(tt.kind, second, tt.make))
			if refused := errors.Is(err, render.ErrInspected); refused != tt.refused || err != nil && !refused {
				t.Errorf("%v, want refused: %t", err, tt.refused)
			}
		})
	}
}

func built(kind, placeholder string, text func(string) string) *rendering {
	file := &seal.File{SealedFile: bundle.SealedFile{Values: []bundle.SealedValue{{Placeholder: placeholder}}}}
	return &rendering{
		objects: []*manifest.Object{{Object: map[string]any{
			"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "a"},
			"data": map[string]any{"k": text(placeholder)},
		}}},
		sealed: map[string]sealedFile{"/a.yaml": {File: file}},
	}
}
