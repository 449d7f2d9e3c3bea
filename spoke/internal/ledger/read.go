package ledger

import (
	"context"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/kube"
)

var configMaps = kube.Mapping{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true}

// Read reads all pages from the cluster, in place of those that the ledger knows. A ConfigMap that cannot be read is
// logged and left out.
func (l *Ledger) Read(ctx context.Context) (map[bundle.ApplicationName]Page, error) {
	pages, written := map[bundle.ApplicationName]Page{}, map[string]bundle.ApplicationName{}
	found := map[string]map[string]string{}
	scope := kube.Scope{Namespace: l.Namespace, Selector: layoutLabel, Whole: true}
	_, err := l.Client.List(ctx, configMaps, scope, func(live kube.Live) error {
		app, err := merge(pages, live.Object)
		if err != nil {
			l.Log.Error("inventory in the cluster not used", telemetry.Err(err))
			return nil
		}
		written[live.ID.Name], found[live.ID.Name] = app, dataOf(live.Object)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the inventories that the cluster keeps: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = true
	clear(l.pages)
	for app, read := range pages {
		p := l.page(app)
		p.mark, p.print = read.Mark, fingerprint(read.Inventory)
	}
	for name, app := range written {
		l.pages[app].written[name] = sumOf(found[name])
	}
	return pages, nil
}

func dataOf(o *manifest.Object) map[string]string {
	data, _ := o.Object["data"].(map[string]any)
	out := make(map[string]string, len(data))
	for k, v := range data {
		out[k], _ = v.(string)
	}
	return out
}
