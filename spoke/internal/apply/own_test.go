package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// scriptedCluster is an API server with one ConfigMap and the failures of a test.
type scriptedCluster struct {
	object  string   // the ConfigMap's metadata as JSON; empty: there is none
	data    string   // its data as JSON; empty: none
	version int      // its resourceVersion
	fail    []answer // to the next requests that write
	deletes []map[string]string
	looks   int
	users   map[string]string // who wrote last, by method
}

// answer is the answer to a request that writes. before runs first: a write of others, or the request itself, which is
// carried out in spite of the error.
type answer struct {
	code   int
	before func(*scriptedCluster)
}

func (c *scriptedCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/apis/"+kube.FluxOwner.Group) { // there is no Flux
		refuse(w, http.StatusNotFound)
		return
	}
	if r.Method == http.MethodGet {
		c.looks++
		c.show(w)
		return
	}
	if c.users == nil {
		c.users = map[string]string{}
	}
	c.users[r.Method] = r.Header.Get("Impersonate-User")
	body, _ := io.ReadAll(r.Body)
	if len(c.fail) > 0 {
		a := c.fail[0]
		c.fail = c.fail[1:]
		if a.before != nil {
			a.before(c)
		}
		if a.code != 0 {
			refuse(w, a.code)
			return
		}
	}
	if r.Method == http.MethodDelete {
		c.remove(w, body)
		return
	}
	c.apply()
	c.show(w)
}

func (c *scriptedCluster) apply() { c.set(ownedBy(testOwner)) }

func (c *scriptedCluster) set(object string) { c.object, c.version = object, c.version+1 }

func (c *scriptedCluster) show(w http.ResponseWriter) {
	if c.object == "" {
		refuse(w, http.StatusNotFound)
		return
	}
	fmt.Fprintf(w, `{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"%d",%s},"data":%s}`, c.version,
		c.object, cmp.Or(c.data, "null"))
}

func (c *scriptedCluster) remove(w http.ResponseWriter, body []byte) {
	var options struct{ Preconditions map[string]string }
	_ = json.Unmarshal(body, &options)
	c.deletes = append(c.deletes, options.Preconditions)
	if options.Preconditions["uid"] != "u" || options.Preconditions["resourceVersion"] != fmt.Sprint(c.version) {
		refuse(w, http.StatusConflict)
		return
	}
	c.object = ""
	fmt.Fprint(w, `{}`)
}

func refuse(w http.ResponseWriter, code int) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","code":%d,"message":"scripted","details":{"name":"a"}}`, code)
}

func ownedBy(app bundle.ApplicationName) string {
	return fmt.Sprintf(`"labels":{%q:%q},"managedFields":[{"manager":"nave-spoke","operation":"Apply","fieldsV1":{"f:data":{}}}]`, inventory.Label, inventory.LabelOf(app))
}

const foreign = `"managedFields":[{"manager":"kubectl","operation":"Update","fieldsV1":{"f:data":{}}}]`

var (
	testOwner = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	testOther = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "more"}
	testID    = manifest.ID{Kind: "ConfigMap", Namespace: "n", Name: "a"}
)

