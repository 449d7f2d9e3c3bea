package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func kustomizationKey(cluster, name string) api.Key {
	return api.Key{Cluster: cluster, Kind: api.KustomizationKind, Namespace: "flux-system", Name: name}
}

// run puts an application of a cluster into the store, as the planner leaves it: its row and its entry with so many
// objects.
func (r *rig) run(row store.Resource, objects int, prune bool) {
	r.t.Helper()
	row.Object = api.StoredObject(row.Key, json.RawMessage(`{"kind":"Kustomization"}`))
	app := &bundle.Application{Name: row.Key.Application(), Prune: prune}
	for i := range objects {
		id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "default",
			Name: fmt.Sprintf("%s-%d", row.Key.Name, i)}
		app.Objects = append(app.Objects, bundle.ObjectReference{ObjectIdentity: id, Digest: manifest.DigestOf([]byte("x"))})
	}
	data, err := app.Encode()
	must(r.t, err)
	digest, err := r.store.Blobs().Put(r.t.Context(), data)
	must(r.t, err)
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		plan, _, err := store.Plans.Get(tx, row.Key.Cluster)
		if err != nil {
			return err
		}
		plan.Applications = append(plan.Applications, store.EntryOf("all", bundle.Entry{Name: app.Name, Digest: digest}))
		if err := store.Plans.Put(tx, row.Key.Cluster, plan); err != nil {
			return err
		}
		return store.Resources.Put(tx, row.Key.Path(), row)
	}))
}

// outline writes an impact in words.
func outline(m *adminv1.ImpactResponse) string {
	var lines []string
	for _, k := range m.GetHubObjects() {
		lines = append(lines, k.GetKind()+" "+k.GetName())
	}
	for _, c := range m.GetClusters() {
		if c.GetForgotten() {
			lines = append(lines, c.GetCluster()+" forgotten")
		}
		for _, a := range c.GetApplications() {
			line := fmt.Sprintf("%s/%s %d", c.GetCluster(), a.GetKey().GetName(), a.GetObjects())
			if a.GetUnreadable() {
				line = c.GetCluster() + "/" + a.GetKey().GetName() + " unreadable"
			}
			if a.GetOrphaned() {
				line += " orphaned"
			}
			if len(a.GetPruned()) > 0 {
				line += " pruned " + strings.Join(a.GetPruned(), " ")
			}
			lines = append(lines, line)
		}
	}
	for _, k := range m.GetUnknown() {
		lines = append(lines, "unknown "+k.GetName())
	}
	for _, k := range m.GetUsedBy() {
		lines = append(lines, "used by "+fold.KeyOf(k).String())
	}
	return strings.Join(lines, "; ")
}

// world is a Fleet with two clusters: a runs root → app, kept and asleep; b runs root.
func (r *rig) world() {
	r.apply(clusterA + "---" + clusterYAML{name: "b"}.String() + "---" + fleet + "---" + source +
		"---" + root)
	prod := api.Key{Kind: api.FleetKind, Name: "prod"}
	rootA := kustomizationKey("a", "root")
	r.run(store.Resource{Key: kustomizationKey("a", "app"), Owner: &rootA}, 3, true)
	r.run(store.Resource{Key: kustomizationKey("a", "kept"), Owner: &rootA}, 4, false)
	r.run(store.Resource{Key: kustomizationKey("a", "left"), Owner: &rootA, Orphaned: true}, 5, true)
	r.run(store.Resource{Key: kustomizationKey("a", "outlives"), Owner: &rootA, OrphanOnDelete: true}, 6, true)
	r.run(store.Resource{Key: rootA, Owner: &prod}, 1, true)
	r.run(store.Resource{Key: kustomizationKey("b", "root"), Owner: &prod}, 2, true)
}

