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

// perform looks at the objects of spec.healthChecks: at the index for our own, at the API server for others.
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

// look finds the health of an object. With a service account, what others applied is looked at with the account's
// rights. With health expressions about its kind, it is looked at, too: the index has the health that its own
// application sees.
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
// is not as it was left. It is the safety net for what watches may have missed.
func (act verify) perform(a *Agent) {
	v := a.owned(act.name)
	a.work.Go(func() {
		found := map[manifest.ID]bool{}
		for _, m := range v.Mappings() {
			_, err := a.Kubernetes.List(a.base, m, kube.Scope{Selector: inventory.Label}, func(l kube.Live) error {
				item, ours := v.Items[l.ID.ID()]
				found[l.ID.ID()] = ours && !item.Judge(l).Any()
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
