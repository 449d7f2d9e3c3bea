package kube

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/manifest"
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
		"forbidden": {403, ""}, "not_acceptable": {406, ""}, "down": {500, ""},
		"too_old": {200, `{"kind":"APIGroupList","groups":[]}`}, "no_json": {200, "x"},
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
			fmt.Fprint(w,
				`{"kind":"APIGroup","name":"example.com","preferredVersion":{"version":"v2"},"versions":[{"version":"v2"},{"version":"v1"}]}`)
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

// discovered is an API server's answer about one group with some kinds.
func discovered(group, freshness string, kinds ...string) string {
	var resources []string
	for _, kind := range kinds {
		resources = append(resources, fmt.Sprintf(
			`{"resource":"%[1]ss","responseKind":{"kind":%[1]q},"scope":"Cluster","verbs":["list"]}`, kind))
	}
	return fmt.Sprintf(`{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":%q},"versions":[{"version":"v1",`+
		`"freshness":%q,"resources":[%s]}]}]}`, group, freshness, strings.Join(resources, ","))
}

// surveyed is an API server that tags its answers and counts the bytes that it sent.
type surveyed struct {
	mu            sync.Mutex
	version, apis string // no apis: it fails
	sent          int
}

func (s *surveyed) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := map[string]string{"/version": `{"gitVersion":"` + s.version + `"}`,
		"/api": discovered("", "Current", "ConfigMap"), "/apis": s.apis}[r.URL.Path]
	tag := fmt.Sprintf("%q", manifest.DigestOf([]byte(body)))
	switch {
	case body == "":
		w.WriteHeader(http.StatusInternalServerError)
	case r.Header.Get("If-None-Match") == tag && r.URL.Path != "/version":
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", tag)
		s.sent += len(body)
		fmt.Fprint(w, body)
	}
}

// TestSurvey asks again and again. Unchanged answers are not sent again, and if an aggregated API server does not
// answer, its kinds stay.
func TestSurvey(t *testing.T) {
	far := &surveyed{version: "v1.37.2"}
	c, _ := scripted(t, far.answer)
	survey := NewSurvey(c)
	if got, err := survey.Ask(t.Context()); err == nil || !got.Equal(Capabilities{}) {
		t.Fatalf("without an answer: %+v, %v", got, err)
	}
	var last Capabilities
	for _, step := range []struct{ name, version, apis, want string }{
		{"first", "v1.37.2", discovered("example.com", "Current", "Widget"), "v1[ConfigMap] example.com/v1[Widget]"},
		{"kind_comes", "v1.37.2", discovered("example.com", "Current", "Widget", "Gadget"),
			"v1[ConfigMap] example.com/v1[Gadget Widget]"},
		{"upgrade", "v1.38.0", discovered("example.com", "Current", "Widget", "Gadget"),
			"v1[ConfigMap] example.com/v1[Gadget Widget]"},
		{"kind_goes", "v1.38.0", discovered("example.com", "Current", "Gadget"), "v1[ConfigMap] example.com/v1[Gadget]"},
	} {
		far.version, far.apis = step.version, step.apis
		got, err := survey.Ask(t.Context())
		var served []string
		for _, gv := range got.GroupVersions {
			served = append(served, fmt.Sprintf("%s%v", gv.GroupVersion, gv.Kinds))
		}
		if err != nil || got.Version != step.version || strings.Join(served, " ") != step.want || got.Equal(last) {
			t.Errorf("%s: %+v, %v", step.name, got, err)
		}
		last = got
		before := far.sent
		if again, err := survey.Ask(t.Context()); err != nil || !again.Equal(last) || far.sent-before > 40 {
			t.Errorf("%s, again: %d bytes, %v, %v", step.name, far.sent-before, again, err)
		}
	}
	for name, apis := range map[string]string{"stale": discovered("example.com", "Stale"), "failed": ""} {
		far.apis = apis
		if got, err := survey.Ask(t.Context()); (err != nil) != (apis == "") || !got.Equal(last) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestSurveyRun reports the change after the client applied a definition.
func TestSurveyRun(t *testing.T) {
	far := &surveyed{version: "v1.37.2", apis: discovered("example.com", "Current", "Widget")}
	c, _ := scripted(t, far.answer)
	told := make(chan Capabilities)
	go NewSurvey(c).Run(t.Context(), func(c Capabilities) { told <- c }, func(err error) { t.Error(err) })
	first := <-told
	far.mu.Lock()
	far.apis = discovered("example.com", "Current", "Gadget")
	far.mu.Unlock()
	c.Invalidate("example.com")
	if second := <-told; second.Equal(first) || second.GroupVersions[1].Kinds[0] != "Gadget" {
		t.Errorf("%+v", second)
	}
}
