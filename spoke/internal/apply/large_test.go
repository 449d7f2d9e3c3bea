package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/heap"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
)

const things = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.large.example.com}
spec:
  group: large.example.com
  names: {kind: Thing, plural: things, singular: thing}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
`

// TestLarge_differences compares objects with many values below long keys, in a preview and after drift. The paths of
// all values together have 400 MB.
func TestLarge_differences(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() {
		_ = w.admin.Delete(context.Background(), "CustomResourceDefinition.apiextensions.k8s.io", "",
			"things.large.example.com")
	})
	const depth, values = 22, 20_000
	var spec strings.Builder
	spec.WriteString(strings.Repeat(`{"`+strings.Repeat("k", 900)+`":`, depth) + "{")
	for i := range values {
		fmt.Fprintf(&spec, `"k%05d":"V",`, i)
	}
	text := strings.TrimSuffix(spec.String(), ",") + strings.Repeat("}", depth+1)
	object := func(value string) string {
		return `{"apiVersion":"large.example.com/v1","kind":"Thing","metadata":{"name":"thing","namespace":"$NS"},"spec":` +
			strings.ReplaceAll(text, `"V"`, value) + "}"
	}
	w.apply(things + object("1"))
	next := w.set(things + object("2"))
	const most = 32 << 20
	t.Run("preview", func(t *testing.T) {
		w.t = t
		used := heap.Peak(func() {
			found := w.preview(next, nobody)
			if len(found) != 1 || len(found[0].Changes) != reporting.MaxPreviewFields ||
				found[0].More != values-reporting.MaxPreviewFields {
				t.Errorf("%d objects: %.100v", len(found), found)
			}
		})
		if t.Logf("%d MiB", used>>20); used > most {
			t.Errorf("%d MiB used", used>>20)
		}
	})
	t.Run("drift", func(t *testing.T) {
		w.t = t
		w.must(w.admin.Edit(t.Context(), "Thing.large.example.com", w.namespace, "thing", `{"spec":`+
			strings.ReplaceAll(text, `"V"`, "3")+"}"))
		used := heap.Peak(func() {
			found, _ := w.seen(bundle.WarnOfDrift, things+object("1"))
			if e := found["Thing"]; len(e.Changes) != reporting.MaxChanges || e.More != values-reporting.MaxChanges {
				t.Errorf("%d changes, %d more", len(e.Changes), e.More)
			}
		})
		if t.Logf("%d MiB", used>>20); used > most {
			t.Errorf("%d MiB used", used>>20)
		}
	})
}
