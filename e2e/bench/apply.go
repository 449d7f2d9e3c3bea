package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/kubetest"
)

const (
	manyObjects  = 1000
	createRounds = 7
	bareWorkers  = 16
)

// createRatio creates 1,000 ConfigMaps through the spoke and by a bare loop, in turn, on one API server.
//
// Through the spoke: from the hub's log line that the bundle is published, until a watch has shown the last object. In
// it are the offer, the fetch of 1,001 blobs over mTLS, the verification, the spoke's transactions on disk (bundle and
// inventory), every request, and the spoke's own watch of what it applies. Not in it: git, rendering, signing.
//
// The bare loop: from before the first request until a watch has shown the last object. 16 workers apply objects that
// are in memory already, with client-go's dynamic client, no client-side rate limit, the spoke's own service account,
// and force. It keeps no state, looks at no answer and watches nothing. Its objects carry labels of the same length as
// the owner labels on the spoke's.
//
// A round of each warms up the API server and is not counted. Who goes first changes from round to round. After a round
// its objects leave the tree first, without being pruned, and are then deleted: the spoke never has one of them to
// repair, and the benchmark fails if the spoke repaired any.
func createRatio(ctx context.Context, w *workshop) ([]Result, error) {
	var spaces []string
	for round := range createRounds + 1 {
		spaces = append(spaces, createSpace("nave", round), createSpace("bare", round))
	}
	st, err := w.newStand(ctx, setting{orphan: true, spaces: spaces, files: tree("default", 1, "first")})
	if err != nil {
		return nil, err
	}
	var ratios, ours, bare []float64
	for round := range createRounds + 1 {
		a, b, err := st.createRound(ctx, round)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("round %d: %w", round, err), st.close())
		}
		w.say("round %d: spoke %s, bare loop %s", round, a.Round(time.Millisecond), b.Round(time.Millisecond))
		if round == 0 {
			continue
		}
		ratios = append(ratios, float64(a)/float64(b))
		ours, bare = append(ours, milliseconds(a)), append(bare, milliseconds(b))
	}
	if err := st.undisturbed(ctx); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return []Result{
		figure("apply.create_ratio", median(ratios), "ratio"),
		figure("apply.create_ms", median(ours), "ms"),
		figure("apply.bare_loop_ms", median(bare), "ms"),
	}, st.close()
}

func createSpace(who string, round int) string { return fmt.Sprintf("create-%s-%d", who, round) }

// undisturbed returns an error if the spoke repaired an object: the figures would count the repairs.
func (st *stand) undisturbed(ctx context.Context) error {
	repaired, err := st.spoke.Metric(ctx, "nave_spoke_drift_repaired_total")
	if err == nil && repaired > 0 {
		err = fmt.Errorf("the spoke repaired %v objects meanwhile: the benchmark disturbed itself", repaired)
	}
	return err
}

// createRound lets both create, and removes what they made.
func (st *stand) createRound(ctx context.Context, round int) (ours, bare time.Duration, err error) {
	both := []func() error{
		func() (err error) { ours, err = st.createBySpoke(ctx, createSpace("nave", round)); return err },
		func() (err error) { bare, err = st.createByLoop(ctx, createSpace("bare", round)); return err },
	}
	for i := range both {
		if err := both[(i+round)%2](); err != nil {
			return 0, 0, err
		}
	}
	if err := st.leave(ctx); err != nil {
		return 0, 0, err
	}
	return ours, bare, errors.Join(st.clear(ctx, createSpace("nave", round)), st.clear(ctx, createSpace("bare", round)))
}

// leave takes the objects of the round out of the tree and returns when the spoke no longer owns them.
func (st *stand) leave(ctx context.Context) error {
	before, err := st.healthy(ctx, 0)
	if err != nil {
		return err
	}
	change := gittest.Change{Remove: []string{"apps"}, Files: below("apps/", tree("default", 1, "first"))}
	if _, err := st.push(ctx, change); err != nil {
		return err
	}
	_, err = st.healthy(ctx, before)
	return err
}

func (st *stand) createBySpoke(ctx context.Context, namespace string) (time.Duration, error) {
	before, err := st.healthy(ctx, 0)
	if err != nil {
		return 0, err
	}
	l, err := watchConfigMaps(ctx, st.cluster, namespace)
	if err != nil {
		return 0, err
	}
	defer l.stop()
	offset, err := logSize(st.fleet.Hub)
	if err != nil {
		return 0, err
	}
	change := gittest.Change{Remove: []string{"apps"}, Files: below("apps/", tree(namespace, manyObjects, "created"))}
	if _, err := st.push(ctx, change); err != nil {
		return 0, err
	}
	live, err := l.until1000(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, st.spoke.Tail())
	}
	published, err := firstLogged(st.fleet.Hub.Log, offset, "published bundles")
	if err != nil {
		return 0, err
	}
	_, err = st.healthy(ctx, before) // the spoke is done before anything else begins
	return live.Sub(published), err
}

