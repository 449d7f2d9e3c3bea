package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// waitHub runs a hub with three clusters that no spoke has joined, a source that is fetched, and two Kustomizations
// that wait for each other.
func waitHub(t *testing.T) (config string) {
	t.Helper()
	return hubWith(t, tree(t, diffFiles()), fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"]+`---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: circle, namespace: flux-system}
spec:
  {interval: 10m, path: ./app, prune: true, sourceRef: {kind: GitRepository, name: fleet}, dependsOn: [{name: ring}]}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: ring, namespace: flux-system}
spec:
  {interval: 10m, path: ./app, prune: true, sourceRef: {kind: GitRepository, name: fleet}, dependsOn: [{name: circle}]}
`, 2)
}

// exitOf runs a command as the program does, and returns all that it prints and its exit code.
func exitOf(ctx context.Context, config string, args ...string) (string, int) {
	var out bytes.Buffer
	root, end := program(&out, &out)
	root.SetArgs(append(args, "--config="+config))
	code := exitCode(end(root.ExecuteContext(ctx)))
	return out.String(), code
}

// TestWait waits for objects of a hub as kubectl wait does for those of a cluster.
func TestWait(t *testing.T) {
	config := waitHub(t)
	for _, c := range []struct {
		name string
		args string
		code int
		want string
	}{
		{"ready", "gitrepository/fleet", 0, "✔ GitRepository flux-system/fleet: stored artifact"},
		{"kind_and_names", "clusters east west --for=condition=connected=false", 0, "✔ Cluster west: The spoke has not"},
		{"several_kinds", "gitrepository/fleet cluster/east --for=jsonpath={.metadata.name} --timeout=5s", 0,
			"✔ Cluster east: {.metadata.name} is east"},
		{"all", "clusters --all --for=condition=Connected=False", 0, "✔ Cluster lab"},
		{"all_namespaces", "kustomizations --all -A --for=jsonpath={.spec.prune}=true", 0,
			"✔ Kustomization flux-system/app on"},
		{"selector", "clusters -l env=test --for=jsonpath='{.kind}'=Cluster", 0, "✔ Cluster west"},
		{"condition_of_another_status", "cluster/east --for=condition=Connected --timeout=300ms", 1,
			"Cluster east: timed out waiting for Connected=True: The spoke has not registered yet"},
		{"timeout_names_all", "clusters --all --timeout=300ms", 1,
			"nave: Cluster east: timed out waiting for Ready=True: The spoke has not registered yet\n" +
				"      Cluster lab: timed out"},
		{"look_once", "cluster/east --timeout=0", 1, "nave: Cluster east: still waits for Ready=True: The spoke has not"},
		{"stalled", "kustomization/circle cluster/east --timeout=1m", 1,
			"Kustomization flux-system/circle: it will not become ready before it is changed"},
		{"stalled_is_wanted", "kustomization/circle --for=condition=Stalled", 0, "✔ Kustomization flux-system/circle"},
		{"created", "fleet/all --for=create", 0, "✔ Fleet all: condition met"},
		{"deleted", "fleet/none --for=delete", 0, "✔ Fleet none: condition met"},
		{"none_selected_deleted", "clusters -l env=none --for=delete", 0, ""},
		{"missing", "fleet/al", 4, "Fleet al not found. Did you mean all?"},
		{"missing_cluster", "kustomization/app --cluster=eats", 4, `cluster "eats" does not exist`},
		{"missing_here", "kustomization/app", 4, "does not exist in the hub, but on east, lab, west: name a cluster with --cluster"},
		{"none_selected", "clusters -l env=none", 4, "no clusters found"},
		{"path_to_object", "cluster/east --for=jsonpath={.spec}=x", 1, "leads to an object or a list"},
		{"path_to_several", "cluster/east --for=jsonpath={.status.conditions[*].type}", 1, "leads to several values"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := exitOf(t.Context(), config, append([]string{"wait", "--timeout=20s"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, c.code, c.want, out)
			}
		})
	}
}

// TestWait_usage refuses what cannot be waited for before the hub is asked.
func TestWait_usage(t *testing.T) {
	for args, want := range map[string]string{
		"fleets":                             "name the fleets to wait for",
		"fleets all --all":                   "leave them out, or all",
		"fleet/all -A":                       "-A does nothing for named objects",
		"fleet/all west":                     "west: want KIND/NAME",
		"fleet/all --for=readiness":          "want ready, delete, create",
		"fleet/all --for=delete=now":         "want nothing after the first word",
		"fleet/all --for=condition=":         "needs the type of a condition",
		"fleet/all --for=jsonpath={.a}=":     "want jsonpath=",
		"fleet/all --for=jsonpath={.a[}=1":   "unterminated",
		"fleet/all --for=jsonpath=":          "want jsonpath=",
		"fleet/all --for=jsonpath={.a}=1 -A": "-A does nothing",
	} {
		out, code := exitOf(t.Context(), "none", append([]string{"wait"}, strings.Fields(args)...)...)
		if code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, want %q:\n%s", args, code, want, out)
		}
	}
}

// TestWait_change waits for an object that is created meanwhile, and for one that is deleted.
func TestWait_change(t *testing.T) {
	config := waitHub(t)
	ended := make(chan string, 1)
	begin := func(args ...string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		go func() {
			defer cancel()
			out, code := exitOf(ctx, config, append([]string{"wait", "--timeout=10s"}, args...)...)
			if code != 0 {
				out = "failed: " + out
			}
			ended <- out
		}()
	}
	begin("clusters", "-l", "env=late", "--for=create")
	mustRun(t, "cluster", "add", "late", "--label=env=late", "--config="+config)
	if out := <-ended; !strings.HasPrefix(out, "✔ Cluster late") {
		t.Error(out)
	}
	begin("cluster/late", "--for=delete")
	mustRun(t, "cluster", "remove", "late", "--yes", "--config="+config)
	if out := <-ended; !strings.HasSuffix(out, "✔ Cluster late: condition met\n") || strings.Contains(out, "failed") {
		t.Error(out)
	}
}

// leavingHub goes away after it has sent its object. Then the object is ready.
type leavingHub struct {
	adminv1.UnimplementedAdminServiceServer
	watches *int
}

func (h leavingHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	*h.watches++
	ready := []string{"False", "True"}[min(*h.watches-1, 1)]
	_ = stream.Send(changeOf("app", ready))
	_ = stream.Send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_SYNCED})
	if *h.watches == 1 {
		return status.Error(codes.Unavailable, "the hub is stopping")
	}
	<-stream.Context().Done()
	return nil
}

// TestWait_hubRestarts goes on when the hub comes back.
func TestWait_hubRestarts(t *testing.T) {
	watches := 0
	out, code := exitOf(t.Context(), serve(t, leavingHub{watches: &watches}), "wait", "kustomizations", "--all",
		"--timeout=20s")
	if code != 0 || watches != 2 || !strings.Contains(out, "the hub: it went away, waiting for it: the hub is stopping") {
		t.Errorf("exit code %d after %d watches:\n%s", code, watches, out)
	}
}

// lingeringHub has no list with its application, whose spoke still reports it for a while.
type lingeringHub struct {
	adminv1.UnimplementedAdminServiceServer
	explained *int
}

func (lingeringHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	_ = stream.Send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_SYNCED})
	<-stream.Context().Done()
	return nil
}

func (lingeringHub) Get(context.Context, *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	return nil, status.Error(codes.NotFound, "not found")
}

func (h lingeringHub) Explain(context.Context, *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error) {
	if *h.explained++; *h.explained < 3 {
		return &adminv1.ExplainResponse{}, nil
	}
	return nil, status.Error(codes.NotFound, "not found")
}

// TestWait_deletedInCluster waits until the spoke has told that nothing of an application is left.
func TestWait_deletedInCluster(t *testing.T) {
	explained := 0
	config := serve(t, lingeringHub{explained: &explained})
	args := []string{"wait", "kustomization/app", "--cluster=east", "--for=delete"}
	out, code := exitOf(t.Context(), config, append(args, "--timeout=20s")...)
	if code != 0 || explained != 3 || !strings.Contains(out, "◎ Kustomization flux-system/app on east: it left the hub, "+
		"and its spoke has not told yet that nothing of it is left\n✔ ") {
		t.Errorf("exit code %d after %d answers:\n%s", code, explained, out)
	}
	explained = 0
	if out, code = exitOf(t.Context(), config, append(args, "--timeout=0")...); code != 1 ||
		!strings.Contains(out, "still waits for its deletion: it still exists") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestConditionGoal_generation does not take the condition of an older version of the object for that of the newest.
func TestConditionGoal_generation(t *testing.T) {
	for observed, want := range map[string]bool{"1": false, "2": true} {
		object, err := decode(&adminv1.Object{Json: []byte(`{"metadata":{"generation":2},"status":{"conditions":[` +
			`{"type":"Ready","status":"True","observedGeneration":` + observed + `}]}}`)})
		if err != nil {
			t.Fatal(err)
		}
		if done, _, err := conditionGoal("Ready", "True").is(object); err != nil || done != want {
			t.Errorf("generation %s: done %v, error %v", observed, done, err)
		}
	}
}
