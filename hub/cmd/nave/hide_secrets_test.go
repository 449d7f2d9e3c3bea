package main

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// TestHideSecrets shows what a diff of two versions of a Secret shows of a value.
func TestHideSecrets(t *testing.T) {
	salt := sealed.NewSalt([]byte("key"))
	user, host := string(salt.Placeholder("u", []string{"user"})), string(salt.Placeholder("h", []string{"host"}))
	files := []bundle.SealedFile{{Path: "f.yaml", Values: []bundle.SealedValue{
		{Placeholder: user, Path: []string{"user"}}, {Placeholder: host, Path: []string{"host"}}}}}
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	const fake = "<encrypted: f.yaml user, 1>"
	for name, c := range map[string]struct{ field, was, is, before, after string }{
		"plain":         {"stringData", "canary-a", "canary-b", "<hidden, before>", "<hidden, after>"},
		"same":          {"stringData", "canary-a", "canary-a", "<hidden>", "<hidden>"},
		"encrypted":     {"stringData", user, host, "<user>", "<host>"},
		"both":          {"stringData", user + host, host + user, "<user><host>", "<host><user>"},
		"between":       {"stringData", user + ":canary-a@" + host, user + ":canary-b@" + host, "<user><hidden, before><host>", "<user><hidden, after><host>"},
		"around":        {"stringData", "canary" + user + "canary", "canary" + host + "canary", "<hidden><user><hidden>", "<hidden><host><hidden>"},
		"encoded":       {"data", encode("canary-a"), encode("canary-b"), "<hidden, before>", "<hidden, after>"},
		"sealed_data":   {"data", encode(user), encode(host), "<user>", "<host>"},
		"between_data":  {"data", encode(user + ":canary@" + host), encode(host), "<user><hidden, before><host>", "<host>"},
		"like_the_name": {"stringData", fake + "canary" + fake, fake, "<hidden, before>", "<hidden, after>"},
	} {
		t.Run(name, func(t *testing.T) {
			secret := func(value string) *manifest.Object {
				return &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret",
					"metadata": map[string]any{"name": "a", "annotations": map[string]any{
						manifest.LastAppliedAnnotation: "canary " + value}},
					c.field: map[string]any{"key": value}}}
			}
			was, is := secret(c.was), secret(c.is)
			hideSecrets(was, is)
			short := func(o *manifest.Object) string {
				showSealed(o, &bundle.Application{SealedFiles: files})
				text := o.Object[c.field].(map[string]any)["key"].(string)
				for key, placeholder := range map[string]string{"user": user, "host": host} {
					id := manifest.DigestOf([]byte(placeholder)).String()
					text = strings.ReplaceAll(text, "<encrypted: f.yaml "+key+", "+id[len(id)-8:]+">", "<"+key+">")
				}
				return text
			}
			if before, after := short(was), short(is); before != c.before || after != c.after {
				t.Errorf("shows %s and %s, want %s and %s", before, after, c.before, c.after)
			}
			text, err := unified(was, is)
			if err != nil || strings.Contains(text, "canary") {
				t.Errorf("the diff tells a value: %s, %v", text, err)
			}
		})
	}
}

// TestHideSecrets_odd hides data that is no map, and a version without another one.
func TestHideSecrets_odd(t *testing.T) {
	o := &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "data": "canary",
		"stringData": map[string]any{"a": []any{"canary"}, "b": "canary"}}}
	hideSecrets(nil, o)
	if text, err := unified(nil, o); err != nil || strings.Contains(text, "canary") {
		t.Errorf("%s, %v", text, err)
	}
}
