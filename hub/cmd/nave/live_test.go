package main

import (
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestLiveChange(t *testing.T) {
	const object = "ConfigMap default/x"
	files := map[string]change{"ConfigMap default/x": {text: "+data: {}\n"}}
	field := func(before, after string) []*adminv1.PreviewedField {
		return []*adminv1.PreviewedField{{Path: "/data/k", Before: before, After: after}}
	}
	for _, c := range []struct {
		name string
		said *adminv1.PreviewedObject
		verb verb
		text string
	}{
		{"created", &adminv1.PreviewedObject{Action: "created"}, added, "+data: {}\n"},
		{"not_checked", &adminv1.PreviewedObject{Action: "created", Message: "no namespace"}, added,
			"+data: {}\n\\ the API server could not check it: no namespace\n"},
		{"text", &adminv1.PreviewedObject{Action: "configured", Fields: field(`"a"`, `"b"`), More: 3}, changed,
			"@@ /data/k @@\n-a\n+b\n\\ 3 more fields change\n"},
		{"lines", &adminv1.PreviewedObject{Action: "configured", Fields: field(`{"a":1}`, `{"a":1,"b":[2]}`)}, changed,
			"@@ /data/k @@\n-a: 1\n+a: 1\n+b:\n+- 2\n"},
		{"added_field", &adminv1.PreviewedObject{Action: "configured", Fields: field("", "8080")}, changed,
			"@@ /data/k @@\n+8080\n"},
		{"secret", &adminv1.PreviewedObject{Action: "configured", Fields: field(`"***"`, `"***"`)}, changed,
			"@@ /data/k @@\n-<hidden, before>\n+<hidden, after>\n"},
		{"cut", &adminv1.PreviewedObject{Action: "configured", Fields: field(`"abc...`, "")}, changed,
			"@@ /data/k @@\n-\"abc...\n"},
		{"recreated", &adminv1.PreviewedObject{Action: "recreated"}, recreated, "+data: {}\n"},
		{"refused", &adminv1.PreviewedObject{Action: "refused", Message: "invalid"}, refused, "\\ invalid\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.said.Object = object
			want := change{application: "Kustomization flux-system/app", object: "ConfigMap default/x", verb: c.verb,
				text: c.text}
			if got := liveChange(want.application, c.said, files); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	escaped := liveChange("app", &adminv1.PreviewedObject{Object: object, Action: "configured",
		Fields: field("", `"\u001b[2J"`)}, nil)
	if strings.Contains(escaped.text, "\x1b") {
		t.Errorf("control characters in %q", escaped.text)
	}
}
