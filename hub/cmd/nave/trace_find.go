package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// tracing finds what an object of a cluster comes from.
type tracing struct {
	client  adminv1.AdminServiceClient
	cluster string
	shared  *sharedReads // nil: it reads all by itself
}

// located is a node of the tree of a cluster, with the nodes above it, the nearest last.
type located struct {
	id    manifest.ID
	node  *adminv1.TreeNode
	above []manifest.ID // below the Cluster
}

// trace returns the object and what it comes from. If nothing gives the object, the exit code of the error is notFound.
func (t *tracing) trace(ctx context.Context, want manifest.ID) (*traced, error) {
	answer, err := t.client.Tree(ctx, &adminv1.TreeRequest{Key: fold.KeyMessage(api.ClusterKey(t.cluster))})
	if err != nil {
		return nil, err
	}
	var all []located
	for _, root := range answer.GetRoot().GetChildren() {
		all = t.locate(all, root, nil)
	}
	return t.follow(ctx, all, want)
}

// follow returns the object among those of the cluster, and what it comes from, as trace does.
func (t *tracing) follow(ctx context.Context, all []located, want manifest.ID) (*traced, error) {
	found, err := choose(all, want)
	if err != nil {
		return nil, exitError{untraced{t.cluster, err}, notFound}
	}
	result := &traced{Object: t.step(found.id), Sources: []traceStep{}, Parents: []traceStep{}}
	result.Object.Status, result.Object.Message = found.node.GetStatus(), found.node.GetMessage()
	if len(found.above) == 0 {
		return result, t.traceRoot(ctx, found.id, result)
	}
	above := slices.Clone(found.above)
	slices.Reverse(above)
	if result.GivenBy, result.Sources, err = t.application(ctx, above[0], len(above) == 1); err != nil {
		return nil, err
	}
	for _, id := range above[1:] {
		result.Parents = append(result.Parents, t.step(id))
	}
	fleet, err := t.fleetOf(ctx, above[len(above)-1])
	if fleet != nil {
		result.Parents = append(result.Parents, *fleet)
	}
	return result, err
}

// untraced is the error of a cluster in which no one object is what the operator named.
type untraced struct {
	cluster string
	why     error
}

// Error implements error.
func (u untraced) Error() string { return fmt.Sprintf("cluster %s: %v", u.cluster, u.why) }

// traceRoot traces an object that no other object of the cluster gives.
func (t *tracing) traceRoot(ctx context.Context, root manifest.ID, result *traced) error {
	fleet, err := t.fleetOf(ctx, root)
	switch {
	case err != nil:
		return err
	case fleet == nil:
		return exitError{untraced{t.cluster, fmt.Errorf("%s comes from nothing that the hub has: it is held, or was left "+
			"behind; see nave explain", root)}, notFound}
	}
	result.GivenBy = *fleet
	return nil
}

// locate adds a node and those below it.
func (t *tracing) locate(all []located, node *adminv1.TreeNode, above []manifest.ID) []located {
	id, _ := objectOf(node, t.cluster)
	all = append(all, located{id, node, above})
	for _, child := range node.GetChildren() {
		all = t.locate(all, child, append(slices.Clip(above), id))
	}
	return all
}

// choose returns the object that want names.
func choose(all []located, want manifest.ID) (found located, err error) {
	var here, elsewhere []located
	for _, l := range all {
		switch {
		case l.id.Name != want.Name || !isKind(want, l.id):
		case l.id.Namespace == "" || l.id.Namespace == want.Namespace:
			here = append(here, l)
		default:
			elsewhere = append(elsewhere, l)
		}
	}
	name := fmt.Sprintf("%s %s/%s", want.Kind, want.Namespace, want.Name)
	switch {
	case len(here) == 1:
		return here[0], nil
	case len(here) > 1:
		return found, fmt.Errorf("%s can be several objects: name its kind as %s", name, listIDs(here,
			func(id manifest.ID) string { return strings.ToLower(id.GroupKind().String()) }))
	case len(elsewhere) > 0:
		return found, fmt.Errorf("%s is managed by nothing, but there is one in %s: set --namespace", name,
			listIDs(elsewhere, func(id manifest.ID) string { return "namespace " + id.Namespace }))
	}
	return found, fmt.Errorf("%w %s. If a controller in the cluster made it, trace its "+
		"owner, such as the Deployment of a Pod", errUnmanaged, name)
}

