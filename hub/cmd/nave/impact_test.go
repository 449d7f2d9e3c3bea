package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestIsTerminal_null(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd, err := syscall.Dup(int(null.Fd())) // each File closes its own
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.NewFile(uintptr(fd), "/dev/stdin") // the name of standard input, also if it is /dev/null
	defer stdin.Close()
	if isTerminal(stdin) {
		t.Error("/dev/null is taken for a terminal: a script would be asked, and not told of --yes")
	}
}

// TestRefused runs commands with wrong arguments. None of them is executed, and each prints the reason.
func TestRefused(t *testing.T) {
	config := serve(t, &hostileHub{})
	for name, c := range map[string]struct{ args, says string }{
		"apply_cluster":       {"apply --cluster=a -f x", "--cluster does nothing here"},
		"add_namespace":       {"cluster add a -n x", "--namespace does nothing here"},
		"events_namespaces":   {"events -A -n x", "-A and --namespace exclude each other"},
		"events_all_of_one":   {"events kustomization a -A", "-A does nothing for one object"},
		"confirm_hub_cluster": {"confirm hub --cluster=a", "--cluster does nothing here"},
		"build_unknown":       {"build foo", `unknown command "foo" for "nave build"`},
		"cluster_unknown":     {"cluster foo", `unknown command "foo" for "nave cluster"`},
		"bootstrap_no_path":   {"bootstrap --url=https://git.example.com/x", "--path . takes the whole repository"},
		"add_hub_no_port":     {"cluster add a --hub=hub.example.com", "want host:port"},
		"no_context":          {"get fleets --context=none", "name one with --context: nave"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut := nave(t, config, strings.Fields(c.args)...)
			if out != "" || !strings.Contains(errOut, c.says) {
				t.Errorf("it prints %q and %q, want %q", out, errOut, c.says)
			}
		})
	}
}

// TestAddAgain checks that adding an existing cluster again prints what the manifest lacks.
func TestAddAgain(t *testing.T) {
	_, errOut := nave(t, serve(t, &hostileHub{}), "cluster", "add", "east", "--image=spoke:1")
	if !strings.Contains(errOut, "cluster east exists") || !strings.Contains(errOut, "--policy") {
		t.Errorf("it prints %q", errOut)
	}
}

func TestPrintImpact(t *testing.T) {
	key := func(kind, name string) *adminv1.ObjectKey {
		return &adminv1.ObjectKey{Kind: kind, Namespace: "apps", Name: name}
	}
	for name, c := range map[string]struct {
		impact *adminv1.ImpactResponse
		change *adminv1.ImpactRequest
		want   string
	}{
		"held_fleet": {&adminv1.ImpactResponse{HubObjects: []*adminv1.ObjectKey{{Kind: "Fleet", Name: "all"}}},
			&adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Confirm{Confirm: &adminv1.ObjectKey{}}},
			"This removes:\n  Fleet all\n"},
		"no_objects": {&adminv1.ImpactResponse{Clusters: []*adminv1.ClusterImpact{{Cluster: "a",
			Applications: []*adminv1.ApplicationImpact{{Key: key("Kustomization", "app")}}}}}, nil,
			"This removes:\n  cluster a: 1 application with 0 objects\n    Kustomization apps/app: no objects\n"},
		"used": {&adminv1.ImpactResponse{UsedBy: []*adminv1.ObjectKey{key("GitRepository", "fleet"), key("GitRepository", "x")}}, nil,
			"This removes:\n  it is used by: GitRepository apps/fleet, GitRepository apps/x\n"},
		"unreadable": {&adminv1.ImpactResponse{Clusters: []*adminv1.ClusterImpact{{Cluster: "a",
			Applications: []*adminv1.ApplicationImpact{{Key: key("Kustomization", "app"), Objects: 2},
				{Key: key("HelmRelease", "lost"), Unreadable: true}}}}}, nil,
			"This removes:\n  cluster a: 2 applications with at least 2 objects\n    Kustomization apps/app: 2 objects\n" +
				"    HelmRelease apps/lost: an unknown number of objects, because the hub cannot read the Application\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if printImpact(&out, c.impact); out.String() != c.want ||
				takesNothing(c.impact, c.change) {
				t.Errorf("got\n%s\nwant\n%s", out.String(), c.want)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	for name, c := range map[string]struct{ args, usage string }{
		"no_kind":          {"delete", "nave delete KIND NAME"},
		"command_of_group": {"cluster remove", "nave cluster remove NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			root, _ := program(&bytes.Buffer{}, &bytes.Buffer{})
			root.SetArgs(strings.Fields(c.args))
			if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "usage: "+c.usage) {
				t.Errorf("%v does not show %q", err, c.usage)
			}
		})
	}
}