// until1000 returns when the last of the many objects was seen, kube-root-ca.crt not among them: the watch began after
// it.
func (l *lookout) until1000(ctx context.Context) (time.Time, error) { return l.all(ctx, manyObjects) }

func below(prefix string, files map[string]string) map[string]string {
	out := make(map[string]string, len(files))
	for path, content := range files {
		out[prefix+path] = content
	}
	return out
}

func (st *stand) createByLoop(ctx context.Context, namespace string) (time.Duration, error) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(st.spoke.Dir, "kubeconfig"))
	if err != nil {
		return 0, err
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return 0, err
	}
	r := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(namespace)
	if _, err := r.List(ctx, metav1.ListOptions{Limit: 1}); err != nil { // connects
		return 0, err
	}
	l, err := watchConfigMaps(ctx, st.cluster, namespace)
	if err != nil {
		return 0, err
	}
	defer l.stop()
	started := time.Now()
	if err := applyAll(ctx, r, namespace); err != nil {
		return 0, err
	}
	live, err := l.until1000(ctx)
	return live.Sub(started), err
}

// applyAll is the bare loop.
func applyAll(ctx context.Context, r dynamic.ResourceInterface, namespace string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bareWorkers)
	for i := range manyObjects {
		o := parsed(namespace, i, "created")
		o.SetLabels(map[string]string{"kustomize.example.fluxcd.io/name": "apps",
			"kustomize.example.fluxcd.io/namespace": "flux-system"})
		g.Go(func() error {
			_, err := r.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "bare", Force: true})
			return err
		})
	}
	return g.Wait()
}

// spokeAccount is how the audit log names the spoke.
const spokeAccount = "system:serviceaccount:nave-system:nave-spoke"

// noopRequests counts what a spoke asks the API server, by the server's audit log, from one quiet point to the next,
// while it is given the same content again: commits that change the tree, but nothing of what is rendered, give it a
// new revision, so the hub signs a new bundle each time and the spoke carries it out. 1,000 objects are kept. Requests
// that stay open (watches) began before and are not counted; one that would be opened anew is.
//
// Not in it: the safety net, one metadata-only list for each kind, once in the interval of a Kustomization; and
// `nave reconcile kustomization`, by which an operator asks for every object to be applied again.
func noopRequests(ctx context.Context, w *workshop) ([]Result, error) {
	st, err := w.newStand(ctx, setting{audit: true, spaces: []string{"bench"}, files: tree("bench", manyObjects, "kept")})
	if err != nil {
		return nil, err
	}
	requests, err := st.noop(ctx)
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	for _, line := range requests[:min(len(requests), 20)] {
		w.say("  %s", line)
	}
	return []Result{figure("apply.noop_requests", float64(len(requests)), "requests")}, st.close()
}

// noop has the same content carried out three times and returns the requests that this cost.
func (st *stand) noop(ctx context.Context) ([]string, error) {
	const times = 3
	sequence, err := st.healthy(ctx, 0)
	if err != nil {
		return nil, err
	}
	before, err := st.quiet(ctx)
	if err != nil {
		return nil, err
	}
	for i := range times {
		if _, err := st.push(ctx, gittest.Change{Files: map[string]string{"README.md": strings.Repeat("again\n",
			i+1)}}); err != nil {
			return nil, err
		}
		if sequence, err = st.healthy(ctx, sequence); err != nil {
			return nil, err
		}
	}
	after, err := st.quiet(ctx)
	if err != nil {
		return nil, err
	}
	return after[len(before):], nil
}

// quiet returns the audited requests of the spoke when three seconds went by without one.
func (st *stand) quiet(ctx context.Context) ([]string, error) {
	const still = 3 * time.Second
	var requests []string
	changed := time.Now()
	err := kubetest.Until(ctx, "a quiet spoke", func(context.Context) error {
		if time.Since(changed) < still && requests != nil && time.Since(changed).Milliseconds()%500 > 100 {
			return errors.New("a request came a moment ago") // the log is long: it is read twice a second
		}
		now, err := st.cluster.AuditedRequests(spokeAccount)
		if err != nil {
			return err
		}
		if len(now) != len(requests) {
			requests, changed = now, time.Now()
		}
		if len(now) == 0 || time.Since(changed) < still {
			return fmt.Errorf("%d requests, the last a moment ago", len(now))
		}
		return nil
	})
	return requests, err
}
