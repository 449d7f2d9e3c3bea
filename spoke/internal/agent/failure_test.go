package agent

import (
	"errors"
	"fmt"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

func TestHeldPruneReport(t *testing.T) {
	held := &apply.GuardError{Owned: 150, Digest: manifest.DigestOf([]byte("set"))}
	v := inventory.New(appNamed("a"))
	for i := range 150 {
		id := manifest.ID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint(i)}
		v.Items[id] = inventory.Item{Version: "v1"}
		held.Objects = append(held.Objects, id)
	}
	a := New(Config{})
	a.inventories[appNamed("a")] = v
	got := a.wireReport(tell{entry: bundle.Entry{Name: appNamed("a")}, held: held}).HeldPrune
	if got.GetTotal() != 150 || len(got.GetObjects()) != reporting.MaxHeld ||
		string(got.GetDigest()) != string(held.Digest[:]) {
		t.Errorf("%d of %d objects, digest %x", len(got.GetObjects()), got.GetTotal(), got.GetDigest())
	}
	if o := got.GetObjects()[1]; o.GetVersion() != "v1" || o.GetName() != "1" {
		t.Errorf("%v", o)
	}
	if a.wireReport(tell{entry: bundle.Entry{Name: appNamed("a")}}).HeldPrune != nil {
		t.Error("a held prune of nothing")
	}
}

func TestFailure_held_prune(t *testing.T) {
	guard := &apply.GuardError{Owned: 40, Objects: make([]manifest.ID, 39), Digest: manifest.DigestOf([]byte("set"))}
	held := func(name string) apply.Entry {
		id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: name}
		return apply.Entry{Object: id, Action: apply.Held, Err: fmt.Errorf("%s: %w", id.ID(), guard)}
	}
	changes := &apply.ChangeSet{Entries: []apply.Entry{held("a"), held("b")}}
	if f := failureOf(changes, nil, condition.ReconciliationFailed); f.reason != "PruneHeld" ||
		f.message != guard.Error() ||
		f.held != guard || len(f.objects) != 0 {
		t.Errorf("%+v", f)
	}
	stuck := held("c")
	stuck.Err = errors.New("ConfigMap shop/c: has a finalizer")
	changes.Entries = append(changes.Entries, stuck)
	if f := failureOf(changes, nil, condition.ReconciliationFailed); f.reason != "PruneFailed" || f.held != nil ||
		len(f.objects) != 3 {
		t.Errorf("beside another failure: %+v", f)
	}
	if f := failureOf(nil, nil, condition.ReconciliationFailed); f.reason != "" || f.message != "" {
		t.Errorf("without any: %+v", f)
	}
}
