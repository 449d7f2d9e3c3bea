package agent

import (
	"errors"
	"fmt"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/apply"
)

func TestAHeldPruneIsOneFailureAndNoObjectsFault(t *testing.T) {
	held := func(name string) apply.Entry {
		id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: name}
		return apply.Entry{Object: id, Action: apply.Held, Err: fmt.Errorf("%s: %w", id.ID(), apply.DefaultGuard.Check(40, 39))}
	}
	changes := &apply.ChangeSet{Entries: []apply.Entry{held("a"), held("b")}}
	if f := failureOf(changes, nil, reasonFailed); f.reason != "PruneHeld" || f.message != apply.DefaultGuard.Check(40, 39).Error() || len(f.objects) != 0 {
		t.Errorf("%+v", f)
	}
	stuck := held("c")
	stuck.Err = errors.New("ConfigMap shop/c: has a finalizer")
	changes.Entries = append(changes.Entries, stuck)
	if f := failureOf(changes, nil, reasonFailed); f.reason != "PruneFailed" || len(f.objects) != 3 {
		t.Errorf("beside another failure: %+v", f)
	}
	if f := failureOf(nil, nil, reasonFailed); f.reason != "" || f.message != "" {
		t.Errorf("without any: %+v", f)
	}
}