// TestImpact_of_sources: only a source that objects are rendered from, and that gives something else from now on, may
// take objects away.
func TestImpact_of_sources(t *testing.T) {
	const git = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\n" +
		"spec: {interval: 1h, url: \"https://git.example.com/a\"}\n"
	const tags = "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: a}\n" +
		"spec: {interval: 1h, image: ghcr.io/org/a}\n"
	const whole = "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: fleet}\n" +
		"spec: {interval: 1h, url: \"https://git.example.com/whole\", include: [{repository: {name: a}}]}\n"
	const user = "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: user}\n" +
		"spec: {interval: 1h, path: a, prune: true, sourceRef: {kind: GitRepository, name: a}}\n"
	for name, c := range map[string]struct{ before, old, now, want string }{
		"url":        {git + user, "com/a", "com/b", "unknown a"},
		"branch":     {git + user, "spec: {", "spec: {ref: {branch: b}, ", "unknown a"},
		"ignore":     {git + user, "spec: {", "spec: {ignore: a, ", "unknown a"},
		"sparse":     {git + user, "spec: {", "spec: {sparseCheckout: [a], ", "unknown a"},
		"include":    {whole + "---\n" + git + "---" + fleet, "{name: a}}]", "{name: b}}]", "unknown fleet"},
		"included":   {whole + "---\n" + git + "---" + fleet, "com/a", "com/b", "unknown a"},
		"unused":     {git, "com/a", "com/b", ""},
		"interval":   {git + user, "1h", "2h", ""},
		"suspend":    {git + user, "spec: {", "spec: {suspend: true, ", ""},
		"secret":     {git + user, "spec: {", "spec: {secretRef: {name: git}, ", ""},
		"app":        {git + user, "spec: {", "spec: {provider: github, secretRef: {name: git}, ", ""},
		"proxy":      {git + user, "spec: {", "spec: {proxySecretRef: {name: proxy}, ", ""},
		"signatures": {git + user, "spec: {", "spec: {verify: {mode: HEAD, secretRef: {name: keys}}, ", ""},
		"image":      {tags, "org/a", "org/b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.apply(c.before)
			now := []byte(strings.Replace(c.before, c.old, c.now, 1))
			m, err := r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: now}})
			must(t, err)
			if got := outline(m); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestImpact_selected names the automations that select a policy, in its own namespace.
func TestImpact_selected(t *testing.T) {
	automation := func(namespace, name, selector string) string {
		return fmt.Sprintf("---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\n"+
			"metadata: {namespace: %s, name: %s}\nspec: {interval: 1h, sourceRef: {kind: GitRepository, name: apps}, "+
			"policySelector: %s, git: {commit: {author: {email: a@example.com}}}}\n", namespace, name, selector)
	}
	r := newRig(t)
	r.apply(imagePolicy + automation("apps", "all", "{}") + automation("apps", "none", "{matchLabels: {a: b}}") +
		automation("web", "other", "{}"))
	m, err := r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Delete{
		Delete: fold.KeyMessage(policyKey)}})
	must(t, err)
	if got := outline(m); got != "ImagePolicy app; used by ImageUpdateAutomation apps/all" {
		t.Errorf("got %q", got)
	}
}

