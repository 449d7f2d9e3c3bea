package faults_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/e2e/gittest"
)

// middles are kills in the middle of what takes several steps. All have one hub and one spoke, one after another.
var middles = []struct {
	name string
	play func(*middle)
}{
	{"include", killInInclude},
	{"generator", killInGenerator},
	{"remote_base", killInRemoteBase},
	{"rollback", killInRollback},
	{"preview", killInPreview},
	{"take_over", killInTakeOver},
	{"handover", killInHandover},
	{"lookup", killInLookup},
}

// testMiddle kills the hub or the spoke in the middle of a change. Started again, they end what was begun: what the
// change keeps is the same object as before, what it removes is gone, and the cluster is in sync.
func testMiddle(t *testing.T) {
	t.Parallel()
	parts, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, parts.Close()) })
	repository, err := parts.NewRepository("parts")
	must(t, err)
	s := newStand(t, lab, t.TempDir(), "--remote-base-host="+strings.TrimPrefix(parts.URL(), "http://"))
	p := s.join(t, "middle", (*spoke).interpose)
	for _, fault := range middles {
		ok := t.Run(fault.name, func(t *testing.T) {
			p := *p
			p.t = t
			p.kube.spoke = &p
			fault.play(&middle{spoke: &p, server: parts, parts: repository})
			p.inSync()
		})
		if !ok {
			return
		}
	}
}

// middle is the spoke of a kill in the middle, with a Git server beside the one of the fleet.
type middle struct {
	*spoke
	server *gittest.Server
	parts  *gittest.Repository
}

// pieces is how many objects each change moves.
const pieces = 12

// piece is the name of an object of a fault.
func piece(of string, i int) string { return fmt.Sprintf("%s-%02d", of, i) }

// give returns files with a ConfigMap for each piece in a folder.
func (m *middle) give(folder, of, value string) map[string]string {
	files := map[string]string{}
	for i := range pieces {
		files[folder+piece(of, i)+".yaml"] = m.configMap(piece(of, i), value)
	}
	return files
}

// have waits until each piece has a value, and returns the UIDs.
func (m *middle) have(of, value string) map[string]string {
	m.t.Helper()
	uids := map[string]string{}
	eventually(m.t, often, "all of "+of+" have "+value, func(ctx context.Context) error {
		for i := range pieces {
			if err := m.has(ctx, piece(of, i), value); err != nil {
				return err
			}
			o, err := m.Cluster.Get(ctx, "ConfigMap", m.namespace(), piece(of, i))
			if err != nil {
				return err
			}
			uids[o.GetName()] = string(o.GetUID())
		}
		return nil
	})
	return uids
}

// stay wants the pieces to have a value and to be the objects that they were.
func (m *middle) stay(of, value string, before map[string]string) {
	m.t.Helper()
	if now := m.have(of, value); !maps.Equal(now, before) {
		m.t.Errorf("objects were made anew: they were\n%v, now they are\n%v", before, now)
	}
}

// provide commits files to the other server.
func (m *middle) provide(files map[string]string) {
	m.t.Helper()
	_, err := m.parts.Apply(gittest.Change{Files: files})
	must(m.t, err)
}

// nave runs the CLI.
func (m *middle) nave(args ...string) string {
	m.t.Helper()
	out, err := m.stand.Nave(m.t.Context(), args...)
	must(m.t, err)
	return out
}

// refresh has the hub fetch what provide committed.
func (m *middle) refresh() {
	m.t.Helper()
	m.nave("reconcile", "source", "git", "parts", "--namespace="+m.namespace(), "--cluster="+m.name, "--no-wait")
}

// restartHub kills the hub and starts it.
func (m *middle) restartHub() {
	m.t.Helper()
	must(m.t, m.stand.Hub.Kill())
	must(m.t, m.stand.Hub.Start(m.t.Context()))
}

// kustomization is the file of a Kustomization of the spoke's namespace.
func (m *middle) kustomization(name, spec string) string {
	return fmt.Sprintf("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: %s, "+
		"namespace: %s}\nspec: {interval: 10m, retryInterval: 2s, prune: true, %s}\n", name, m.namespace(), spec)
}

