package upgrade

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/manifest"
)

// TestImageOf reads the image of the spoke from its Pod.
func TestImageOf(t *testing.T) {
	const digest = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
	for _, c := range []struct {
		name, label, image, id string
		want                   string
		resolved               bool
	}{
		{"tag", "nave-spoke", "r/s:v1", "r/s@" + digest, "r/s:v1@" + digest, true},
		{"docker", "nave-spoke", "r/s:v1", "docker-pullable://r/s@" + digest, "r/s:v1@" + digest, true},
		{"pinned", "nave-spoke", "r/s@" + digest, "", "r/s@" + digest, true},
		{"not_started", "nave-spoke", "r/s:v1", "", "r/s:v1", false},
		{"built_on_node", "nave-spoke", "r/s:v1", digest, "r/s:v1", false},
		{"other_pod", "web", "r/s:v1", "r/s@" + digest, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := &manifest.Object{}
			if err := yaml.Unmarshal([]byte("apiVersion: v1\nkind: Pod\nmetadata: {labels: {app.kubernetes.io/name: "+c.label+
				"}}\nspec: {containers: [{name: sidecar, image: x}, {name: spoke, image: '"+c.image+"'}]}\n"+
				"status: {containerStatuses: [{name: spoke, imageID: '"+c.id+"'}]}\n"), &pod.Object); err != nil {
				t.Fatal(err)
			}
			if image, resolved := imageOf(pod); image != c.want || resolved != c.resolved {
				t.Errorf("got %q, %t; want %q, %t", image, resolved, c.want, c.resolved)
			}
		})
	}
}