// errUnmanaged begins the error about an object of which the hub knows nothing like it.
var errUnmanaged = errors.New("nothing that the hub knows manages")

func listIDs(all []located, name func(manifest.ID) string) string {
	var names []string
	for _, l := range all {
		names = append(names, oneLine(name(l.id)))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return wording.List(names, len(names), 5)
}

// shortNames are kubectl's for kinds that the hub does not have itself.
var shortNames = map[string]string{
	"cj": "cronjob", "cm": "configmap", "crd": "customresourcedefinition", "crds": "customresourcedefinition",
	"deploy": "deployment", "ds": "daemonset", "ep": "endpoints", "hpa": "horizontalpodautoscaler", "ing": "ingress",
	"limits": "limitrange", "netpol": "networkpolicy", "ns": "namespace", "pc": "priorityclass",
	"pdb": "poddisruptionbudget", "po": "pod", "pv": "persistentvolume", "pvc": "persistentvolumeclaim",
	"quota": "resourcequota", "rs": "replicaset",
	"sa": "serviceaccount", "sc": "storageclass", "sts": "statefulset", "svc": "service",
}

// isKind reports whether a word and perhaps a group mean the kind of an object: its name, its plural or a short name.
func isKind(want, id manifest.ID) bool {
	if want.Group != "" && want.Group != id.Group {
		return false
	}
	word, kind := strings.ToLower(want.Kind), strings.ToLower(id.Kind)
	if known, ok := api.KindByName(word); ok && known.Group == id.Group {
		return known.Name == id.Kind
	}
	if long := shortNames[word]; long != "" {
		word = long
	}
	return word == kind || word == kind+"s" || word == kind+"es" || word == strings.TrimSuffix(kind, "y")+"ies"
}

func (t *tracing) step(id manifest.ID) traceStep {
	return traceStep{Kind: id.Kind, Group: id.Group, Namespace: id.Namespace, Name: id.Name, Cluster: t.cluster}
}

// application returns a Kustomization or HelmRelease of the cluster, and its sources. A root takes its source from the
// hub first.
func (t *tracing) application(ctx context.Context, id manifest.ID, isRoot bool) (app traceStep, sources []traceStep,
	err error) {
	sources = []traceStep{} // in JSON a list, even if it is empty
	key := api.Key{Cluster: t.cluster, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
	object, err := t.get(ctx, key)
	if object == nil || err != nil {
		return described(key, object), sources, err
	}
	data, err := json.Marshal(object)
	if err != nil {
		return t.step(id), sources, err
	}
	var owner *api.Key
	if fleet := api.FleetKey(""); isRoot {
		owner = &fleet
	}
	app = described(key, object)
	source, has := api.StoredObject(key, data).SourceReference()
	for range maxSources {
		if !has {
			break
		}
		at, found, err := t.source(ctx, source, owner)
		if err != nil {
			return app, sources, err
		}
		sources = append(sources, described(at, found))
		app = app.withCommit(found)
		source, has = sourceOf(at, found)
	}
	return app, sources, nil
}

// withCommit adds the commit of the step's revision, if it is an earlier one of a source.
func (s traceStep) withCommit(source map[string]any) traceStep {
	newest, _, _ := unstructured.NestedString(source, "status", "artifact", "revision")
	if s.Revision == "" || s.Revision == newest {
		return s
	}
	list, _, _ := unstructured.NestedSlice(source, "status", "earlierRevisions")
	for _, item := range list {
		if e, _ := item.(map[string]any); e["revision"] == s.Revision {
			commit, _, _ := unstructured.NestedStringMap(e, "metadata")
			s.Author, s.CommitTime, s.Subject = commit["commit.author"], commit["commit.time"], commit["commit.subject"]
		}
	}
	return s
}

// maxSources is how many sources a chart has, each taken from the next: a HelmChart and its HelmRepository.
const maxSources = 3

// source returns a source and where it is: in the cluster's graph or in the hub. If there is none, it returns nil.
func (t *tracing) source(ctx context.Context, source api.Key, owner *api.Key) (api.Key, map[string]any, error) {
	for _, at := range api.SourceKeys(t.cluster, source, owner) {
		if object, err := t.get(ctx, at); object != nil || err != nil {
			return at, object, err
		}
	}
	return source, nil, nil
}

// sourceOf returns the source that a source is taken from, as a HelmChart is from a HelmRepository.
func sourceOf(key api.Key, object map[string]any) (api.Key, bool) {
	ref, has, _ := unstructured.NestedStringMap(object, "spec", "sourceRef")
	return api.Key{Kind: ref["kind"], Namespace: key.Namespace, Name: ref["name"]}, has && ref["kind"] != ""
}

// get returns an object; nil if there is none.
func (t *tracing) get(ctx context.Context, key api.Key) (map[string]any, error) {
	if key.Cluster == "" && t.shared != nil {
		return t.shared.get(ctx, key)
	}
	return getObject(ctx, t.client, key)
}

// getObject returns an object; nil if there is none.
func getObject(ctx context.Context, client adminv1.AdminServiceClient, key api.Key) (map[string]any, error) {
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: fold.KeyMessage(key)})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decode(answer.GetObject())
}

