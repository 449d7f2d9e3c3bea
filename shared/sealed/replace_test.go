package sealed

import (
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestReplaceObject_caBundle puts values into the base64 of a field caBundle, wherever it is.
func TestReplaceObject_caBundle(t *testing.T) {
	p := Placeholder("p" + Mark + strings.Repeat("a", bodyLength))
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "a/v1", "kind": "Hook", "spec": []any{
		map[string]any{"caBundle": encode("<" + string(p) + ">"), "other": encode(string(p))},
		map[string]any{"caBundle": string(p)}, map[string]any{"caBundle": "~"}}}}
	got, err := ReplaceObject(o, func(Placeholder) (Value, bool) { return Text("ca"), true })
	if err != nil {
		t.Fatal(err)
	}
	items := got.Object["spec"].([]any)
	for i, want := range []string{encode("<ca>"), "ca", "~"} {
		if text := items[i].(map[string]any)["caBundle"]; text != want {
			t.Errorf("%d: %v, want %s", i, text, want)
		}
	}
	if items[0].(map[string]any)["other"] != encode(string(p)) {
		t.Error("other base64 was changed")
	}
}
