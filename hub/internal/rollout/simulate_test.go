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
	const canary = `{name: canary, clusterSelector: {matchLabels: {ring: "1"}}, minSuccessTime: 10m}`
	for name, tt := range map[string]struct{ spec, clusters, want string }{
		"no_stages": {"{}", "a b", `
0m stage rest begins
0m a, b: UnderWay
0m Progressing: stage rest: 0 of 2 done, 2 under way
1m a, b: Done
1m stage rest is finished
1m Succeeded
`},
		"stages": {"unreachable: {after: 1m}\nstages: [" + canary + ", {name: prod, maxConcurrency: 50%, beforeStage: [{type: Approval}]}]",
			"a b:takes=5m c canary:ring=1 d:away=2h", `
0m stage canary begins
0m canary: UnderWay
0m Progressing: stage canary: 0 of 1 done, 1 under way
11m canary: Done
11m stage canary is finished
11m Waiting: it waits for an approval before stage prod
16m approved before stage prod
16m d: Skipped: it is offline since 2026-11-27T08:00:00Z
16m stage prod begins
16m a, b: UnderWay
16m Progressing: stage prod: 0 of 4 done, 2 under way
17m a: Done
17m c: UnderWay
18m c: Done
21m b: Done
21m stage prod is finished
21m Succeeded: 1 skipped
120m d: UnderWay
121m d: Done
`},
		"bad_change": {"stages: [" + canary + "]", "a canary:ring=1,fails", `
0m stage canary begins
0m canary: UnderWay
0m Progressing: stage canary: 0 of 1 done, 1 under way
1m canary: Failed: made up to fail
1m Failed: stage canary failed on canary: made up to fail
`},
		"rollback": {"onFailure: Rollback\nstages: [" + canary + ", {name: prod, maxConcurrency: 1}]",
			"a b:fails c canary:ring=1", `
0m stage canary begins
0m canary: UnderWay
0m Progressing: stage canary: 0 of 1 done, 1 under way
11m canary: Done
11m stage canary is finished
11m stage prod begins
11m a: UnderWay
12m a: Done
12m b: UnderWay
13m b: Failed: made up to fail
13m a: Restoring
13m RollingBack: stage prod: 2 to get back what they had before
14m a: Restored
14m b: Restoring
15m b: Restored
15m canary: Restoring
16m canary: Restored
16m RolledBack: clusters have what they had before, until the content changes or the rollout is released
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
