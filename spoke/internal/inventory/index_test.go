package inventory

import (
	"testing"
	"time"

	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func indexed() *Index {
	x := NewIndex()
	x.Replace(sample())
	return x
}

func look(id manifest.ID, uid, rv, fields string) kube.Live {
	return kube.Live{ID: identity(id, "v1"), UID: uid, ResourceVersion: rv, Managed: manifest.DigestOf([]byte(fields))}
}

func TestObserve_drift_once(t *testing.T) {
	x := indexed()
	if _, d, ours := x.Observe(look(web, "1", "11", "other")); d.Kind != Changed || !ours {
		t.Fatal(d, ours)
	}
	if _, d, _ := x.Observe(look(web, "1", "12", "other")); d.Any() {
		t.Error("told twice")
	}
	if got := x.Drifted(web); got.Kind != Changed {
		t.Error(got)
	}
	x.Begin(apps, web)
	x.Abandon(web)
	if !x.Drifted(web).Any() {
		t.Error("a repair that failed was taken for one")
	}
	x.Begin(apps, web)
	x.Commit(apps, web, Item{Version: "v1", Resource: "deployments", UID: "1", ResourceVersion: "13"})
	if x.Drifted(web).Any() {
		t.Error("drift after the repair")
	}
}

func TestObserve_own_write(t *testing.T) {
	x := indexed()
	x.Begin(apps, web)
	if _, d, ours := x.Observe(look(web, "1", "11", "new fields")); d.Any() || !ours {
		// the watch is faster than the answer
		t.Error(d)
	}
	x.Commit(apps, web, Item{Version: "v1", Resource: "deployments", UID: "1", ResourceVersion: "11",
		Managed: manifest.DigestOf([]byte("new fields"))})
	if _, d, _ := x.Observe(look(web, "1", "11", "new fields")); d.Any() || len(x.TakeDoubts()) > 0 {
		t.Error(d)
	}
}

func TestObserve_during_apply(t *testing.T) {
	for name, observe := range map[string]func(*Index){
		"changed": func(x *Index) { x.Observe(look(web, "1", "12", "theirs")) },
		"deleted": func(x *Index) { x.ObserveMissing(identity(web, "v1")) },
	} {
		x := indexed()
		x.Begin(apps, web)
		observe(x)
		x.Commit(apps, web, Item{Version: "v1", Resource: "deployments", UID: "1", ResourceVersion: "11"})
		select {
		case <-x.Doubtful():
		default:
			t.Errorf("%s: nobody is told", name)
		}
		if got := x.TakeDoubts(); len(got) != 1 || got[0].ID() != web {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestObserve_not_ours(t *testing.T) {
	x := indexed()
	stranger := manifest.ID{Kind: "ConfigMap", Namespace: "shop", Name: "stranger"}
	if _, _, ours := x.Observe(look(stranger, "9", "9", "x")); ours {
		t.Error("ours")
	}
	x.Begin(apps, stranger)
	x.Abandon(stranger)
	if _, _, known := x.Application(stranger); known {
		t.Error("an apply that did not take place left an object behind")
	}
}

func TestKinds(t *testing.T) {
	x := indexed()
	<-x.Changed()
	if got := x.Kinds(); len(got) != 2 { // the ClusterRole is not there yet
		t.Errorf("%v", got)
	}
	other := New(more)
	other.Items[manifest.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "api"}] = Item{Version: "v1",
		Resource: "deployments", UID: "7"}
	x.Replace(other)
	x.Remove(apps)
	<-x.Changed()
	if got := x.Kinds(); len(got) != 1 || got[0].Kind != "Deployment" {
		t.Errorf("%v", got)
	}
	x.Replace(other)
	select {
	case <-x.Changed():
		t.Error("told of a change that is none")
	default:
	}
}

func TestReplace_moved(t *testing.T) {
	x := indexed()
	moved := New(more)
	moved.Items[conf] = Item{Version: "v1", Resource: "configmaps", UID: "2"}
	x.Replace(moved)
	without := sample()
	delete(without.Items, conf)
	x.Replace(without)
	if app, _, known := x.Application(conf); !known || app != more {
		t.Error(app, known)
	}
}

// An inventory on disk names an object until its next apply, although another application took it over.
func TestReplace_stale(t *testing.T) {
	stale, taken := New(more), New(apps)
	stale.Items[conf] = Item{Version: "v1", Resource: "configmaps", UID: "2", ResourceVersion: "9"}
	taken.Items[conf] = Item{Version: "v1", Resource: "configmaps", UID: "2", ResourceVersion: "10", Labelled: true}
	never := New(more)
	never.Items[conf] = Item{Version: "v1"}
	for name, order := range map[string][]*Inventory{"stale_last": {taken, stale}, "stale_first": {stale, taken},
		"never_applied": {taken, never}} {
		t.Run(name, func(t *testing.T) {
			x := NewIndex()
			for _, v := range order {
				x.Replace(v)
			}
			if app, item, _ := x.Application(conf); app != apps || !item.Labelled {
				t.Errorf("%v, %+v", app, item)
			}
			x.Remove(more)
			if _, _, known := x.Application(conf); !known {
				t.Error("it left with the application that had it before")
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	x, now := indexed(), time.Now()
	if s := x.Summarize(apps, 20); s.Status != sharedhealth.Unknown || s.InProgress != 3 {
		t.Errorf("before anybody looked: %+v", s)
	}
	x.SetHealth(conf, "5", sharedhealth.Current, "", "", now)
	x.SetHealth(role, "5", sharedhealth.InProgress, "", "", now)
	if !x.SetHealth(web, "12", sharedhealth.Failed, "", "deadline exceeded", now) {
		t.Error("no news")
	}
	if x.SetHealth(web, "11", sharedhealth.InProgress, "", "from before", now) {
		t.Error("an old answer counted")
	}
	s := x.Summarize(apps, 20)
	if s.Status != sharedhealth.Failed || s.Current != 1 || s.InProgress != 1 || s.Failed != 1 ||
		s.Unhealthy[0].ID != web ||
		len(s.Unhealthy) != 2 {
		t.Errorf("%+v", s)
	}
	if s := x.Summarize(apps, 1); len(s.Unhealthy) != 1 {
		t.Errorf("%+v", s)
	}
}
