package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// releases returns a fleet whose clusters all have one HelmRelease, perhaps with more fields, and serve different APIs
// for which its chart does not ask.
func releases(t *testing.T, clusters int, more ...string) *story {
	return releasesOf(t, clusters, "has: '{{ .Capabilities.APIVersions.Has \"asked/v1\" }}', kube: "+
		"'{{ .Capabilities.KubeVersion.Minor }}'", more...)
}

// releasesOf does the same for a chart whose ConfigMap has some data.
func releasesOf(t *testing.T, clusters int, data string, more ...string) *story {
	s := newStory(t, releaseFiles(clusters, data, more...))
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "fetch web 1.0.0 chart"} {
		s.play(strings.Fields(line))
	}
	for i := range clusters {
		s.connect(fmt.Sprintf("c%04d", i), "v1.36.0", []string{fmt.Sprintf("group%d/v1", i)}, bundle.Releases)
	}
	return s
}

// releaseFiles are the files of a Fleet of clusters with a release each, whose chart has data in a ConfigMap.
func releaseFiles(clusters int, data string, more ...string) *txtar.Archive {
	archive := fleet(clusters)
	archive.Files[0].Data = append(archive.Files[0].Data, `---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: web, namespace: flux-system}
spec: {interval: 1m, url: "oci://registry.example.com/web"}
`...)
	for name, text := range map[string]string{
		"one/root/release.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n" +
			"metadata: {name: web, namespace: flux-system}\n" +
			"spec: {" + strings.Join(append(more, "interval: 1m, chartRef: {kind: OCIRepository, name: web}"), ", ") + "}\n",
		"chart/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"chart/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" +
			"data: {color: '{{ .Values.color }}', " + data + "}\n",
		"chart/values.yaml": "color: red\n",
	} {
		archive.Files = append([]txtar.File{{Name: name, Data: []byte(text)}}, archive.Files...)
	}
	return archive
}

// TestEqualReleases checks that a thousand clusters with equal answers cost one render of a chart, and that one whose
// answer changes costs one more.
func TestEqualReleases(t *testing.T) {
	s := releases(t, 1000)
	start := time.Now()
	s.round()
	t.Logf("planned 1,000 clusters with a release in %s", time.Since(start))
	s.play([]string{"renders", "2"}) // with that of the root
	first, last := s.plan("c0000"), s.plan("c0999")
	if len(first.Applications) != 2 || first.Applications[0] != last.Applications[0] {
		t.Errorf("plans %v and %v, want equal ones with a release", first, last)
	}
	s.connect("c0500", "v1.36.0", []string{"asked/v1"}, bundle.Releases)
	s.round()
	s.play([]string{"renders", "1"})
	if changed := s.plan("c0500"); changed.Applications[0].Digest == first.Applications[0].Digest {
		t.Error("the answer of one cluster changed, and its release did not")
	}
	s.connect("c0501", "v1.36.0", []string{"another/v1"}, bundle.Releases)
	s.round()
	s.play([]string{"renders", "0"})
}

// TestDefaults_older_spoke checks that only a spoke that writes the values of a chart into a record gets them.
func TestDefaults_older_spoke(t *testing.T) {
	s := releases(t, 1)
	for _, features := range []bundle.FeatureSet{bundle.Releases, bundle.Known, bundle.Releases} {
		s.connect("c0000", "v1.36.0", nil, features)
		s.round()
		app, err := store.ReadApplication(t.Context(), s.store.Blobs(), s.plan("c0000").Applications[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if features == bundle.Known {
			want = `{"color":"red"}`
		}
		if got := string(app.Release.Defaults); got != want {
			t.Errorf("%s: %s, want %s", features, got, want)
		}
	}
}

// TestQuestions_older_spoke checks that only a spoke that can answer is asked about shapes, because the bundle would be
// held back from all others, and that a spoke is asked once it connects or is upgraded.
func TestQuestions_older_spoke(t *testing.T) {
	for name, connect := range map[string]func(*story){
		"no_releases": func(s *story) { s.connect("c0000", "v1.36.0", nil, bundle.Baseline) },
		"no_shapes":   func(s *story) { s.connect("c0000", "v1.36.0", nil, bundle.Releases) },
		"never_connected": func(s *story) {
			s.update(func(tx *store.Tx) error { return store.Spokes.Delete(tx, "c0000") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := releases(t, 1, "valuesFrom: [{kind: Secret, name: live}]")
			connect(s)
			s.round()
			if plan := s.plan("c0000"); len(plan.Questions) > 0 || len(plan.Applications) != 1 {
				t.Errorf("%d questions and %d applications, want the root alone", len(plan.Questions), len(plan.Applications))
			}
			s.connect("c0000", "v1.36.0", nil, bundle.Known)
			s.round()
			if asked := s.plan("c0000").Questions; len(asked) != 1 || asked[0].Name != "live" {
				t.Errorf("the spoke that can answer is asked %v, want the shape of Secret live", asked)
			}
		})
	}
}
