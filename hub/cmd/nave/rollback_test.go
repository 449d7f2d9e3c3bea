package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// fleetClient is a hub with a Fleet that selects the clusters a to d.
type fleetClient struct{ adminv1.AdminServiceClient }

func (fleetClient) Get(context.Context, *adminv1.GetRequest, ...grpc.CallOption) (*adminv1.GetResponse, error) {
	fleet := `{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Fleet","metadata":{"name":"f"},"spec":{"clusterSelector":{},` +
		`"template":{"metadata":{"name":"root","namespace":"flux-system"},"spec":{"interval":"10m","prune":true,` +
		`"path":"./x","sourceRef":{"kind":"GitRepository","name":"hub"}}}}}`
	return &adminv1.GetResponse{Object: &adminv1.Object{
		Key: &adminv1.ObjectKey{Kind: "Fleet", Name: "f"}, Json: []byte(fleet)}}, nil
}

func (fleetClient) List(context.Context, *adminv1.ListRequest, ...grpc.CallOption) (*adminv1.ListResponse, error) {
	r := &adminv1.ListResponse{}
	for _, name := range []string{"a", "b", "c", "d"} {
		r.Objects = append(r.Objects, &adminv1.Object{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: name}, Json: fmt.Appendf(
			nil, `{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":%q}}`, name)})
	}
	return r, nil
}

// TestUnchanged says what became of clusters after an error of the connection.
func TestUnchanged(t *testing.T) {
	for _, c := range []struct {
		name, text string
		rest       []string
		want       string
	}{
		{"unreached", "connection error: refused", []string{"b", "c"}, "nothing was changed on a, b, c"},
		{"ended", "error reading from server: EOF", []string{"b"},
			"it is not known whether b was changed: see nave history b; nothing was changed on a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := unchanged(status.Error(codes.Unavailable, c.text), []string{"a"}, c.rest); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	last := unchanged(status.Error(codes.Unavailable, "EOF"), nil, []string{"b"})
	if want := "it is not known whether b was changed: see nave history b"; last != want {
		t.Errorf("got %q, want %q", last, want)
	}
}

// TestEachCluster changes clusters of which b cannot be changed: the others are, and the error names what was not.
func TestEachCluster(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   codes.Code
		fleet  string
		asked  string
		failed string // in the error; empty: there is none
	}{
		{"lost", codes.FailedPrecondition, "f", "abcd", "nothing was changed on b"},
		{"gone", codes.NotFound, "f", "abcd", "nothing was changed on b"},
		{"moved", codes.Aborted, "f", "abcd", "nothing was changed on b"},
		{"damaged", codes.DataLoss, "f", "abcd", "nothing was changed on b"},
		{"already", codes.AlreadyExists, "f", "abcd", ""},
		{"already_named", codes.AlreadyExists, "", "abcd", "nothing was changed on b"},
		{"hub_away", codes.Unavailable, "f", "ab",
			"why; it is not known whether b was changed: see nave history b; nothing was changed on c, d"},
		{"refused", codes.Unauthenticated, "f", "ab", "why; nothing was changed on b, c, d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, asked := &cobra.Command{}, ""
			cmd.SetContext(t.Context())
			var messages bytes.Buffer
			cmd.SetErr(&messages)
			named := []string{"a", "b", "c", "d"}
			err := eachCluster(cmd, fleetClient{}, named, c.fleet, func(cluster string) error {
				if asked += cluster; cluster == "b" {
					return status.Error(c.code, "why")
				}
				return nil
			})
			text := ""
			if err != nil {
				text = err.Error()
			}
			if asked != c.asked || text != c.failed || !strings.Contains(messages.String()+text, "why") {
				t.Errorf("asked %s, error %q, messages %q", asked, text, messages.String())
			}
		})
	}
}

// releaseClient is a hub whose cluster loses an application with the end of its pin.
type releaseClient struct {
	adminv1.AdminServiceClient
	released bool
	old      bool // it does not know what goes with the end of a pin
}

func (c *releaseClient) Impact(_ context.Context, r *adminv1.ImpactRequest, _ ...grpc.CallOption) (
	*adminv1.ImpactResponse, error) {
	if c.old {
		return nil, status.Error(codes.InvalidArgument, "the change is missing: set delete, apply or confirm")
	}
	return &adminv1.ImpactResponse{Digest: "d", Clusters: []*adminv1.ClusterImpact{{Cluster: r.GetRelease(),
		Applications: []*adminv1.ApplicationImpact{{Key: &adminv1.ObjectKey{Kind: "Kustomization", Name: "shop"},
			Objects: 4}}}}}, nil
}

func (c *releaseClient) Release(context.Context, *adminv1.ReleaseRequest, ...grpc.CallOption) (
	*adminv1.ReleaseResponse, error) {
	c.released = true
	return &adminv1.ReleaseResponse{}, nil
}

// TestRelease ends a pin with which an application goes: only if the operator agrees.
func TestRelease(t *testing.T) {
	for _, yes := range []bool{false, true} {
		cmd, client := &cobra.Command{}, &releaseClient{}
		cmd.SetContext(t.Context())
		var messages bytes.Buffer
		cmd.SetErr(&messages)
		cmd.SetOut(&messages)
		cmd.SetIn(strings.NewReader(""))
		err := (&clusterWaits{}).release(cmd, client, "east", agreement{yes: yes})
		if client.released != yes || (err == nil) != yes || !strings.Contains(messages.String(), "shop: 4 objects") {
			t.Errorf("yes %v: released %v, %v, %s", yes, client.released, err, messages.String())
		}
	}
}

// TestRelease_oldHub says that the hub is too old, and releases nothing.
func TestRelease_oldHub(t *testing.T) {
	cmd, client := &cobra.Command{}, &releaseClient{old: true}
	cmd.SetContext(t.Context())
	err := (&clusterWaits{}).release(cmd, client, "east", agreement{yes: true})
	if client.released || err == nil || !strings.Contains(message(err), "the hub is too old for this command") {
		t.Errorf("released %v, %v", client.released, err)
	}
}

// TestEachCluster_named prints an error that names its cluster once.
func TestEachCluster_named(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	var messages bytes.Buffer
	cmd.SetErr(&messages)
	_ = eachCluster(cmd, fleetClient{}, []string{"nix", "east"}, "", func(cluster string) error {
		if cluster == "nix" {
			return status.Error(codes.NotFound, "Cluster nix not found")
		}
		return status.Error(codes.DataLoss, "the store is damaged")
	})
	if want := "nave: Cluster nix not found\nnave: cluster east: the store is damaged\n"; messages.String() != want {
		t.Errorf("got %q, want %q", messages.String(), want)
	}
}

// withoutCluster is a hub without the cluster eats.
type withoutCluster struct{ fleetClient }

func (h withoutCluster) Get(ctx context.Context, r *adminv1.GetRequest, _ ...grpc.CallOption) (
	*adminv1.GetResponse, error) {
	if r.GetKey().GetName() == "eats" {
		return nil, status.Error(codes.NotFound, "Cluster eats not found")
	}
	return h.fleetClient.Get(ctx, r)
}

// TestEachCluster_unknown changes no cluster if one of those that are named does not exist.
func TestEachCluster_unknown(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	err := eachCluster(cmd, withoutCluster{}, []string{"a", "eats"}, "", func(cluster string) error {
		t.Errorf("%s was changed", cluster)
		return nil
	})
	const want = "nothing was changed on a, eats: Cluster eats not found"
	if exitCode(err) != notFound || !strings.HasPrefix(message(err), want) {
		t.Errorf("exit code %d, %q", exitCode(err), message(err))
	}
}
