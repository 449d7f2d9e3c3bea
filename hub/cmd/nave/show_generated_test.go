package main

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestWithGenerated checks that recipes are shown in the place of placeholders, also in base64, and that the objects
// themselves stay as they are.
func TestWithGenerated(t *testing.T) {
	p, key := "p0sealed0"+strings.Repeat("a", 26), "k0sealed0"+strings.Repeat("a", 26)
	recipes := []bundle.Recipe{{Placeholder: p, Key: key, Function: "genCA", Arguments: []byte(`["ca",9]`)}}
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	o := &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "data": map[string]any{
		"crt": encode("a " + p), "key": encode(key), "other": encode("x")}, "caBundle": encode(p), "plain": "u:" + p}}
	before := o.DeepCopy()
	shown := withGenerated([]*manifest.Object{o}, recipes)[0].Object
	want := map[string]any{"apiVersion": "v1", "kind": "Secret", "data": map[string]any{
		"crt": "a <generated: genCA ca 9>", "key": "<generated: genCA ca 9, key>", "other": encode("x")},
		"caBundle": "<generated: genCA ca 9>", "plain": "u:<generated: genCA ca 9>"}
	if !reflect.DeepEqual(shown, want) {
		t.Errorf("%v\nwant %v", shown, want)
	}
	if !reflect.DeepEqual(o, before) || withGenerated([]*manifest.Object{o}, nil)[0] != o {
		t.Error("the object was changed, or copied for nothing")
	}
}
