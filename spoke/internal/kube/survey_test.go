package kube

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const discovery = `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","items":[
	{"metadata":{"name":"apps"},"versions":[
		{"version":"v1","freshness":"Current","resources":[
			{"resource":"deployments","responseKind":{"group":"apps","version":"v1","kind":"Deployment"},"scope":"Namespaced","verbs":["get","list"],
				"subresources":[{"subresource":"scale","verbs":["get"]}]},
			{"resource":"clusterthings","responseKind":{"kind":"ClusterThing"},"scope":"Cluster","verbs":["list"]},
			{"resource":"reviews","responseKind":{"kind":"Review"},"scope":"Namespaced","verbs":["create"]},
			{"resource":"../secrets","responseKind":{"kind":"Path"},"scope":"Namespaced","verbs":["list"]}]},
		{"version":"v1beta1","resources":[
			{"resource":"deployments","responseKind":{"kind":"Deployment"},"scope":"Namespaced","verbs":["list"]},
			{"resource":"olds","responseKind":{"kind":"Old"},"scope":"Namespaced","verbs":["list"]}]}]},
	{"metadata":{"name":"metrics.example.com"},"versions":[{"version":"v1","freshness":"Stale"}]}]}`

func TestNamespaced(t *testing.T) {
	c, s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api" {
			fmt.Fprint(w, `{"kind":"APIGroupDiscoveryList","items":[{"metadata":{},"versions":[{"version":"v1","resources":[
				{"resource":"configmaps","responseKind":{"version":"v1","kind":"ConfigMap"},"scope":"Namespaced","verbs":["list"]}]}]}]}`)
			return
		}
		fmt.Fprint(w, discovery)
	})
	got, err := c.Namespaced(t.Context())
	want := []Mapping{
		{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true},
		{Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments", Namespaced: true},
		{Group: "apps", Version: "v1beta1", Kind: "Old", Resource: "olds", Namespaced: true},
	}
	if err != nil || !slices.Equal(got, want) || s.requests() != "GET /api\nGET /apis" {
		t.Errorf("%v, %v\n%s", got, err, s.requests())
	}
}

func TestNamespacedRefused(t *testing.T) {
	for name, answer := range map[string]struct {
		code int
		body string
	}{
		"forbidden": {403, ""}, "not_acceptable": {406, ""}, "down": {500, ""}, "too_old": {200, `{"kind":"APIGroupList","groups":[]}`}, "no_json": {200, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := scripted(t, func(w http.ResponseWriter,
				_ *http.Request) {
				w.WriteHeader(answer.code)
				fmt.Fprint(w, answer.body)
			})
			if got, err := c.Namespaced(t.Context()); err == nil {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestAnyVersion(t *testing.T) {
	c, s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/apis/example.com":
			fmt.Fprint(w, `{"kind":"APIGroup","name":"example.com","preferredVersion":{"version":"v2"},"versions":[{"version":"v2"},{"version":"v1"}]}`)
		case "/apis/example.com/v1":
			fmt.Fprint(w, `{"kind":"APIResourceList","resources":[{"name":"widgets","kind":"Widget","namespaced":true}]}`)
		case "/apis/example.com/v2":
			fmt.Fprint(w, `{"kind":"APIResourceList","resources":[]}`)
		default:
			http.NotFound(w, r)
		}
	})
	if m, err := c.AnyVersion(t.Context(), schema.GroupKind{Group: "example.com", Kind: "Widget"}); err != nil ||
		m.Version != "v1" || m.Resource != "widgets" {
		t.Errorf("%+v, %v\n%s", m, err, s.requests())
	}
	for _, gk := range []schema.GroupKind{{Group: "example.com", Kind: "Gone"},
		{Group: "gone.example.com", Kind: "Widget"}, {Kind: "Gone"}} {
		if m, err := c.AnyVersion(t.Context(), gk); ReasonOf(err) != NoMatch {
			t.Errorf("%v: %+v, %v", gk, m, err)
		}
	}
}
