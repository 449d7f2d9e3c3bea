package agent

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// restore restores the state that the last process left on disk. It sends no requests: a spoke without a hub continues
// from this state.
func (a *Agent) restore() error {
	in := restored{left: map[bundle.ApplicationName]*leftover{}}
	marks, err := a.Store.Marks()
	if err != nil {
		return err
	}
	for name, mark := range marks {
		a.Ledger.Mark(name, mark)
		in.left[name] = &leftover{mark: mark}
	}
	if err := a.restoreInventories(in); err != nil {
		return err
	}
	// The high-water mark is valid even if the bundle is not.
	if a.model.bundle, err = a.Store.Seen(a.Cluster.String()); err != nil {
		return err
	}
	last, err := a.Store.Accepted()
	if err == nil {
		err = a.restoreBundle(&in, last)
	} else if errors.Is(err, state.ErrNotFound) {
		err = nil
	}
	if errors.Is(err, state.ErrDamaged) {
		return err
	}
	if err != nil {
		// A bundle that is not verified is not applied, and no object is deleted. The next offer of the hub replaces it.
		a.Log.Error("the bundle on disk cannot be used", telemetry.Err(err))
		in.bundle = nil
	}
	a.handle(in)
	return nil
}

// restoreBundle verifies the last accepted bundle again. If a blob that the bundle reaches is missing, the error
// wraps state.ErrNotFound.
func (a *Agent) restoreBundle(in *restored, last state.Accepted) (err error) {
	inputs := trust.Inputs{Keyring: a.Keyring, Cluster: a.Cluster, Last: a.model.bundle, Now: a.Now()}
	if in.bundle, in.id, err = trust.Open(last.Envelope, inputs); err != nil {
		return err
	}
	if in.apps, err = a.readApplications(in.bundle.Applications, nil); err != nil {
		return err
	}
	missing, err := a.Store.Missing(digestsOf(in.apps))
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("blobs that it needs are missing, %s for one: %w", missing[0], state.ErrNotFound)
	}
	return err
}

// restoreInventories restores the inventory of each application. If an inventory cannot be read, every object of its
// application is applied again; other applications are not affected.
func (a *Agent) restoreInventories(in restored) error {
	return a.Store.Inventories(func(name bundle.ApplicationName, data []byte) error {
		l := in.left[name]
		if l == nil {
			l = &leftover{}
			in.left[name] = l
		}
		v, err := inventory.Decode(data)
		if err == nil && v.Application != name {
			err = fmt.Errorf("inventory on disk is that of %s", v.Application)
		}
		if err != nil {
			a.Log.Error("inventory not used, every object is applied again and what left Git meanwhile stays",
				telemetry.Application(name), telemetry.Err(err))
			l.mark.Digest = manifest.Digest{}
			return nil
		}
		a.inventories[name] = v
		a.Ledger.Save(v)
		a.Kubernetes.Warm(v.Mappings()...)
		a.Index.Replace(v)
		l.health, l.unclean = a.Index.Summarize(name, reporting.MaxObjects), unclean(v)
		return nil
	})
}

// unclean reports whether an apply was interrupted, which leaves the objects to change without a digest, or whether an
// object lacks the label that watches select by.
func unclean(v *inventory.Inventory) bool {
	for _, item := range v.Items {
		sent := item.Mode == inventory.Override || item.Mode == inventory.Merge
		if sent && item.Digest.IsZero() || item.LacksLabel() {
			return true
		}
	}
	return false
}

// readApplications decodes the applications of a bundle from the blobs just received, or from disk.
func (a *Agent) readApplications(entries []bundle.Entry, fresh map[manifest.Digest][]byte) (applications, error) {
	apps := make(applications, len(entries))
	for _, e := range entries {
		data, ok := fresh[e.Digest]
		if !ok {
			var err error
			if data, err = a.Store.Blob(e.Digest); err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name, err)
			}
		}
		app, err := bundle.DecodeApplication(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", e.Name, trust.ErrMalformed, err)
		}
		if app.Name != e.Name {
			return nil, fmt.Errorf("%s: %w: its application is that of %s", e.Name, trust.ErrMalformed, app.Name)
		}
		if unknown := app.Features().Without(bundle.Known); unknown != "" { // its entry lacks a feature
			return nil, fmt.Errorf("%s: %w: this spoke does not know bundle feature %s; upgrade the spoke", e.Name,
				trust.ErrMalformed, unknown)
		}
		app.ServiceAccount = cmp.Or(app.ServiceAccount, a.DefaultServiceAccount)
		apps[e.Name] = app
	}
	return apps, nil
}