func TestImpact(t *testing.T) {
	remove := func(kind, name string) *adminv1.ImpactRequest {
		return &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Delete{Delete: &adminv1.ObjectKey{Kind: kind,
			Name: name}}}
	}
	removeAll := func(keys ...*adminv1.ObjectKey) *adminv1.ImpactRequest {
		return &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_DeleteAll{DeleteAll: &adminv1.ObjectKeys{Keys: keys}}}
	}
	apply := func(object fmt.Stringer) *adminv1.ImpactRequest {
		return &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: []byte(object.String())}}
	}
	for name, c := range map[string]struct {
		change *adminv1.ImpactRequest
		want   string
	}{
		"fleet":   {remove("fleet", "prod"), "Fleet prod; a/app 3; a/kept 4 orphaned; a/root 1; b/root 2"},
		"cluster": {remove("cluster", "a"), "a forgotten"},
		"source": {remove("gitrepository", "fleet"),
			"GitRepository fleet; used by Fleet prod; used by Kustomization flux-system/root"},
		"secret":           {remove("secret", "git"), "used by GitRepository flux-system/private"},
		"another_secret":   {remove("secret", "other"), ""},
		"another_label":    {apply(clusterYAML{env: "test"}), "a/app 3; a/kept 4 orphaned; a/root 1"},
		"the_same_label":   {apply(clusterYAML{}), ""},
		"another_variable": {apply(clusterYAML{domain: "b.example.com"}), ""},
		"another_selector": {apply(fleetYAML{env: "test"}),
			"a/app 3; a/kept 4 orphaned; a/root 1; b/root 2"},
		"another_root": {apply(fleetYAML{root: "other"}),
			"a/app 3; a/kept 4 orphaned; a/root 1; b/root 2"},
		"another_path":       {apply(fleetYAML{path: "others"}), ""},
		"another_repository": {apply(sourceYAML{url: "https://git.example.com/other.git"}), "unknown fleet"},
		"missing":            {remove("fleet", "none"), ""},
		"fleet_with_its_source": {removeAll(&adminv1.ObjectKey{Kind: "gitrepository", Name: "fleet"},
			&adminv1.ObjectKey{Kind: "fleet", Name: "prod"}, &adminv1.ObjectKey{Kind: "fleet", Name: "prod"}),
			"Fleet prod; GitRepository fleet; a/app 3; a/kept 4 orphaned; a/root 1; b/root 2; used by Kustomization " +
				"flux-system/root"},
		"new":            {apply(clusterYAML{name: "c"}), ""},
		"childless_root": {apply(rootYAML{path: "./other"}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.world()
			r.apply(sourceYAML{name: "private", secret: "git"}.String())
			m, err := r.Impact(t.Context(), c.change)
			must(t, err)
			if got := outline(m); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

func (r *rig) confirmation(cluster string) (c store.Confirmation) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) (err error) {
		c, _, err = store.Confirmations.Get(tx, store.ConfirmationKey(cluster))
		return err
	}))
	return c
}

// TestDelete/confirmed writes down what goes along, for the guard to let it pass; unconfirmed it writes nothing.
func TestDelete(t *testing.T) {
	for name, confirmed := range map[string]bool{"confirmed": true, "unconfirmed": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.world()
			_, err := r.Delete(t.Context(), &adminv1.DeleteRequest{Key: &adminv1.ObjectKey{Kind: "fleet", Name: "prod"},
				Confirmed: confirmed})
			must(t, err)
			_, app := r.confirmation("a").Removals[kustomizationKey("a", "app").Path()]
			_, outlives := r.confirmation("a").Removals[kustomizationKey("a", "outlives").Path()]
			_, b := r.confirmation("b").Removals[kustomizationKey("b", "root").Path()]
			if app != confirmed || b != confirmed || outlives {
				t.Errorf("app %t, root of b %t, outlives %t", app, b, outlives)
			}
		})
	}
}

// TestDelete_all deletes several objects at once, or none of them.
func TestDelete_all(t *testing.T) {
	fleet := &adminv1.ObjectKey{Kind: "fleet", Name: "prod"}
	source := &adminv1.ObjectKey{Kind: "gitrepository", Name: "fleet"}
	for name, c := range map[string]struct {
		request *adminv1.DeleteRequest
		code    codes.Code
		says    string
	}{
		"both": {&adminv1.DeleteRequest{Keys: []*adminv1.ObjectKey{source, fleet, source}}, codes.OK, ""},
		"one_missing": {&adminv1.DeleteRequest{Keys: []*adminv1.ObjectKey{fleet, {Kind: "fleet", Name: "none"}}},
			codes.NotFound, "Fleet none not found"},
		"two_ways": {&adminv1.DeleteRequest{Key: fleet, Keys: []*adminv1.ObjectKey{source}}, codes.InvalidArgument,
			"both key and keys"},
		"too_many": {&adminv1.DeleteRequest{Keys: slices.Repeat([]*adminv1.ObjectKey{fleet}, maxDeleted+1)},
			codes.InvalidArgument, "choose fewer"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.world()
			c.request.Confirmed = true
			_, err := r.Delete(t.Context(), c.request)
			if _, there := r.resource(api.Key{Kind: api.FleetKind, Name: "prod"}); there != (c.code != codes.OK) {
				t.Errorf("the Fleet exists: %t", there)
			}
			if c.code == codes.OK {
				must(t, err)
				return
			}
			wantCode(t, err, c.code, c.says)
		})
	}
}