// source is the file of a GitRepository with the other server's repository.
func (m *middle) source(name, spec string) string {
	return fmt.Sprintf("apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: %s, namespace: %s}"+
		"\nspec: {interval: 1h, url: %q, ref: {branch: main}%s}\n", name, m.namespace(), m.parts.URL(), spec)
}

// written waits until the hub has written a content into the artifacts of two sources: into that of the parts, and into
// that which is composed of it.
func (m *middle) written(content string) {
	m.t.Helper()
	id := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)) // as Git names it
	pattern := filepath.Join(m.stand.Dir, "hub", "sources", "artifacts", "*", "contents", hex.EncodeToString(id[:]))
	eventually(m.t, time.Millisecond, "the hub writes "+content, func(context.Context) error {
		found, err := filepath.Glob(pattern)
		if err == nil && len(found) < 2 {
			err = fmt.Errorf("not yet, but into %d", len(found))
		}
		return err
	})
}

// bulk are so many files beside the pieces that writing an artifact of them takes a while.
func bulk(folder, value string) map[string]string {
	files := map[string]string{}
	for i := range 4000 {
		files[fmt.Sprintf("%s%03d/%04d.txt", folder, i%100, i)] = fmt.Sprintln(value, i)
	}
	return files
}

// killInInclude: the hub dies while it writes an artifact that includes another one.
func killInInclude(m *middle) {
	files := bulk("shared/bulk/", "one")
	maps.Copy(files, m.give("shared/", "included", "one"))
	m.provide(files)
	m.push("include", map[string]string{
		"include-parts.yaml": m.source("parts", ""),
		"include-whole.yaml": m.source("whole", ", ignore: \"/shared\", include: [{repository: {name: parts}, "+
			"fromPath: shared, toPath: included}]"),
		"include.yaml": m.kustomization("included", "path: ./included, sourceRef: {kind: GitRepository, name: whole}"),
	})
	m.composes("included", "shared/")
}

// killInGenerator: the hub dies while it writes the artifact of an ArtifactGenerator.
func killInGenerator(m *middle) {
	files := bulk("generated/bulk/", "one")
	maps.Copy(files, m.give("generated/", "generated", "one"))
	m.provide(files)
	m.push("generator", map[string]string{
		"generator.yaml": fmt.Sprintf("apiVersion: source.extensions.fluxcd.io/v1beta1\nkind: ArtifactGenerator\n"+
			"metadata: {name: made, namespace: %s}\nspec:\n  sources: [{alias: parts, kind: GitRepository, name: parts}]\n"+
			"  artifacts: [{name: made, copy: [{from: '@parts/generated/**', to: '@artifact/all/'}]}]\n", m.namespace()),
		"generated.yaml": m.kustomization("generated", "path: ./all, sourceRef: {kind: ExternalArtifact, name: made}"),
	})
	m.refresh()
	m.composes("generated", "generated/")
}

// composes kills the hub while it writes a file of a composed artifact, after the parts below a folder have changed.
func (m *middle) composes(of, folder string) {
	m.t.Helper()
	before := m.have(of, "one")
	m.inSync()
	files := bulk(folder+"bulk/", "two")
	maps.Copy(files, m.give(folder, of, "two"))
	m.provide(files)
	m.refresh()
	m.written(files[folder+"bulk/000/0000.txt"])
	m.restartHub()
	m.stay(of, "two", before)
}

