package fetch_test

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// putIn writes objects of a cluster.
func (i *images) putIn(cluster string, objects ...string) {
	i.Helper()
	err := i.store.Update(i.Context(), func(tx *store.Tx) error { return putObjects(tx, cluster, "", objects) })
	if err != nil {
		i.Fatal(err)
	}
}

// decide sets the decisions of operators about the policy apps/app of the cluster east, and waits until they are
// carried out.
func (i *images) decide(request string, d store.TagDecisions) store.Condition {
	i.Helper()
	err := i.store.Update(i.Context(), func(tx *store.Tx) error {
		row, _, err := store.Resources.Get(tx, policyKey("apps").Path())
		if err != nil {
			return err
		}
		row.Tags, row.RequestedAt = d, request
		row.Tags.RequestedAt = request
		return store.Resources.Put(tx, row.Key.Path(), row)
	})
	if err != nil {
		i.Fatal(err)
	}
	return i.await(policyKey("apps"), func(o store.Condition) bool { return o.HandledRequest == request })
}

func pinned(tag string) store.TagDecisions {
	return store.TagDecisions{Pin: store.TagDecision{Tag: tag}}
}

// TestImagePolicy_pinned chooses the tag of a pin in one cluster, while an equal policy of another one goes on.
func TestImagePolicy_pinned(t *testing.T) {
	i := startImages(t)
	image := i.registry.Host() + "/org/app:"
	i.push("1.0.0", "one")
	i.push("1.1.0", "two")
	west := api.Key{Cluster: "west", Kind: api.ImagePolicyKind, Namespace: "apps", Name: "app"}
	newest := func(o store.Condition) bool { return o.Revision == image+"1.1.0" && o.Ready == "True" }
	i.putIn("west", i.repository(""), policy("apps", anyVersion))
	i.put("", i.repository(""), policy("apps", anyVersion))
	i.await(west, newest)
	i.await(policyKey("apps"), newest)

	o := i.decide("pin", pinned("1.0.0"))
	if o.Revision != image+"1.0.0" || !strings.Contains(o.Message, "resolved to 1.0.0 (previously "+image+"1.1.0)") {
		t.Errorf("pinned: %+v", o)
	}
	o = i.decide("wrong", pinned("3.0.0"))
	if o.Ready != "False" || o.Revision != image+"1.0.0" || !strings.Contains(o.Message, `the pinned tag "3.0.0" does not exist`) {
		t.Errorf("pinned to what does not exist: %+v", o)
	}
	i.push("1.2.0", "three")
	i.putIn("west", i.repository(`, "timeout": "59s"`), policy("apps", anyVersion))
	i.await(west, func(o store.Condition) bool { return o.Ready == "True" })
	if o = i.decide("release", store.TagDecisions{}); o.Ready != "True" || o.Revision == image+"1.0.0" {
		t.Errorf("released: %+v", o)
	}
}

// TestImagePolicy_pinnedDigest keeps the digest of a tag that stays chosen, although the tag was moved meanwhile.
func TestImagePolicy_pinnedDigest(t *testing.T) {
	i := startImages(t)
	first := i.registry.Host() + "/org/app:1.0.0@" + i.push("1.0.0", "one")
	i.put("", i.repository(""), policy("apps", anyVersion+`, "digestReflectionPolicy": "IfNotPresent"`))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == first })
	i.push("1.0.0", "another")
	if o := i.decide("pin", pinned("1.0.0")); o.Revision != first {
		t.Errorf("pinned: got %s, want %s", o.Revision, first)
	}
	if o := i.decide("release", store.TagDecisions{}); o.Revision != first {
		t.Errorf("released: got %s, want %s", o.Revision, first)
	}
}

// TestImagePolicy_pinnedMeanwhile carries out decisions while a registry that hangs keeps the list of tags from being
// read again: they need only the last list.
func TestImagePolicy_pinnedMeanwhile(t *testing.T) {
	const slow = `, "timeout": "5m"`
	i := startImages(t)
	image := i.registry.Host() + "/org/app:"
	i.push("1.0.0", "one")
	i.push("1.1.0", "two")
	west := api.Key{Cluster: "west", Kind: api.ImagePolicyKind, Namespace: "apps", Name: "app"}
	i.putIn("west", i.repository(slow), policy("apps", anyVersion))
	i.put("", i.repository(slow), policy("apps", anyVersion))
	for _, key := range []api.Key{west, policyKey("apps")} {
		i.await(key, func(o store.Condition) bool { return o.Revision == image+"1.1.0" && o.Ready == "True" })
	}
	i.gate.Lock()
	defer i.gate.Unlock()
	i.put("scan", i.repository(slow))
	if o := i.decide("pin", pinned("1.0.0")); o.Revision != image+"1.0.0" || o.Ready != "True" {
		t.Errorf("pinned: %+v", o)
	}
	if o := i.decide("release", store.TagDecisions{}); o.Revision != image+"1.1.0" || o.Ready != "True" {
		t.Errorf("released: %+v", o)
	}
	i.put("", policy("apps", `"policy": {"semver": {"range": "1.0.x"}}`))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+"1.0.0" && o.Ready == "True" })
}

// TestImagePolicy_excluded chooses another tag in place of an excluded one, and keeps the last image if there is none.
func TestImagePolicy_excluded(t *testing.T) {
	i := startImages(t)
	image := i.registry.Host() + "/org/app:"
	i.push("1.0.0", "one")
	i.push("1.1.0", "two")
	i.put("", i.repository(""), policy("apps", anyVersion))
	i.await(policyKey("apps"), func(o store.Condition) bool { return o.Revision == image+"1.1.0" })
	bad := store.TagDecisions{Excluded: []store.TagDecision{{Tag: "1.1.0"}}}
	if o := i.decide("exclude", bad); o.Ready != "True" || o.Revision != image+"1.0.0" {
		t.Errorf("excluded: %+v", o)
	}
	bad.Excluded = append([]store.TagDecision{{Tag: "1.0.0"}}, bad.Excluded...)
	if o := i.decide("all", bad); o.Ready != "False" || o.Revision != image+"1.0.0" {
		t.Errorf("all are excluded: %+v", o)
	}
	if o := i.decide("include", store.TagDecisions{}); o.Ready != "True" || o.Revision != image+"1.1.0" {
		t.Errorf("included: %+v", o)
	}
}
