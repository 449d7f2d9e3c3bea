package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
)

// specOf reads a RolloutSpec.
func specOf(t testing.TB, text string) *api.RolloutSpec {
	t.Helper()
	var spec api.RolloutSpec
	if err := yaml.UnmarshalStrict([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}

// clustersOf reads clusters: "canary:ring=1 a:fails b:away=1h c:takes=5m".
func clustersOf(t testing.TB, text string) (all []Simulated) {
	t.Helper()
	for _, word := range strings.Fields(text) {
		name, rest, _ := strings.Cut(word, ":")
		s := Simulated{Name: name, Takes: time.Minute, Labels: map[string]string{"name": name}}
		for _, item := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' }) {
			key, value, _ := strings.Cut(item, "=")
			switch key {
			case "fails":
				s.Fails = true
			case "takes", "away":
				d, err := time.ParseDuration(value)
				if err != nil {
					t.Fatal(err)
				}
				if key == "takes" {
					s.Takes = d
				} else {
					s.Away = d
				}
			default:
				s.Labels[key] = value
			}
		}
		all = append(all, s)
	}
	return all
}

// timeline prints lines with the minutes since the beginning.
func timeline(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%dm %s\n", int(l.At.Sub(start).Minutes()), l.Text)
	}
	return b.String()
}

// TestSimulate plays strategies against made-up clusters. Each history is what an operator reads.
func TestSimulate(t *testing.T) {
	for name, tt := range map[string]struct{ spec, clusters, want string }{
		"no_stages": {"{}", "a b", `
0m stage rest begins
0m a, b: UnderWay
0m Progressing: stage rest: 0 of 2 done, 2 under way
1m a, b: Done
1m stage rest is finished
1m Succeeded
`},
	} {
		t.Run(name, func(t *testing.T) {
			lines, _ := Simulate(Simulation{Spec: specOf(t, tt.spec), Start: start, Approves: 5 * time.Minute,
				Clusters: clustersOf(t, tt.clusters)})
			if got := timeline(lines); got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}