// applierTo returns an Applier of the scripted cluster.
func (c *scriptedCluster) applier(t *testing.T) *Applier {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"` +
		server.URL +
		`"}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	client.Warm(kube.Mapping{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true})
	return New(Config{Client: client, Index: inventory.NewIndex()})
}

// owned is an inventory with the ConfigMap as it is recorded before its first apply.
func owned() *inventory.Inventory {
	v := inventory.New(testOwner)
	v.Items[testID] = inventory.Item{Version: "v1"}
	return v
}

func TestPruneScripted(t *testing.T) {
	write := func(object string) func(*scriptedCluster) { return func(c *scriptedCluster) { c.set(object) } }
	drop := func(c *scriptedCluster) { c.object = "" }
	touch := answer{before: func(c *scriptedCluster) { c.version++ }}
	for name, c := range map[string]struct {
		object string
		fail   []answer
		want   Action
		gone   bool
	}{
		"ours":                        {ownedBy(testOwner), nil, Deleted, true},
		"foreign":                     {foreign, nil, Released, false},
		"another_application":         {ownedBy(testOther), nil, Released, false},
		"missing":                     {"", nil, Deleted, true},
		"written_meanwhile":           {ownedBy(testOwner), []answer{touch, touch}, Deleted, true},
		"written_without_end":         {ownedBy(testOwner), []answer{touch, touch, touch, touch, touch, touch}, Held, false},
		"taken_meanwhile":             {ownedBy(testOwner), []answer{{before: write(ownedBy(testOther))}}, Released, false},
		"replaced_meanwhile":          {ownedBy(testOwner), []answer{{before: write(foreign)}}, Released, false},
		"webhook_down":                {ownedBy(testOwner), []answer{{code: 500}}, Held, false},
		"answer_lost_but_carried_out": {ownedBy(testOwner), []answer{{504, drop}}, Deleted, true},
		"deleted_meanwhile":           {ownedBy(testOwner), []answer{{before: drop}}, Deleted, true},
		"forbidden":                   {ownedBy(testOwner), []answer{{code: 403}}, Held, false},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &scriptedCluster{object: c.object, version: 7, fail: c.fail}
			changes, err := cluster.applier(t).Apply(t.Context(),
				Set{Target: Target{Application: testOwner, Previous: owned()}, Prune: true})
			if err != nil || len(changes.Entries) != 1 || changes.Entries[0].Action != c.want ||
				(cluster.object == "") != c.gone {
				t.Fatal(changes, err, cluster.object)
			}
			if _, stays := changes.Inventory.Items[testID]; stays != (c.want == Held) {
				t.Errorf("in the inventory: %t", stays)
			}
			if cluster.looks > mostLooks+1 {
				t.Errorf("%d looks", cluster.looks)
			}
			for _, conditions := range cluster.deletes {
				if conditions["uid"] == "" || conditions["resourceVersion"] == "" {
					t.Errorf("a deletion without conditions: %v", conditions)
				}
			}
		})
	}
}

// An object that leaves Git leaves the inventory if it will not be applied or deleted any more.
func TestReleased(t *testing.T) {
	missing := func(a *Applier) {
		a.Index.ObserveMissing(bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "a"})
	}
	refused := Object{ObjectReference: bundle.ObjectReference{ObjectIdentity: kube.Identify(object("Secret", nil))}}
	refused.Load = func(context.Context) (Loaded, error) { return Loaded{}, fmt.Errorf("no key") }
	for name, c := range map[string]struct {
		set  Set
		seen func(*Applier)
		want Action
	}{
		"not_pruned":                {Set{}, nil, Released},
		"not_pruned_beside_refusal": {Set{Objects: []Object{refused}}, nil, Released},
		"taken_over": {Set{Prune: true, Target: Target{
			Claimed: func(manifest.ID) (bundle.ApplicationName, bool) { return testOther, true }}}, nil, Released},
		"missing_beside_refusal":     {Set{Prune: true, Objects: []Object{refused}}, missing, Deleted},
		"missing_and_guarded":        {Set{Prune: true, Guard: Guard{Objects: 1, Percent: 1}}, missing, Deleted},
		"there_and_guarded":          {Set{Prune: true, Guard: Guard{Objects: 1, Percent: 1}}, nil, Held},
		"there_beside_refusal_stays": {Set{Prune: true, Objects: []Object{refused}}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &scriptedCluster{object: ownedBy(testOwner), version: 7}
			a := cluster.applier(t)
			v := inventory.New(testOwner)
			v.Items[testID] = inventory.Item{Version: "v1", Resource: "configmaps", UID: "u", ResourceVersion: "7",
				Labelled: true}
			a.Index.Replace(v)
			if c.seen != nil {
				c.seen(a)
			}
			c.set.Application, c.set.Previous = testOwner, v
			changes, err := a.Apply(t.Context(), c.set)
			if err != nil || c.want != "" && changes.Count(c.want) != 1 || cluster.looks != 0 || cluster.object == "" {
				t.Fatal(changes, err, cluster.looks)
			}
			_, stays := changes.Inventory.Items[testID]
			_, _, known := a.Index.Application(testID)
			if want := c.want == Held || c.want == ""; stays != want || known != want {
				t.Errorf("in the inventory %t, in the index %t", stays, known)
			}
		})
	}
}

// TestHeldPrune_moved_path exchanges the one object of an application for another. The prune is held, and stays
// held when the new object is in the inventory, which makes the old one half of it; so it does if the new object was
// refused at first.
func TestHeldPrune_moved_path(t *testing.T) {
	other := object("ConfigMap", nil)
	other.SetName("b")
	moved := Object{ObjectReference: bundle.ObjectReference{ObjectIdentity: kube.Identify(other),
		Digest: manifest.DigestOf([]byte("b"))}}
	moved.Load = func(context.Context) (Loaded, error) { return Loaded{}, fmt.Errorf("no key") }
	cluster := &scriptedCluster{object: ownedBy(testOwner), version: 7}
	a := cluster.applier(t)
	v := inventory.New(testOwner)
	v.Items[testID] = inventory.Item{Version: "v1", Resource: "configmaps", UID: "u", ResourceVersion: "7", Labelled: true}
	a.Index.Replace(v)
	set := Set{Target: Target{Application: testOwner, Previous: v}, Prune: true,
		Guard: Guard{Objects: 1, Percent: 90}, Objects: []Object{moved}}
	apply := func() *ChangeSet {
		changes, err := a.Apply(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := changes.Inventory.Encode()
		if set.Previous, err = inventory.Decode(data); err != nil { // as after a restart
			t.Fatal(err)
		}
		return changes
	}
	apply()
	set.Previous.Items[moved.ID()] = inventory.Item{Version: "v1", Resource: "configmaps", UID: "v", Digest: moved.Digest,
		Labelled: true}
	for range 2 {
		if changes := apply(); changes.Count(Held) != 1 {
			t.Fatalf("not held: %v", changes)
		}
	}
	set.Objects = append(set.Objects, Object{ObjectReference: bundle.ObjectReference{
		ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n",
			Name: "a"}, Digest: manifest.DigestOf([]byte("a")),
	}, Load: moved.Load})
	apply()
	if set.Previous.Guarded != 0 {
		t.Error("it came back, and counts as held")
	}
}

func TestUncertainApply(t *testing.T) {
	done := func(c *scriptedCluster) { c.apply() }
	for name, c := range map[string]struct {
		object string
		fail   answer
		stays  bool
	}{
		"not_carried_out":        {"", answer{code: 500}, false},
		"carried_out":            {"", answer{504, done}, true},
		"foreign_and_untouched":  {foreign, answer{code: 500}, false},
		"foreign_and_taken_over": {foreign, answer{504, done}, true},
		"refused":                {foreign, answer{code: 403}, false},
		"not_ours_and_untouched": {ownedBy(testOther), answer{code: 500}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &scriptedCluster{object: c.object, version: 7, fail: []answer{c.fail}}
			o := object("ConfigMap", nil)
			set := Set{Target: Target{Application: testOwner}, Prune: true, Objects: []Object{{
				ObjectReference: bundle.ObjectReference{ObjectIdentity: kube.Identify(o), Digest: manifest.DigestOf([]byte("a"))},
				Load:            func(context.Context) (Loaded, error) { return Loaded{Object: o.DeepCopy()}, nil },
			}}}
			a := cluster.applier(t)
			changes, err := a.Apply(t.Context(), set)
			if err != nil || changes.Count(Refused) != 1 {
				t.Fatal(changes, err)
			}
			item, stays := changes.Inventory.Items[testID]
			if stays != c.stays || stays && (item.UID != "u" || !item.Digest.IsZero()) {
				t.Fatalf("%t, %+v", stays, item)
			}
			set.Previous = changes.Inventory
			if changes, err = a.Apply(t.Context(), set); err != nil || changes.Inventory.Items[testID].Digest.IsZero() {
				t.Errorf("it is not sent again: %v, %v", changes, err)
			}
		})
	}
}

func TestLabel(t *testing.T) {
	value := inventory.LabelOf(testOwner)
	for name, c := range map[string]struct{ labels, want any }{
		"none":      {nil, map[string]any{inventory.Label: value}},
		"some":      {map[string]any{"a": "b"}, map[string]any{"a": "b", inventory.Label: value}},
		"pretended": {map[string]any{inventory.Label: "x"}, map[string]any{inventory.Label: value}},
		"no_map":    {"text", "text"},
	} {
		t.Run(name, func(t *testing.T) {
			o := object("ConfigMap", nil)
			o.Object["metadata"].(map[string]any)["labels"] = c.labels
			label(o, testOwner)
			if got := o.Object["metadata"].(map[string]any)["labels"]; fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestRecreate_not_ours(t *testing.T) {
	for name, c := range map[string]struct {
		object, want string
	}{
		"foreign":             {foreign, "delete it by hand"},
		"another_application": {ownedBy(testOther), inventory.LabelOf(testOther)},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &scriptedCluster{object: c.object, version: 7}
			r, err := cluster.applier(t).start(Set{Target: Target{Application: testOwner, Previous: owned()}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.recreate(t.Context(), object("ConfigMap", nil), kube.ApplyOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) || len(cluster.deletes) > 0 {
				t.Errorf("%v, %v", err, cluster.deletes)
			}
		})
	}
}

// Every request that writes is made as the account that was asked for, and none is made for an account that cannot be.
func TestImpersonated(t *testing.T) {
	for name, c := range map[string]struct {
		namespace, account, user string
		refused                  bool
	}{
		"account":      {"team", "deployer", "system:serviceaccount:team:deployer", false},
		"own":          {"team", "", "", false},
		"no_namespace": {"", "deployer", "", true},
		"blank":        {"team", " ", "", true},
		"colon":        {"team", "a:b", "", true},
		"newline":      {"team", "a\nImpersonate-Group: system:masters", "", true},
		"path":         {"team", "../admin", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &scriptedCluster{}
			a, app := cluster.applier(t), bundle.ApplicationName{Kind: "Kustomization", Namespace: c.namespace, Name: "apps"}
			o := object("ConfigMap", nil)
			set := Set{Target: Target{Application: app, ServiceAccount: c.account}, Objects: []Object{{
				ObjectReference: bundle.ObjectReference{ObjectIdentity: kube.Identify(o)},
				Load:            func(context.Context) (Loaded, error) { return Loaded{Object: o.DeepCopy()}, nil },
			}}}
			changes, err := a.Apply(t.Context(), set)
			cluster.set(ownedBy(app))
			removed, errDelete := a.Delete(t.Context(),
				Removal{Target: Target{Application: app, Previous: changes.Inventory, ServiceAccount: c.account},
					Policy: bundle.Delete})
			if c.refused {
				if err == nil || errDelete == nil || len(cluster.users) > 0 {
					t.Errorf("%v, %v, written by %q", err, errDelete, cluster.users)
				}
				return
			}
			if err != nil || errDelete != nil || removed.Count(Deleted) != 1 || len(cluster.users) != 2 {
				t.Fatal(changes, removed, err, errDelete, cluster.users)
			}
			for method, user := range cluster.users {
				if user != c.user {
					t.Errorf("%s by %q", method, user)
				}
			}
		})
	}
}

// TestDrift_memory asks for the memory of the live object before it is compared. If there is too little, the drift is
// reported without its fields.
func TestDrift_memory(t *testing.T) {
	a := (&scriptedCluster{object: ownedBy(testOwner), version: 7}).applier(t)
	id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "a"}
	asked := 0
	set := setOf(testOwner, id, func() Loaded {
		o := &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"namespace": "n", "name": "a"}}}
		return Loaded{Object: o, Hold: func([]byte) error { asked++; return ErrMemory }}
	})
	set.Previous, set.Drift = inventory.New(testOwner), bundle.WarnOfDrift
	set.Previous.Items[testID] = inventory.Item{Version: "v1", UID: "1", Labelled: true, Digest: set.Objects[0].Digest}
	a.Index.Replace(set.Previous)
	a.Index.ObserveMissing(id)
	changes, err := a.Apply(t.Context(), set)
	if err != nil || asked != 1 || changes.Entries[0].Action != Drifted || len(changes.Entries[0].Changes) > 0 {
		t.Errorf("memory asked for %d times: %v, error %v", asked, changes, err)
	}
}
