package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// namesHub has four HelmReleases in a cluster, and refuses to suspend two of them.
type namesHub struct {
	adminv1.UnimplementedAdminServiceServer
	suspended *[]string
}

func (h namesHub) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for _, name := range []string{"a", "b", "c", "d"} {
		if r.Cluster == "east" && !r.AllClusters && r.Namespace == "apps" {
			answer.Objects = append(answer.Objects, &adminv1.Object{Key: &adminv1.ObjectKey{Cluster: "east",
				Kind: r.Kind, Namespace: "apps", Name: name}, Json: []byte("{}")})
		}
	}
	return answer, nil
}

func (h namesHub) Suspend(_ context.Context, r *adminv1.SuspendRequest) (*adminv1.SuspendResponse, error) {
	if r.Key.Name == "b" || r.Key.Name == "d" {
		return nil, status.Error(codes.FailedPrecondition, "not this one: "+r.Key.Name)
	}
	*h.suspended = append(*h.suspended, r.Key.Cluster+"/"+r.Key.Kind+"/"+r.Key.Namespace+"/"+r.Key.Name)
	return &adminv1.SuspendResponse{Changed: true}, nil
}

func (h namesHub) Get(context.Context, *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	return &adminv1.GetResponse{Object: &adminv1.Object{Json: []byte(`{"status":{"conditions":[{"type":"Connected",` +
		`"reason":"Offline","message":"last heard from at noon"}]}}`)}}, nil
}

// TestSuspend_offline tells that the spoke may go on, although nobody waits for it.
func TestSuspend_offline(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want bool
	}{
		"application": {[]string{"hr", "a", "-n=apps", "--cluster=east"}, true},
		"stop_repair": {[]string{"cluster", "east", "--stop-repair"}, true},
		"cluster":     {[]string{"cluster", "east"}, false},
		"fleet":       {[]string{"fleet", "prod"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			root := newCommand()
			root.SetOut(&out)
			config := "--config=" + serve(t, namesHub{suspended: new([]string)})
			root.SetArgs(append([]string{"suspend", "--no-wait", config}, c.args...))
			err := root.ExecuteContext(t.Context())
			const told = "cluster east is offline: last heard from at noon. Until it is back, its spoke may go on " +
				"repairing drift"
			if err != nil || strings.Contains(out.String(), told) != c.want {
				t.Errorf("%v, want told: %t, got\n%s", err, c.want, out.String())
			}
		})
	}
}

// TestSuspend_all suspends all objects of a kind, those after a failure, too, and names each failure.
func TestSuspend_all(t *testing.T) {
	var suspended []string
	config := "--config=" + serve(t, namesHub{suspended: &suspended})
	suspend := func(args ...string) error {
		root := newCommand()
		root.SetOut(io.Discard)
		root.SetArgs(append([]string{"suspend", "--no-wait", "--cluster=east", config}, args...))
		return root.ExecuteContext(t.Context())
	}
	err := suspend("hr", "--all", "-n=apps")
	if got, want := strings.Join(suspended, " "), "east/HelmRelease/apps/a east/HelmRelease/apps/c"; got != want ||
		err == nil || message(err) != "not this one: b\nnot this one: d" {
		t.Errorf("suspended %s, error %v; want %s and the failures of b and d", got, err, want)
	}
	if err := suspend("hr", "--all"); err == nil || !strings.Contains(err.Error(), "there are no helmreleases in "+
		"namespace flux-system of cluster east") {
		t.Errorf("none: %v", err)
	}
	if err := suspend("hr", "a", "--all"); err == nil || !strings.Contains(err.Error(), "leave out --all, or a") {
		t.Errorf("with a name: %v", err)
	}
}

// bothHub has an object of its own in the namespace own, and one in the namespaces own and apps of each of two
// clusters.
type bothHub struct{ namesHub }

func (h bothHub) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for _, key := range []*adminv1.ObjectKey{{Namespace: "own"}, {Cluster: "east", Namespace: "own"},
		{Cluster: "east", Namespace: "apps"}, {Cluster: "west", Namespace: "own"}, {Cluster: "west", Namespace: "apps"}} {
		key.Kind, key.Name = r.Kind, "app"
		if (r.AllClusters || r.Cluster == key.Cluster) && (r.Namespace == "" || r.Namespace == key.Namespace) {
			answer.Objects = append(answer.Objects, &adminv1.Object{Key: key, Json: []byte("{}")})
		}
	}
	return answer, nil
}

// TestSuspend_allOfHub suspends the hub's own objects, and says how many of clusters it has left as they are.
func TestSuspend_allOfHub(t *testing.T) {
	var suspended []string
	config := serve(t, bothHub{namesHub{suspended: &suspended}})
	_, errOut := nave(t, config, "suspend", "ks", "--all", "-n=own", "--no-wait")
	want := "⚠ --all is for those of the hub: 2 objects of clusters stay as they are (east, west); name a cluster with " +
		"--cluster\n"
	if strings.Join(suspended, " ") != "/Kustomization/own/app" || errOut != want {
		t.Errorf("suspended %q, said %q", suspended, errOut)
	}
	_, errOut = nave(t, config, "suspend", "ks", "--all", "-n=apps")
	want = "there are no kustomizations in namespace apps of the hub. There are some in "
	if !strings.Contains(errOut, want) || !strings.Contains(errOut, "namespace apps of cluster east") {
		t.Errorf("said %q", errOut)
	}
	_, errOut = nave(t, config, "suspend", "ks", "--all", "-n=own", "--cluster=east", "--no-wait")
	if strings.Contains(errOut, "--all is for") || len(suspended) != 2 {
		t.Errorf("suspended %q, said %q", suspended, errOut)
	}
}

func TestInForce(t *testing.T) {
	for _, c := range []struct {
		name, status  string
		done, failure bool
	}{
		{"in_force", `{"conditions":[{"type":"Suspended","status":"True","message":"m"}]}`, true, false},
		{"on_its_way", `{"conditions":[{"type":"Suspended","status":"Unknown","message":"m"}]}`, false, false},
		{"resumed", `{"conditions":[{"type":"Ready","status":"True","message":"m"}]}`, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			object, err := decode(&adminv1.Object{Json: []byte(`{"status":` + c.status + `}`)})
			if err != nil {
				t.Fatal(err)
			}
			done, _, err := inForce(object)
			if done != c.done || (err != nil) != c.failure {
				t.Errorf("done %v, error %v", done, err)
			}
		})
	}
}