// fleetOf returns the Fleet that a root comes from; nil if it comes from none.
func (t *tracing) fleetOf(ctx context.Context, root manifest.ID) (*traceStep, error) {
	p, err := t.published(ctx)
	if err != nil {
		return nil, err
	}
	app := p.clusters[t.cluster][bundle.ApplicationName{Kind: root.Kind, Namespace: root.Namespace, Name: root.Name}]
	if app.fleet == "" {
		return nil, nil
	}
	fleet := api.FleetKey(app.fleet)
	object, err := t.get(ctx, fleet)
	step := described(fleet, object)
	return &step, err
}

// published returns what the hub released to the cluster, and perhaps to others.
func (t *tracing) published(ctx context.Context) (*published, error) {
	if t.shared != nil {
		return t.shared.published()
	}
	return askPublished(ctx, t.client, []string{t.cluster}, false)
}

// described returns the step of an object of the hub; nil: it does not exist.
func described(key api.Key, object map[string]any) traceStep {
	s := traceStep{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name, Cluster: key.Cluster}
	if kind, ok := api.KindByName(key.Kind); ok {
		s.Group = kind.Group
	}
	if object == nil {
		s.Message = "it does not exist"
		return s
	}
	text := func(path ...string) string {
		value, _, _ := unstructured.NestedString(object, path...)
		return value
	}
	s.Path, s.URL = text("spec", "path"), text("spec", "url")
	s.Chart = strings.TrimSuffix(text("spec", "chart", "spec", "chart")+" "+text("spec", "chart", "spec", "version"), " ")
	if chart := text("spec", "chart"); chart != "" { // of a HelmChart
		s.Chart = strings.TrimSuffix(chart+" "+text("spec", "version"), " ")
	}
	for _, field := range []string{"branch", "tag", "semver", "commit", "name", "digest"} {
		if value := text("spec", "ref", field); value != "" {
			s.Reference = strings.TrimPrefix(s.Reference+", "+field+" "+value, ", ")
		}
	}
	for _, path := range [][]string{{"status", "lastAppliedRevision"}, {"status", "artifact", "revision"},
		{"status", "lastAttemptedRevision"}} {
		if s.Revision == "" {
			s.Revision = text(path...)
		}
	}
	commit, _, _ := unstructured.NestedStringMap(object, "status", "artifact", "metadata")
	s.Author, s.CommitTime, s.Subject = commit["commit.author"], commit["commit.time"], commit["commit.subject"]
	ready := api.FindCondition(object, condition.Ready)
	s.Status, s.Since = "Ready "+fieldText(ready, "status"), fieldText(ready, "lastTransitionTime")
	s.Message = fieldText(ready, "message")
	return s
}
