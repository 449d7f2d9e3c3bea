package agent

import (
	"context"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// perform finds the health of the objects of spec.healthChecks: in the index for the spoke's own objects, at the API
// server for others.
func (act check) perform(a *Agent) {
	a.spawn(func() input {
		in := checked{name: act.name, status: sharedhealth.Current}
		var unhealthy []string
		for _, id := range act.objects {
			status, reason, err := a.look(a.base, act, id)
			in.status = sharedhealth.Worst(in.status, status)
			if status == sharedhealth.Current {
				continue
			}
			text := healthText(id.ID(), status, reason)
			if err != nil {
				text += ": " + err.Error()
			}
			unhealthy = append(unhealthy, text)
		}
		in.text = strings.Join(unhealthy, ", ")
		return in
	})
}

// look returns the health of an object, and its reason. The health of the application's own objects is in the index.
// Objects of other applications are read from the API server if there is a service account, with its rights, or if
// act.name has health expressions for the kind, because the index has the health as their own application sees it.
func (a *Agent) look(ctx context.Context, act check, id bundle.ObjectIdentity) (status sharedhealth.Status,
	reason string, err error) {
	name, _, ours := a.Index.Application(id.ID())
	own := ours && name == act.name
	if own || ours && act.account == "" && !a.Health.Covers(act.name, id.ID().GroupKind()) {
		h := a.Index.Health(id.ID())
		return h.Status, h.Reason, nil
	}
	r, err := a.Check(ctx, act.name, act.account, id)
	if err != nil {
		return sharedhealth.Unknown, "", err
	}
	return r.Status, r.Reason, nil
}

// perform lists the kinds of an application, metadata only, and makes the watcher look again at every object that
// differs from its last apply. It finds the changes that watches may have missed.
func (act verify) perform(a *Agent) {
	v := a.owned(act.name)
	a.work.Go(func() {
		found := map[manifest.ID]bool{}
		for _, m := range v.Mappings() {
			_, err := a.Kubernetes.List(a.base, m, kube.Scope{Selector: inventory.Label}, func(l kube.Live) error {
				item, ours := v.Items[l.ID.ID()]
				found[l.ID.ID()] = ours && !item.Judge(l, act.name).Any()
				return nil
			})
			if err != nil {
				a.warn("not verified", act.name, err)
				return
			}
		}
		for id, item := range v.Items {
			if item.UID != "" && !found[id] {
				a.Index.Doubt(id)
			}
		}
	})
}
