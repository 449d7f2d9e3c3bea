package main

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// The texts that stand for the two versions of a hidden value that differs.
const (
	hiddenBefore = "<hidden, before>"
	hiddenAfter  = "<hidden, after>"
)

// hideSecrets replaces what is not encrypted in the values of two versions of a Secret by texts that only tell whether
// it differs. Placeholders stay. Other objects stay as they are; nil is a version that does not exist.
func hideSecrets(old, new *manifest.Object) {
	before, after := secretValues(old), secretValues(new)
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for key := range keys {
		was, is := before[key], after[key]
		same := was.set != nil && is.set != nil && slices.Equal(was.plain(), is.plain())
		was.hide(same, hiddenBefore)
		is.hide(same, hiddenAfter)
	}
}

// secretValue is a value of a Secret, decoded: its parts between placeholders and these, in turn. The first and the
// last part are plain and may be empty.
type secretValue struct {
	parts []string
	set   func(string)
}

// secretValues returns the values of a Secret by their place in it. If the object is no Secret, there are none.
func secretValues(o *manifest.Object) map[[2]string]secretValue {
	all := map[[2]string]secretValue{}
	if o == nil || o.GroupVersionKind().Group != "" || o.GetKind() != "Secret" {
		return all
	}
	add := func(field, key string, in map[string]any) {
		set := func(text string) { in[key] = text }
		all[[2]string{field, key}] = secretValue{partsOf(in[key], field == "data"), set}
	}
	for _, field := range []string{"data", "stringData"} {
		switch values := o.Object[field].(type) {
		case nil:
		case map[string]any:
			for key := range values {
				add(field, key, values)
			}
		default:
			add("", field, o.Object)
		}
	}
	metadata, _ := o.Object["metadata"].(map[string]any)
	if annotations, _ := metadata["annotations"].(map[string]any); annotations[manifest.LastAppliedAnnotation] != nil {
		add("annotation", manifest.LastAppliedAnnotation, annotations)
	}
	return all
}

// partsOf returns the parts of a value. A value that is no text is one plain part.
func partsOf(value any, encoded bool) (parts []string) {
	text, isText := value.(string)
	if !isText {
		text, _ = yamlText(value)
	}
	if decoded, err := base64.StdEncoding.DecodeString(text); encoded && err == nil {
		text = string(decoded)
	}
	for {
		before, placeholder, after, found := sealed.Cut(text)
		parts = append(parts, before)
		if !found {
			return parts
		}
		parts, text = append(parts, string(placeholder)), after
	}
}

// plain returns the parts that are not placeholders.
func (v secretValue) plain() (plain []string) {
	for i := 0; i < len(v.parts); i += 2 {
		plain = append(plain, v.parts[i])
	}
	return plain
}

// hide replaces the plain parts of a value in its object. A part that is empty stays so beside a placeholder.
func (v secretValue) hide(same bool, differs string) {
	if v.set == nil {
		return
	}
	if same {
		differs = "<hidden>"
	}
	for i := 0; i < len(v.parts); i += 2 {
		if v.parts[i] != "" || len(v.parts) == 1 {
			v.parts[i] = differs
		}
	}
	v.set(strings.Join(v.parts, ""))
}
