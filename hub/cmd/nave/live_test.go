package main

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/plan"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
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

// TestAddLive_refused ends a diff with 2 if a cluster would refuse an object, also if the change is held. An object
// that could not be checked is a difference.
func TestAddLive_refused(t *testing.T) {
	key := &adminv1.ObjectKey{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	asked := &plan.PreviewedApplication{Application: &bundle.Application{Name: keyOf(key).Application()}}
	for _, tt := range []struct {
		name, action, held string
		want               int
	}{
		{"refused", "refused", "", 2}, {"held", "refused", "pinned", 2}, {"unknown_action", "exploded", "", 2},
		{"not_checked", "created", "", 1}, {"changed", "configured", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &comparison{changes: map[change][]string{}, refusals: map[string][]string{}}
			c.addLive("east", []*pairDiff{{new: asked, held: tt.held}}, []*adminv1.PreviewedApplication{{Key: key,
				Objects: []*adminv1.PreviewedObject{{Object: "Service a/b", Action: tt.action, Message: "no\nroom"}}}})
			err := withExit2(c.err())
			if code := exitCode(err); code != tt.want {
				t.Errorf("exit code %d, want %d: %v", code, tt.want, err)
			}
			const text = "on east: Kustomization flux-system/app: Service a/b: no room"
			if tt.want == 2 && !strings.Contains(err.Error(), text) {
				t.Errorf("error %v, want one that says %q", err, text)
			}
		})
	}
}