// TestChanged has something else taken away by the time of the change than was shown: nothing is changed.
func TestChanged(t *testing.T) {
	for name, other := range map[string]bool{"as_shown": false, "otherwise": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.world()
			key := &adminv1.ObjectKey{Kind: "fleet", Name: "prod"}
			relabelled := []byte(fleetYAML{env: "test"}.String())
			remove, err := r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Delete{Delete: key}})
			must(t, err)
			change, err := r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: relabelled}})
			must(t, err)
			if other {
				rootA := kustomizationKey("a", "root")
				r.run(store.Resource{Key: kustomizationKey("a", "since"), Owner: &rootA}, 9, true)
			}
			_, applied := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: relabelled, Confirmed: true,
				Digest: change.GetDigest(), DryRun: true})
			_, deleted := r.Delete(t.Context(), &adminv1.DeleteRequest{Key: key, Confirmed: true, Digest: remove.GetDigest()})
			if !other {
				must(t, applied)
				must(t, deleted)
				return
			}
			wantCode(t, applied, codes.FailedPrecondition, "the impact changed after it was shown")
			wantCode(t, deleted, codes.FailedPrecondition, "the impact changed after it was shown")
			if _, there := r.resource(api.Key{Kind: api.FleetKind, Name: "prod"}); !there ||
				len(r.confirmation("a").Removals) > 0 {
				t.Error("it was deleted or confirmed all the same")
			}
		})
	}
}

// hold makes the hub hold the removal of app, and the spoke of a hold three things: a prune, an application that it
// alone knows, and one that is planned again.
func (r *rig) hold() (digest manifest.Digest) {
	digest = manifest.DigestOf([]byte("held"))
	row, _ := r.resource(kustomizationKey("a", "app"))
	row.Held = true
	r.put(row, string(row.Object.JSON))
	for _, report := range []*spokev1.ApplicationReport{
		{Name: &bundlev1.ApplicationName{Name: "kept"}, Reason: "PruneHeld", HeldPrune: &spokev1.HeldPrune{
			Digest: digest[:], Total: 25, Objects: []*bundlev1.ObjectIdentity{{Kind: "ConfigMap", Namespace: "default",
				Name: "x"}},
		}},
		{Name: &bundlev1.ApplicationName{Name: "unknown"}, Reason: "RemovalHeld", Current: 7, InProgress: 1, Failed: 1},
		{Name: &bundlev1.ApplicationName{Name: "root"}, Reason: "RemovalHeld", Current: 1},
	} {
		report.Name.Kind, report.Name.Namespace = api.KustomizationKind, "flux-system"
		value, err := proto.Marshal(report)
		must(r.t, err)
		key := kustomizationKey("a", report.Name.Name).Path()
		must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
			return store.Reports.Put(tx, key, store.Report{Value: value})
		}))
	}
	return digest
}

// eventOf returns the message of the event about an object, "" if there is none.
func (r *rig) eventOf(key api.Key, reason string) (message string) {
	answer, err := r.ListEvents(r.t.Context(), &adminv1.ListEventsRequest{Key: &adminv1.ObjectKey{Kind: key.Kind,
		Name: key.Name}, Limit: 20})
	must(r.t, err)
	for _, e := range answer.GetEvents() {
		if e.GetReason() == reason {
			message = e.GetMessage()
		}
	}
	return message
}

