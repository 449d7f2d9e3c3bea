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

// Read reads all pages from the cluster and replaces those in memory. If a ConfigMap cannot be read, Read logs and
// ignores it.
func (l *Ledger) Read(ctx context.Context) (map[bundle.ApplicationName]Page, error) {
	pages, known := map[bundle.ApplicationName]Page{}, map[bundle.ApplicationName]*page{}
	scope := kube.Scope{Namespace: l.Namespace, Selector: layoutLabel, Whole: true}
	_, err := l.Client.List(ctx, configMaps, scope, func(live kube.Live) error {
		app, err := merge(pages, live.Object)
		if err != nil {
			l.Log.Error("inventory in the cluster not used", telemetry.Err(err))
			return nil
		}
		if known[app] == nil {
			known[app] = newPage(app)
		}
		known[app].written[live.ID.Name] = sumOf(dataOf(live.Object))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the inventories that the cluster keeps: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read, l.pages = true, known
	for app, p := range known {
		p.mark, p.print = pages[app].Mark, fingerprint(pages[app].Inventory)
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
