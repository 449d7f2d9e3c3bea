package status

import (
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
)

// remoteBase returns the remote base of an address that an application needs and that failed.
func remoteBase(t *testing.T, owner Facts, url string) Facts {
	t.Helper()
	key := owner.Resource.Key
	object, err := api.NewRemoteBase(key.In(""), time.Minute, "", api.Remote{URL: url, Ref: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	return Facts{Resource: store.Resource{Key: object.Key.In(key.Cluster), Owner: &key, Object: object},
		Condition: &store.Condition{Ready: condition.False, Reason: condition.FetchFailed}}
}

// TestExplain_causes checks which explanations are of one cause: those about the same object and reason on several
// clusters, also with other texts, about applications that need the same remote base, and about clusters with the same
// reason.
func TestExplain_causes(t *testing.T) {
	const host = "https://git.example.com/"
	on := func(cluster, name string, change func(*Facts)) Facts {
		return application(name, "", func(f *Facts) {
			f.Resource.Key.Cluster = cluster
			f.Resource.Key.Name = name
			change(f)
		})
	}
	unhealthy := func(reason, text string) func(*Facts) {
		return func(f *Facts) {
			reported(condition.False, reason, text)(f)
			f.Report.Objects = []*spokev1.ObjectReport{{Object: deploymentWeb, Status: "InProgress", Message: text},
				{Object: deploymentAPI, Status: "InProgress", Message: text}}
		}
	}
	needs := failsAs(condition.ArtifactFailed, "a remote base has not been fetched")
	a, b, c := on("east", "a", needs), on("east", "b", needs), on("west", "c", needs)
	for name, tt := range map[string]struct {
		facts []Facts
		want  int
	}{
		"texts_differ": {[]Facts{on("east", "x", unhealthy(condition.HealthCheckFailed, "0 of 2")),
			on("west", "x", unhealthy(condition.HealthCheckFailed, "1 of 2"))}, 1},
		"two_objects": {[]Facts{on("east", "x", unhealthy(condition.DecryptionFailed, "0 of 2")),
			on("west", "x", unhealthy(condition.DecryptionFailed, "1 of 2"))}, 3},
		"two_reasons": {[]Facts{on("east", "x", unhealthy(condition.HealthCheckFailed, "0 of 2")),
			on("west", "x", failsAs(condition.BuildFailed, "no file"))}, 2},
		"remote_base": {[]Facts{a, b, c, remoteBase(t, a, host+"x"), remoteBase(t, b, host+"x"), remoteBase(t, c, host+"x")}, 1},
		"remote_bases": {[]Facts{a, b, c, remoteBase(t, a, host+"x"), remoteBase(t, b, host+"y"), remoteBase(t, c, host+"x")},
			2},
		"clusters": {[]Facts{member("east"), member("west")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			causes := map[string]int{}
			for _, e := range Explain(newWorld(tt.facts...), api.Key{}) {
				causes[e.Cause]++
			}
			if len(causes) != tt.want {
				t.Errorf("%d causes, want %d: %v", len(causes), tt.want, causes)
			}
		})
	}
}