func TestConfirm(t *testing.T) {
	cluster := &adminv1.ObjectKey{Kind: "cluster", Name: "a"}
	one := &adminv1.ObjectKey{Cluster: "a", Kind: "ks", Namespace: "flux-system", Name: "kept"}
	for name, c := range map[string]struct {
		key         *adminv1.ObjectKey
		want, event string
	}{
		"all_of_a_cluster": {cluster, "a/app 3; a/unknown 9; a/kept 25 pruned ConfigMap default/x",
			"an operator let go of Kustomization flux-system/app (3 objects), Kustomization flux-system/unknown (9 objects), " +
				"25 objects of Kustomization flux-system/kept"},
		"one_application": {one, "a/kept 25 pruned ConfigMap default/x",
			"an operator let go of 25 objects of Kustomization flux-system/kept"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.world()
			digest := r.hold()
			seen, err := r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Confirm{Confirm: c.key}})
			must(t, err)
			if got := outline(seen); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			_, err = r.Confirm(t.Context(), &adminv1.ConfirmRequest{Key: c.key, Digest: seen.GetDigest()})
			must(t, err)
			got := r.confirmation("a")
			if got.Prunes[kustomizationKey("a", "kept").Path()] != digest {
				t.Errorf("the prune is not confirmed: %v", got)
			}
			if _, app := got.Removals[kustomizationKey("a", "app").Path()]; app != (c.key == cluster) {
				t.Errorf("app confirmed: %t", app)
			}
			if got := r.eventOf(api.Key{Kind: api.ClusterKind, Name: "a"}, "RemovalConfirmed"); got != c.event {
				t.Errorf("event %q, want %q", got, c.event)
			}
		})
	}
}

// TestGet_held shows an application that left the graph and whose removal the spoke holds.
func TestGet_held(t *testing.T) {
	r := newRig(t)
	r.world()
	key := &adminv1.ObjectKey{Cluster: "a", Kind: "ks", Namespace: "flux-system", Name: "unknown"}
	_, err := r.Get(t.Context(), &adminv1.GetRequest{Key: key})
	wantCode(t, err, codes.NotFound)
	r.hold()
	answer, err := r.Get(t.Context(), &adminv1.GetRequest{Key: key})
	must(t, err)
	for _, want := range []string{`"name":"unknown"`, `"reason":"RemovalHeld"`, `"kind":"Kustomization"`} {
		if text := string(answer.GetObject().GetJson()); !strings.Contains(text, want) || strings.Contains(text, "0001-01") {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

func TestConfirm_refuses(t *testing.T) {
	r := newRig(t)
	r.world()
	cluster := &adminv1.ObjectKey{Kind: "cluster", Name: "a"}
	_, err := r.Confirm(t.Context(), &adminv1.ConfirmRequest{Key: cluster})
	wantCode(t, err, codes.FailedPrecondition, "no removal is held")
	seen := r.hold()
	_, err = r.Confirm(t.Context(), &adminv1.ConfirmRequest{Key: cluster, Digest: seen.String()})
	wantCode(t, err, codes.FailedPrecondition, "the held removals changed")
	if c := r.confirmation("a"); len(c.Removals)+len(c.Prunes) > 0 {
		t.Errorf("something was confirmed: %v", c)
	}
	_, err = r.Confirm(t.Context(), &adminv1.ConfirmRequest{Key: &adminv1.ObjectKey{Kind: "cluster", Name: "none"}})
	wantCode(t, err, codes.NotFound, "none")
	_, err = r.Confirm(t.Context(), &adminv1.ConfirmRequest{Key: &adminv1.ObjectKey{Kind: "fleet", Name: "prod"}})
	wantCode(t, err, codes.InvalidArgument, "removals of a Fleet are never held", "confirm a cluster")
	_, err = r.Confirm(t.Context(), &adminv1.ConfirmRequest{Key: &adminv1.ObjectKey{Kind: "ks", Name: "app"}})
	wantCode(t, err, codes.InvalidArgument, "Kustomization flux-system/app: the cluster is missing", "--cluster")
}

// TestImpact_unreadable loses one Application and damages another: what is known of the rest is said and confirmed.
func TestImpact_unreadable(t *testing.T) {
	r := newRig(t)
	r.world()
	damaged, err := r.store.Blobs().Put(t.Context(), []byte("no Application"))
	must(t, err)
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		plan, _, err := store.Plans.Get(tx, "a")
		must(t, err)
		for i := range plan.Applications {
			switch plan.Applications[i].Name.Name {
			case "app":
				plan.Applications[i].Digest = manifest.DigestOf([]byte("lost"))
			case "kept":
				plan.Applications[i].Digest = damaged
			}
		}
		return store.Plans.Put(tx, "a", plan)
	}))
	key := &adminv1.ObjectKey{Kind: "fleet", Name: "prod"}
	m, err := r.Impact(t.Context(), &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Delete{Delete: key}})
	must(t, err)
	if got, want := outline(m), "Fleet prod; a/app unreadable; a/kept unreadable; a/root 1; b/root 2"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	_, err = r.Delete(t.Context(), &adminv1.DeleteRequest{Key: key, Confirmed: true, Digest: m.GetDigest()})
	must(t, err)
	const event = "an operator let go of Kustomization flux-system/app (an unknown number of objects), " +
		"Kustomization flux-system/kept (an unknown number of objects), Kustomization flux-system/root (1 object)"
	if got := r.eventOf(api.Key{Kind: api.ClusterKind, Name: "a"}, "RemovalConfirmed"); got != event {
		t.Errorf("event %q", got)
	}
}

