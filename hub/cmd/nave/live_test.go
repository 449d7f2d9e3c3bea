package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/internal/plan"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func TestLiveChange(t *testing.T) {
	const object = "ConfigMap default/x"
	files := map[pieceID]change{{ID: idOf("ConfigMap default/x")}: {text: "+data: {}\n"}}
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
			id := pieceID{ID: idOf("ConfigMap default/x")}
			want := change{application: "Kustomization flux-system/app", object: id, verb: c.verb,
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

// TestPreview_content finds all content that is sent to a spoke. The values of a release may be in an encrypted file of
// another Kustomization. If some content is not found, the spoke is asked about all else.
func TestPreview_content(t *testing.T) {
	root := tree(t, map[string]string{
		"charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"charts/web/templates/all.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\n" +
			"stringData: {p: '{{ .Values.p }}'}\n",
		"lab/sealed.yaml": strings.Replace(sealedFile, "PASSWORD", "cGFzc3dvcmQ=", 1),
		"lab/release.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: default}
spec:
  interval: 10m
  chart: {spec: {chart: charts/web, sourceRef: {kind: GitRepository, name: hub, namespace: flux-system}}}
  valuesFrom: [{kind: Secret, name: sealed, valuesKey: password, targetPath: p}]
`,
	})
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	v, done, err := (&preview{session: &session{}, path: "lab"}).open(cmd, "east", root, nil)
	defer done()
	if err != nil {
		t.Fatal(err)
	}
	found, err := v.Cluster(t.Context(), "east", plan.Last{})
	if err != nil || len(found.Problems) > 0 || len(found.Applications) != 2 {
		t.Fatalf("%d applications, problems %v, %v", len(found.Applications), found.Problems, err)
	}
	c := &comparison{changes: map[change][]string{}, unasked: map[string][]string{}}
	var pairs []*pairDiff
	for i, a := range found.Applications {
		d := &pairDiff{new: &found.Applications[i], released: &bundle.Application{}}
		d.findLacking()
		pairs = append(pairs, d)
		if a.Application.Release != nil && len(a.Application.SealedFiles) != 1 {
			t.Errorf("the release has %d encrypted files", len(a.Application.SealedFiles))
		}
	}
	if got := c.requireContent("east", pairs); len(got) != 2 {
		t.Errorf("content of %d of 2 applications, %v", len(got), c.unasked)
	}
	pairs[0].lacking = append(pairs[0].lacking, manifest.DigestOf([]byte("unknown")))
	if got := c.requireContent("east", pairs); len(got) != 1 || got[0] != pairs[1] || len(c.unasked) != 1 {
		t.Errorf("content of %d of 2 applications, %v", len(got), c.unasked)
	}
}
