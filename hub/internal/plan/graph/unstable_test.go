package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// TestUnstable walks worlds whose passes never agree. The walk ends, a finding names the objects that keep changing,
// and the next walk finds the same.
func TestUnstable(t *testing.T) {
	tests := []struct {
		name   string
		first  string // a world
		second string // the world after it
		object string // about which there is a finding
		reason string
		named  []string // in its message
	}{
		{"sources", "10B\x04810XB0.C\"002", "10B\x04810XB0.C\"002", "k4", condition.SourceUnstable,
			[]string{"GitRepository n/s1"}},
		{"left_and_given", ";TNi^G>adkvr>R", "TNi^G>adkvr>R;", "k2", condition.GraphUnstable,
			[]string{"GitRepository n/s2", "Kustomization n/k2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contents := map[manifest.Digest][]manifest.ID{}
			g := settles(t, toy{bytes: []byte(tt.first)}, nil, contents)
			g = settles(t, toy{bytes: []byte(tt.second)}, g, contents)
			wantFinding(t, g, tt.object, tt.reason, tt.named)
		})
	}
}

// TestUnstable_always walks a world in which each pass meets a source that no pass before it met. No list of sources is
// ever complete, so the last round keeps every renderable.
func TestUnstable_always(t *testing.T) {
	passes := 0
	in := toy{}.input(nil, nil)
	in.HubSource = func(key api.Key) *api.Object {
		if key.Name != "s0" {
			return nil
		}
		return repository(0, 0)
	}
	in.Render = func(works []Work) (results []Result) {
		for _, work := range works {
			r := &Rendered{}
			switch work.Key.Name {
			case "k0":
				passes++
				r.Children = []Child{
					{Key: keyOf("Kustomization", "k1"), Object: kustomization(1, 1, passes, 0, 0)},
					{Key: keyOf("Kustomization", "k2"), Object: kustomization(2, 2, 0, 0, 0)},
				}
			case "k2":
				r.Children = []Child{{Key: keyOf("GitRepository", fmt.Sprint("s", passes)), Object: repository(passes, 0)}}
			}
			results = append(results, Result{Revision: "r", Rendered: r})
		}
		return results
	}
	g := walked(t, in)
	wantFinding(t, g, "k0", condition.GraphUnstable, []string{"GitRepository n/s", " and 31 more"})
	if most := 2 * maxPasses * maxRounds; passes > most {
		t.Errorf("%d passes, want at most %d", passes, most)
	}
}

func wantFinding(t *testing.T, g *Graph, object, reason string, named []string) {
	t.Helper()
	f := g.Findings[api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "n", Name: object}]
	if f.Ready || f.Reason != reason {
		t.Fatalf("finding about %s: %+v, want reason %s; all: %+v", object, f, reason, g.Findings)
	}
	for _, name := range named {
		if !strings.Contains(f.Message, name) {
			t.Errorf("message %q does not name %s", f.Message, name)
		}
	}
}