func TestImpact_hub(t *testing.T) {
	r := newRig(t)
	r.world()
	row, _ := r.resource(api.Key{Kind: api.FleetKind, Name: "prod"})
	row.Held = true
	r.put(row, string(row.Object.JSON))
	m, err := r.Impact(t.Context(),
		&adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Confirm{Confirm: &adminv1.ObjectKey{}}})
	must(t, err)
	if got, want := outline(m), "Fleet prod; a/app 3; a/kept 4 orphaned; a/root 1; b/root 2"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// BenchmarkImpact takes a Fleet with a root of two objects away from ten thousand clusters.
func BenchmarkImpact(b *testing.B) {
	const clusters = 10_000
	s := store.OpenMemory(store.Twice)
	defer s.Close()
	prod := api.Key{Kind: api.FleetKind, Name: "prod"}
	row := func(key api.Key, text string) store.Resource {
		admitted, err := admit(api.File{Data: []byte(text)})
		must(b, err)
		return store.Resource{Key: key, Object: admitted[0].object}
	}
	must(b, s.Update(b.Context(), func(tx *store.Tx) error {
		for i := range clusters {
			name := fmt.Sprintf("c%05d", i)
			cluster := row(api.Key{Kind: api.ClusterKind, Name: name}, clusterYAML{name: name}.String())
			root := store.Resource{Key: kustomizationKey(name, "root"), Owner: &prod,
				Object: api.StoredObject(kustomizationKey(name, "root"), json.RawMessage(`{"kind":"Kustomization"}`))}
			if err := errors.Join(store.Resources.Put(tx, cluster.Key.Path(), cluster),
				store.Resources.Put(tx, root.Key.Path(), root)); err != nil {
				return err
			}
		}
		return store.Resources.Put(tx, prod.Path(), row(prod, fleet))
	}))
	admitted, err := admit(api.File{Data: []byte(fleetYAML{env: "test"}.String())})
	must(b, err)
	for b.Loop() {
		must(b, s.View(b.Context(), func(tx *store.Tx) error {
			i, err := impactOfApply(tx, newApplications(), admitted)
			if err == nil && len(i.gone) != clusters {
				err = fmt.Errorf("%d roots go, want %d", len(i.gone), clusters)
			}
			return err
		}))
	}
}