// killInRemoteBase: the hub dies while the server of a remote base does not answer.
func killInRemoteBase(m *middle) {
	files := m.give("base/", "based", "one")
	files["base/kustomization.yaml"] = "resources:\n- " + strings.Join(names("based"), ".yaml\n- ") + ".yaml\n"
	m.provide(files)
	m.push("base", map[string]string{
		"base.yaml": m.kustomization("based", fmt.Sprintf("path: ./based-on/%s, sourceRef: {kind: GitRepository, name: hub, "+
			"namespace: flux-system}", m.name)),
		"../../based-on/" + m.name + "/kustomization.yaml": "resources: [" + fmt.Sprintf("%q", m.parts.URL()+
			"//base?ref=main") + "]\n",
	})
	before := m.have("based", "one")
	m.inSync()
	m.provide(m.give("base/", "based", "two"))
	m.server.Break(gittest.Stall)
	asked := m.server.Requests()
	m.nave("reconcile", "kustomization", "based", "--namespace="+m.namespace(), "--cluster="+m.name, "--no-wait")
	eventually(m.t, often, "the hub asks for the base", func(context.Context) error {
		if m.server.Requests() == asked {
			return errors.New("it does not")
		}
		return nil
	})
	must(m.t, m.stand.Hub.Kill())
	m.server.Heal()
	must(m.t, m.stand.Hub.Start(m.t.Context()))
	m.nave("reconcile", "kustomization", "based", "--namespace="+m.namespace(), "--cluster="+m.name, "--no-wait")
	m.stay("based", "two", before)
}

// killInRollback: the hub dies after it has accepted that a cluster goes back, and before or after it has signed so.
// What the release of before does not have stays.
func killInRollback(m *middle) {
	m.push("back", m.give("", "back", "one"))
	before := m.have("back", "one")
	m.inSync()
	sequence, err := m.Metric(m.t.Context(), "nave_spoke_bundle_sequence")
	must(m.t, err)
	files := m.give("", "back", "two")
	maps.Copy(files, m.give("", "more", "two"))
	maps.Copy(files, m.give("../../later/", "later", "two"))
	files["later.yaml"] = m.kustomization("later", "path: ./later, sourceRef: {kind: GitRepository, name: hub, "+
		"namespace: flux-system}")
	m.push("forward", files)
	m.stay("back", "two", before)
	more, later := m.have("more", "two"), m.have("later", "two")
	m.inSync()
	for range 2 {
		m.nave("rollback", m.name, fmt.Sprintf("--to=%.0f", sequence), "--wait=false")
		m.restartHub()
		m.stay("back", "one", before)
		m.stay("more", "two", more)
		m.stay("later", "two", later)
		if out := m.nave("history", m.name); !strings.Contains(out, "pinned to bundle") {
			m.t.Fatalf("the pin is lost:\n%s", out)
		}
		m.nave("release", m.name, "--wait=false")
		m.restartHub()
		must(m.t, m.Stop()) // a new one does not pause as long as one that lost its hub so often
		must(m.t, m.Start(m.t.Context()))
		m.stay("back", "two", before)
		m.stay("more", "two", more)
		m.stay("later", "two", later)
	}
}

// killInTakeOver: the spoke dies after some of the requests that take objects over from Flux. What Flux applied and Git
// does not have is gone in the end, and nothing is Flux's any more.
func killInTakeOver(m *middle) {
	for _, k := range []kill{
		{method: "PATCH", nth: 3}, {method: "PATCH", nth: pieces, after: true}, {method: "PATCH", nth: 2*pieces + 1},
		{method: "PATCH", nth: 3*pieces - 2, after: true},
	} {
		of := fmt.Sprintf("flux-%d", k.nth)
		m.asFlux(of)
		before := m.have(of, "one")
		m.kube.plan(k)
		files := m.give("../../taken/"+of+"/", of, "one")
		files[of+".yaml"] = m.kustomization(of, "path: ./taken/"+of+", sourceRef: {kind: GitRepository, name: hub, "+
			"namespace: flux-system}")
		m.push(of, files)
		m.kube.await()
		must(m.t, m.Start(m.t.Context()))
		m.arrives(of)
		m.stay(of, "one", before)
		eventually(m.t, often, "nothing is Flux's", func(ctx context.Context) error { return m.taken(ctx, of) })
		m.inSync()
	}
}

// asFlux applies the pieces as kustomize-controller does, each with an entry that Git does not have.
func (m *middle) asFlux(of string) {
	m.t.Helper()
	r, err := m.Cluster.Resource("ConfigMap", m.namespace())
	must(m.t, err)
	for i := range pieces {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{
				"name": piece(of, i), "namespace": m.namespace(), "labels": map[string]any{
					"kustomize.toolkit.fluxcd.io/name": of, "kustomize.toolkit.fluxcd.io/namespace": m.namespace(),
				}}, "data": map[string]any{"value": "one", "removed": "x"}}}
		_, err := r.Apply(m.t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "kustomize-controller"})
		must(m.t, err)
	}
}

