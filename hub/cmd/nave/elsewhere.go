package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// place is a namespace of a cluster, or of the hub.
type place struct{ cluster, namespace string }

func (p place) String() string {
	of := "the hub"
	if p.cluster != "" {
		of = "cluster " + oneLine(p.cluster)
	}
	if p.namespace == "" {
		return of
	}
	return "namespace " + oneLine(p.namespace) + " of " + of
}

// flags returns the flags that name the place.
func (p place) flags() string {
	var flags []string
	if p.namespace != "" {
		flags = append(flags, "--namespace "+oneLine(p.namespace))
	}
	if p.cluster != "" {
		flags = append(flags, "--cluster "+oneLine(p.cluster))
	}
	return strings.Join(flags, " ")
}

// placesOf returns where objects are, each place once.
func placesOf(objects []*adminv1.Object, name string) (all []place) {
	for _, o := range objects {
		p := place{o.GetKey().GetCluster(), o.GetKey().GetNamespace()}
		if (name == "" || o.GetKey().GetName() == name) && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// listPlaces returns a list of places, with the flags that name the first of them.
func listPlaces(all []place) string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.String()
	}
	return wording.List(names, len(names), 5) + ": add " + all[0].flags()
}

// elsewhere adds to a "not found" error the clusters whose graphs have the object, or the namespaces that have one of
// its name, or else the name that was probably meant.
func elsewhere(ctx context.Context, client adminv1.AdminServiceClient, key *adminv1.ObjectKey, err error) error {
	if status.Code(err) != codes.NotFound {
		return err
	}
	objects, listErr := list(ctx, client, &adminv1.ListRequest{Kind: key.GetKind(), AllClusters: true}, chunkSize)
	if listErr != nil {
		return err
	}
	var clusters []string
	found := placesOf(objects, key.GetName())
	for _, p := range found {
		if p.namespace == key.GetNamespace() && p.cluster != "" {
			clusters = append(clusters, p.cluster)
		}
	}
	switch {
	case len(clusters) > 0 && key.GetCluster() == "":
		err = fmt.Errorf("%s does not exist in the hub, but on %s: name a cluster with --cluster", show(key),
			oneLine(wording.List(clusters, len(clusters), 5)))
	case len(found) > 0:
		err = fmt.Errorf("%s does not exist; there is one in %s", show(key), listPlaces(found))
	case missingObject(err) != nil:
		err = fmt.Errorf("%s not found. %s", show(key), nearest(objects, key))
	}
	return exitError{err, notFound}
}

// missingCluster returns a "not found" error about --cluster if that cluster does not exist; else err.
func (s *session) missingCluster(ctx context.Context, client adminv1.AdminServiceClient, err error) error {
	if s.cluster == "" || exitCode(err) != notFound {
		return err
	}
	key := &adminv1.ObjectKey{Kind: api.ClusterKind, Name: s.cluster}
	if _, getErr := client.Get(ctx, &adminv1.GetRequest{Key: key}); status.Code(getErr) != codes.NotFound {
		return err
	}
	clusters, listErr := list(ctx, client, &adminv1.ListRequest{Kind: key.GetKind()}, chunkSize)
	if listErr != nil {
		return err
	}
	return exitError{fmt.Errorf("cluster %q does not exist. %s", oneLine(s.cluster), nearest(clusters, key)), notFound}
}

// nearest returns sentences about an object that does not exist: the name that was probably meant, and where to look.
func nearest(objects []*adminv1.Object, key *adminv1.ObjectKey) string {
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = o.GetKey().GetName()
	}
	text := ""
	if name := wording.Nearest(key.GetName(), names); name != "" {
		text = fmt.Sprintf("Did you mean %s? ", oneLine(name))
	}
	kind, _ := api.KindByName(key.GetKind())
	if !kind.Namespaced {
		return text + "nave get " + kind.Plural + " lists all"
	}
	return text + "nave get " + kind.Plural + " -A lists all, and nave explain says what of Git is refused"
}

// orRelease is elsewhere for a command about a Cluster that has a subcommand about a release of Helm.
func orRelease(cmd *cobra.Command, client adminv1.AdminServiceClient, cluster string, err error) error {
	key := &adminv1.ObjectKey{Kind: api.ClusterKind, Name: cluster}
	if missing := missingObject(err); missing.GetKind() != key.Kind || missing.GetName() != key.Name {
		return err // about a bundle, for example
	}
	err = elsewhere(cmd.Context(), client, key, err)
	return exitError{fmt.Errorf("%s. Of a release of Helm: %s helmrelease %s", message(err), cmd.CommandPath(),
		oneLine(cluster)), notFound}
}

// others returns sentences about the objects that a list without results leaves out because of its namespace or its
// cluster; "" if there are none. If name is not empty, only objects of that name count, and if there are none, others
// names the one that was probably meant.
func others(ctx context.Context, client adminv1.AdminServiceClient, kind api.Kind, r *adminv1.ListRequest,
	name string) string {
	if name == "" && r.GetNamespace() == "" && r.GetCluster() == "" {
		return ""
	}
	all := &adminv1.ListRequest{Kind: r.GetKind(), AllClusters: true, LabelSelector: r.GetLabelSelector()}
	objects, err := list(ctx, client, all, chunkSize)
	if err != nil {
		return "" // the list that was asked for has no results all the same
	}
	found := placesOf(objects, name)
	switch {
	case len(found) == 0 && name == "":
		return ""
	case len(found) == 0:
		return nearest(objects, &adminv1.ObjectKey{Kind: r.GetKind(), Name: name})
	}
	return fmt.Sprintf("There are some in %s, or list all with nave get %s -A", listPlaces(found), kind.Plural)
}
