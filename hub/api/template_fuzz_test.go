package api_test

import (
	"encoding/json"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

func FuzzExpandTemplate(f *testing.F) {
	for _, seed := range []string{
		"${a}", "$${a}", "${a:-${b:-z}}", "${a:1:-9}", "${a: " +
			"-2}", "${a//x/y}", "${#a}", "${a^^}", "${", "${}", "${a%%*}", "$$$", "${a/#x/y}", "${a[@]}",
	} {
		f.Add(seed, "älpha")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		spec, err := json.Marshal(map[string]any{
			"interval": "1m", "prune": true, "sourceRef": map[string]any{"kind": "GitRepository", "name": "x"}, "path": text,
			"wait": text, "patches": []any{map[string]any{"patch": text}},
		})
		if err != nil {
			return
		}
		fleet := &api.Fleet{}
		fleet.Spec.Template = api.Template{Metadata: api.Metadata{Name: "root"}, Spec: spec}
		cluster := &api.Cluster{Spec: api.ClusterSpec{Vars: map[string]string{"a": value}}}
		if _, err := api.ExpandTemplate(fleet, cluster); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