// taken returns nil if nothing of the pieces is Flux's.
func (m *middle) taken(ctx context.Context, of string) error {
	for i := range pieces {
		o, err := m.Cluster.Get(ctx, "ConfigMap", m.namespace(), piece(of, i))
		if err != nil {
			return err
		}
		if _, found, _ := unstructured.NestedString(o.Object, "data", "removed"); found {
			return fmt.Errorf("%s has what Git removed", o.GetName())
		}
		if slices.ContainsFunc(o.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager == "kustomize-controller"
		}) {
			return fmt.Errorf("fields of %s are Flux's", o.GetName())
		}
	}
	return nil
}

// killInHandover: the spoke dies while objects go from one Kustomization to another, and while they go back.
func killInHandover(m *middle) {
	files := m.give("../../handed/left/", "handed", "one")
	files["../../handed/right/right.yaml"] = m.configMap("right", "one")
	files["../../handed/left/left.yaml"] = m.configMap("left", "one")
	for _, side := range []string{"left", "right"} {
		files[side+".yaml"] = m.kustomization(side, "path: ./handed/"+side+", sourceRef: {kind: GitRepository, name: hub, "+
			"namespace: flux-system}")
	}
	m.push("hand over", files)
	before := m.have("handed", "one")
	m.inSync()
	from, to := "left", "right"
	for _, k := range []kill{
		{method: "PATCH", nth: 1}, {method: "PATCH", nth: pieces / 2, after: true}, {method: "PATCH", nth: pieces, after: true},
	} {
		m.kube.plan(k)
		files := m.give("../../handed/"+to+"/", "handed", "one")
		for name := range m.give("../../handed/"+from+"/", "handed", "one") {
			files[name] = ""
		}
		value := fmt.Sprintf("handed %d", k.nth)
		m.push(value, files)
		m.kube.await()
		must(m.t, m.Start(m.t.Context()))
		m.arrives(value)
		eventually(m.t, often, "all are "+to+"'s", func(ctx context.Context) error { return m.labelled(ctx, "handed", to) })
		m.stay("handed", "one", before)
		m.inSync()
		from, to = to, from
	}
}

// labelled returns nil if all pieces have the label of a Kustomization.
func (m *middle) labelled(ctx context.Context, of, kustomization string) error {
	want := "Kustomization." + m.namespace() + "." + kustomization
	for i := range pieces {
		o, err := m.Cluster.Get(ctx, "ConfigMap", m.namespace(), piece(of, i))
		if err != nil {
			return err
		}
		if got := o.GetLabels()["fleet.nave.io/application"]; got != want {
			return fmt.Errorf("%s is of %s", o.GetName(), got)
		}
	}
	return nil
}

// killInLookup: the spoke dies while it reads a variable that only the cluster has, and after a change of it.
func killInLookup(m *middle) {
	set := func(value string) {
		must(m.t, m.Cluster.Apply(m.t.Context(), []byte(m.configMap("only-here", value))))
	}
	set("one")
	files := m.give("../../looked/", "looked", "${value}")
	files["looked.yaml"] = m.kustomization("looked", "path: ./looked, sourceRef: {kind: GitRepository, name: hub, "+
		"namespace: flux-system}, postBuild: {substituteFrom: [{kind: ConfigMap, name: only-here}]}")
	m.kube.plan(kill{method: "GET", nth: 1, after: true})
	m.push("look up", files)
	m.kube.await()
	must(m.t, m.Start(m.t.Context()))
	m.arrives("look up")
	before := m.have("looked", "one")
	m.inSync()
	for _, k := range []kill{{method: "GET", nth: 1}, {method: "PATCH", nth: pieces / 2, after: true}} {
		value := "after a " + k.method
		m.kube.plan(k)
		set(value)
		m.kube.await()
		must(m.t, m.Start(m.t.Context()))
		m.stay("looked", value, before)
		m.inSync()
	}
}

// names are those of the pieces.
func names(of string) (all []string) {
	for i := range pieces {
		all = append(all, piece(of, i))
	}
	return all
}
