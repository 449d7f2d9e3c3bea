package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
)

const before = `
apiVersion: v1
kind: ConfigMap
metadata: {name: app, namespace: $NS}
data: {k: "1", gone: "1", text: "a\nb\nc\n"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: same, namespace: $NS}
data: {k: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: was-secret, namespace: $NS}
data: {k: canary-1}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: $NS}
stringData: {password: canary-2}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: $NS}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: https, port: 443}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: $NS}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: example.com/a:1}]}}}
---
`

var after = strings.NewReplacer(`"1", gone: "1", text: "a\nb\nc\n"`, `"2", text: "a\nB\nc\n"`, "canary-1", "canary-3",
	"canary-2", "canary-4", "{name: http, port: 80}, ", "", "a:1}", "a:2}").Replace(before) + `
apiVersion: v1
kind: ConfigMap
metadata: {name: new, namespace: $NS}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: early, namespace: $NS-missing}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  replicas: -1
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: example.com/web:1}]}}
---
apiVersion: example.com/v1
kind: Nothing
metadata: {name: nothing, namespace: $NS}
---
`

// TestPreview previews a commit. Nothing is written.
func TestPreview(t *testing.T) {
	w := newWorld(t)
	w.apply(before)
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "app", `{"data":{"by-hand":"x"}}`))
	versions := func() (all string) {
		for _, o := range w.set(before).Objects {
			live, err := w.client.Look(t.Context(), o.ObjectIdentity, false)
			w.must(err)
			all += live.ResourceVersion + " "
		}
		return all
	}
	was := versions()
	s := w.set(after)
	s.Force = true
	found := w.preview(s, func(id manifest.ID) bool { return id.Name == "was-secret" })
	got := map[string]string{}
	for _, p := range found {
		text := string(p.Action)
		for _, c := range p.Changes {
			text += "; " + c.Path + " " + c.Old + " " + c.New
		}
		if p.Err != nil {
			text += ": " + p.Err.Error()
		}
		got[p.Object.Kind+"/"+p.Object.Name] = text
	}
	for name, want := range map[string]string{
		"ConfigMap/app":        `configured; /data/by-hand "x" ; /data/gone "1" ; /data/k "1" "2"; /data/text "b\n" "B\n"`,
		"ConfigMap/was-secret": `configured; /data/k "***" "***"`, "Secret/key": `configured; /data/password "***" "***"`,
		"Service/web":   `configured; /spec/ports/0 {"name":"http","port":80,"protocol":"TCP","targetPort":80} `,
		"ConfigMap/new": "created", "Job/job": "recreated",
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	for name, want := range map[string]string{
		"ConfigMap/early": "created: ", "Nothing/nothing": "created: ", "Deployment/web": "refused: ",
	} {
		if !strings.HasPrefix(got[name], want) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 9 || strings.Contains(strings.Join(textsOfAll(found), " "), "canary") {
		t.Errorf("%d objects: %v", len(got), got)
	}
	if now := versions(); now != was {
		t.Errorf("versions %s, were %s", now, was)
	}
	for _, name := range []string{"new", "early"} {
		id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: w.namespace, Name: name}
		if _, err := w.client.Look(t.Context(), id, false); kube.ReasonOf(err) != kube.NotFound {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, owned := w.index.Application(id.ID()); owned {
			t.Errorf("%s is in the index", name)
		}
	}
	if found := w.preview(w.set(before), nobody); len(found) != 0 {
		t.Errorf("of what is applied: %v", found)
	}
	w.apply(after[:strings.Index(after, "apiVersion: batch/v1")]) // what was foreseen comes true
	w.wantData("app", "k", "2")
}

// TestPreview_unknown shows nothing of a live object that has fields of ours which the version in the index did not
// write: an earlier version, of which nothing is known any more, may have had them from sealed values.
func TestPreview_unknown(t *testing.T) {
	text := func(annotation, value string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: $NS, annotations: {" + annotation +
			"}}\ndata: {k: " + value + "}\n"
	}
	for _, c := range []struct {
		name    string
		between func(w *world) // the apply of the canary, and the preview
		want    string
	}{
		{"replaced", func(w *world) { w.apply(text("", "public")) }, `/data/k "public" "plain"`},
		{"orphan", func(w *world) { w.restart(nil) }, `/data/k "***" "***"`},
		{"not_written", func(w *world) { w.apply(text("kustomize.toolkit.fluxcd.io/ssa: IfNotPresent", "public")) },
			`/data/k "***" "***"`},
		{"not_ours", func(w *world) {
			w.restart(nil)
			w.must(w.admin.Delete(w.t.Context(), "ConfigMap", w.namespace, "app"))
			w.must(w.admin.Apply(w.t.Context(), []byte(strings.ReplaceAll(text("", "public"), "$NS", w.namespace))))
		}, `/data/k "public" "plain"`},
		{"ignored", func(w *world) {
			s := w.set(text("", "public"))
			s.Ignore = []bundle.IgnoreRule{{Paths: []string{"/data/k"}}}
			w.must(w.try(s).Err())
		}, `/data/k "***" "***"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.apply(text("", "canary"))
			c.between(w)
			found := w.preview(w.set(text("", "plain")), nobody)
			got := ""
			for _, p := range found {
				for _, c := range p.Changes {
					if c.Path == "/data/k" {
						got += c.Path + " " + c.Old + " " + c.New
					}
				}
			}
			if got != c.want || strings.Contains(strings.Join(textsOfAll(found), " "), "canary") {
				t.Errorf("%s of %v, want %s", got, found, c.want)
			}
		})
	}
}

// TestPreview_stops ends a preview, as an apply does that begins.
func TestPreview_stops(t *testing.T) {
	w := newWorld(t)
	reason := errors.New("an apply begins")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if found, err := w.applier.Preview(ctx, w.set(before), nobody); !errors.Is(err, reason) {
		t.Errorf("error %v after %v", err, found)
	}
}

// TestPreview_many keeps as many objects as an answer has, and counts the others.
func TestPreview_many(t *testing.T) {
	w := newWorld(t)
	var text strings.Builder
	for i := range reporting.MaxPreviewObjects + 7 {
		text.WriteString(configMap(fmt.Sprint("c", i), "x"))
	}
	found, err := w.applier.Preview(t.Context(), w.set(text.String()), nobody)
	if err != nil || len(found.Objects) != reporting.MaxPreviewObjects || found.More != 7 {
		t.Errorf("%d objects, %d more, error %v", len(found.Objects), found.More, err)
	}
	fields := func(value string) string {
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a-long, namespace: $NS}\ndata:\n"
		for i := range reporting.MaxPreviewFields {
			text += fmt.Sprintf("  k%d: %q\n", i, strings.Repeat(value, 2*reporting.MaxPreviewValue))
		}
		return text
	}
	w.apply(fields("a"))
	found, err = w.applier.Preview(t.Context(), w.set(fields("b")+"---\n"+text.String()), nobody)
	if err != nil || len(found.Objects) != 1 || found.More != reporting.MaxPreviewObjects+7 {
		t.Errorf("after a long one: %d objects, %d more, error %v", len(found.Objects), found.More, err)
	}
}

// preview returns the objects of a preview.
func (w *world) preview(s apply.Set, hides func(manifest.ID) bool) []apply.Preview {
	w.t.Helper()
	found, err := w.applier.Preview(w.t.Context(), s, hides)
	w.must(err)
	return found.Objects
}

func nobody(manifest.ID) bool { return false }

func textsOfAll(found []apply.Preview) (texts []string) {
	for _, p := range found {
		for _, c := range p.Changes {
			texts = append(texts, reporting.DescribeChange(c.Path, c.Old, c.New))
		}
	}
	return texts
}
