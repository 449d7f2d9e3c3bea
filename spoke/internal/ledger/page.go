package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"strconv"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/state"
)

const (
	layout       = "1"
	layoutLabel  = "fleet.nave.io/inventory"
	namePrefix   = "nave-inventory-"
	markKey      = "mark.json"
	inventoryKey = "inventory.json"

	// maxPart limits the bytes of items in one ConfigMap. The API server accepts 1 MiB of data.
	maxPart = 512 << 10
)

// bareItem returns the fields of an item that a page keeps.
func bareItem(i inventory.Item) inventory.Item {
	return inventory.Item{Version: i.Version, Resource: i.Resource, UID: i.UID, Mode: i.Mode, Expires: i.Expires,
		Labelled: i.Labelled}
}

// bareMark returns the fields of a mark that a page keeps. Without a digest the application is applied again.
func bareMark(m state.Mark) state.Mark {
	return state.Mark{
		Suspended: m.Suspended, Prune: m.Prune, DeletionPolicy: m.DeletionPolicy, ServiceAccount: m.ServiceAccount,
		OtherAccount: m.OtherAccount, DependsOn: m.DependsOn, Withheld: m.Withheld, Release: m.Release,
	}
}

var seed = maphash.MakeSeed()

// fingerprint returns a hash of the fields that a page keeps. It costs a fraction of encoding the inventory.
func fingerprint(v *inventory.Inventory) (sum uint64) {
	type row struct {
		id   manifest.ID
		item inventory.Item
	}
	for id, item := range v.Items {
		sum += maphash.Comparable(seed, row{id, bareItem(item)})
	}
	return sum + maphash.Comparable(seed, [2]int{len(v.Items), v.Guarded})
}

// parts holds the data of a page's ConfigMaps by name.
type parts map[string]map[string]string

// encode returns the ConfigMaps of a page. An application without objects has none.
func encode(m state.Mark, v *inventory.Inventory) (parts, error) {
	if len(v.Items) == 0 {
		return parts{}, nil
	}
	mark, err := json.Marshal(bareMark(m))
	if err != nil {
		return nil, fmt.Errorf("mark of %s: %w", v.Application, err)
	}
	for n := 1; ; n *= 2 {
		out, fits, err := divide(v, mark, n)
		if fits || err != nil {
			return out, err
		}
	}
}

// divide spreads an inventory over n ConfigMaps, and reports whether each of them is within maxPart.
func divide(v *inventory.Inventory, mark []byte, n int) (out parts, fits bool, err error) {
	divided := make([]*inventory.Inventory, n)
	for i := range divided {
		divided[i] = inventory.New(v.Application)
		divided[i].Guarded = v.Guarded
	}
	for id, item := range v.Items {
		divided[place(id, n)].Items[id] = bareItem(item)
	}
	out = parts{}
	for i, part := range divided {
		data, err := part.Encode()
		if err != nil {
			return nil, false, err
		}
		if len(data) > maxPart && n < len(v.Items) {
			return nil, false, nil
		}
		out[partName(v.Application, n, i)] = map[string]string{markKey: string(mark), inventoryKey: string(data)}
	}
	return out, true, nil
}

// place returns the index, below n, of the ConfigMap for an object.
func place(id manifest.ID, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id.String()))
	return int(h.Sum32()) % n
}

func partName(app bundle.ApplicationName, n, i int) string {
	sum := sha256.Sum256([]byte(app.Key()))
	return namePrefix + hex.EncodeToString(sum[:10]) + "-" + strconv.Itoa(n) + "-" + strconv.Itoa(i)
}

// configMap returns the ConfigMap of a part.
func configMap(namespace, name string, app bundle.ApplicationName, data map[string]string) *manifest.Object {
	fields := make(map[string]any, len(data))
	for k, v := range data {
		fields[k] = v
	}
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"namespace": namespace, "name": name, "labels": map[string]any{layoutLabel: layout},
			"annotations": map[string]any{"fleet.nave.io/inventory-of": app.String()},
		},
		"data": fields,
	}}
}

// Page is the copy of one application's inventory in the cluster.
type Page struct {
	Mark      state.Mark
	Inventory *inventory.Inventory
}

// merge adds the content of a ConfigMap to the page of its application, and returns the application's name.
func merge(pages map[bundle.ApplicationName]Page, o *manifest.Object) (app bundle.ApplicationName, err error) {
	data := dataOf(o)
	if got := o.GetLabels()[layoutLabel]; got != layout {
		return app, fmt.Errorf("ConfigMap %s has layout %q: this spoke reads %s", o.GetName(), got, layout)
	}
	v, err := inventory.Decode([]byte(data[inventoryKey]))
	if err != nil {
		return app, fmt.Errorf("ConfigMap %s: %w", o.GetName(), err)
	}
	page, known := pages[v.Application]
	if !known {
		page.Inventory = inventory.New(v.Application)
	}
	if err := json.Unmarshal([]byte(data[markKey]), &page.Mark); err != nil {
		return app, fmt.Errorf("ConfigMap %s: mark of %s: %w", o.GetName(), v.Application, err)
	}
	page.Inventory.Guarded = max(page.Inventory.Guarded, v.Guarded)
	for id, item := range v.Items {
		if old, twice := page.Inventory.Items[id]; !twice || old.UID == "" {
			page.Inventory.Items[id] = item
		}
	}
	pages[v.Application] = page
	return v.Application, nil
}
